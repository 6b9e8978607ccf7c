//! The floor plan, held by tests: imports run downhill, pure modules say so to clippy, and comments are plain English.
//!
//! Read from the source text; nothing of the program runs here.

mod graph;
mod prose;

use std::fs;
use std::path::{Path, PathBuf};

use graph::{Crate, Graph};

/// The crates, by the file of their root module.
const ROOTS: [&str; 5] =
    ["src/lib.rs", "src/main.rs", "certs/src/lib.rs", "webhook/src/lib.rs", "testkit/src/lib.rs"];

/// The folders of `src/`, from the ground up. A folder may import from those on floors below it, and from itself.
const FLOORS: [&[&str]; 7] = [
    &["names", "telemetry"],
    &["k8s", "pacing"],
    &["problem"],
    &["cluster", "election", "manifest"],
    &["flows"],
    &["leaders"],
    &["admission"],
];

/// The modules that say of themselves that they are pure, and those beside them that are not.
const PURE: [&str; 9] = [
    "src/problem.rs",
    "src/k8s.rs",
    "src/pacing.rs",
    "src/flows.rs",
    "src/leaders/plan.rs",
    "src/leaders/rules.rs",
    "src/election/campaign.rs",
    "certs/src/managed/plan.rs",
    "certs/src/managed/build.rs",
];

fn repository() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn no_files_import_each_other_in_a_circle() {
    let mut found = Vec::new();
    for root in ROOTS {
        let graph = Graph::of(&Crate::read(&repository(), root));
        found.extend(graph.circles().iter().map(|circle| graph.describe(circle)));
    }
    assert!(found.is_empty(), "{} circles:\n{}", found.len(), found.join("\n"));
}

#[test]
fn folders_import_only_from_floors_below() {
    let graph = Graph::of(&Crate::read(&repository(), "src/lib.rs"));
    let floor = |folder: &str| FLOORS.iter().position(|floor| floor.contains(&folder));
    let mut upwards = Vec::new();
    for (from, to) in graph.edges() {
        let (Some(above), Some(below)) = (graph.folder(from), graph.folder(to)) else { continue };
        let floors = (floor(above), floor(below));
        assert!(floors.0.is_some() && floors.1.is_some(), "{above} or {below} is on no floor of FLOORS");
        if above != below && floors.0 <= floors.1 {
            upwards.push(format!("{} imports {}", graph.file(from), graph.file(to)));
        }
    }
    assert!(upwards.is_empty(), "{}", upwards.join("\n"));
}

#[test]
fn pure_modules_have_the_lints_of_purity() {
    for file in PURE {
        let text = read(&repository().join(file));
        let lint = "#![deny(clippy::disallowed_methods, clippy::disallowed_types)]";
        assert!(text.contains(lint), "{file} lacks {lint}");
    }
}

#[test]
fn no_test_reaches_into_another_by_a_path() {
    for file in prose::rust_files(&repository()) {
        let attribute = ["#[pa", "th ="].concat();
        assert!(!read(&file).contains(&attribute), "{}", file.display());
    }
}

#[test]
fn doc_comments_open_with_a_verb_or_a_noun() {
    let mut found = Vec::new();
    for file in prose::rust_files(&repository()) {
        for (line, text) in prose::openings(&read(&file)) {
            if prose::opens_with_a_question_word(&text) {
                found.push(format!("{}:{line}: {text}", file.display()));
            }
        }
    }
    assert!(found.is_empty(), "{} doc comments:\n{}", found.len(), found.join("\n"));
}
