//! Reads parts of a Service that may have any JSON at any place.

use serde_json::{Map, Value};

use crate::names::LEADER_PREFIX;

/// The annotations of an object, if one of them is ours.
pub(super) fn leader_annotations(object: &Value) -> Option<&Map<String, Value>> {
    let annotations = object.get("metadata")?.get("annotations")?.as_object()?;
    annotations.keys().any(|key| key.starts_with(LEADER_PREFIX)).then_some(annotations)
}

pub(super) fn annotation<'a>(object: &'a Value, key: &str) -> Option<&'a str> {
    text(object.get("metadata")?.get("annotations")?, key)
}

pub(super) fn text<'a>(value: &'a Value, field: &str) -> Option<&'a str> {
    value.get(field)?.as_str()
}
