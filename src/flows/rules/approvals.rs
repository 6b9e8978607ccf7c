//! HW702 to HW704: the annotations that approve or reject Manual steps.

use std::collections::BTreeMap;

use serde_json::Value;

use super::update::named;
use crate::names::APPROVED_PREFIX;
use crate::problem::code;
use crate::problem::field_path::Place;
use crate::problem::{Problem, Problems};

/// Checks the approval annotations: they name Manual steps and say "true" or "false".
pub fn check(object: &Value, out: &mut Problems) {
    let Some(annotations) = object.pointer("/metadata/annotations").and_then(Value::as_object) else {
        return;
    };
    let metadata = Place::ROOT.field("metadata");
    let place = metadata.field("annotations");
    let mut steps: Option<BTreeMap<&str, &Value>> = None;
    for (key, value) in annotations {
        let Some(name) = key.strip_prefix(APPROVED_PREFIX) else { continue };
        let steps = steps.get_or_insert_with(|| by_name(object));
        let here = place.key(key);
        match steps.get(name) {
            None => {
                // An empty name is near to nothing.
                let manual = steps.iter().map(|(name, step)| if is_manual(step) { *name } else { "" });
                let near = out.did_you_mean(name, manual);
                out.push(
                    Problem::not_found(code::APPROVAL_STEP, &here, name, "no step has this name")
                        .hint(near.unwrap_or_else(|| "remove this annotation".to_owned())),
                );
            }
            Some(step) if !is_manual(step) => out.push(
                Problem::invalid(code::APPROVAL_NOT_MANUAL, &here, name, "this step waits for no approval")
                    .hint("remove this annotation, or give the step type: Manual"),
            ),
            Some(_) if !matches!(value.as_str(), Some("true" | "false")) => out.push(
                Problem::not_supported(
                    code::APPROVAL_VALUE,
                    &here,
                    value.clone(),
                    "must be \"true\" or \"false\"",
                )
                .hint("\"true\" approves the step, \"false\" rejects it"),
            ),
            Some(_) => {}
        }
    }
}

fn by_name(object: &Value) -> BTreeMap<&str, &Value> {
    object.pointer("/spec/steps").and_then(Value::as_array).into_iter().flatten().filter_map(named).collect()
}

fn is_manual(step: &Value) -> bool {
    step.get("type").and_then(Value::as_str) == Some("Manual")
}
