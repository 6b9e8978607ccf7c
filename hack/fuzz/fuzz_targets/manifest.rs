//! Fuzzes manifests with any bytes: every part of the result has a position in the file.
#![no_main]

use headworks::manifest::{self, Document, Position};
use headworks::problem::field_path::{FieldPath, Segment};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

fuzz_target!(|data: &[u8]| {
    let text = String::from_utf8_lossy(data);
    let lines: Vec<usize> = text.split('\n').map(|line| line.chars().count()).collect();
    let inside = |line: usize, column: usize| {
        assert!(line >= 1 && line <= lines.len(), "line {line} of {}", lines.len());
        assert!(column >= 1 && column <= lines[line - 1] + 1, "line {line}, column {column}");
    };
    for (i, document) in manifest::read_bytes(data).into_iter().enumerate() {
        match document {
            Ok(document) => {
                assert_eq!(document.number, i + 1);
                walk(&document, &document.value, &mut FieldPath::default(), &|position: Position| {
                    inside(position.line, position.column);
                    if let Some(end) = position.end_column {
                        assert!(end > position.column);
                        inside(position.line, end);
                    }
                });
            }
            Err(error) => {
                inside(error.line, error.column);
                assert!(!error.message.is_empty());
            }
        }
    }
    // JSON without duplicate keys means the same as in any other parser.
    if let Ok(text) = std::str::from_utf8(data)
        && let Ok(value @ Value::Object(_)) = serde_json::from_str::<Value>(text)
        && let [document] = manifest::read(&value.to_string()).as_slice()
        && let Ok(document) = document
    {
        assert_eq!(document.value, value);
    }
});

fn walk(document: &Document, value: &Value, path: &mut FieldPath, check: &dyn Fn(Position)) {
    check(document.locate(path).expect("everything stands somewhere"));
    check(document.locate_key(path).expect("everything stands somewhere"));
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                path.0.push(Segment::Field(key.clone()));
                walk(document, value, path, check);
                path.0.pop();
            }
        }
        Value::Array(list) => {
            for (i, value) in list.iter().enumerate() {
                path.0.push(Segment::Index(i));
                walk(document, value, path, check);
                path.0.pop();
            }
        }
        _ => {}
    }
}
