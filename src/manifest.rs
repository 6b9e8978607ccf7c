//! Manifests as people write them: several documents of YAML or JSON in one text, with the line and column of every
//! key and value.
//!
//! [`read`] understands what kubectl understands (`sigs.k8s.io/yaml`, which is YAML 1.1: `yes` and `off` are
//! booleans, `0644` is octal), so that a check of a file and a check in the cluster look at one object. Two things
//! kubectl lets pass in silence are refused here, because somebody is about to lose what they wrote: a key that
//! stands twice, and content after the end of a document.
//!
//! ```
//! use headworks::{manifest, problem::field_path::FieldPath};
//! let document = manifest::read("spec:\n  suspend: yes\n").remove(0).unwrap();
//! assert_eq!(document.value["spec"]["suspend"], true);
//! let position = document.locate(&FieldPath::parse("spec.suspend")).unwrap();
//! assert_eq!((position.line, position.column), (2, 12));
//! ```

#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use serde_json::Value;

use crate::problem::field_path::FieldPath;

mod build;
mod positions;
mod scalar;
mod split;

pub use positions::{Position, Positions};

/// The largest text that is read, in bytes.
pub const MAX_BYTES: usize = 64 << 20;

/// One document of a manifest.
#[derive(Clone, Debug)]
pub struct Document {
    /// Its place in the file, from 1; empty documents do not count.
    pub number: usize,
    /// The object, as kubectl would send it.
    pub value: Value,
    positions: Positions,
}

impl Document {
    /// Finds the position of the value at `path`; if there is none, of the nearest part around it. Objects and lists
    /// are found by their key, and so are keys that the user chose, as in `labels[team]`.
    pub fn locate(&self, path: &FieldPath) -> Option<Position> {
        self.positions.locate(path, false)
    }

    /// Finds the position of the key of the value at `path`, for problems of the key itself.
    pub fn locate_key(&self, path: &FieldPath) -> Option<Position> {
        self.positions.locate(path, true)
    }

    /// The same positions for one entry of a `List`.
    pub fn item(&self, path: &FieldPath) -> Option<Positions> {
        self.positions.at(path)
    }

    /// The positions of the whole document.
    pub fn positions(&self) -> &Positions {
        &self.positions
    }
}

/// A document that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Unreadable {
    /// Its place in the file, from 1.
    pub number: usize,
    /// Line, from 1.
    pub line: usize,
    /// Column, in characters, from 1.
    pub column: usize,
    /// Description of the mistake, for the user.
    pub message: String,
}

/// Reads the bytes of a file: UTF-8, at most [`MAX_BYTES`].
pub fn read_bytes(bytes: &[u8]) -> Vec<Result<Document, Unreadable>> {
    let unreadable =
        |line, column, message: String| vec![Err(Unreadable { number: 1, line, column, message })];
    if bytes.len() > MAX_BYTES {
        return unreadable(1, 1, format!("this is larger than {} MiB", MAX_BYTES >> 20));
    }
    match std::str::from_utf8(bytes) {
        Ok(text) => read(text),
        Err(error) => {
            let before = String::from_utf8_lossy(bytes.get(..error.valid_up_to()).unwrap_or_default());
            let line = before.matches('\n').count() + 1;
            let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
            unreadable(line, column, "this is not UTF-8 text".to_owned())
        }
    }
}

/// The bytes of a text in UTF-8. Like kubectl this reads UTF-16 that begins with a byte order mark, which is what
/// PowerShell writes; bytes that do not are handed back as they are.
pub fn utf8(bytes: Vec<u8>) -> Vec<u8> {
    let unit = match bytes.get(..2) {
        Some([0xff, 0xfe]) => u16::from_le_bytes,
        Some([0xfe, 0xff]) => u16::from_be_bytes,
        _ => return bytes,
    };
    let (pairs, _odd) = bytes.as_chunks::<2>();
    let units = pairs.iter().skip(1).map(|pair| unit(*pair));
    char::decode_utf16(units)
        .map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER))
        .collect::<String>()
        .into_bytes()
}

/// Reads every document of a text. One that cannot be read does not hide the others.
pub fn read(text: &str) -> Vec<Result<Document, Unreadable>> {
    let lines = split::Lines::new(text);
    let mut documents = Vec::new();
    for chunk in split::chunks(text) {
        let number = documents.len() + 1;
        match build::document(&chunk, &lines) {
            Ok(None) => {}
            Ok(Some((value, positions))) => documents.push(Ok(Document { number, value, positions })),
            Err((line, column, message)) => {
                let (line, column) = lines.clamp(line, column);
                documents.push(Err(Unreadable { number, line, column, message }));
            }
        }
    }
    documents
}

#[cfg(test)]
mod tests;
