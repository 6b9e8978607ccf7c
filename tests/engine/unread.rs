//! ConfigMaps and Secrets that cannot be read: their steps say so, and nobody else notices.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::cluster::{Cluster, test};
use crate::flows::{flow, job};
use crate::rbac;
use crate::rig::Rig;
use crate::rough;

const VALUE: &str = "nobody-may-see-this";

/// A step that hands on what it reads, beside steps that read nothing.
fn reader(source: &str, deadline: i64) -> Value {
    let mut spec = flow([
        job("other", &[], "0"),
        job("other2", &["other"], "0"),
        job("reads", &["other"], "0").says("{{ parameters.token }}", &[]),
        job("independent", &["other2"], "0"),
    ]);
    let from = json!({"name": "creds", "key": "token"});
    spec["parameters"] = json!([{"name": "token", "valueFrom": {source: from}}]);
    spec["executionPolicy"] = json!({"activeDeadlineSeconds": deadline, "onStepFailure": "RunIndependent"});
    spec
}

fn step<'s>(status: &'s Value, name: &str) -> &'s Value {
    status["steps"].as_array().into_iter().flatten().find(|step| step["name"] == name).unwrap_or(&Value::Null)
}

fn time(value: &Value) -> Timestamp {
    value.as_str().unwrap_or_else(|| panic!("no time: {value}")).parse().unwrap()
}

async fn waits_for_a_right(cluster: &'static Cluster) {
    const DEADLINE: i64 = 25;
    let rig = rbac::prepare(cluster).await;
    cluster.must(&["delete", "clusterrolebinding", "headworks-secrets"], "");
    let namespace = rig.namespace.clone();
    let literal = format!("--from-literal=token={VALUE}");
    cluster.must(&["-n", &namespace, "create", "secret", "generic", "creds", &literal], "");
    rig.start_bare(&["--cert-mode", "mounted", "--cert-dir", "/nonexistent"]);

    rig.create("flow", &reader("secretKeyRef", DEADLINE)).await;
    let status = rig
        .until("flow", "the step to say what it lacks, and the others to be done", |status| {
            step(status, "reads")["waiting"]["reason"] == "Reference"
                && step(status, "independent")["phase"] == "Succeeded"
        })
        .await;
    let waiting = &step(&status, "reads")["waiting"];
    let message = waiting["message"].as_str().unwrap();
    for words in ["headworks may not read Secret \"creds\"", "\"get\" on secrets", "headworks-secrets"] {
        assert!(message.contains(words), "{message}");
    }
    let told = time(&waiting["since"]).duration_since(time(&step(&status, "other")["completionTime"]));
    assert!(told.as_secs() <= 10, "told {told:#} after it could have started");
    let said = cluster.headworks(&["why", "-n", &namespace, "flow", "reads"]);
    assert!(said.out.contains("headworks may not read Secret"), "{} {}", said.out, said.err);

    let status = rig.ends("flow").await;
    let ready = &status["conditions"][0];
    assert_eq!((&status["phase"], &ready["reason"]), (&json!("Failed"), &json!("ActiveDeadlineExceeded")));
    let took = time(&status["completionTime"]).duration_since(time(&status["startTime"]));
    assert!((DEADLINE..DEADLINE + 8).contains(&took.as_secs()), "the deadline struck after {took:#}");

    // The right comes, and with it the step goes on.
    rig.create("healed", &reader("secretKeyRef", 600)).await;
    rig.until("healed", "it to wait", |status| step(status, "reads")["waiting"]["reason"] == "Reference")
        .await;
    rbac::grant(cluster);
    let status = rig.ends("healed").await;
    assert_eq!(status["phase"], "Succeeded", "{status:#}");
    rig.terminate();
    let everything = [
        cluster.must(&["-n", &namespace, "get", "jobflows,events,events.events.k8s.io", "-o", "json"], ""),
        rig.log(),
    ];
    // It is in the spec of the Job that was granted it, and nowhere else.
    assert!(!everything.concat().contains(VALUE), "the value of a Secret is told");
}

#[test]
fn a_missing_right_on_secrets_is_told_by_the_step_that_wants_one_and_holds_up_nothing_else() {
    rough::test(waits_for_a_right);
}

#[test]
fn a_read_that_fails_is_told_after_three_tries_and_holds_up_nothing_else() {
    test(async |cluster| {
        let rig = Rig::running(cluster, "unread").await;
        let namespace = rig.namespace.as_str();
        let literal = format!("--from-literal=token={VALUE}");
        cluster.must(&["-n", namespace, "create", "configmap", "creds", &literal], "");
        rig.proxy.spoil_reads("/configmaps/creds", 7, Some(500));
        let uid = rig.create("flow", &reader("configMapKeyRef", 600)).await;
        let status = rig
            .within(Duration::from_mins(2), "flow", "the step to say why it waits", |status| {
                step(status, "reads")["waiting"]["reason"] == "Reference"
            })
            .await;
        let message = step(&status, "reads")["waiting"]["message"].as_str().unwrap();
        assert!(
            message.starts_with("ConfigMap \"creds\" could not be read and is tried again: "),
            "{message}"
        );
        assert!(rig.proxy.reads_to_spoil() <= 4, "told after {} reads", 7 - rig.proxy.reads_to_spoil());
        let status = rig.ends("flow").await;
        assert_eq!(status["phase"], "Succeeded", "{status:#}");
        assert_eq!(rig.proxy.reads_to_spoil(), 0);
        let done = time(&step(&status, "other2")["completionTime"]);
        assert!(done < time(&step(&status, "reads")["completionTime"]), "{status:#}");
        rig.each_job_once(&[("flow", &uid, &status)]).await;
    });
}
