#![expect(clippy::disallowed_methods, reason = "a test may read the file that it pins")]

use serde_json::Value;

use super::*;
use crate::flows::rules;
use crate::flows::rules::{Options, update};
use crate::leaders::rules::{SelectedPods, outlook, service};
use crate::manifest;
use crate::problem::Problems;

#[test]
fn codes_ascend_and_are_read_back_in_any_spelling() {
    assert!(CODES.windows(2).all(|pair| pair[0].code < pair[1].code));
    assert_eq!(Code::parse("hw201"), Some(UNKNOWN_DEPENDENCY));
    assert_eq!(Code::parse("201"), Some(UNKNOWN_DEPENDENCY));
    assert_eq!(Code::parse("HW299"), None);
    assert_eq!(UNKNOWN_DEPENDENCY.to_string(), "HW201");
}

#[test]
fn every_page_explains_shows_and_cures_on_one_screen() {
    for entry in CODES {
        assert!(entry.page.contains("**What to do**"), "{} has no cure", entry.code);
        assert!(!entry.examples().is_empty(), "{} has no example", entry.code);
        assert!(entry.page.lines().count() <= 40, "{} is too long", entry.code);
        assert!(!entry.family().is_empty());
    }
}

/// The codes found in the example of a page.
fn found(entry: &Entry) -> Vec<Code> {
    let object = |text: &str| -> Value {
        // An example of an object that is too large would make its page too long.
        let text = text.replace("(65 KiB of text)", &"x".repeat(65 << 10));
        let mut documents = manifest::read(&text);
        assert_eq!(documents.len(), 1, "{}: {documents:?}", entry.code);
        documents.remove(0).unwrap_or_else(|error| panic!("{}: {error}", entry.code)).value
    };
    let examples: Vec<_> = entry.examples().into_iter().map(|(mark, text)| (mark, object(text))).collect();
    let new = examples.iter().find(|(mark, _)| *mark != "old").map(|(_, object)| object).unwrap();
    let options = Options::default();
    let old = examples.iter().find(|(mark, _)| *mark == "old").map(|(_, object)| object);
    let mut problems =
        if new["kind"] == "Service" { service(new, old) } else { rules::flow(new, &options).problems };
    if let Some(old) = old {
        let mut changes = Problems::new();
        update::changes(new, old, &mut changes);
        problems.extend(changes.into_vec());
        // No example holds pods: one that sees nobody, and one that sees others than the leader.
        for selected in [0, 1] {
            let sight = SelectedPods { selected, loses: Some("db-0".to_owned()) };
            problems.extend(outlook(new, old, |_| Some(sight)));
        }
    }
    problems.iter().map(|problem| problem.code).collect()
}

#[test]
fn every_example_has_the_problem_that_it_explains() {
    // Only admission knows who asks: the page of HW705 is tested there. And HW917 is not told where HW425 is.
    let missing: Vec<String> = CODES
        .iter()
        .filter(|entry| ![FORGED_STAMP, STORE_UNKNOWN].contains(&entry.code))
        .map(|entry| (entry, found(entry)))
        .filter(|(entry, found)| !found.contains(&entry.code))
        .map(|(entry, found)| {
            let found: Vec<String> = found.iter().map(ToString::to_string).collect();
            format!("{}: found [{}]", entry.code, found.join(", "))
        })
        .collect();
    assert!(missing.is_empty(), "{} examples lack their code:\n{}", missing.len(), missing.join("\n"));
}

#[test]
fn the_printed_catalogue_is_the_one_in_docs() {
    let docs = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/errors.md")).unwrap();
    assert!(docs == catalogue(), "run `headworks explain --all --format markdown > docs/errors.md`");
}
