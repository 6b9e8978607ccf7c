//! HW820: a leader Service is created by headworks, and changes with its source, not by hand.

use serde_json::Value;

use super::read::text;
use crate::names;
use crate::names::leader;
use crate::problem::Problem;
use crate::problem::code;
use crate::problem::field_path::Place;

/// The source of a leader Service, if it is one of ours: it has our labels and an owner that is a Service.
pub(crate) fn source(object: &Value) -> Option<&str> {
    let metadata = object.get("metadata")?;
    let labels = metadata.get("labels")?;
    if text(labels, names::APP_MANAGED_BY_LABEL) != Some(names::HEADWORKS)
        || text(labels, leader::SOURCE).is_none()
    {
        return None;
    }
    let owners = metadata.get("ownerReferences")?.as_array()?;
    let owner = owners.iter().find(|owner| text(owner, "kind") == Some("Service"))?;
    text(owner, "name")
}

/// Refuses edits of the fields that route. The requests of headworks itself do not come here.
pub(crate) fn check(object: &Value, old: &Value) -> Vec<Problem> {
    let Some(source) = source(old) else { return Vec::new() };
    let spec = Place::ROOT.field("spec");
    let part = |object: &Value, field: &str| {
        object.get("spec").and_then(|spec| spec.get(field)).filter(|value| !value.is_null()).cloned()
    };
    ["ports", "selector", "type"]
        .into_iter()
        .filter(|field| part(object, field) != part(old, field))
        .map(|field| {
            Problem::forbidden(
                code::LEADER_SERVICE_EDIT,
                &spec.field(field),
                format!("owned by Service {source}"),
            )
            .hint("change that one")
        })
        .collect()
}
