use serde_json::json;

use super::*;

fn service(spec: &Value) -> Service {
    Service {
        meta: Meta { key: Key::new("ns", "db"), uid: "u".into(), version: "7".into(), terminating: false },
        labels: BTreeMap::new(),
        annotations: BTreeMap::new(),
        owners: Vec::new(),
        spec: serde_json::from_value(spec.clone()).unwrap(),
    }
}

fn settings() -> Settings {
    Settings::read("db", &BTreeMap::new())
}

/// The leader Service as the API server would store it.
fn stored(source: &Service) -> Service {
    let object = LeaderService::of(source, &settings(), None, None).object(&Key::new("ns", "db-leader"));
    let mut spec = object.spec.unwrap();
    spec.cluster_ip.get_or_insert("10.96.0.7".to_owned());
    spec.session_affinity.get_or_insert("None".to_owned());
    spec.internal_traffic_policy.get_or_insert("Cluster".to_owned());
    spec.ip_families.get_or_insert(vec!["IPv4".to_owned()]);
    spec.ip_family_policy.get_or_insert("SingleStack".to_owned());
    for port in spec.ports.iter_mut().flatten() {
        port.node_port = Some(30_000);
    }
    Service {
        meta: Meta { key: Key::new("ns", "db-leader"), ..source.meta.clone() },
        labels: object.metadata.labels.unwrap(),
        annotations: BTreeMap::new(),
        owners: object.metadata.owner_references.unwrap(),
        spec: Box::new(spec),
    }
}

#[test]
fn what_is_right_is_not_written_whatever_the_api_server_filled_in() {
    for spec in [
        json!({"ports": [{"port": 80}], "selector": {"a": "b"}}),
        json!({"ports": [{"port": 80, "targetPort": "http", "name": "x"}], "clusterIP": "None"}),
        json!({"ports": [{"port": 53, "protocol": "UDP"}], "sessionAffinity": "ClientIP", "ipFamilies": ["IPv6"]}),
    ] {
        let source = service(&spec);
        let desired = LeaderService::of(&source, &settings(), None, Some(&stored(&source)));
        assert_eq!(desired.difference(&stored(&source), &Published::default()), None, "{spec}");
    }
}

#[test]
fn a_difference_is_the_smallest_patch_and_carries_the_version() {
    let source = service(&json!({"ports": [{"port": 80}]}));
    let desired = LeaderService::of(&source, &settings(), None, None);
    let mut known = stored(&source);
    known.spec.selector = Some([("a".to_owned(), "b".to_owned())].into());
    known.labels.insert("extra".to_owned(), "x".to_owned());
    let published = Published { epoch: 3, ..Published::default() };
    let difference = desired.difference(&known, &published).unwrap();
    assert!(difference.routes);
    let expected = json!({
        "metadata": {"labels": {"extra": null}, "annotations": {"zen-lead.io/epoch": "3"}, "resourceVersion": "7", "uid": "u"},
        "spec": {"selector": null},
    });
    assert_eq!(difference.patch, expected);
    let difference = desired.difference(&stored(&source), &published).unwrap();
    assert!(!difference.routes, "annotations inform, and route nothing");
}

#[test]
fn local_is_never_mirrored_and_taken_from_one_that_says_it() {
    let source = service(&json!({"ports": [{"port": 80}], "internalTrafficPolicy": "Local"}));
    let desired = LeaderService::of(&source, &settings(), None, None);
    let made = desired.object(&Key::new("ns", "db-leader")).spec.unwrap();
    assert_eq!(made.internal_traffic_policy.as_deref(), Some("Cluster"));
    // As an earlier version made it.
    let mut known = stored(&source);
    known.spec.internal_traffic_policy = Some("Local".to_owned());
    let difference = desired.difference(&known, &Published::default()).unwrap();
    assert!(difference.routes);
    assert_eq!(difference.patch["spec"], json!({"internalTrafficPolicy": "Cluster"}));
}

#[test]
fn annotations_that_ask_for_a_leader_are_taken_from_a_leader_service() {
    let source = service(&json!({"ports": [{"port": 80}]}));
    let desired = LeaderService::of(&source, &settings(), None, None);
    let mut known = stored(&source);
    known.annotations.insert("zen-lead.io/enabled".to_owned(), "true".to_owned());
    let difference = desired.difference(&known, &Published::default()).unwrap();
    assert!(difference.routes, "it is repaired, not only published");
    assert_eq!(difference.patch["metadata"]["annotations"], json!({"zen-lead.io/enabled": null}));
}

#[test]
fn what_nobody_may_change_takes_another_leader_service() {
    let known = stored(&service(&json!({"ports": [{"port": 80}], "ipFamilies": ["IPv4"]})));
    let needs =
        |spec: &Value| LeaderService::of(&service(spec), &settings(), None, None).needs_another(&known);
    assert!(needs(&json!({"ports": [{"port": 80}], "clusterIP": "None"})));
    assert!(needs(&json!({"ports": [{"port": 80}], "ipFamilies": ["IPv6"]})));
    assert!(!needs(&json!({"ports": [{"port": 80}], "ipFamilies": ["IPv4", "IPv6"]})));
    assert!(!needs(&json!({"ports": [{"port": 80}]})));
}

#[test]
fn a_family_is_the_sources_and_the_primary_comes_first() {
    assert_eq!(families(&service(&json!({"ipFamilies": ["IPv6", "IPv4"]}))), [Family::V6, Family::V4]);
    assert_eq!(families(&service(&json!({}))), [Family::V4]);
}
