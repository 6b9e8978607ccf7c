//! Policies of the cluster that change what the engine creates, on its way into the API server.

use std::time::Duration;

use headworks::flows::job_name::job_name;
use k8s_openapi::api::batch::v1::Job;
use kube::api::PostParams;
use kube::runtime::wait::await_condition;
use kube::{Api, ResourceExt};
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::cluster::test;
use crate::flows::{flow, job};
use crate::kubelet::STRANGER;
use crate::proxy::{Fate, Watching};
use crate::rig::{LIMIT, Rig};

/// Have something done to every new object of a kind in a rig's namespace, and wait until that is done to `probe`.
async fn policy<K>(rig: &Rig, resource: &str, patch: &str, probe: &Value, is_done: impl Fn(&K) -> bool)
where
    K: kube::Resource<DynamicType = (), Scope = kube::core::NamespaceResourceScope>
        + Clone
        + std::fmt::Debug
        + serde::Serialize
        + serde::de::DeserializeOwned,
{
    let namespace = &rig.namespace;
    let policy = json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "MutatingAdmissionPolicy",
        "metadata": {"name": namespace},
        "spec": {
            "failurePolicy": "Fail", "reinvocationPolicy": "Never",
            "matchConstraints": {
                "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
                "resourceRules": [{
                    "apiGroups": ["", "batch"], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": [resource]
                }]
            },
            "mutations": [{"patchType": "JSONPatch", "jsonPatch": {"expression": patch}}]
        }
    });
    let binding = json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "MutatingAdmissionPolicyBinding",
        "metadata": {"name": namespace}, "spec": {"policyName": namespace}
    });
    for object in [policy, binding] {
        rig.cluster.must(&["create", "-f", "-"], &object.to_string());
    }
    let api: Api<K> = Api::namespaced(rig.cluster.client.clone(), namespace);
    let probe: K = serde_json::from_value(probe.clone()).unwrap();
    let only_look = PostParams { dry_run: true, ..PostParams::default() };
    let in_force = async {
        while !is_done(&api.create(&only_look, &probe).await.unwrap()) {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    timeout(LIMIT, in_force).await.expect("the policy to be in force");
}

fn pod_spec() -> Value {
    json!({"restartPolicy": "Never", "containers": [{"name": "main", "image": "none:1"}]})
}

/// Every Job is deleted as soon as it has ended, as the policy "add-ttl-jobs" that many clusters have does it.
async fn sweep_jobs(rig: &Rig) {
    let patch = r#"[JSONPatch{op: "add", path: "/spec/ttlSecondsAfterFinished", value: 0}]"#;
    let probe = json!({"metadata": {"name": "probe"}, "spec": {"template": {"spec": pod_spec()}}});
    policy(rig, "jobs", patch, &probe, |job: &Job| {
        job.spec.as_ref().unwrap().ttl_seconds_after_finished == Some(0)
    })
    .await;
}

/// Each step was run once, and handed on what it said.
async fn was_run_once(rig: &Rig, uid: &str, steps: &[&str]) {
    let status = rig.ends("flow").await;
    assert_eq!(status["phase"], "Succeeded", "{status:#}");
    let mut jobs = Vec::new();
    for (place, name) in steps.iter().enumerate() {
        let step = &status["steps"][place];
        assert_eq!((&step["phase"], &step["attempt"]), (&json!("Succeeded"), &json!(1)), "{status:#}");
        assert_eq!(step["outputs"]["parameters"][0]["value"], "42", "{status:#}");
        jobs.push((job_name("flow", uid, name, 1, None), 1));
    }
    jobs.sort();
    assert_eq!(rig.created().into_iter().collect::<Vec<_>>(), jobs);
}

#[test]
fn a_step_whose_job_is_deleted_with_its_end_has_ended_so() {
    test(async |cluster| {
        let rig = Rig::new(cluster, "swept").await;
        sweep_jobs(&rig).await;
        // The Job controller tells of the end of a Job after a second, and that its pod had ended is seen after that.
        let late = Duration::from_millis(1_800);
        rig.proxy.watch(Watching { late, only: Some("pods"), ..Watching::default() });
        rig.start();
        let says = |step: crate::flows::Step| step.says(r#"{"rows": 42}"#, &["rows"]).retries(2);
        let when = json!("int(steps.a.outputs.rows) == 42");
        let spec = flow([says(job("a", &[], "0")), says(job("b", &["a"], "0").with("when", when))]);
        let uid = rig.create("flow", &spec).await;
        was_run_once(&rig, &uid, &["a", "b"]).await;
    });
}

#[test]
fn a_step_of_which_all_is_seen_at_once_has_ended_as_the_last_of_it_says() {
    test(async |cluster| {
        let rig = Rig::new(cluster, "burst").await;
        sweep_jobs(&rig).await;
        // The engine stands still from the Job's creation to its deletion.
        let other = rig.clone();
        rig.proxy.hook(move |call| {
            let rig = other.clone();
            let freeze = async move { rig.freeze() };
            if call.is_job() { Fate { then: Some(Box::pin(freeze)), ..Fate::pass() } } else { Fate::pass() }
        });
        rig.start();
        let spec = flow([job("a", &[], "0").says(r#"{"rows": 42}"#, &["rows"]).retries(2)]);
        let uid = rig.create("flow", &spec).await;
        let name = job_name("flow", &uid, "a", 1, None);
        for there in [true, false] {
            let seen = await_condition(rig.jobs(), &name, |job: Option<&Job>| job.is_some() == there);
            timeout(LIMIT, seen).await.unwrap_or_else(|_| panic!("its Job to be there: {there}")).unwrap();
        }
        rig.thaw();
        was_run_once(&rig, &uid, &["a"]).await;
        rig.proxy.behave();
    });
}

#[test]
fn a_container_that_a_policy_puts_first_does_not_speak_for_the_step() {
    test(async |cluster| {
        for resource in ["pods", "jobs"] {
            let rig = Rig::new(cluster, "injected").await;
            let (at, probe) = match resource {
                "pods" => ("/spec", json!({"metadata": {"name": "probe"}, "spec": pod_spec()})),
                _ => (
                    "/spec/template/spec",
                    json!({"metadata": {"name": "probe"}, "spec": {"template": {"spec": pod_spec()}}}),
                ),
            };
            let patch = format!(
                r#"[JSONPatch{{op: "add", path: "{at}/containers/0", value: {{"name": "aaa-proxy", "image": "none:3"}}}}]"#
            );
            let first = format!("{at}/containers/0/name");
            if resource == "pods" {
                let is_done = |pod: &k8s_openapi::api::core::v1::Pod| named(pod, &first) == "aaa-proxy";
                policy(&rig, resource, &patch, &probe, is_done).await;
            } else {
                policy(&rig, resource, &patch, &probe, |job: &Job| named(job, &first) == "aaa-proxy").await;
            }
            rig.start();
            let said = json!({"parameters": [{"name": "said", "valueFrom": {"jsonPath": "$.output"}}]});
            let spec = flow([
                job("work", &[], "0").says("from the step", &[]).with("outputs", said),
                job("fails", &["work"], "7").with("continueOnFailure", json!(true)),
                job("check", &["work", "fails"], "0").with(
                    "when",
                    json!(r#"steps.work.outputs.said == "from the step" && steps.fails.exitCode == 7"#),
                ),
            ]);
            rig.create("flow", &spec).await;
            let status = rig.ends("flow").await;
            let [work, fails, check] = [0, 1, 2].map(|place| &status["steps"][place]);
            assert_eq!(work["outputs"]["parameters"][0]["value"], "from the step", "{resource}: {status:#}");
            assert_eq!(fails["exitCode"], 7, "{resource}: {status:#}");
            assert_eq!(check["phase"], "Succeeded", "{resource}: {status:#}");
            // It was there, and did say something.
            let pods: Api<k8s_openapi::api::core::v1::Pod> =
                Api::namespaced(cluster.client.clone(), &rig.namespace);
            let pods = pods.list(&kube::api::ListParams::default()).await.unwrap();
            for pod in pods {
                assert!(serde_json::to_string(&pod).unwrap().contains(STRANGER.0), "{}", pod.name_any());
            }
        }
    });
}

fn named(object: &impl serde::Serialize, pointer: &str) -> String {
    let object = serde_json::to_value(object).unwrap();
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned()
}
