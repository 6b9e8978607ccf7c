//! Flows that run, judged by stricter rules than those that they started under.

use headworks::flows::api::JobFlow;
use headworks::flows::pinned;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

use crate::cluster::test;
use crate::flows::{flow, job, manual};
use crate::rig::Rig;

fn condition<'s>(status: &'s Value, kind: &str) -> Option<&'s Value> {
    status["conditions"].as_array().into_iter().flatten().find(|condition| condition["type"] == kind)
}

fn runs(status: &Value) -> bool {
    status["steps"][0]["jobRef"].is_object()
}

async fn change(rig: &Rig, name: &str, spec: Value) {
    let patch = Patch::Merge(json!({"spec": spec}));
    rig.flows().patch(name, &PatchParams::default(), &patch).await.unwrap();
}

/// Make a flow that runs one that started, under laxer rules, with a label that none would admit today: by an engine that
/// keeps a hash of what it starts, or by one that did not yet.
async fn started_before(rig: &Rig, name: &str, spec: &Value, keeps_a_hash: bool) {
    rig.create(name, spec).await;
    rig.until(name, "its first step to run", runs).await;
    rig.terminate();
    let mut steps = spec["steps"].clone();
    steps[1]["template"]["metadata"] = json!({"labels": {"team": "blue green"}});
    // No admission stands before this API server.
    change(rig, name, json!({"steps": steps})).await;
    let flow = rig.flows().get(name).await.unwrap();
    let typed: JobFlow = serde_json::from_value(serde_json::to_value(&flow).unwrap()).unwrap();
    let hash = keeps_a_hash.then(|| pinned::hash(&typed));
    let status = json!({"status": {"specHash": hash, "observedGeneration": flow.metadata.generation}});
    rig.flows().patch_status(name, &PatchParams::default(), &Patch::Merge(status)).await.unwrap();
    rig.start();
}

#[test]
fn a_flow_goes_on_with_what_it_started_with_and_says_that_it_would_not_be_admitted_any_more() {
    test(async |cluster| {
        for keeps_a_hash in [true, false] {
            let rig = Rig::running(cluster, "rules").await;
            let spec = flow([
                job("a", &[], "0").takes(8_000),
                job("c", &[], "0").with("when", json!("false")),
                manual("b", &["a"]),
            ]);
            let uid = {
                started_before(&rig, "flow", &spec, keeps_a_hash).await;
                rig.flows().get("flow").await.unwrap().metadata.uid.unwrap()
            };
            change(&rig, "flow", json!({"executionPolicy": {"ttlSecondsAfterFinished": 7_200}})).await;
            let status = rig
                .until("flow", "the change to be looked at", |status| status["observedGeneration"] == 3)
                .await;
            let told = condition(&status, "SpecNoLongerValid").unwrap_or_else(|| panic!("{status:#}"));
            assert_eq!((&told["status"], &told["reason"]), (&json!("True"), &json!("ValidationFailed")));
            let words = told["message"].as_str().unwrap();
            assert!(words.contains("spec.steps[1].template.metadata.labels"), "{words}");
            // It runs, and goes on running: what is told stays told.
            let asks = |status: &Value| status["steps"][2]["phase"] == "PendingApproval";
            let status = rig.until("flow", "the step after it to start", asks).await;
            assert_eq!(status["steps"][0]["phase"], "Succeeded", "{status:#}");
            assert!(condition(&status, "SpecNoLongerValid").is_some(), "{status:#}");
            rig.approve("flow", "b").await;
            let status = rig.ends("flow").await;
            assert_eq!(status["phase"], "Succeeded", "{status:#}");
            rig.each_job_once(&[("flow", &uid, &status)]).await;
        }
    });
}

#[test]
fn a_flow_that_was_changed_past_admission_into_one_that_cannot_be_run_is_stopped() {
    test(async |cluster| {
        let rig = Rig::running(cluster, "rules").await;
        let spec = flow([job("a", &[], "-"), job("b", &["a"], "0")]);
        rig.create("flow", &spec).await;
        rig.until("flow", "its first step to run", runs).await;
        // No admission stands before this API server.
        let mut steps = spec["steps"].clone();
        steps[1]["template"]["metadata"] = json!({"labels": {"team": "blue green"}});
        change(&rig, "flow", json!({"steps": steps})).await;
        let status = rig.ends("flow").await;
        let ready = condition(&status, "Ready").unwrap();
        assert_eq!((&status["phase"], &ready["reason"]), (&json!("Failed"), &json!("ValidationFailed")));
        assert_eq!(status["steps"][0]["phase"], "Cancelled", "{status:#}");
    });
}
