//! HW6xx: resource templates, the claims and ConfigMaps that are made before the first step
//! (`ValidatePersistentVolumeClaimSpec`, `ValidateConfigMap`).

use std::collections::{HashMap, HashSet};

use serde_json::{Map, Value};

use super::Subject;
use super::template::{config_key, fix, read};
use crate::k8s::name_rules;
use crate::problem::code;
use crate::problem::field_path::{FieldPath, Place};
use crate::problem::suggest::did_you_mean;
use crate::problem::{Problem, Problems};

const ACCESS_MODES: [&str; 4] = ["ReadWriteOnce", "ReadOnlyMany", "ReadWriteMany", "ReadWriteOncePod"];
/// `core.MaxSecretSize`, which holds for ConfigMaps as well; bytes.
const MOST_DATA: usize = 1024 * 1024;
/// The longest name of an object.
const MOST_NAME: usize = 253;
/// The number of characters that the API server appends to a `generateName`.
const RANDOM: usize = 5;

/// Checks every resource template.
pub fn check(subject: &Subject<'_>, spec: &Place<'_>, out: &mut Problems) {
    let Some(templates) = &subject.flow.spec.resource_templates else { return };
    let here = spec.field("resourceTemplates");
    let mut found = Vec::new();
    let mut seen: HashMap<&str, String> = HashMap::new();
    let prefix = flow_name_length(subject);
    for (list, templates, version, kind) in [
        ("volumeClaimTemplates", &templates.volume_claim_templates, "v1", "PersistentVolumeClaim"),
        ("configMapTemplates", &templates.config_map_templates, "v1", "ConfigMap"),
    ] {
        let place = here.field(list);
        for (i, template) in templates.iter().enumerate() {
            let Value::Object(template) = template else { continue };
            let place = place.index(i);
            for (field, wanted) in [("apiVersion", version), ("kind", kind)] {
                if let Some(text) = text(template, field).filter(|text| *text != wanted && !text.is_empty()) {
                    let what = format!("must be \"{wanted}\" or left out");
                    found.push(Problem::not_supported(code::RESOURCE_TYPE, &place.field(field), text, what));
                }
            }
            name(template, &place, prefix, &mut seen, &mut found);
            if kind == "ConfigMap" {
                config_map(template, &place, &mut found);
            } else {
                claim(template, &place, &mut found);
            }
        }
    }
    // Problems that the schema has reported are not repeated, nor what is missing because of them.
    let reported: HashSet<FieldPath> = out
        .iter()
        .filter(|problem| problem.is_error() && problem.field.0.len() > 4)
        .map(|problem| problem.field.clone())
        .collect();
    found.retain(|problem| !problem.field.is_inside(&reported));
    out.extend(found);
}

/// Returns the length of the flow's name, as far as it is known.
fn flow_name_length(subject: &Subject<'_>) -> usize {
    let metadata = &subject.flow.metadata;
    metadata
        .name
        .as_ref()
        .map(String::len)
        .or_else(|| metadata.generate_name.as_ref().map(|stem| stem.len() + RANDOM))
        .unwrap_or(0)
}

fn name<'a>(
    template: &'a Map<String, Value>,
    here: &Place<'_>,
    prefix: usize,
    seen: &mut HashMap<&'a str, String>,
    found: &mut Vec<Problem>,
) {
    let metadata = here.field("metadata");
    let place = metadata.field("name");
    let name =
        template.get("metadata").and_then(|metadata| metadata.get("name")?.as_str()).unwrap_or_default();
    if name.is_empty() {
        found.push(Problem::required(code::RESOURCE_NAME, &place, "a resource template needs a name"));
        return;
    }
    if let Some(wrong) = name_rules::dns_label(name) {
        let near = name_rules::dns_label_near(name).map(|near| format!("write \"{near}\""));
        found.push(Problem::invalid(code::RESOURCE_NAME, &place, name, wrong).maybe_hint(near));
        return;
    }
    if let Some(first) = seen.get(name) {
        let what = format!("{first} has this name already");
        found.push(
            Problem::duplicate(code::DUPLICATE_RESOURCE, &place, name, what).hint("rename one of the two"),
        );
        return;
    }
    seen.insert(name, here.path().to_string());
    if prefix + 1 + name.len() > MOST_NAME {
        found.push(
            Problem::too_long(
                code::NAME_TOO_LONG,
                &place,
                name,
                format!("the object's name, with the flow's in front, is over {MOST_NAME} characters"),
            )
            .hint("shorten one of the two"),
        );
    }
}

fn claim(template: &Map<String, Value>, here: &Place<'_>, found: &mut Vec<Problem>) {
    let here = here.field("spec");
    let Some(Value::Object(spec)) = template.get("spec") else {
        found.push(Problem::required(
            code::CLAIM_SPEC,
            &here,
            "a claim needs accessModes and a storage request",
        ));
        return;
    };
    let place = here.field("accessModes");
    let modes = spec.get("accessModes").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    if modes.is_empty() {
        found.push(
            Problem::required(code::CLAIM_SPEC, &place, "at least one access mode is needed")
                .hint("write [ReadWriteOnce]"),
        );
    }
    for (i, mode) in modes.iter().enumerate() {
        if let Some(mode) = mode.as_str().filter(|mode| !ACCESS_MODES.contains(mode)) {
            let what = "must be ReadWriteOnce, ReadOnlyMany, ReadWriteMany or ReadWriteOncePod";
            found.push(
                Problem::not_supported(code::CLAIM_SPEC, &place.index(i), mode, what)
                    .maybe_hint(did_you_mean(mode, ACCESS_MODES)),
            );
        }
    }
    let alone = |mode: &Value| mode.as_str() == Some("ReadWriteOncePod");
    if modes.iter().any(alone) && !modes.iter().all(alone) {
        found.push(Problem::forbidden(
            code::CLAIM_SPEC,
            &place,
            "ReadWriteOncePod excludes other access modes",
        ));
    }
    if let Some(mode) = text(spec, "volumeMode").filter(|mode| !["", "Filesystem", "Block"].contains(mode)) {
        let place = here.field("volumeMode");
        let what = "must be \"Filesystem\" or \"Block\"";
        found.push(
            Problem::not_supported(code::CLAIM_SPEC, &place, mode, what)
                .maybe_hint(did_you_mean(mode, ["Filesystem", "Block"])),
        );
    }
    if let Some(class) = text(spec, "storageClassName").filter(|class| !class.is_empty())
        && let Some(wrong) = name_rules::dns_subdomain(class)
    {
        found.push(Problem::invalid(code::CLAIM_SPEC, &here.field("storageClassName"), class, wrong));
    }
    storage(spec, &here, found);
}

fn storage(spec: &Map<String, Value>, here: &Place<'_>, found: &mut Vec<Problem>) {
    let resources = here.field("resources");
    let requests = resources.field("requests");
    let place = requests.key("storage");
    let value = spec.get("resources").and_then(|resources| resources.get("requests")?.get("storage"));
    let Some(value) = value.filter(|value| !value.is_null()) else {
        found.push(
            Problem::required(code::CLAIM_SPEC, &place, "a claim says how much storage it wants")
                .hint("write storage: 1Gi"),
        );
        return;
    };
    match read(value) {
        Some(Err(error)) => found.push(
            Problem::invalid(code::CLAIM_SPEC, &place, value.clone(), error.to_string())
                .maybe_hint(fix(value)),
        ),
        Some(Ok(amount)) if amount.is_zero() || amount.is_negative() => {
            found.push(Problem::invalid(code::CLAIM_SPEC, &place, value.clone(), "must be more than 0"));
        }
        _ => {}
    }
}

fn config_map(template: &Map<String, Value>, here: &Place<'_>, found: &mut Vec<Problem>) {
    let data = template.get("data").and_then(Value::as_object);
    let binary = template.get("binaryData").and_then(Value::as_object);
    let mut size = 0;
    for (field, entries) in [("data", data), ("binaryData", binary)] {
        let place = here.field(field);
        for (key, value) in entries.into_iter().flatten() {
            if let Some(wrong) = config_key(key) {
                found.push(Problem::invalid(code::CONFIG_MAP_DATA, &place.key(key), key.as_str(), wrong));
            }
            let length = value.as_str().map_or(0, str::len);
            // Three bytes for four letters of base64.
            size += if field == "data" { length } else { length / 4 * 3 };
            if field == "binaryData" && data.is_some_and(|data| data.contains_key(key)) {
                let what = "data has this key already";
                found.push(Problem::duplicate(code::CONFIG_MAP_DATA, &place.key(key), key.as_str(), what));
            }
        }
    }
    if size > MOST_DATA {
        let place = here.field("data");
        found.push(Problem::too_long(code::CONFIG_MAP_DATA, &place, size, "holds more than 1 MiB"));
    }
}

fn text<'a>(map: &'a Map<String, Value>, field: &str) -> Option<&'a str> {
    map.get(field)?.as_str()
}

#[cfg(test)]
mod tests;
