//! HW701: what may change in a flow that has started.

use std::collections::{HashMap, HashSet};

use serde_json::Value;

use crate::flows::canonical;
use crate::problem::code;
use crate::problem::field_path::Place;
use crate::problem::{Problem, Problems};

/// The fields of `spec` that may change after a flow has started.
pub const MUTABLE: [&str; 4] = [
    "suspend",
    "executionPolicy.ttlSecondsAfterFinished",
    "executionPolicy.activeDeadlineSeconds",
    "executionPolicy.parallelism",
];

/// Checks that a flow that has started is changed only where it may be.
pub fn changes(object: &Value, old: &Value, out: &mut Problems) {
    let started = old.pointer("/status/startTime").is_some_and(|time| !time.is_null());
    if started && !canonical::same_spec(object, old) {
        let spec = Place::ROOT.field("spec");
        differences(&canonical::spec(object), &canonical::spec(old), &spec, "", out);
    }
}

/// A step with its name.
pub(super) fn named(step: &Value) -> Option<(&str, &Value)> {
    Some((step.get("name")?.as_str()?, step))
}

/// Reports every changed field that may not change: those of the policy and of each step; what lies deeper is one
/// change. Both sides are canonical, so writing a default out, or leaving it out, is no change; steps are matched by
/// name.
fn differences(new: &Value, old: &Value, place: &Place<'_>, name: &str, out: &mut Problems) {
    if new == old || MUTABLE.contains(&name) {
        return;
    }
    let names = |value: &Value| value.as_object().map(|map| map.keys().cloned().collect::<Vec<_>>());
    let descend = matches!(name, "" | "executionPolicy" | "steps[]");
    match (new, old) {
        (Value::Object(new), Value::Object(old_map)) if descend => {
            let mut keys: Vec<String> = names(old).unwrap_or_default();
            keys.extend(new.keys().filter(|key| !old_map.contains_key(*key)).cloned());
            for key in keys {
                let inner = match name {
                    "" => key.clone(),
                    "executionPolicy" => format!("executionPolicy.{key}"),
                    _ => "step".to_owned(),
                };
                let (a, b) =
                    (new.get(&key).unwrap_or(&Value::Null), old_map.get(&key).unwrap_or(&Value::Null));
                differences(a, b, &place.field(&key), &inner, out);
            }
        }
        (Value::Array(new), Value::Array(old)) if name == "steps" && unique(new) && unique(old) => {
            let mut left: HashMap<&str, &Value> = old.iter().filter_map(named).collect();
            let before = out.len();
            for (i, (name, step)) in new.iter().filter_map(named).enumerate() {
                match left.remove(name) {
                    Some(old) => differences(step, old, &place.index(i), "steps[]", out),
                    None => out.push(forbidden(&place.index(i).field("name"))),
                }
            }
            if !left.is_empty() && out.len() == before {
                out.push(forbidden(place));
            }
        }
        _ => out.push(forbidden(place)),
    }
}

fn forbidden(place: &Place<'_>) -> Problem {
    let may = MUTABLE.map(|field| format!("spec.{field}")).join(", ");
    Problem::forbidden(code::IMMUTABLE, place, "the flow has started, and this may not change any more")
        .hint(format!("only {may} may; make a new flow for anything else"))
}

/// Tests whether every step has a name of its own.
fn unique(steps: &[Value]) -> bool {
    let names: HashSet<&str> = steps.iter().filter_map(|step| Some(named(step)?.0)).collect();
    names.len() == steps.len()
}
