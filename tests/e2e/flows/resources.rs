//! Objects that are made for a flow before its first step, and go with it.

use serde_json::{Value, json};

use super::space::{Space, space};
use super::write::{Flow, flow, job};

/// A flow with a ConfigMap of its own, which its step mounts and reads.
fn with_settings(name: &str) -> Flow {
    flow(name)
        .with(json!({"spec": {"resourceTemplates": {
            "configMapTemplates": [{
                "metadata": {"name": "settings", "labels": {"team": "data"}},
                "data": {"mode": "careful"}
            }],
            "volumeClaimTemplates": [{
                "metadata": {"name": "scratch"},
                "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Mi"}}}
            }]
        }}}))
        .step(
            job("read", "cat /settings/mode > /dev/termination-log")
                .pod_spec(json!({"volumes": [
                    {"name": "settings", "configMap": {"name": "{{ resources.settings }}"}}
                ]}))
                .container(json!({"volumeMounts": [{"name": "settings", "mountPath": "/settings"}]}))
                .output("mode", "$.output"),
        )
}

fn owned_by(object: &Value, uid: &str) -> bool {
    object["metadata"]["ownerReferences"][0]["uid"] == uid
}

#[test]
fn resource_templates_are_made_first_mounted_by_their_real_name_and_go_with_the_flow() {
    let Some(space) = space("resources") else { return };
    let run = space.run(with_settings("tidy"));
    let end = run.ends_as("Succeeded", &["read Succeeded"]);
    assert_eq!(end.output("read", "mode"), Some("careful"));
    let map = space.get("ConfigMap", "tidy-settings").unwrap();
    let claim = space.get("PersistentVolumeClaim", "tidy-scratch").unwrap();
    for object in [&map, &claim] {
        assert!(owned_by(object, &run.uid), "{object}");
        assert_eq!(object["metadata"]["labels"]["app.kubernetes.io/managed-by"], "headworks");
    }
    assert_eq!(map["metadata"]["labels"]["team"], "data");
    let references = json!([
        {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "name": "tidy-scratch", "uid": claim["metadata"]["uid"]},
        {"apiVersion": "v1", "kind": "ConfigMap", "name": "tidy-settings", "uid": map["metadata"]["uid"]}
    ]);
    assert_eq!(end.flow["status"]["resourceRefs"], references);
    space.delete("JobFlow", "tidy");
    gone(&space, "ConfigMap", "tidy-settings");
    gone(&space, "PersistentVolumeClaim", "tidy-scratch");
}

fn gone(space: &Space, kind: &str, name: &str) {
    crate::eventually(&format!("{kind} {name} to be gone"), || space.get(kind, name).is_none().then_some(()));
}

#[test]
fn an_object_of_somebody_else_is_never_adopted() {
    let Some(space) = space("foreign") else { return };
    space.config_map("theirs-settings", "mode", "private");
    let before = space.get("ConfigMap", "theirs-settings").unwrap();
    let run = space.run(with_settings("theirs"));
    let end = run.ends_as("Failed", &["read Skipped FlowFailed"]);
    assert_eq!(
        end.message(),
        "ConfigMap \"theirs-settings\" exists and does not belong to the flow; rename one of them"
    );
    assert!(run.jobs(None).is_empty());
    let after = space.get("ConfigMap", "theirs-settings").unwrap();
    assert_eq!(before, after);
}

#[test]
fn a_quota_of_config_maps_is_waited_for() {
    let Some(space) = space("mapquota") else { return };
    // The cluster's own ConfigMap, kube-root-ca.crt, comes a moment after the namespace.
    crate::eventually("the namespace's ConfigMap", || space.get("ConfigMap", "kube-root-ca.crt"));
    space.create(&json!({
        "apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "few"}, "spec": {"hard": {"configmaps": "1"}}
    }));
    crate::eventually("the quota to be in force", || {
        (space.get("ResourceQuota", "few")?["status"]["used"]["configmaps"] == "1").then_some(())
    });
    let run = space.run(with_settings("patient"));
    let waits = run.until("the quota to be told of", |seen| seen.waiting("read") == "Quota");
    assert_eq!(waits.phase(), "Pending");
    assert!(waits.message().contains("exceeded quota: few, requested: configmaps=1"), "{}", waits.message());
    assert!(waits.flow["status"]["startTime"].is_null());
    space.patch("ResourceQuota", "few", &json!({"spec": {"hard": {"configmaps": "2"}}}));
    run.ends_as("Succeeded", &["read Succeeded"]);
}
