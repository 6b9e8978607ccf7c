//! Requests and limits (`validateResourceRequirements`, `ValidateContainerResourceName`).

use serde_json::{Map, Value};

use super::scope::{Scope, is_expression};
use crate::k8s::name_rules;
use crate::k8s::quantity::Quantity;
use crate::problem::Problem;
use crate::problem::code;
use crate::problem::field_path::Place;
use crate::problem::suggest::did_you_mean;

const STANDARD: [&str; 3] = ["cpu", "memory", "ephemeral-storage"];

/// Checks requests and limits. Returns true if cpu or memory is asked for, by a request or by a limit that stands in
/// for one.
pub(super) fn check(resources: &Map<String, Value>, here: &Place<'_>, scope: &mut Scope<'_, '_>) -> bool {
    let (limits, requests) = (map(resources, "limits"), map(resources, "requests"));
    let mut asked = false;
    for (field, entries, other) in [("limits", limits, None), ("requests", requests, limits)] {
        let place = here.field(field);
        for (name, value) in entries.into_iter().flatten() {
            let entry = place.key(name);
            asked |= matches!(name.as_str(), "cpu" | "memory");
            if let Some((what, hint)) = resource_name(name) {
                scope.push(
                    Problem::invalid(code::TEMPLATE_RESOURCE, &entry, name.as_str(), what).maybe_hint(hint),
                );
                continue;
            }
            let Some(amount) = amount(name, value, &entry, scope) else { continue };
            let native = is_native(name);
            match other.map(|limits| limits.get(name)) {
                Some(Some(limit)) => {
                    let Some(Ok(most)) = read(limit) else { continue };
                    if amount > most {
                        let what = format!("is above the limit of {}", shown(limit));
                        scope.push(
                            Problem::invalid(code::LIMIT_BELOW_REQUEST, &entry, value.clone(), what)
                                .hint("raise the limit or lower the request"),
                        );
                    } else if amount != most && !native {
                        let what = format!("must equal the limit of {}: it cannot be shared", shown(limit));
                        scope.push(Problem::invalid(code::LIMIT_BELOW_REQUEST, &entry, value.clone(), what));
                    }
                }
                // In `requests`: what cannot be shared needs a limit.
                _ if field == "requests"
                    && !native
                    && limits.is_none_or(|limits| !limits.contains_key(name)) =>
                {
                    let limits = here.field("limits");
                    scope.push(Problem::required(
                        code::TEMPLATE_REQUIRED,
                        &limits.key(name),
                        "what cannot be shared needs a limit equal to its request",
                    ));
                }
                _ => {}
            }
        }
    }
    asked
}

fn amount(name: &str, value: &Value, place: &Place<'_>, scope: &mut Scope<'_, '_>) -> Option<Quantity> {
    let amount = match read(value)? {
        Ok(amount) => amount,
        Err(error) => {
            scope.push(
                Problem::invalid(code::QUANTITY, place, value.clone(), error.to_string())
                    .maybe_hint(fix(value)),
            );
            return None;
        }
    };
    if amount.is_negative() {
        scope.push(Problem::invalid(code::QUANTITY, place, value.clone(), "must not be negative"));
        return None;
    }
    if name.contains('/') && !is_native(name) && !amount.is_whole() {
        scope.push(Problem::invalid(code::QUANTITY, place, value.clone(), "must be a whole number"));
    }
    Some(amount)
}

/// Reads a quantity, unless it is an expression.
pub(in crate::flows::rules) fn read(
    value: &Value,
) -> Option<Result<Quantity, crate::k8s::quantity::QuantityError>> {
    if value.as_str().is_some_and(is_expression) {
        return None;
    }
    Quantity::from_value(value)
}

/// Suggests what was probably meant: `1GB`, `512MB`, `1gi`, `100K`.
pub(in crate::flows::rules) fn fix(value: &Value) -> Option<String> {
    let text = value.as_str()?.trim();
    let end = text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let unit = match unit.trim_end_matches(['b', 'B']).to_ascii_lowercase().as_str() {
        "k" => "k",
        "m" => "M",
        "g" => "G",
        "t" => "T",
        "ki" => "Ki",
        "mi" => "Mi",
        "gi" => "Gi",
        "ti" => "Ti",
        _ => return None,
    };
    let near = format!("{}{unit}", number.trim_end());
    Quantity::parse(&near).is_ok().then(|| format!("write \"{near}\""))
}

fn resource_name(name: &str) -> Option<(String, Option<String>)> {
    if STANDARD.contains(&name) {
        return None;
    }
    if let Some(wrong) = name_rules::qualified_name(name) {
        return Some((format!("is no resource name: it {wrong}"), None));
    }
    if !name.contains('/') {
        if name.starts_with("hugepages-") {
            return None;
        }
        return Some((
            "must be cpu, memory, ephemeral-storage, hugepages-SIZE, or a name with a domain".to_owned(),
            match name {
                "gpu" | "gpus" => Some("write nvidia.com/gpu or amd.com/gpu".to_owned()),
                _ => did_you_mean(name, STANDARD),
            },
        ));
    }
    if !is_native(name) && name.starts_with("requests.") {
        return Some(("must not start with `requests.`".to_owned(), None));
    }
    None
}

/// `IsOvercommitAllowed`: of Kubernetes' own kinds, and no huge pages.
fn is_native(name: &str) -> bool {
    (!name.contains('/') || name.contains("kubernetes.io/")) && !name.starts_with("hugepages-")
}

fn shown(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn map<'a>(value: &'a Map<String, Value>, field: &str) -> Option<&'a Map<String, Value>> {
    value.get(field)?.as_object()
}
