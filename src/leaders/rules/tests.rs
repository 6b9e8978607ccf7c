use serde_json::{Value, json};

use super::{offline, service};
use crate::names::leader;

fn sound() -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {"name": "db", "annotations": {"zen-lead.io/enabled": "true"}},
        "spec": {"selector": {"app": "db"}, "ports": [{"port": 5432, "targetPort": "pg"}]}
    })
}

fn codes(object: &Value) -> Vec<String> {
    let line = |problem: &crate::problem::Problem| format!("{} {}", problem.code, problem.field);
    offline(object).iter().map(line).collect()
}

fn annotated(key: &str, value: &str) -> Vec<String> {
    let mut object = sound();
    object["metadata"]["annotations"][format!("zen-lead.io/{key}")] = json!(value);
    let prefix = "metadata.annotations[zen-lead.io/";
    codes(&object).into_iter().map(|line| line.replace(prefix, "[")).collect()
}

#[test]
fn a_service_without_our_annotations_passes_unread() {
    assert!(codes(&json!({"metadata": {"annotations": {"a": "b"}}, "spec": 3})).is_empty());
    assert!(codes(&json!(null)).is_empty());
    assert!(codes(&sound()).is_empty());
}

#[test]
fn annotations_are_checked_one_by_one() {
    for (key, value, expected) in [
        ("enabled", "True", "HW801 [enabled]"),
        ("enabeld", "true", "HW802 [enabeld]"),
        ("sticky", "maybe", "HW803 [sticky]"),
        ("min-ready-duration", "10", "HW804 [min-ready-duration]"),
        ("failover-min-delay", "-1s", "HW804 [failover-min-delay]"),
        ("strategy", "eldest", "HW805 [strategy]"),
        ("strategy", "lease", "HW813 [strategy]"),
        ("lease-name", "A b", "HW813 [lease-name]"),
        ("leader-service-name", "Db", "HW806 [leader-service-name]"),
        ("leader-service-name", "db", "HW806 [leader-service-name]"),
        ("candidate-selector", "a in b", "HW809 [candidate-selector]"),
        ("candidate-selector", "a,!a", "HW810 [candidate-selector]"),
        ("copy-labels", "a b", "HW814 [copy-labels]"),
        ("promote", "Pod_1", "HW814 [promote]"),
    ] {
        assert_eq!(annotated(key, value), [expected], "{key}: {value}");
    }
    for (key, value) in [
        ("enabled", "false"),
        ("sticky", "false"),
        ("min-ready-duration", "0s"),
        ("strategy", "newest"),
        ("candidate-selector", "app=db,role in (primary,backup),!draining"),
        ("status", "{}"),
    ] {
        assert!(annotated(key, value).is_empty(), "{key}: {value}");
    }
}

/// The rules know every annotation of the list, and complain only about one that is not in it.
#[test]
fn every_annotation_of_the_list_is_known() {
    for key in leader::SETTINGS.into_iter().chain(leader::PUBLISHED) {
        let mut object = sound();
        object["metadata"]["annotations"][key] = json!("");
        assert!(!codes(&object).iter().any(|line| line.starts_with("HW802")), "{key}");
    }
}

#[test]
fn near_annotations_are_suggested_with_their_prefix() {
    let mut object = sound();
    object["metadata"]["annotations"]["zen-lead.io/stiky"] = json!("true");
    let message = service(&object, None)[0].message();
    assert!(message.contains("did you mean \"zen-lead.io/sticky\"?"), "{message}");
}

#[test]
fn the_spec_has_to_select_pods() {
    let with = |field: &str, value: Value| {
        let mut object = sound();
        object["spec"][field] = value;
        codes(&object)
    };
    assert_eq!(with("selector", json!({})), ["HW807 spec.selector"]);
    assert_eq!(with("selector", json!(null)), ["HW807 spec.selector"]);
    assert_eq!(with("selector", json!({"a b": "c"})), ["HW811 spec.selector[a b]"]);
    assert_eq!(with("type", json!("ExternalName")), ["HW808 spec.type"]);
    assert_eq!(with("type", json!("NodePort")), ["HW920 spec.type"]);
    assert_eq!(
        with("ports", json!([{"port": 80, "targetPort": "8080"}])),
        ["HW812 spec.ports[0].targetPort"]
    );
    assert_eq!(with("publishNotReadyAddresses", json!(true)), ["HW922 spec.publishNotReadyAddresses"]);
    assert_eq!(with("ports", json!("80")), ["HW101 spec.ports"]);
    assert_eq!(with("prots", json!([])), ["HW102 spec.prots"]);
}

#[test]
fn headless_without_ports_settings_without_effect_and_cut_names_are_warned_of() {
    let mut object = sound();
    object["spec"] = json!({"selector": {"app": "db"}, "clusterIP": "None"});
    assert_eq!(codes(&object), ["HW921 spec.ports"]);
    let mut object = sound();
    object["metadata"]["annotations"] = json!({"zen-lead.io/sticky": "true"});
    assert_eq!(codes(&object), ["HW923 metadata.annotations[zen-lead.io/enabled]"]);
    let mut object = sound();
    object["metadata"]["name"] = json!("a".repeat(60));
    assert_eq!(codes(&object), ["HW924 metadata.name"]);
}

#[test]
fn a_field_that_the_cluster_knows_better_is_not_refused_there() {
    let mut object = sound();
    object["spec"]["newer"] = json!(true);
    assert!(service(&object, None).is_empty());
}

#[test]
fn a_leader_service_is_not_edited_by_hand() {
    let old = json!({
        "metadata": {
            "name": "db-leader", "annotations": {"zen-lead.io/epoch": "3"},
            "labels": {"app.kubernetes.io/managed-by": "headworks", "zen-lead.io/source-service": "db"},
            "ownerReferences": [{"apiVersion": "v1", "kind": "Service", "name": "db", "uid": "u"}]
        },
        "spec": {"type": "ClusterIP", "ports": [{"port": 5432}]}
    });
    let mut new = old.clone();
    new["spec"]["selector"] = json!({"app": "mine"});
    new["spec"]["type"] = json!("NodePort");
    let problems = service(&new, Some(&old));
    let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
    assert_eq!(
        lines,
        [
            "spec.selector: Forbidden: owned by Service db; change that one (HW820)",
            "spec.type: Forbidden: owned by Service db; change that one (HW820)"
        ]
    );
    new = old.clone();
    new["metadata"]["labels"]["team"] = json!("a");
    assert!(service(&new, Some(&old)).is_empty());
}
