//! Environment variables (`ValidateEnv`, `validateEnvVarValueFrom`, `ValidateEnvFrom`).

use serde_json::{Map, Value};

use super::scope::{Scope, conflict, is_expression, needed, objects, text};
use crate::k8s::name_rules;
use crate::problem::Problem;
use crate::problem::code;
use crate::problem::field_path::Place;

const SOURCES: [&str; 5] = ["fieldRef", "resourceFieldRef", "configMapKeyRef", "secretKeyRef", "fileKeyRef"];

pub(super) fn check(list: &Value, here: &Place<'_>, scope: &mut Scope<'_, '_>) {
    for (i, variable) in objects(Some(list)) {
        let place = here.index(i);
        needed(variable, "name", &place, "a variable needs a name", scope);
        if let Some(name) = text(variable, "name").filter(|name| !name.is_empty() && !is_expression(name))
            && let Some(wrong) = name_rules::env_name(name)
        {
            scope.push(Problem::invalid(code::ENV_NAME, &place.field("name"), name, wrong));
        }
        let Some(Value::Object(source)) = variable.get("valueFrom") else { continue };
        let from = place.field("valueFrom");
        let given: Vec<&str> =
            SOURCES.into_iter().filter(|field| source.get(*field).is_some_and(Value::is_object)).collect();
        if given.is_empty() && source.is_empty() {
            scope.push(
                conflict(&from, "names no source").hint("write value, or a configMapKeyRef or secretKeyRef"),
            );
        } else if given.len() > 1 {
            scope.push(conflict(&from, format!("{} exclude each other", given.join(" and "))));
        } else if text(variable, "value").is_some_and(|value| !value.is_empty()) {
            scope.push(
                conflict(&from, "value and valueFrom exclude each other").hint("remove one of the two"),
            );
        }
        for field in ["configMapKeyRef", "secretKeyRef"] {
            if let Some(Value::Object(reference)) = source.get(field) {
                key_reference(reference, &from.field(field), field == "configMapKeyRef", scope);
            }
        }
    }
}

fn key_reference(reference: &Map<String, Value>, here: &Place<'_>, config: bool, scope: &mut Scope<'_, '_>) {
    needed(reference, "name", here, "the object's name is needed", scope);
    needed(reference, "key", here, "a key is needed", scope);
    if let Some(name) = text(reference, "name").filter(|name| !name.is_empty() && !is_expression(name)) {
        if let Some(wrong) = name_rules::dns_subdomain(name) {
            scope.push(Problem::invalid(code::TEMPLATE_NAME, &here.field("name"), name, wrong));
        } else if config {
            bare(name, &here.field("name"), scope);
        }
    }
    if let Some(key) = text(reference, "key").filter(|key| !key.is_empty() && !is_expression(key))
        && let Some(wrong) = config_key(key)
    {
        scope.push(Problem::invalid(code::TEMPLATE_NAME, &here.field("key"), key, wrong));
    }
}

/// Whole ConfigMaps and Secrets.
pub(super) fn sources(list: &Value, here: &Place<'_>, scope: &mut Scope<'_, '_>) {
    for (i, source) in objects(Some(list)) {
        let place = here.index(i);
        let given: Vec<&str> = ["configMapRef", "secretRef"]
            .into_iter()
            .filter(|field| source.get(*field).is_some_and(Value::is_object))
            .collect();
        match given.as_slice() {
            [] if source.keys().all(|key| key == "prefix") => {
                scope.push(conflict(&place, "names no source").hint("write a configMapRef or secretRef"));
            }
            [field] => {
                let Some(Value::Object(reference)) = source.get(*field) else { continue };
                let reference_place = place.field(field);
                needed(reference, "name", &reference_place, "the object's name is needed", scope);
                if *field == "configMapRef"
                    && let Some(name) = text(reference, "name")
                {
                    bare(name, &reference_place.field("name"), scope);
                }
            }
            [_, ..] => scope.push(conflict(&place, "configMapRef and secretRef exclude each other")),
            [] => {}
        }
        if let Some(prefix) =
            text(source, "prefix").filter(|prefix| !prefix.is_empty() && !is_expression(prefix))
            && let Some(wrong) = name_rules::env_name(prefix)
        {
            scope.push(Problem::invalid(code::ENV_NAME, &place.field("prefix"), prefix, wrong));
        }
    }
}

/// HW910: the object will have another name than its template.
pub(super) fn bare(name: &str, place: &Place<'_>, scope: &mut Scope<'_, '_>) {
    if scope.resources.contains(name) {
        scope.push(
            Problem::warning(code::BARE_RESOURCE_NAME, place, "the object's name has the flow's in front")
                .hint(format!("write {{{{ resources.{name} }}}}")),
        );
    }
}

/// A key of a ConfigMap or Secret (`IsConfigMapKey`).
pub(in crate::flows::rules) fn config_key(key: &str) -> Option<&'static str> {
    if key.len() > 253 {
        return Some("must be no more than 253 characters");
    }
    if key.is_empty() || !key.bytes().all(|c| c.is_ascii_alphanumeric() || b"-_.".contains(&c)) {
        return Some("must be letters, digits, `-`, `_` and `.`");
    }
    (key == "." || key == ".." || key.starts_with("..")).then_some("must not be `.` or start with `..`")
}
