//! Files, directories and standard input as the objects in them.

use std::io::Read;
use std::path::{Path, PathBuf};

use headworks::manifest::{self, Positions, Unreadable};
use headworks::problem::field_path;
use headworks::problem::field_path::Segment;
use serde_json::Value;

/// A file that was opened.
#[derive(Debug)]
pub(crate) struct Source {
    /// The name to show; `<stdin>` for standard input.
    pub name: String,
    /// The text of the file, for excerpts.
    pub text: String,
    /// Its objects in their order, and its documents that cannot be read.
    pub objects: Vec<Result<Object, Unreadable>>,
}

/// One object of a file; the entries of a `List` are objects of their own.
#[derive(Debug)]
pub(crate) struct Object {
    /// The document, from 1.
    pub document: usize,
    pub value: Value,
    pub positions: Positions,
}

impl Object {
    /// The text at `pointer`, or "".
    pub(crate) fn text(&self, pointer: &str) -> &str {
        self.value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
    }

    pub(crate) fn is_flow(&self) -> bool {
        self.text("/kind") == "JobFlow"
    }

    pub(crate) fn is_service(&self) -> bool {
        self.text("/kind") == "Service" && self.text("/apiVersion") == "v1"
    }

    /// Its name, or the one it will be given.
    pub(crate) fn name(&self) -> String {
        match (self.text("/metadata/name"), self.text("/metadata/generateName")) {
            ("", "") => "(no name)".to_owned(),
            ("", stem) => format!("{stem}*"),
            (name, _) => name.to_owned(),
        }
    }
}

/// A file that could not be opened, and the reason.
#[derive(Debug)]
pub(crate) struct Failure {
    pub name: String,
    pub message: String,
}

/// Opens everything that `arguments` name: `-` is standard input, a directory all manifests below it, by name.
pub(crate) fn open(arguments: &[PathBuf]) -> Vec<Result<Source, Failure>> {
    let mut sources = Vec::new();
    for argument in arguments {
        if argument.as_os_str() == "-" {
            let mut bytes = Vec::new();
            let limit = manifest::MAX_BYTES as u64 + 1;
            let read = std::io::stdin().lock().take(limit).read_to_end(&mut bytes).map(|_| bytes);
            sources.push(source("<stdin>".to_owned(), read));
        } else if argument.is_dir() {
            collect(argument, &mut sources);
        } else {
            sources.push(read(argument));
        }
    }
    sources
}

fn read(path: &Path) -> Result<Source, Failure> {
    let limit = manifest::MAX_BYTES as u64 + 1;
    let bytes = std::fs::File::open(path).and_then(|file| {
        let mut bytes = Vec::new();
        file.take(limit).read_to_end(&mut bytes)?;
        Ok(bytes)
    });
    source(path.display().to_string(), bytes)
}

fn source(name: String, bytes: std::io::Result<Vec<u8>>) -> Result<Source, Failure> {
    let bytes = match bytes {
        Ok(bytes) => manifest::utf8(bytes),
        Err(error) => return Err(Failure { name, message: format!("cannot be read: {error}") }),
    };
    let mut objects = Vec::new();
    for document in manifest::read_bytes(&bytes) {
        match document {
            Err(error) => objects.push(Err(error)),
            Ok(document) => {
                let (number, positions) = (document.number, document.positions().clone());
                descend(Object { document: number, value: document.value, positions }, &mut objects);
            }
        }
    }
    Ok(Source { name, text: String::from_utf8_lossy(&bytes).into_owned(), objects })
}

/// Takes a `List` apart.
fn descend(mut object: Object, objects: &mut Vec<Result<Object, Unreadable>>) {
    let is_list = object.text("/kind").ends_with("List");
    let items = object.value.get_mut("items").filter(|items| is_list && items.is_array()).map(Value::take);
    let Some(Value::Array(items)) = items else {
        objects.push(Ok(object));
        return;
    };
    for (i, value) in items.into_iter().enumerate() {
        let place = field_path::FieldPath(vec![Segment::Field("items".to_owned()), Segment::Index(i)]);
        let positions = object.positions.at(&place).unwrap_or_else(|| object.positions.clone());
        descend(Object { document: object.document, value, positions }, objects);
    }
}

/// Reads all manifests below a directory. A directory that cannot be listed does not hide its neighbours.
fn collect(directory: &Path, sources: &mut Vec<Result<Source, Failure>>) {
    let entries = std::fs::read_dir(directory).and_then(Iterator::collect::<std::io::Result<Vec<_>>>);
    let mut entries = match entries {
        Ok(entries) => entries,
        Err(error) => {
            let name = directory.display().to_string();
            sources.push(Err(Failure { name, message: format!("cannot be listed: {error}") }));
            return;
        }
    };
    entries.sort_by_key(std::fs::DirEntry::file_name);
    for entry in entries {
        let path = entry.path();
        // The type of the entry itself, not of a link's target: a link to a directory above would be followed for
        // ever. A pipe would be read for ever.
        let kind = entry.file_type();
        if kind.as_ref().is_ok_and(std::fs::FileType::is_dir) {
            collect(&path, sources);
        } else if kind.is_ok_and(|kind| !kind.is_file() && !kind.is_symlink()) {
            // A socket, a pipe or a device is no manifest.
        } else if path.extension().is_some_and(|end| end == "yaml" || end == "yml" || end == "json") {
            sources.push(read(&path));
        }
    }
}
