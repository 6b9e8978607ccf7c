//! Others at work in the namespace: Jobs that are not ours, Jobs that vanish, flows that are deleted.

use headworks::flows::job_name::job_name;
use k8s_openapi::api::batch::v1::Job;
use kube::ResourceExt;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::cluster::test;
use crate::events::events;
use crate::flows::{chain, flow, job};
use crate::proxy::Fate;
use crate::rig::{LIMIT, Rig};

/// Whether a step's Job is known by its UID.
fn knows_the_job(status: &Value, step: usize) -> bool {
    status["steps"][step]["jobRef"]["uid"].is_string()
}

#[test]
fn a_stranger_with_the_name_of_our_job_is_never_adopted() {
    test(async |cluster| {
        let rig = Rig::running(cluster, "stranger").await;
        let mut spec = flow([job("a", &[], "0").retries(3), job("b", &["a"], "0")]);
        spec["suspend"] = json!(true);
        let uid = rig.create("flow", &spec).await;
        let name = job_name("flow", &uid, "a", 1, None);
        let mut stranger = spec["steps"][0]["template"].clone();
        stranger["metadata"] = json!({"name": name});
        stranger["spec"]["suspend"] = json!(true);
        let stranger: Job = serde_json::from_value(stranger).unwrap();
        let stranger = rig.jobs().create(&PostParams::default(), &stranger).await.unwrap();
        let patch = Patch::Merge(json!({"spec": {"suspend": false}}));
        rig.flows().patch("flow", &PatchParams::default(), &patch).await.unwrap();

        let status = rig.ends("flow").await;
        assert_eq!(status["phase"], "Failed", "{status:#}");
        assert_eq!(status["steps"][0]["reason"], "NameConflict");
        assert_eq!(status["steps"][0]["attempt"], 1);
        assert_eq!(status["steps"][1]["phase"], "Skipped");
        let there = rig.jobs().get(&name).await.unwrap();
        assert_eq!((there.uid(), there.metadata.owner_references), (stranger.uid(), None));
        assert!(rig.created().is_empty());
    });
}

/// A Job that says it is the one of the first attempt at `a`, and that nobody's controller looks after.
fn impostor(name: &str, flow_uid: &str, change: &Value) -> Value {
    let mut job = json!({
        "metadata": {
            "name": name,
            "labels": {
                "app.kubernetes.io/managed-by": "headworks", "workflow.kube-zen.io/flow": "flow",
                "workflow.kube-zen.io/managed-by": "zen-flow", "workflow.kube-zen.io/step": "a"
            },
            "annotations": {"workflow.kube-zen.io/attempt": "1"},
            "ownerReferences": [{
                "apiVersion": "workflow.kube-zen.io/v1alpha1", "kind": "JobFlow", "name": "flow", "uid": flow_uid,
                "controller": true
            }]
        },
        "spec": {"managedBy": "fate.test/nobody", "template": {"spec": {
            "restartPolicy": "Never", "containers": [{"name": "main", "image": "none:2"}]
        }}}
    });
    json_patch::merge(&mut job, change);
    job
}

#[test]
fn a_job_that_only_looks_like_ours_is_never_adopted() {
    test(async |cluster| {
        let not_the_controller = json!({"metadata": {"ownerReferences": [{
            "apiVersion": "workflow.kube-zen.io/v1alpha1", "kind": "JobFlow", "name": "flow"
        }]}});
        let of_another_attempt = json!({"metadata": {"annotations": {"workflow.kube-zen.io/attempt": "2"}}});
        let of_another_step = json!({"metadata": {"labels": {"workflow.kube-zen.io/step": "b"}}});
        let of_other_content =
            json!({"metadata": {"annotations": {"workflow.kube-zen.io/rendered-hash": "bbbbbbbbbb"}}});
        for mut change in [not_the_controller, of_another_attempt, of_another_step, of_other_content] {
            let rig = Rig::running(cluster, "impostor").await;
            let mut spec = flow([job("a", &[], "0"), job("b", &["a"], "0")]);
            spec["suspend"] = json!(true);
            let uid = rig.create("flow", &spec).await;
            if let Some(owner) = change.pointer_mut("/metadata/ownerReferences/0") {
                owner["uid"] = json!(uid);
            }
            let name = job_name("flow", &uid, "a", 1, None);
            let impostor = serde_json::from_value(impostor(&name, &uid, &change)).unwrap();
            let impostor = rig.jobs().create(&PostParams::default(), &impostor).await.unwrap();
            complete(&rig, &name).await;
            let patch = Patch::Merge(json!({"spec": {"suspend": false}}));
            rig.flows().patch("flow", &PatchParams::default(), &patch).await.unwrap();
            let status = rig.ends("flow").await;
            assert_eq!(status["steps"][0]["reason"], "NameConflict", "{change}: {status:#}");
            assert_eq!(status["steps"][0]["jobRef"]["uid"], Value::Null, "{change}: {status:#}");
            assert_eq!(status["steps"][1]["phase"], "Skipped");
            let there = rig.jobs().get(&name).await.unwrap();
            assert_eq!((there.uid(), there.metadata.deletion_timestamp), (impostor.uid(), None));
            assert!(rig.created().is_empty(), "{change}");
        }
    });
}

/// Tell that a Job has done what it should, as its controller would.
async fn complete(rig: &Rig, name: &str) {
    let status = json!({"status": crate::neighbours::complete()});
    rig.jobs().patch_status(name, &PatchParams::default(), &Patch::Merge(status)).await.unwrap();
}

#[test]
fn a_job_that_vanishes_while_it_runs_is_an_attempt_that_failed() {
    test(async |cluster| {
        let rig = Rig::running(cluster, "vanish").await;
        let uid = rig.create("flow", &flow([job("a", &[], "-,0").retries(1), job("b", &["a"], "0")])).await;
        let name = job_name("flow", &uid, "a", 1, None);
        let there =
            kube::runtime::wait::await_condition(rig.jobs(), &name, |job: Option<&Job>| job.is_some());
        timeout(LIMIT, there).await.unwrap().unwrap();
        rig.jobs().delete(&name, &DeleteParams::background()).await.unwrap();
        let status = rig.ends("flow").await;
        assert_eq!(status["phase"], "Succeeded", "{status:#}");
        assert_eq!(status["steps"][0]["attempt"], 2);
        assert_eq!(rig.created().values().copied().collect::<Vec<_>>(), [1, 1, 1]);
    });
}

#[test]
fn a_job_that_vanishes_while_no_engine_runs_is_an_attempt_that_failed() {
    test(async |cluster| {
        let rig = Rig::running(cluster, "vanish").await;
        // Without a retry the reason stays to be seen.
        let spec = flow([job("a", &[], "-,0").retries(1), job("c", &[], "-"), job("b", &[], "0").takes(300)]);
        let uid = rig.create("flow", &spec).await;
        rig.until("flow", "its Jobs to be known", |status| {
            knows_the_job(status, 0) && knows_the_job(status, 1)
        })
        .await;
        rig.kill();
        for step in ["a", "c"] {
            let name = job_name("flow", &uid, step, 1, None);
            rig.jobs().delete(&name, &DeleteParams::background()).await.unwrap();
            let gone =
                kube::runtime::wait::await_condition(rig.jobs(), &name, |job: Option<&Job>| job.is_none());
            timeout(LIMIT, gone).await.unwrap().unwrap();
        }
        rig.start();
        let status = rig.ends("flow").await;
        assert_eq!(status["steps"][1]["reason"], "JobLost", "{status:#}");
        assert_eq!(status["steps"][1]["message"], "its Job is gone, and how it ended was not seen");
        assert_eq!(status["phase"], "Failed");
        assert!(rig.created().values().all(|count| *count == 1), "{:?}", rig.created());
    });
}

#[test]
fn a_step_whose_end_nobody_saw_is_not_run_again_without_a_word() {
    test(async |cluster| {
        let rig = Rig::running(cluster, "twice").await;
        let spec = flow([job("a", &[], "-,0").retries(1), job("b", &[], "0").takes(300)]);
        let uid = rig.create("flow", &spec).await;
        rig.until("flow", "its Job to be known", |status| knows_the_job(status, 0)).await;
        rig.kill();
        let name = job_name("flow", &uid, "a", 1, None);
        rig.jobs().delete(&name, &DeleteParams::background()).await.unwrap();
        let gone = kube::runtime::wait::await_condition(rig.jobs(), &name, |job: Option<&Job>| job.is_none());
        timeout(LIMIT, gone).await.unwrap().unwrap();
        rig.start();
        let status = rig.ends("flow").await;
        assert_eq!((&status["phase"], &status["steps"][0]["attempt"]), (&json!("Succeeded"), &json!(2)));
        let wanted = "StepRetry: attempt 1 at step \"a\" failed and will be tried again: its Job is gone, and how it \
                      ended was not seen, so the step may be run twice";
        let told = async {
            while !events(&rig).await.iter().any(|event| event == wanted) {
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            }
        };
        let told = timeout(LIMIT, told).await.is_ok();
        assert!(told, "no such Event: {:#?}", events(&rig).await);
    });
}

#[test]
fn a_flow_that_is_deleted_starts_nothing_more_and_leaves_nothing() {
    test(async |cluster| {
        for how in [DeleteParams::background(), DeleteParams::foreground()] {
            // Deleted at the very moment at which its third Job is about to be created.
            let rig = Rig::running(cluster, "deleted").await;
            let (other, when) = (rig.clone(), how.clone());
            rig.proxy.hook(move |call| {
                if !(call.is_job() && call.nth == 3) {
                    return Fate::pass();
                }
                let (rig, how) = (other.clone(), when.clone());
                Fate::after(async move { rig.delete("flow", how).await })
            });
            rig.create("flow", &chain(6)).await;
            let gone = kube::runtime::wait::await_condition(
                rig.flows(),
                "flow",
                |flow: Option<&kube::api::DynamicObject>| flow.is_none(),
            );
            timeout(LIMIT, gone).await.expect("the flow to be gone").unwrap();
            let cleared = async {
                while !rig.jobs().list(&ListParams::default()).await.unwrap().items.is_empty() {
                    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
                }
            };
            timeout(LIMIT, cleared).await.expect("its Jobs to be gone");
            // The engine has heard of it by now, for it sees what comes later.
            rig.create("later", &chain(1)).await;
            rig.ends("later").await;
            let created = rig.created();
            assert_eq!(created.len(), 4, "{how:?}: {created:?}");
            assert!(created.values().all(|count| *count == 1));
            rig.proxy.behave();
        }
    });
}
