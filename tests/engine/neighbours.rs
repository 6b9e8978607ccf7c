//! Jobs of others that say they are a flow's: only the one that the flow's status names decides.

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{ListParams, Patch, PatchParams, PostParams};
use kube::runtime::wait::await_condition;
use kube::{Api, ResourceExt};
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::cluster::test;
use crate::events::events;
use crate::flows::{flow, job};
use crate::kubelet;
use crate::rig::{LIMIT, Rig};

/// The status of a Job that has done what it should.
pub(crate) fn complete() -> Value {
    let now = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let condition = |kind: &str| {
        json!({"type": kind, "status": "True", "reason": "CompletionsReached", "lastTransitionTime": now,
               "lastProbeTime": now})
    };
    // Without `succeeded`: nobody waits for pods of it.
    json!({
        "startTime": now, "completionTime": now,
        "conditions": [condition("SuccessCriteriaMet"), condition("Complete")]
    })
}

/// A copy of a Job under another name, which says all that the Job says, and that it is Complete.
async fn look_alike(rig: &Rig, namespace: &str, of: &Job) {
    let mut metadata = of.metadata.clone();
    let copied = json!({
        "metadata": {
            "name": "stranger", "labels": metadata.labels.take(), "annotations": metadata.annotations.take(),
            "ownerReferences": metadata.owner_references.take(),
            // In another namespace than its owner the garbage collector would take it away.
            "finalizers": ["fate.test/hold"]
        },
        "spec": {"managedBy": "fate.test/nobody", "template": {"spec": {
            "restartPolicy": "Never", "containers": [{"name": "main", "image": "none:2"}]
        }}}
    });
    let jobs: Api<Job> = Api::namespaced(rig.cluster.client.clone(), namespace);
    let mut stranger: Job = serde_json::from_value(copied).unwrap();
    // The Job controller's own labels name the Job that they are of.
    stranger.labels_mut().retain(|key, _| !key.contains("batch.kubernetes.io/"));
    jobs.create(&PostParams::default(), &stranger).await.unwrap();
    let status = Patch::Merge(json!({"status": complete()}));
    jobs.patch_status("stranger", &PatchParams::default(), &status).await.unwrap();
}

/// Wait until the engine has seen all Jobs of a namespace that were there before: it takes what a watch brings in turn,
/// and here it waits for the condition of a Job.
async fn has_seen_the_jobs(rig: &Rig, name: &str) {
    let succeeded = json!({"parameters": [{"name": "n", "valueFrom": {"jsonPath": "$.status.succeeded"}}]});
    rig.create(name, &flow([job("a", &[], "0").with("outputs", succeeded)])).await;
    let status = rig.ends(name).await;
    assert_eq!(status["steps"][0]["outputs"]["parameters"][0]["value"], "1", "{status:#}");
}

#[test]
fn a_job_of_a_neighbour_or_a_second_one_decides_nothing() {
    test(async |cluster| {
        let rig = Rig::new(cluster, "victim").await;
        let neighbour = Rig::new(cluster, "neighbour").await;
        let lease = ["--lease-name", "lease-0", "--lease-duration", "60s"];
        rig.start_with(&[&lease[..], &["--watch-namespace", &neighbour.namespace]].concat());
        let when = json!(r#"steps.decide.phase == "Succeeded""#);
        // The end of another step is when the UID is written.
        let tick = job("tick", &[], "0").takes(300);
        let spec = flow([job("decide", &[], "-"), job("use", &["decide"], "0").with("when", when), tick]);
        rig.create("flow", &spec).await;
        let status = rig
            .until("flow", "its Job to be known by its UID", |status| {
                status["steps"][0]["jobRef"]["uid"].is_string()
            })
            .await;
        let reference = status["steps"][0]["jobRef"].clone();
        let ours = rig.jobs().get(reference["name"].as_str().unwrap()).await.unwrap();
        assert_eq!(ours.uid().unwrap(), reference["uid"]);

        for place in [&neighbour, &rig] {
            look_alike(&rig, &place.namespace, &ours).await;
            has_seen_the_jobs(place, "later").await;
            let flow = rig.flows().get("flow").await.unwrap();
            assert_eq!(flow.data["status"], status, "a Job of {} decides", place.namespace);
        }
        let of_the_flow = |events: Vec<String>| -> Vec<String> {
            events.into_iter().filter(|event| event.contains("decide") || event.contains("use")).collect()
        };
        assert_eq!(of_the_flow(events(&rig).await), Vec::<String>::new());

        // Its own Job has the last word.
        let pods: Api<Pod> = Api::namespaced(cluster.client.clone(), &rig.namespace);
        let of_job =
            ListParams::default().labels(&format!("batch.kubernetes.io/job-name={}", ours.name_any()));
        let pod = pods.list(&of_job).await.unwrap().items.remove(0);
        let failed = Patch::Merge(json!({"status": kubelet::ended(&pod, 7, "")}));
        pods.patch_status(&pod.name_any(), &PatchParams::default(), &failed).await.unwrap();
        let status = rig.ends("flow").await;
        assert_eq!(status["phase"], "Failed", "{status:#}");
        assert_eq!((&status["steps"][0]["exitCode"], &status["steps"][0]["jobRef"]), (&json!(7), &reference));
        assert_eq!(status["steps"][1]["phase"], "Skipped", "{status:#}");
        // What says that it is the flow's is not the flow's to delete.
        let jobs: Api<Job> = Api::namespaced(cluster.client.clone(), &rig.namespace);
        assert_eq!(jobs.get("stranger").await.unwrap().metadata.deletion_timestamp, None);
        for place in [&neighbour, &rig] {
            let jobs: Api<Job> = Api::namespaced(cluster.client.clone(), &place.namespace);
            let free = Patch::Merge(json!({"metadata": {"finalizers": null}}));
            jobs.patch("stranger", &PatchParams::default(), &free).await.unwrap();
        }
        let gone = await_condition(
            Api::<Job>::namespaced(cluster.client.clone(), &neighbour.namespace),
            "stranger",
            |job: Option<&Job>| job.is_none(),
        );
        timeout(LIMIT, gone).await.expect("the neighbour's Job to be taken away").unwrap();
    });
}
