//! Volumes (`ValidateVolumes`).

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::env::bare;
use super::risk;
use super::scope::{MODES, Pod, Scope, conflict, is_expression, label, needed, objects, text, twice, within};
use crate::problem::Problem;
use crate::problem::code;
use crate::problem::field_path::Place;

pub(super) fn check<'a>(list: Option<&'a Value>, here: &Place<'_>, scope: &mut Scope<'_, '_>) -> Pod<'a> {
    let mut pod = Pod { volumes: BTreeSet::new(), unknown_volumes: false, has_resources: false };
    for (i, volume) in objects(list) {
        let place = here.index(i);
        needed(volume, "name", &place, "a volume needs a name", scope);
        if let Some(name) = text(volume, "name").filter(|name| !name.is_empty()) {
            let name_place = place.field("name");
            label(name, &name_place, scope);
            pod.unknown_volumes |= is_expression(name);
            if !pod.volumes.insert(name) {
                let what = "another volume has this name";
                scope.push(twice(code::TEMPLATE_DUPLICATE, &name_place, name, what));
            }
        }
        source(volume, &place, scope);
    }
    pod
}

fn source(volume: &Map<String, Value>, here: &Place<'_>, scope: &mut Scope<'_, '_>) {
    let mut first: Option<&str> = None;
    // An API server gives them in the order of the alphabet, whatever the manifest said.
    let mut sources: Vec<_> =
        volume.iter().filter_map(|(kind, value)| Some((kind, value.as_object()?))).collect();
    sources.sort_unstable_by_key(|(kind, _)| *kind);
    for (kind, source) in sources {
        let place = here.field(kind);
        if let Some(first) = first {
            scope.push(conflict(&place, format!("a volume has one source, and {first} is one already")));
            continue;
        }
        first = Some(kind);
        match kind.as_str() {
            "persistentVolumeClaim" => {
                needed(source, "claimName", &place, "the claim's name is needed", scope);
                if let Some(name) = text(source, "claimName") {
                    bare(name, &place.field("claimName"), scope);
                }
            }
            "configMap" => {
                needed(source, "name", &place, "the ConfigMap's name is needed", scope);
                if let Some(name) = text(source, "name") {
                    bare(name, &place.field("name"), scope);
                }
                mode(source, &place, scope);
            }
            "secret" => {
                needed(source, "secretName", &place, "the Secret's name is needed", scope);
                mode(source, &place, scope);
            }
            "hostPath" => {
                needed(source, "path", &place, "a path is needed", scope);
                risk::warn(&place, "reaches into the node's files", scope);
            }
            "emptyDir" => {
                if let Some(size) = source.get("sizeLimit") {
                    size_limit(size, &place.field("sizeLimit"), scope);
                }
            }
            "projected" => mode(source, &place, scope),
            _ => {}
        }
    }
}

fn size_limit(size: &Value, place: &Place<'_>, scope: &mut Scope<'_, '_>) {
    let problem = match super::resources::read(size) {
        Some(Err(error)) => Problem::invalid(code::QUANTITY, place, size.clone(), error.to_string())
            .maybe_hint(super::resources::fix(size)),
        Some(Ok(amount)) if amount.is_negative() => {
            Problem::invalid(code::QUANTITY, place, size.clone(), "must not be negative")
        }
        _ => return,
    };
    scope.push(problem);
}

/// Permission bits of files, in decimal: 0 to 0777.
fn mode(source: &Map<String, Value>, here: &Place<'_>, scope: &mut Scope<'_, '_>) {
    if let Some(mode) = source.get("defaultMode") {
        within(mode, 0, MODES, &here.field("defaultMode"), scope);
    }
    let list = here.field("items");
    for (i, item) in objects(source.get("items")) {
        let place = list.index(i);
        needed(item, "key", &place, "a key is needed", scope);
        needed(item, "path", &place, "a path is needed", scope);
        if let Some(mode) = item.get("mode") {
            within(mode, 0, MODES, &place.field("mode"), scope);
        }
        if let Some(path) = text(item, "path")
            && (path.starts_with('/') || path.split('/').any(|part| part == ".."))
        {
            scope.push(Problem::invalid(
                code::TEMPLATE_VALUE,
                &place.field("path"),
                path,
                "must be relative and without `..`",
            ));
        }
    }
}
