//! The pod of a Job (`ValidatePodSpec`).

use std::collections::{HashMap, HashSet};

use serde_json::{Map, Value};

use super::scope::{
    MAX_INT32, Pod, Scope, conflict, is_expression, objects, one_of, text, twice, whole, within,
};
use super::{container, resources, risk, volumes};
use crate::problem::Problem;
use crate::problem::code;
use crate::problem::field_path::Place;
use crate::problem::suggest::did_you_mean;

pub(super) fn check(pod: &Map<String, Value>, here: &Place<'_>, scope: &mut Scope<'_, '_>) {
    restart_policy(pod.get("restartPolicy"), &here.field("restartPolicy"), scope);
    let mut info = volumes::check(pod.get("volumes"), &here.field("volumes"), scope);
    for (key, value) in pod {
        let place = here.field(key);
        match key.as_str() {
            "activeDeadlineSeconds" => within(value, 1, MAX_INT32, &place, scope),
            "dnsPolicy" => {
                one_of(value, &["ClusterFirst", "ClusterFirstWithHostNet", "Default", "None"], &place, scope);
            }
            "preemptionPolicy" => one_of(value, &["PreemptLowerPriority", "Never"], &place, scope),
            "hostname" | "subdomain" => name(value, crate::k8s::name_rules::dns_label, &place, scope),
            "serviceAccountName" | "nodeName" | "priorityClassName" | "runtimeClassName" => {
                name(value, crate::k8s::name_rules::dns_subdomain, &place, scope);
            }
            "nodeSelector" => node_selector(value, &place, scope),
            "tolerations" => tolerations(value, &place, scope),
            "resources" => {
                info.has_resources = true;
                if let Value::Object(map) = value {
                    resources::check(map, &place, scope);
                }
            }
            "ephemeralContainers" if value.as_array().is_some_and(|list| !list.is_empty()) => {
                scope.push(conflict(&place, "a template cannot have ephemeral containers"));
            }
            _ => {}
        }
    }
    risk::pod(pod, here, scope);
    containers(pod, &info, here, scope);
}

/// `validateJobSpec`: the API server reads a missing policy as Always.
fn restart_policy(value: Option<&Value>, place: &Place<'_>, scope: &mut Scope<'_, '_>) {
    let hint = "write Never, or OnFailure";
    match value.map_or(Some(""), Value::as_str) {
        Some("") => scope.push(
            Problem::required(
                code::RESTART_POLICY,
                place,
                "without it a pod restarts always, and a Job's pods may not",
            )
            .hint(hint),
        ),
        Some("Always") => scope.push(
            Problem::not_supported(
                code::RESTART_POLICY,
                place,
                "Always",
                "a Job's pods may not restart always, or the Job would never end",
            )
            .hint(hint),
        ),
        Some("OnFailure") => scope.push(
            Problem::warning(code::ON_FAILURE, place, "OnFailure loses the exit codes of earlier tries")
                .hint("prefer Never"),
        ),
        Some(policy) if policy != "Never" && !is_expression(policy) => scope.push(
            Problem::not_supported(code::RESTART_POLICY, place, policy, "must be \"Never\" or \"OnFailure\"")
                .maybe_hint(did_you_mean(policy, ["Never", "OnFailure"])),
        ),
        _ => {}
    }
}

fn containers(pod: &Map<String, Value>, info: &Pod<'_>, here: &Place<'_>, scope: &mut Scope<'_, '_>) {
    let main = here.field("containers");
    if pod.get("containers").is_none_or(|list| list.as_array().is_some_and(Vec::is_empty)) {
        scope.push(Problem::required(code::TEMPLATE_REQUIRED, &main, "a Job needs at least one container"));
    }
    let mut seen: HashMap<&str, (&str, usize)> = HashMap::new();
    for (list, init) in [("containers", false), ("initContainers", true)] {
        let list_place = here.field(list);
        for (i, container) in objects(pod.get(list)) {
            let place = list_place.index(i);
            if let Some(name) = text(container, "name").filter(|name| !name.is_empty()) {
                if let Some((first, at)) = seen.get(name) {
                    let what = format!("{first}[{at}] has this name already");
                    let place = place.field("name");
                    scope.push(
                        twice(code::TEMPLATE_DUPLICATE, &place, name, &what).hint("rename one of the two"),
                    );
                } else {
                    seen.insert(name, (list, i));
                }
            }
            container::check(container, init, info, &place, scope);
        }
    }
    host_ports(pod, &main, scope);
}

/// `checkHostPortConflicts`: one port of a node for one container.
fn host_ports(pod: &Map<String, Value>, main: &Place<'_>, scope: &mut Scope<'_, '_>) {
    let mut seen = HashSet::new();
    for (i, container) in objects(pod.get("containers")) {
        for (j, port) in objects(container.get("ports")) {
            let Some(number) = port.get("hostPort").and_then(whole).filter(|port| *port > 0) else {
                continue;
            };
            let address = text(port, "hostIP").unwrap_or_default();
            if !seen.insert((text(port, "protocol").unwrap_or("TCP"), address, number)) {
                let place = main.index(i);
                let place = place.field("ports");
                let place = place.index(j);
                scope.push(Problem::duplicate(
                    code::TEMPLATE_DUPLICATE,
                    &place.field("hostPort"),
                    number,
                    "this port of the node is taken already",
                ));
            }
        }
    }
}

fn name(value: &Value, rule: fn(&str) -> Option<String>, place: &Place<'_>, scope: &mut Scope<'_, '_>) {
    let Some(text) = value.as_str().filter(|text| !text.is_empty() && !is_expression(text)) else { return };
    if let Some(wrong) = rule(text) {
        scope.push(Problem::invalid(code::TEMPLATE_NAME, place, text, wrong));
    }
}

fn node_selector(value: &Value, here: &Place<'_>, scope: &mut Scope<'_, '_>) {
    let Value::Object(map) = value else { return };
    for (key, value) in map {
        let place = here.key(key);
        if let Some(wrong) = crate::k8s::name_rules::qualified_name(key) {
            let what = format!("this key is malformed: it {wrong}");
            scope.push(Problem::invalid(code::TEMPLATE_METADATA, &place, key.as_str(), what));
        }
        if let Some(text) = value.as_str().filter(|text| !is_expression(text))
            && let Some(wrong) = crate::k8s::name_rules::label_value(text)
        {
            scope.push(Problem::invalid(code::TEMPLATE_METADATA, &place, text, wrong));
        }
    }
}

/// `ValidateTolerations`, less what depends on feature gates.
fn tolerations(value: &Value, here: &Place<'_>, scope: &mut Scope<'_, '_>) {
    for (i, toleration) in objects(Some(value)) {
        let place = here.index(i);
        if let Some(effect) = toleration.get("effect") {
            let allowed = ["NoSchedule", "PreferNoSchedule", "NoExecute"];
            one_of(effect, &allowed, &place.field("effect"), scope);
        }
        if let Some(operator) = toleration.get("operator") {
            one_of(operator, &["Equal", "Exists", "Lt", "Gt"], &place.field("operator"), scope);
        }
        let exists = text(toleration, "operator") == Some("Exists");
        if exists && text(toleration, "value").is_some_and(|value| !value.is_empty()) {
            scope.push(conflict(&place.field("value"), "operator Exists takes no value").hint("remove it"));
        }
    }
}
