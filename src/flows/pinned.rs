//! The part of a spec that is pinned when its flow starts: everything but the fields that may change later.

use serde_json::Value;

use super::api::JobFlow;
use super::canonical;
use super::rules::update::MUTABLE;
use crate::k8s::hash::fnv;

/// The version of the hash, its prefix. A change of the algorithm or of the defaults needs a new version, since hashes
/// of different versions cannot be compared.
const VERSION: &str = "1-";

/// Computes a hash of the pinned part of a flow's spec, in its canonical form: the order of keys and of steps, `2` for
/// `2.0`, a `null` and a default that is written out make no difference.
pub fn hash(flow: &JobFlow) -> String {
    let object = serde_json::to_value(flow).unwrap_or_default();
    let mut spec = canonical::ordered(&object);
    for field in MUTABLE {
        let (parent, field) = field.rsplit_once('.').unwrap_or(("", field));
        let parent = if parent.is_empty() { Some(&mut spec) } else { spec.get_mut(parent) };
        if let Some(parent) = parent.and_then(Value::as_object_mut) {
            parent.remove(field);
        }
    }
    let mut text = String::new();
    canonical::write(&spec, &mut text);
    format!("{VERSION}{:016x}", fnv(&text))
}

/// Tells whether the pinned part of a flow is the one whose hash is `known`. A hash of another version, or none, counts
/// as unchanged.
pub fn is_unchanged(flow: &JobFlow, known: Option<&str>) -> bool {
    known.is_none_or(|known| !known.starts_with(VERSION) || known == hash(flow))
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
    fn steps_in_another_order_are_the_same_flow() {
        let [a, b] = ["a", "b"].map(|name| format!(r#"{{"name": "{name}", "type": "Manual"}}"#));
        let of_steps = |first: &str, second: &str| of(&format!(r#"{{"steps": [{first}, {second}]}}"#));
        assert_eq!(of_steps(&a, &b), of_steps(&b, &a));
    }

    #[test]
    fn a_hash_of_another_version_or_none_counts_as_unchanged() {
        let flow = flow(SPEC);
        assert!(is_unchanged(&flow, None) && is_unchanged(&flow, Some("0-0000000000000000")));
        assert!(is_unchanged(&flow, Some(&hash(&flow))));
        assert!(!is_unchanged(&flow, Some("1-0000000000000000")));
    }

    /// Running flows carry it: if this test fails, hashes are made in another way, and `VERSION` has to change.
    #[test]
    fn a_hash_stays_the_same_in_every_version() {
        assert_eq!(
            of(&json!({"steps": [{"name": "a", "type": "Manual"}]}).to_string()),
            "1-92d82a8026d7c45c"
        );
    }
}
