//! What of a spec is pinned when its flow starts: everything but the fields that may change later.

use serde_json::Value;

use super::hash::fnv;
use super::validate::update::MUTABLE;
use crate::api::{JobFlow, defaults};

/// How the hash is made. Another way, or other defaults, is another number: hashes that were made differently say nothing.
const WAY: &str = "1-";

/// A hash of what is pinned of a flow's spec. Values count, not how they are written: the order of keys, `2` for `2.0`, a
/// `null` and a default that is written out make no difference.
pub fn hash(flow: &JobFlow) -> String {
    let mut object = serde_json::to_value(flow).unwrap_or_default();
    defaults::apply(&mut object);
    for field in MUTABLE {
        let (parent, field) =
            field.rsplit_once('.').map_or(("/spec".to_owned(), field), |(parent, field)| {
                (format!("/spec/{}", parent.replace('.', "/")), field)
            });
        if let Some(parent) = object.pointer_mut(&parent).and_then(Value::as_object_mut) {
            parent.remove(field);
        }
    }
    let mut text = String::new();
    write(object.get("spec").unwrap_or(&Value::Null), &mut text);
    format!("{WAY}{:016x}", fnv(&text))
}

/// Whether the pinned part of a flow is what it was when `hash` was made. What was hashed in another way, or not at all,
/// is taken for unchanged.
pub fn is_unchanged(flow: &JobFlow, known: Option<&str>) -> bool {
    known.is_none_or(|known| !known.starts_with(WAY) || known == hash(flow))
}

/// Every value in one form of writing.
fn write(value: &Value, out: &mut String) {
    match value {
        Value::Object(map) => {
            let mut entries: Vec<_> = map.iter().filter(|(_, value)| !value.is_null()).collect();
            entries.sort_by_key(|(key, _)| *key);
            out.push('{');
            for (key, value) in entries {
                *out += &Value::from(key.as_str()).to_string();
                out.push(':');
                write(value, out);
                out.push(',');
            }
            out.push('}');
        }
        Value::Array(list) => {
            out.push('[');
            for value in list {
                write(value, out);
                out.push(',');
            }
            out.push(']');
        }
        Value::Number(number) => match number.as_f64().filter(|_| number.is_f64()) {
            Some(float) => *out += &float.to_string(),
            None => *out += &number.to_string(),
        },
        other => *out += &other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn flow(spec: &str) -> JobFlow {
        let text = format!(r#"{{"metadata": {{"name": "f"}}, "spec": {spec}}}"#);
        serde_json::from_str(&text).unwrap()
    }

    fn of(spec: &str) -> String {
        hash(&flow(spec))
    }

    const SPEC: &str = r#"{"executionPolicy": {"backoffLimit": 3}, "steps": [{"name": "a",
        "template": {"spec": {"parallelism": 2, "x": {"b": 1, "a": [1, 2]}}}, "retryPolicy": {"limit": 1}}]}"#;

    #[test]
    fn how_a_value_is_written_makes_no_difference() {
        let before = of(SPEC);
        for (old, new) in [
            (r#""parallelism": 2"#, r#""parallelism": 2.0"#),
            (r#"{"b": 1, "a": [1, 2]}"#, r#"{"a": [1, 2], "b": 1}"#),
            (r#""name": "a""#, r#""name": "a", "type": "Job""#),
            (r#""backoffLimit": 3"#, r#""backoffLimit": 3, "concurrencyPolicy": "Forbid""#),
            (r#"{"b": 1"#, r#"{"c": null, "b": 1"#),
        ] {
            assert!(SPEC.contains(old));
            assert_eq!(of(&SPEC.replace(old, new)), before, "{new}");
        }
    }

    #[test]
    fn the_fields_that_may_change_are_not_pinned_and_all_others_are() {
        let before = of(SPEC);
        for free in [
            r#"{"suspend": true, "executionPolicy": {"#,
            r#"{"executionPolicy": {"ttlSecondsAfterFinished": 7, "#,
            r#"{"executionPolicy": {"activeDeadlineSeconds": 7, "#,
            r#"{"executionPolicy": {"parallelism": 7, "#,
        ] {
            assert_eq!(of(&SPEC.replace(r#"{"executionPolicy": {"#, free)), before, "{free}");
        }
        for (old, new) in [
            (r#""parallelism": 2"#, r#""parallelism": 3"#),
            ("[1, 2]", "[2, 1]"),
            (r#""limit": 1"#, r#""limit": 2"#),
            (r#""backoffLimit": 3"#, r#""backoffLimit": 4"#),
            (r#""b": 1"#, r#""b": "1""#),
        ] {
            assert!(SPEC.contains(old));
            assert_ne!(of(&SPEC.replace(old, new)), before, "{new}");
        }
    }

    #[test]
    fn what_was_hashed_in_another_way_or_not_at_all_is_taken_for_unchanged() {
        let flow = flow(SPEC);
        assert!(is_unchanged(&flow, None) && is_unchanged(&flow, Some("0-0000000000000000")));
        assert!(is_unchanged(&flow, Some(&hash(&flow))));
        assert!(!is_unchanged(&flow, Some("1-0000000000000000")));
    }

    /// Running flows carry it: if this test fails, hashes are made in another way, and `WAY` has to say so.
    #[test]
    fn a_hash_stays_the_same_in_every_version() {
        assert_eq!(
            of(&json!({"steps": [{"name": "a", "type": "Manual"}]}).to_string()),
            "1-92d82a8026d7c45c"
        );
    }
}
