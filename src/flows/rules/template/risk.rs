//! HW911: rights that a batch job seldom needs. Whether they are allowed is the cluster's to say.

use serde_json::{Map, Value};

use super::scope::{MAX_INT32, Scope, conflict, needed, one_of, text, within};
use crate::problem::Problem;
use crate::problem::code;
use crate::problem::field_path::Place;

/// Capabilities with which a container can leave its walls.
const DANGEROUS: [&str; 9] = [
    "ALL",
    "SYS_ADMIN",
    "SYS_MODULE",
    "SYS_PTRACE",
    "SYS_RAWIO",
    "SYS_BOOT",
    "NET_ADMIN",
    "DAC_READ_SEARCH",
    "BPF",
];

pub(super) fn pod(pod: &Map<String, Value>, here: &Place<'_>, scope: &mut Scope<'_, '_>) {
    for field in ["hostNetwork", "hostPID", "hostIPC"] {
        if pod.get(field) == Some(&Value::Bool(true)) {
            warn(&here.field(field), "shares a namespace of the node", scope);
        }
    }
}

pub(super) fn container(context: &Map<String, Value>, here: &Place<'_>, scope: &mut Scope<'_, '_>) {
    let on = |field: &str| context.get(field) == Some(&Value::Bool(true));
    let privileged = on("privileged");
    if privileged {
        warn(&here.field("privileged"), "has all rights on the node", scope);
        // `ValidateSecurityContext`
        if context.get("allowPrivilegeEscalation") == Some(&Value::Bool(false)) {
            scope.push(
                conflict(&here.field("allowPrivilegeEscalation"), "false contradicts privileged: true")
                    .hint("remove one of the two"),
            );
        }
    } else if on("allowPrivilegeEscalation") {
        warn(&here.field("allowPrivilegeEscalation"), "lets processes gain rights", scope);
    }
    for field in ["runAsUser", "runAsGroup"] {
        if let Some(value) = context.get(field) {
            within(value, 0, MAX_INT32, &here.field(field), scope);
        }
    }
    if let Some(Value::Object(profile)) = context.get("seccompProfile")
        && let Some(kind) = profile.get("type")
    {
        let place = here.field("seccompProfile");
        one_of(kind, &["RuntimeDefault", "Localhost", "Unconfined"], &place.field("type"), scope);
        if text(profile, "type") == Some("Localhost") {
            needed(profile, "localhostProfile", &place, "type Localhost needs a profile", scope);
        }
    }
    let added = context.get("capabilities").and_then(|capabilities| capabilities.get("add"));
    let place = here.field("capabilities");
    let place = place.field("add");
    for (i, capability) in added.and_then(Value::as_array).into_iter().flatten().enumerate() {
        if let Some(name) = capability.as_str()
            && DANGEROUS.contains(&name.trim_start_matches("CAP_"))
            && !privileged
        {
            warn(&place.index(i), &format!("{name} reaches beyond the container"), scope);
        }
    }
}

pub(super) fn warn(place: &Place<'_>, what: &str, scope: &mut Scope<'_, '_>) {
    scope.push(Problem::warning(code::PRIVILEGED, place, what).hint("drop it if the step can do without"));
}
