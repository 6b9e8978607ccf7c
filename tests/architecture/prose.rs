//! Doc comments, as text.

use std::fs;
use std::path::{Path, PathBuf};

/// Words that ask; a doc comment opens with a verb or a noun instead.
const QUESTION_WORDS: [&str; 12] =
    ["What", "Who", "Whose", "Whom", "Whether", "Why", "Which", "How", "When", "Where", "Of", "If"];

/// The Rust files of the program and of what it is measured with.
pub(crate) fn rust_files(repository: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders: Vec<PathBuf> =
        ["src", "certs/src", "webhook/src", "testkit/src", "benches", "hack/fuzz"]
            .iter()
            .map(|folder| repository.join(folder))
            .collect();
    while let Some(folder) = folders.pop() {
        let Ok(entries) = fs::read_dir(&folder) else { continue };
        for path in entries.flatten().map(|entry| entry.path()) {
            if path.is_dir() && path.file_name().is_some_and(|name| name != "target") {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    assert!(files.len() > 300, "the source is elsewhere: {} files", files.len());
    files.sort();
    files
}

/// The first line of each doc comment and of each paragraph heading a module, with its line number.
pub(crate) fn openings(text: &str) -> Vec<(usize, String)> {
    let mut openings = Vec::new();
    let mut inside = "";
    for (number, line) in text.lines().enumerate() {
        let line = line.trim_start();
        let marker = ["/// ", "//! "].into_iter().find(|marker| line.starts_with(marker)).unwrap_or("");
        if !marker.is_empty() && marker != inside {
            openings.push((number + 1, line[4..].trim().to_owned()));
        }
        // An empty line of the comment goes on with it.
        let goes_on = (line == "///" && inside == "/// ") || (line == "//!" && inside == "//! ");
        inside = if goes_on { inside } else { marker };
    }
    openings
}

/// Tells whether the first word is one that asks.
pub(crate) fn opens_with_a_question_word(text: &str) -> bool {
    let word = text.split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default();
    QUESTION_WORDS.contains(&word)
}

#[test]
fn openings_are_found_once_a_comment() {
    let text = "//! Whole.\n//!\n//! What of it.\n\n/// What is it.\n/// More.\nfn a() {}\n/// Names it.\nfn b() {}\n";
    let found = openings(text);
    assert_eq!(found, [(1, "Whole.".to_owned()), (5, "What is it.".to_owned()), (8, "Names it.".to_owned())]);
    assert!(opens_with_a_question_word(&found[1].1) && !opens_with_a_question_word(&found[2].1));
}
