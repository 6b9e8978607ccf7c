//! HW8xx: the rules for Services that ask for a leader, and for leader Services.
//!
//! A Service is judged only when it carries a `zen-lead.io/` annotation; any other passes unread. The pods of the
//! cluster are not known here: a caller that knows them asks for the [`outlook`] as well.

#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::collections::HashSet;
use std::sync::LazyLock;

use k8s_openapi::api::core::v1::Service;
use serde_json::{Map, Value};

use crate::k8s::name_rules;
use crate::names::leader;
use crate::problem::code;
use crate::problem::faults::{Faults, in_order, kubernetes};
use crate::problem::field_path::{FieldPath, Place};
use crate::problem::schema::Shape;
use crate::problem::{Problem, Problems};

mod annotations;
mod outlook;
mod owned;
mod read;

use read::{annotation, leader_annotations, text};

pub use outlook::{SelectedPods, outlook};

/// Reports every problem of a Service that is about to be written, in the order of the schema. `old` is the object that
/// an update replaces.
///
/// Unknown fields are not reported: the API server decodes strictly itself, and may be newer than our schema.
pub fn service(object: &Value, old: Option<&Value>) -> Vec<Problem> {
    let mut list = judge(object, old);
    list.retain(|problem| problem.code != code::UNKNOWN_FIELD);
    list
}

/// Reports every problem of a Service in a file. Unknown fields are included, since no API server checks them.
pub fn offline(object: &Value) -> Vec<Problem> {
    judge(object, None)
}

fn judge(object: &Value, old: Option<&Value>) -> Vec<Problem> {
    let Some(annotations) = leader_annotations(object) else {
        return old.map_or_else(Vec::new, |old| owned::check(object, old));
    };
    if let Some(old) = old
        && owned::source(old).is_some()
    {
        return owned::check(object, old);
    }
    if owned::source(object).is_some() {
        return Vec::new();
    }
    let mut out = Problems::new();
    shape().check(object, &Place::ROOT, &mut Faults { out: &mut out });
    let malformed: HashSet<FieldPath> = out.iter().map(|problem| problem.field.clone()).collect();
    let mut rules = Problems::new();
    annotations::check(object, annotations, &mut rules);
    spec(object, &mut rules);
    // A value of the wrong type gets no second problem.
    out.extend(rules.into_vec().into_iter().filter(|problem| !problem.field.is_inside(&malformed)));
    in_order(out.into_vec(), shape())
}

fn shape() -> &'static Shape {
    static SHAPE: LazyLock<Shape> = LazyLock::new(kubernetes::<Service>);
    &SHAPE
}

fn spec(object: &Value, out: &mut Problems) {
    let here = Place::ROOT.field("spec");
    let empty = Value::Object(Map::new());
    let spec = object.get("spec").filter(|spec| !spec.is_null()).unwrap_or(&empty);
    let kind = text(spec, "type").unwrap_or("ClusterIP");
    if kind == "ExternalName" {
        out.push(
            Problem::forbidden(
                code::SERVICE_TYPE,
                &here.field("type"),
                "an ExternalName Service has no pods, and so no leader",
            )
            .hint("remove the zen-lead.io/ annotations or change the type"),
        );
        return;
    }
    let exposed = annotation(object, leader::EXPOSE) == Some("true");
    if matches!(kind, "NodePort" | "LoadBalancer") && !exposed {
        out.push(
            Problem::warning(
                code::SERVICE_TYPE_CHANGED,
                &here.field("type"),
                "the leader Service will be a ClusterIP",
            )
            .hint("zen-lead.io/expose: \"true\" keeps the type"),
        );
    }
    selector(spec, &here, out);
    ports(spec, &here, out);
    if spec.get("publishNotReadyAddresses") == Some(&Value::Bool(true)) {
        out.push(Problem::warning(
            code::SERVICE_NOT_READY_ADDRESSES,
            &here.field("publishNotReadyAddresses"),
            "a pod that is not ready never leads",
        ));
    }
}

fn selector(spec: &Value, here: &Place<'_>, out: &mut Problems) {
    let here = here.field("selector");
    let selector = spec.get("selector").and_then(Value::as_object);
    let Some(selector) = selector.filter(|selector| !selector.is_empty()) else {
        out.push(
            Problem::required(code::SERVICE_SELECTOR, &here, "a leader is chosen among the pods it selects")
                .hint("add the labels of the pods"),
        );
        return;
    };
    for (key, value) in selector {
        let wrong = name_rules::qualified_name(key)
            .map(|wrong| format!("this key is malformed: it {wrong}"))
            .or_else(|| name_rules::label_value(value.as_str()?));
        if let Some(wrong) = wrong {
            let value = value.as_str().unwrap_or_default();
            out.push(Problem::invalid(code::SELECTOR_LABEL, &here.key(key), value, wrong));
        }
    }
}

fn ports(spec: &Value, here: &Place<'_>, out: &mut Problems) {
    let here = here.field("ports");
    let ports = spec.get("ports").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    if ports.is_empty() && text(spec, "clusterIP") == Some("None") {
        out.push(Problem::warning(
            code::SERVICE_WITHOUT_PORTS,
            &here,
            "without ports only the leader's address is published",
        ));
    }
    for (i, port) in ports.iter().enumerate() {
        let Some(target) = text(port, "targetPort") else { continue };
        let place = here.index(i);
        if !target.is_empty() && target.bytes().all(|c| c.is_ascii_digit()) {
            out.push(
                Problem::invalid(
                    code::SERVICE_PORT,
                    &place.field("targetPort"),
                    target,
                    "a number in quotes is the name of a port, and no port can have this name",
                )
                .hint(format!("write {target}, without quotes")),
            );
        } else if let Some(wrong) = name_rules::port_name(target).filter(|_| !target.is_empty()) {
            let place = place.field("targetPort");
            out.push(Problem::invalid(code::SERVICE_PORT, &place, target, wrong));
        }
    }
}

#[cfg(test)]
mod tests;
