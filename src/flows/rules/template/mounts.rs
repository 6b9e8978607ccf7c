//! Mounts of a container (`ValidateVolumeMounts`, `validateMountPropagation`).

use std::collections::HashSet;

use serde_json::{Map, Value};

use super::scope::{Pod, Scope, conflict, is_expression, needed, objects, one_of, text, twice};
use crate::problem::Problem;
use crate::problem::code;
use crate::problem::field_path::Place;

pub(super) fn check(
    container: &Map<String, Value>,
    pod: &Pod<'_>,
    here: &Place<'_>,
    scope: &mut Scope<'_, '_>,
) {
    let mut paths = HashSet::new();
    for (i, mount) in objects(container.get("volumeMounts")) {
        let place = here.index(i);
        needed(mount, "name", &place, "a mount names a volume", scope);
        needed(mount, "mountPath", &place, "a mount needs a path", scope);
        if let Some(name) = text(mount, "name").filter(|name| !name.is_empty() && !is_expression(name))
            && !pod.volumes.contains(name)
            && !pod.unknown_volumes
        {
            let near = scope.did_you_mean(name, pod.volumes.iter().copied());
            scope.push(
                Problem::not_found(
                    code::UNKNOWN_VOLUME,
                    &place.field("name"),
                    name,
                    "no volume has this name",
                )
                .hint(near.unwrap_or_else(|| "add it to volumes".to_owned())),
            );
        }
        if let Some(path) = text(mount, "mountPath").filter(|path| !path.is_empty())
            && !paths.insert(path)
        {
            let what = "another mount has this path";
            scope.push(twice(code::TEMPLATE_DUPLICATE, &place.field("mountPath"), path, what));
        }
        for field in ["subPath", "subPathExpr"] {
            if let Some(path) = text(mount, field)
                && !is_expression(path)
                && (path.starts_with('/') || path.split('/').any(|part| part == ".."))
            {
                scope.push(Problem::invalid(
                    code::TEMPLATE_VALUE,
                    &place.field(field),
                    path,
                    "must be relative and without `..`",
                ));
            }
        }
        if ["subPath", "subPathExpr"]
            .iter()
            .all(|field| text(mount, field).is_some_and(|path| !path.is_empty()))
        {
            scope.push(conflict(&place.field("subPathExpr"), "subPath and subPathExpr exclude each other"));
        }
        if let Some(propagation) = mount.get("mountPropagation") {
            let allowed = ["None", "HostToContainer", "Bidirectional"];
            one_of(propagation, &allowed, &place.field("mountPropagation"), scope);
        }
    }
}
