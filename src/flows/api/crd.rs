//! The `CustomResourceDefinition`, printed by `headworks crd`.
//!
//! The schema comes from the Rust types; what they cannot say is put right here. Nothing has a `default`: defaults
//! are written by admission, because the meaning of some depends on others, and a field that is absent must be
//! seen as absent. Nothing is `nullable`, so the API server drops a `null` as it does for its own kinds.

use kube::CustomResourceExt;
use schemars::{Schema, SchemaGenerator, json_schema};
use serde_json::{Value, json};

use super::flow::JobFlow;

/// The definition as JSON, ready to be applied.
pub fn crd() -> Value {
    let mut crd = serde_json::to_value(JobFlow::crd()).unwrap_or_default();
    if let Some(schema) = crd.pointer_mut("/spec/versions/0/schema/openAPIV3Schema") {
        tidy(schema);
        // The API server knows metadata; what it does not know by itself is that names become label values and
        // parts of Job names.
        schema["properties"]["metadata"] =
            json!({"type": "object", "properties": {"name": {"type": "string", "maxLength": 253}}});
    }
    crd["metadata"]["labels"] = json!({"app.kubernetes.io/name": "headworks"});
    crd
}

/// The `openAPIV3Schema` of a `JobFlow`.
pub fn schema() -> Value {
    crd().pointer("/spec/versions/0/schema/openAPIV3Schema").cloned().unwrap_or_default()
}

/// Removes `default`, `nullable` and integer formats that only Rust means anything by; join broken doc lines.
fn tidy(schema: &mut Value) {
    match schema {
        Value::Object(map) => {
            map.remove("nullable");
            // A map of properties may have one that is called `type`.
            if map.get("type").is_some_and(Value::is_string) {
                map.remove("default");
            }
            if let Some(Value::String(text)) = map.get_mut("description") {
                *text = text.split_whitespace().collect::<Vec<_>>().join(" ").replace('`', "");
            }
            if let Some(Value::Array(values)) = map.get_mut("enum") {
                values.retain(|value| !value.is_null());
            }
            map.values_mut().for_each(tidy);
        }
        Value::Array(list) => list.iter_mut().for_each(tidy),
        // 1000.0 and 1000 are one number, and the second is how people write it.
        Value::Number(number) => {
            if let Some(float) = number.as_f64().filter(|float| number.is_f64() && float.fract() == 0.0)
                && let Ok(whole) = format!("{float:.0}").parse::<i64>()
            {
                *number = whole.into();
            }
        }
        _ => {}
    }
}

/// An object that is kept as it was written: its schema is the cluster's, and may be newer than ours.
///
/// It belongs as a whole to whoever applies it. The API server reads and writes a list of every owned field at each
/// status write; field by field, that list would be as long as all templates together: see "Why does a step's template
/// belong to one owner?" in docs/decisions.md.
pub(super) fn preserved_object(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object", "x-kubernetes-map-type": "atomic", "x-kubernetes-preserve-unknown-fields": true
    })
}

/// A list of objects that are kept as they were written.
pub(super) fn preserved_list(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array", "x-kubernetes-list-type": "atomic",
        "items": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}
    })
}

/// Anything, kept as it was written.
pub(super) fn preserved_any(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"x-kubernetes-preserve-unknown-fields": true})
}

/// A list of step names.
pub(super) fn dependencies(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "array", "x-kubernetes-list-type": "atomic", "items": {"type": "string", "maxLength": 63}})
}
