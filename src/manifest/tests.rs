use std::fmt::Write;

use proptest::prelude::*;
use serde_json::json;

use super::*;

fn one(text: &str) -> Document {
    let mut documents = read(text);
    assert_eq!(documents.len(), 1, "{documents:?}");
    documents.remove(0).unwrap()
}

fn wrong(text: &str) -> Unreadable {
    read(text).into_iter().find_map(Result::err).expect("something cannot be read")
}

fn at(document: &Document, path: &str) -> (usize, usize, Option<usize>) {
    let position = document.locate(&FieldPath::parse(path)).unwrap();
    (position.line, position.column, position.end_column)
}

#[test]
fn values_are_found_where_they_are_written() {
    let document = one("# first\nspec:\n  steps:\n    - name: a\n      dependencies: [b, \"c\"]\n");
    assert_eq!(at(&document, "spec.steps[0].name"), (4, 13, Some(14)));
    assert_eq!(at(&document, "spec.steps[0].dependencies[1]"), (5, 25, Some(28)));
    assert_eq!(at(&document, "spec.steps[0].dependencies"), (5, 7, Some(19)));
    assert_eq!(at(&document, "spec.steps[0].template"), (4, 7, None));
    assert_eq!(at(&document, "spec.steps[7]"), (3, 3, Some(8)));
}

#[test]
fn chosen_keys_and_unknown_fields_are_found_by_their_key() {
    let document = one("labels: {bad key: x}\nspce: 1\n");
    assert_eq!(at(&document, "labels[bad key]"), (1, 10, Some(17)));
    let position = document.locate_key(&FieldPath::parse("spce")).unwrap();
    assert_eq!((position.line, position.column), (2, 1));
}

#[test]
fn documents_are_numbered_and_empty_ones_do_not_count() {
    let documents = read("---\n# nothing\n---\na: 1\n--- # next\nb: 2\n---\n");
    let numbers: Vec<_> = documents.iter().map(|d| d.as_ref().unwrap().number).collect();
    assert_eq!(numbers, [1, 2]);
    assert_eq!(at(documents[1].as_ref().unwrap(), "b"), (6, 4, Some(5)));
}

#[test]
fn a_bad_document_does_not_hide_the_next() {
    let documents = read("a: [\n---\nb: 2\n");
    assert!(documents[0].is_err());
    assert_eq!(documents[1].as_ref().unwrap().value, json!({"b": 2}));
}

#[test]
fn json_values_may_follow_each_other() {
    let documents = read("{\"a\": \"\\ud83d\\ude00\", \"n\": 1e3}\n {\"b\": [1,\n 2]}");
    assert_eq!(documents[0].as_ref().unwrap().value["a"], "\u{1f600}");
    assert_eq!(at(documents[1].as_ref().unwrap(), "b[0]"), (2, 9, Some(10)));
    assert_eq!(at(documents[1].as_ref().unwrap(), "b[1]"), (3, 2, Some(3)));
    assert_eq!(one("{a: yes, }").value, json!({"a": true}));
}

#[test]
fn a_key_that_stands_twice_is_an_error() {
    let error = wrong("a: 1\nb: 2\na: 3\n");
    assert_eq!((error.line, error.column), (3, 1));
    assert_eq!(error.message, "duplicate key \"a\", which stands in line 1 already");
    assert!(wrong("{\"a\": 1, \"a\": 2}").message.starts_with("duplicate key"));
}

#[test]
fn aliases_stand_for_their_anchor_and_merges_count_where_they_stand() {
    let document = one("base: &b {a: 1, c: 3}\nx: *b\nv: {<<: *b, a: 2}\nw: {a: 2, <<: *b}\n");
    assert_eq!(document.value["x"], json!({"a": 1, "c": 3}));
    assert_eq!(document.value["v"], json!({"a": 2, "c": 3}));
    assert_eq!(document.value["w"], json!({"a": 1, "c": 3}));
    assert_eq!(one("{<<: [{a: 1, b: 1}, {b: 2}]}").value, json!({"a": 1, "b": 1}));
    assert_eq!(at(&document, "x.c"), (1, 20, Some(21)));
}

#[test]
fn a_billion_laughs_are_refused() {
    let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for i in 1..10 {
        let list = vec![format!("*a{}", i - 1); 10].join(", ");
        writeln!(text, "a{i}: &a{i} [{list}]").unwrap();
    }
    assert!(wrong(&text).message.contains("aliases"));
    assert!(wrong("a: &a [*a]").message.contains("its own anchor"));
}

#[test]
fn deep_nesting_is_refused() {
    assert!(!wrong(&"[".repeat(5_000)).message.is_empty());
    assert!(!wrong(&"- ".repeat(5_000)).message.is_empty());
    assert!(read(&format!("{}{}", "{\"a\":".repeat(5_000), "1".to_owned() + &"}".repeat(5_000)))[0].is_err());
}

#[test]
fn what_kubectl_would_drop_in_silence_is_told() {
    assert!(wrong("a: 1\n...\nb: 2\n").message.contains("ignored by kubectl"));
}

#[test]
fn keys_are_texts() {
    let document = one("{1: a, on: b, 0x1f: c, 1.5: d}");
    assert_eq!(document.value, json!({"1": "a", "true": "b", "31": "c", "1.5": "d"}));
    assert!(wrong("{~: 1}").message.contains("null"));
    assert!(wrong("? [x]\n: 1").message.contains("key"));
}

#[test]
fn bytes_that_are_no_text_are_placed() {
    let error = read_bytes(b"a: 1\nb: \xff").remove(0).unwrap_err();
    assert_eq!((error.line, error.column), (2, 4));
    assert_eq!(one("\u{feff}a: 1").value, json!({"a": 1}));
}

fn inside(text: &str, line: usize, column: usize) -> bool {
    text.split('\n').nth(line - 1).is_some_and(|content| column <= content.chars().count() + 1)
}

fn walk(value: &Value, path: &FieldPath, visit: &mut dyn FnMut(&FieldPath)) {
    use crate::problem::field_path::Segment;
    visit(path);
    let mut into = |segment, child: &Value| {
        let mut path = path.clone();
        path.0.push(segment);
        walk(child, &path, visit);
    };
    match value {
        Value::Object(map) => map.iter().for_each(|(k, v)| into(Segment::Field(k.clone()), v)),
        Value::Array(list) => list.iter().enumerate().for_each(|(i, v)| into(Segment::Index(i), v)),
        _ => {}
    }
}

proptest! {
    #[test]
    fn no_text_breaks_the_reader_and_positions_lie_inside(
        text in prop_oneof![
            any::<String>(),
            "[-a-c:\\[\\]{},&*!|>'\"#~ \n\t]{0,80}",
            "([a-c]: ([&*][ab] )?[1x{}]\n|---\n|  - [a: {}\\[\\]]{1,6}\n){0,12}",
        ]
    ) {
        for document in read(&text) {
            match document {
                Ok(document) => walk(&document.value, &FieldPath::default(), &mut |path| {
                    let position = document.locate(path).unwrap();
                    assert!(inside(&text, position.line, position.column), "{path}: {position:?}");
                }),
                Err(error) => prop_assert!(inside(&text, error.line, error.column), "{error:?}"),
            }
        }
    }
}

#[test]
fn a_tab_is_answered_with_what_to_do() {
    for text in ["a:\n\tb: 1\n", "a:\n  - b\n\t- c\n", "a:\n  b: 1\n\tc: 2\n"] {
        let wrong = wrong(text);
        assert_eq!(wrong.message, "a tab may not stand here; indent with spaces", "{text:?}");
    }
}

#[test]
fn utf_16_is_read_if_it_says_so() {
    let marked = "\u{feff}a: \"\u{1f600}\"\n";
    let little: Vec<u8> = marked.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let big: Vec<u8> = marked.encode_utf16().flat_map(u16::to_be_bytes).collect();
    for bytes in [little, big] {
        let documents = read_bytes(&utf8(bytes));
        assert_eq!(documents[0].as_ref().unwrap().value, json!({"a": "\u{1f600}"}));
    }
    let other = vec![0xff, b'a', b'b'];
    assert_eq!(utf8(other.clone()), other);
    assert_eq!(read_bytes(&other)[0].as_ref().unwrap_err().message, "this is not UTF-8 text");
}
