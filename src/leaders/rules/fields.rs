//! Access to fields of raw objects.

use serde_json::Value;

/// Returns a field that holds a string.
pub(super) fn text<'a>(value: &'a Value, field: &str) -> Option<&'a str> {
    value.get(field)?.as_str()
}

/// Returns the value of an annotation.
pub(super) fn annotation<'a>(object: &'a Value, key: &str) -> Option<&'a str> {
    text(object.get("metadata")?.get("annotations")?, key)
}
