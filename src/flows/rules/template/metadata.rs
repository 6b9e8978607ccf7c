//! The metadata of a Job or of its pod.

use serde_json::{Map, Value};

use super::scope::Scope;
use crate::flows::rules::labels;
use crate::problem::Problems;
use crate::problem::code;
use crate::problem::field_path::Place;

/// Labels and annotations of the Job or its pod. Name, namespace and owners are set by headworks, whatever stands
/// there (`ValidateObjectMeta`).
pub(super) fn check(map: &Map<String, Value>, here: &Place<'_>, scope: &mut Scope<'_, '_>) {
    for (field, values) in [("labels", true), ("annotations", false)] {
        let Some(Value::Object(entries)) = map.get(field) else { continue };
        if entries.is_empty() {
            continue;
        }
        let place = here.field(field);
        let texts: Vec<(&String, String)> =
            entries.iter().filter_map(|(key, value)| Some((key, value.as_str()?.to_owned()))).collect();
        let mut found = Problems::new();
        let pairs = texts.iter().map(|(key, value)| (*key, value));
        labels::check(pairs, &place, code::TEMPLATE_METADATA, code::RESERVED_LABEL, values, &mut found);
        found.into_vec().into_iter().for_each(|problem| scope.push(problem));
    }
}
