use serde_json::{Value, json};

use super::fixtures::at;
use super::view::{JobView, PodView};
use kube::Resource;

use super::*;

/// A Job as an API server of 1.37 shows it once it is done.
fn job() -> Value {
    json!({
        "apiVersion": "batch/v1", "kind": "Job",
        "metadata": {
            "name": "nightly-extract-0vvfhh1xdz", "namespace": "default", "uid": "0c7b1d0e-0000-4000-8000-000000000001",
            "resourceVersion": "4711", "generation": 1, "creationTimestamp": "2026-11-24T10:00:00Z",
            "labels": {
                "app.kubernetes.io/managed-by": "headworks", "workflow.kube-zen.io/flow": "nightly",
                "workflow.kube-zen.io/managed-by": "zen-flow", "workflow.kube-zen.io/step": "extract"
            },
            "annotations": {"workflow.kube-zen.io/attempt": "2"},
            "ownerReferences": [{
                "apiVersion": "workflow.kube-zen.io/v1alpha1", "kind": "JobFlow", "name": "nightly",
                "uid": "f10e0000-0000-4000-8000-000000000002", "controller": true, "blockOwnerDeletion": true
            }],
            "managedFields": [{"manager": "headworks", "operation": "Update", "fieldsV1": {"f:spec": {}}}]
        },
        "spec": {
            "parallelism": 1, "completions": 1, "backoffLimit": 0, "completionMode": "NonIndexed", "suspend": false,
            "podReplacementPolicy": "TerminatingOrFailed", "manualSelector": false, "shiny": {"new": true},
            "selector": {"matchLabels": {"batch.kubernetes.io/controller-uid": "0c7b1d0e-0000-4000-8000-000000000001"}},
            "template": {
                "metadata": {"labels": {"secret": "not kept"}},
                "spec": {"restartPolicy": "Never", "containers": [{"name": "main", "image": "busybox:1.36", "env": [
                    {"name": "TOKEN", "value": "not kept"}
                ]}]}
            }
        },
        "status": {
            "conditions": [
                {
                    "type": "SuccessCriteriaMet", "status": "True", "reason": "CompletionsReached",
                    "message": "Reached expected number of succeeded pods",
                    "lastProbeTime": "2026-11-24T10:00:04Z", "lastTransitionTime": "2026-11-24T10:00:04Z"
                },
                {
                    "type": "Complete", "status": "True", "reason": "CompletionsReached",
                    "message": "Reached expected number of succeeded pods",
                    "lastProbeTime": "2026-11-24T10:00:04Z", "lastTransitionTime": "2026-11-24T10:00:04Z"
                },
                {"type": "Suspended", "status": "False", "reason": "JobResumed", "message": "Job resumed"},
                {"type": "Unheard", "status": "True"}
            ],
            "startTime": "2026-11-24T10:00:00Z", "completionTime": "2026-11-24T10:00:04Z",
            "succeeded": 1, "terminating": 0, "ready": 0, "uncountedTerminatedPods": {"succeeded": ["not kept"]}
        }
    })
}

fn pod() -> Value {
    json!({
        "metadata": {
            "name": "nightly-extract-0vvfhh1xdz-x2x4z", "namespace": "default", "uid": "90d00000-0000-4000-8000-000000000003",
            "resourceVersion": "4712", "creationTimestamp": "2026-11-24T10:00:00Z",
            "finalizers": ["batch.kubernetes.io/job-tracking"],
            "annotations": {"batch.kubernetes.io/job-completion-index": "3"},
            "ownerReferences": [{
                "apiVersion": "batch/v1", "kind": "Job", "name": "nightly-extract-0vvfhh1xdz",
                "uid": "0c7b1d0e-0000-4000-8000-000000000001", "controller": true, "blockOwnerDeletion": true
            }]
        },
        "spec": {
            "nodeName": "node-1", "restartPolicy": "Never",
            "initContainers": [{"name": "setup"}, {"name": "proxy", "restartPolicy": "Always"}],
            "containers": [{"name": "zeta", "image": "a"}, {"name": "alpha", "image": "b"}]
        },
        "status": {
            "phase": "Succeeded",
            "initContainerStatuses": [{"name": "setup", "state": {"terminated": {"exitCode": 0}}}],
            "containerStatuses": [
                {"name": "alpha", "state": {"running": {"startedAt": "2026-11-24T10:00:01Z"}}},
                {"name": "zeta", "restartCount": 2, "state": {"terminated": {
                    "exitCode": 3, "reason": "Error", "message": "no such table",
                    "startedAt": "2026-11-24T10:00:01Z", "finishedAt": "2026-11-24T10:00:03Z",
                    "containerID": "containerd://0"
                }}}
            ]
        }
    })
}

/// The object with one field changed; null removes it.
fn with(mut object: Value, pointer: &str, value: Value) -> Value {
    let (parent, field) = pointer.rsplit_once('/').unwrap();
    object.pointer_mut(parent).unwrap()[field] = value;
    object
}

#[test]
fn a_job_is_read_with_what_decides_about_it() {
    let job = Job::read(job()).unwrap().unwrap();
    assert_eq!((&*job.name, &*job.step, job.attempt), ("nightly-extract-0vvfhh1xdz", "extract", 2));
    assert_eq!(&*job.flow, "default/nightly/f10e0000-0000-4000-8000-000000000002");
    assert_eq!(&*job.id(), "default/nightly-extract-0vvfhh1xdz/0c7b1d0e-0000-4000-8000-000000000001");
    assert_eq!((job.namespace(), job.speaker()), ("default", Some("main")));
    assert_eq!((job.created, job.deleting, job.active, job.succeeded), (at(0), false, 0, 1));
    let shape =
        JobShape { completions: Some(1), backoff_limit: Some(0), restart_never: true, ..JobShape::default() };
    assert_eq!(job.shape, shape);
    let conditions: Vec<_> = job.conditions.iter().map(|condition| (condition.kind, condition.at)).collect();
    assert_eq!(
        conditions,
        [(JobConditionKind::SuccessCriteriaMet, Some(at(4))), (JobConditionKind::Complete, Some(at(4)))]
    );
}

#[test]
fn a_jobs_document_has_its_spec_and_status_but_neither_template_nor_bookkeeping() {
    let job = Job::read(job()).unwrap().unwrap();
    let document: Value = serde_json::from_str(&job.document).unwrap();
    assert_eq!(document["metadata"]["name"], "nightly-extract-0vvfhh1xdz");
    assert_eq!(document["metadata"]["annotations"], json!({"workflow.kube-zen.io/attempt": "2"}));
    assert_eq!(document["spec"]["shiny"], json!({"new": true}), "fields that a newer cluster has");
    assert_eq!(document["status"]["completionTime"], "2026-11-24T10:00:04Z");
    for absent in
        ["/spec/template", "/spec/selector", "/status/uncountedTerminatedPods", "/metadata/managedFields"]
    {
        assert_eq!(document.pointer(absent), None, "{absent}");
    }
    assert!(!job.document.contains("not kept"));
}

#[test]
fn every_field_that_decides_is_read() {
    let shape = |field: &str, value: Value| {
        Job::read(with(job(), &format!("/spec/{field}"), value)).unwrap().unwrap().shape
    };
    assert_eq!(shape("completions", Value::Null).completions, None);
    assert!(shape("completionMode", json!("Indexed")).indexed);
    assert_eq!(shape("backoffLimit", json!(6)).backoff_limit, Some(6));
    assert!(shape("backoffLimitPerIndex", json!(0)).backoff_limit_per_index);
    assert!(shape("podFailurePolicy", json!({"rules": []})).pod_failure_policy);
    assert!(shape("successPolicy", json!({"rules": []})).success_policy);
    assert!(shape("managedBy", json!("example.com/other")).managed_by_other);
    assert!(!shape("managedBy", json!("kubernetes.io/job-controller")).managed_by_other);
    assert!(shape("suspend", json!(true)).suspended);
    assert!(!shape("template", json!({"spec": {"restartPolicy": "OnFailure"}})).restart_never);
    let going = with(job(), "/metadata/deletionTimestamp", json!("2026-11-24T10:00:09Z"));
    assert!(Job::read(going).unwrap().unwrap().deleting);
    let some = Job::read(with(job(), "/status/completedIndexes", json!("0-2"))).unwrap().unwrap();
    assert_eq!(some.completed_indexes.as_deref(), Some("0-2"));
}

#[test]
fn who_speaks_for_a_step_was_written_down_when_its_job_was_created() {
    let template = json!({"spec": {
        "initContainers": [{"name": "fetch"}], "containers": [{"name": "mesh-proxy"}, {"name": "main"}]
    }});
    let injected = with(job(), "/spec/template", template);
    let older = Job::read(injected.clone()).unwrap().unwrap();
    assert_eq!((&*older.containers, older.speaker()), ("mesh-proxy,main,fetch", Some("mesh-proxy")));
    let annotations = json!({
        "workflow.kube-zen.io/attempt": "2", "workflow.kube-zen.io/containers": "main,fetch",
        "workflow.kube-zen.io/rendered-hash": "4t4m44gggl"
    });
    let told = Job::read(with(injected, "/metadata/annotations", annotations)).unwrap().unwrap();
    assert_eq!(told.speaker(), Some("main"));
    assert!(told.has_container("fetch") && !told.has_container("mesh-proxy"));
    let document: Value = serde_json::from_str(&told.document).unwrap();
    assert_eq!(document["metadata"]["annotations"], json!({"workflow.kube-zen.io/attempt": "2"}));
    let bare = Job::read(with(job(), "/spec/template", json!({}))).unwrap().unwrap();
    assert_eq!(bare.speaker(), None);
}

#[test]
fn a_pod_is_a_jobs_only_with_its_namespace_name_and_uid() {
    let (job, pod) = (Job::read(job()).unwrap().unwrap(), self::pod());
    assert!(Pod::read(pod.clone()).unwrap().unwrap().is_of(&job));
    for pointer in
        ["/metadata/namespace", "/metadata/ownerReferences/0/name", "/metadata/ownerReferences/0/uid"]
    {
        let other = Pod::read(with(pod.clone(), pointer, json!("other"))).unwrap().unwrap();
        assert!(!other.is_of(&job), "{pointer}");
    }
}

#[test]
fn a_job_that_is_not_ours_is_passed_over() {
    for (pointer, value) in [
        ("/metadata/ownerReferences", Value::Null),
        ("/metadata/ownerReferences/0/controller", json!(false)),
        ("/metadata/ownerReferences/0/kind", json!("CronJob")),
        ("/metadata/ownerReferences/0/apiVersion", json!("example.com/v1")),
        ("/metadata/labels/workflow.kube-zen.io~1step", Value::Null),
        ("/metadata/labels", Value::Null),
        ("/metadata/annotations", json!({})),
        ("/metadata/annotations", json!({"workflow.kube-zen.io/attempt": "first"})),
        ("/metadata/annotations", json!({"workflow.kube-zen.io/attempt": "0"})),
        ("/metadata/uid", Value::Null),
    ] {
        let pointer = pointer.replace("workflow.kube-zen.io~1step", "step");
        let object = if pointer.ends_with("/step") {
            with(job(), "/metadata/labels", json!({"workflow.kube-zen.io/flow": "nightly"}))
        } else {
            with(job(), &pointer, value)
        };
        assert_eq!(Job::read(object).unwrap(), None, "{pointer}");
    }
    assert_eq!(Job::read(json!({})).unwrap(), None);
}

#[test]
fn a_pod_is_read_with_its_containers_in_the_authors_order() {
    let pod = Pod::read(pod()).unwrap().unwrap();
    assert_eq!(&*pod.job, "default/nightly-extract-0vvfhh1xdz/0c7b1d0e-0000-4000-8000-000000000001");
    assert_eq!(
        (pod.phase, pod.index, pod.tracked, pod.deleting),
        (PodPhase::Succeeded, Some(3), true, false)
    );
    assert_eq!((pod.node.as_deref(), pod.restarts), (Some("node-1"), 2));
    let containers: Vec<_> = pod
        .containers
        .iter()
        .map(|c| (&*c.name, c.init, c.sidecar, c.ended.as_ref().map(|ended| ended.exit_code)))
        .collect();
    assert_eq!(
        containers,
        [
            ("setup", true, false, Some(0)),
            ("proxy", true, true, None),
            ("zeta", false, false, Some(3)),
            ("alpha", false, false, None)
        ]
    );
    let ended = pod.containers[2].ended.as_ref().unwrap();
    assert_eq!((&*ended.reason, &*ended.message), ("Error", "no such table"));
    assert_eq!((ended.started, ended.finished), (Some(at(1)), Some(at(3))));
}

#[test]
fn a_pod_of_no_job_is_passed_over_and_an_odd_index_is_none() {
    for (pointer, value) in [
        ("/metadata/ownerReferences", Value::Null),
        ("/metadata/ownerReferences/0/kind", json!("ReplicaSet")),
        ("/metadata/ownerReferences/0/apiVersion", json!("example.com/v1")),
        ("/metadata/ownerReferences/0/controller", Value::Null),
    ] {
        assert_eq!(Pod::read(with(self::pod(), pointer, value)).unwrap(), None, "{pointer}");
    }
    for odd in ["-1", "", "x", "99999999999999999999"] {
        let annotations = json!({"batch.kubernetes.io/job-completion-index": odd});
        let pod = Pod::read(with(self::pod(), "/metadata/annotations", annotations)).unwrap().unwrap();
        assert_eq!(pod.index, None, "{odd}");
    }
    let counted =
        Pod::read(with(self::pod(), "/metadata/finalizers", json!(["example.com/mine"]))).unwrap().unwrap();
    assert!(!counted.tracked);
    let bare = with(with(self::pod(), "/status", json!({})), "/spec", json!({}));
    assert_eq!(Pod::read(bare).unwrap().unwrap().phase, PodPhase::Pending);
}

#[test]
fn a_pod_that_was_disrupted_says_by_what() {
    let ended = |status: Value| {
        let pod = Pod::read(with(pod(), "/status", status)).unwrap().unwrap();
        (pod.reason.as_deref().map(str::to_owned), pod.message.as_deref().map(str::to_owned))
    };
    let told = |reason: &str, message: &str| (Some(reason.to_owned()), Some(message.to_owned()));
    let disruption = |status: &str| {
        json!([{"type": "DisruptionTarget", "status": status, "reason": "EvictionByEvictionAPI",
                "message": "Eviction API: evicting"}])
    };
    let evicted = ended(json!({"phase": "Failed", "conditions": disruption("True")}));
    assert_eq!(evicted, told("EvictionByEvictionAPI", "Eviction API: evicting"));
    assert_eq!(ended(json!({"phase": "Failed", "conditions": disruption("False")})), (None, None));
    let by_kubelet = json!({
        "phase": "Failed", "reason": "Evicted", "message": "low on memory", "conditions": disruption("True")
    });
    assert_eq!(ended(by_kubelet), told("Evicted", "low on memory"));
}

#[test]
fn a_pod_that_waits_says_why() {
    let waiting = |status: Value| Pod::read(with(pod(), "/status", status)).unwrap().unwrap().waiting;
    let container = |reason: &str, message: Value| {
        json!({"phase": "Pending", "containerStatuses": [
            {"name": "main", "state": {"waiting": {"reason": reason, "message": message}}}
        ]})
    };
    let unscheduled = waiting(json!({"phase": "Pending", "conditions": [{
        "type": "PodScheduled", "status": "False", "reason": "Unschedulable",
        "message": "0/3 nodes are available: 3 Insufficient cpu.", "lastTransitionTime": "2026-11-24T10:00:02Z"
    }]}));
    assert_eq!(
        unscheduled,
        Some(PodWaiting {
            kind: PodWaitingKind::Unschedulable,
            message: "0/3 nodes are available: 3 Insufficient cpu.".into(),
            since: Some(at(2)),
        })
    );
    let pull =
        waiting(container("ImagePullBackOff", json!("Back-off pulling image \"busybox:none\""))).unwrap();
    assert_eq!(pull.kind, PodWaitingKind::ImagePull);
    assert_eq!(
        &*pull.message,
        "container \"main\": ImagePullBackOff: Back-off pulling image \"busybox:none\""
    );
    let config = waiting(container("CreateContainerConfigError", Value::Null)).unwrap();
    assert_eq!(config.kind, PodWaitingKind::ContainerConfig);
    assert_eq!(&*config.message, "container \"main\": CreateContainerConfigError");
    for ordinary in ["ContainerCreating", "PodInitializing", "CrashLoopBackOff"] {
        assert_eq!(waiting(container(ordinary, Value::Null)), None, "{ordinary}");
    }
    let long = waiting(container("ErrImagePull", json!("é".repeat(600)))).unwrap();
    assert!(long.message.len() <= 512);
    // What has ended waits for nothing, whatever its conditions still say.
    let mut over = container("ErrImagePull", Value::Null);
    over["phase"] = json!("Failed");
    assert_eq!(waiting(over), None);
}

#[test]
fn views_are_read_from_text_and_skip_what_nobody_needs() {
    let view: JobView = serde_json::from_str(&job().to_string()).unwrap();
    assert_eq!(view.metadata.resource_version.as_deref(), Some("4711"));
    assert_eq!(view.metadata.managed_fields, None);
    assert_eq!(view.spec.restart_policy.as_deref(), Some("Never"));
    assert!(!view.spec.fields.contains_key("template") && !view.spec.fields.contains_key("selector"));
    let view: PodView = serde_json::from_str(&pod().to_string()).unwrap();
    assert_eq!(view.metadata.resource_version.as_deref(), Some("4712"));
    assert_eq!(JobView::plural(&()), "jobs");
    assert_eq!(PodView::api_version(&()), "v1");
}

/// Thousands of these are kept. What the heap hands out beside what is asked for is not seen here.
#[test]
fn a_job_and_its_pod_take_less_than_two_and_a_half_kibibytes() {
    let job = Job::read(job()).unwrap().unwrap();
    let texts = [&job.name, &job.uid, &job.flow, &job.step, &job.containers, &job.document];
    let conditions: usize = job.conditions.iter().map(|c| c.reason.len() + c.message.len()).sum();
    let conditions = conditions + job.conditions.capacity() * size_of::<JobCondition>();
    let of_job = size_of::<Job>() + texts.iter().map(|text| text.len()).sum::<usize>() + conditions;

    // One container, and what it hands on.
    let one = with(self::pod(), "/spec", json!({"nodeName": "node-1", "containers": [{"name": "zeta"}]}));
    let one = with(one, "/status/containerStatuses/1/state/terminated/message", json!("{\"rows\": 42}"));
    let pod = Pod::read(one).unwrap().unwrap();
    let ended = pod.containers[0].ended.as_ref().unwrap();
    let texts = [&pod.name, &pod.uid, &pod.job, pod.node.as_ref().unwrap(), &ended.reason, &ended.message];
    let of_pod = size_of::<Pod>()
        + texts.iter().map(|text| text.len()).sum::<usize>()
        + pod.containers.capacity() * size_of::<Container>()
        + pod.containers[0].name.len();
    assert!(of_job + of_pod < 2560, "Job {of_job} + pod {of_pod} bytes");
}
