//! One container (`validateContainerCommon`, `validateContainerPorts`, `validateInitContainers`).

use std::collections::HashSet;

use serde_json::{Map, Value};

use super::scope::{
    Pod, Scope, conflict, is_expression, label, needed, objects, one_of, text, twice, within,
};
use super::{env, image, mounts, resources, risk};
use crate::k8s::name_rules::port_name;
use crate::problem::Problem;
use crate::problem::code;
use crate::problem::field_path::Place;

pub(super) fn check(
    container: &Map<String, Value>,
    init: bool,
    pod: &Pod<'_>,
    here: &Place<'_>,
    scope: &mut Scope<'_, '_>,
) {
    needed(container, "name", here, "a container needs a name", scope);
    needed(container, "image", here, "a container needs an image", scope);
    let sidecar = init && text(container, "restartPolicy") == Some("Always");
    let mut requests = false;
    for (key, value) in container {
        let place = here.field(key);
        match (key.as_str(), value) {
            ("name", Value::String(name)) if !name.is_empty() => label(name, &place, scope),
            ("image", Value::String(text)) if !text.is_empty() && !is_expression(text) => {
                if let Some(problem) = image::check(text, &place) {
                    scope.push(problem);
                }
            }
            ("imagePullPolicy", value) => {
                one_of(value, &["Always", "IfNotPresent", "Never"], &place, scope);
            }
            ("terminationMessagePolicy", value) => {
                one_of(value, &["File", "FallbackToLogsOnError"], &place, scope);
            }
            ("restartPolicy", value) => one_of(value, &["Always", "OnFailure", "Never"], &place, scope),
            ("resources", Value::Object(map)) => requests = resources::check(map, &place, scope),
            ("ports", Value::Array(_)) => ports(value, &place, scope),
            ("env", Value::Array(_)) => env::check(value, &place, scope),
            ("envFrom", Value::Array(_)) => env::sources(value, &place, scope),
            ("volumeMounts", Value::Array(_)) => mounts::check(container, pod, &place, scope),
            ("securityContext", Value::Object(map)) => risk::container(map, &place, scope),
            ("lifecycle" | "livenessProbe" | "readinessProbe" | "startupProbe", Value::Object(_))
                if init && !sidecar =>
            {
                scope.push(
                    conflict(&place, "an init container runs to its end and takes no probes or hooks")
                        .hint("remove it, or make it a sidecar with restartPolicy: Always"),
                );
            }
            _ => {}
        }
    }
    // Init containers run one after another and seldom decide what a pod needs.
    if !init && !requests && !pod.has_resources {
        scope.push(
            Problem::warning(code::NO_REQUESTS, &here.field("resources"), "no cpu or memory is requested")
                .hint("set requests"),
        );
    }
}

fn ports(list: &Value, here: &Place<'_>, scope: &mut Scope<'_, '_>) {
    let mut names = HashSet::new();
    for (i, port) in objects(Some(list)) {
        let place = here.index(i);
        if let Some(name) = text(port, "name").filter(|name| !name.is_empty() && !is_expression(name)) {
            let name_place = place.field("name");
            if let Some(wrong) = port_name(name) {
                scope.push(Problem::invalid(code::TEMPLATE_NAME, &name_place, name, wrong));
            } else if !names.insert(name) {
                scope.push(twice(
                    code::TEMPLATE_DUPLICATE,
                    &name_place,
                    name,
                    "another port of this container has this name",
                ));
            }
        }
        if let Some(number) = port.get("containerPort") {
            within(number, 1, 65_535, &place.field("containerPort"), scope);
        }
        if let Some(number) = port.get("hostPort") {
            within(number, 0, 65_535, &place.field("hostPort"), scope);
        }
        if let Some(protocol) = port.get("protocol") {
            one_of(protocol, &["TCP", "UDP", "SCTP"], &place.field("protocol"), scope);
        }
    }
}
