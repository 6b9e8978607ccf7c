//! Reading of Jobs.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use serde::Serialize;
use serde_json::{Map, Value};

use super::view::{JobSpecView, JobView};
use super::{Job, JobCondition, JobConditionKind, JobShape, id};
use crate::names;

/// The Job controller of Kubernetes itself, as `managedBy` may name it (`batch.JobControllerName`).
const JOB_CONTROLLER: &str = "kubernetes.io/job-controller";

impl Job {
    /// Reads the API's JSON; `None` if the Job is not one of ours.
    pub fn read(object: Value) -> Result<Option<Self>, serde_json::Error> {
        Ok(Self::from_view(serde_json::from_value(object)?))
    }

    /// Converts a Job that names the flow that controls it, a step and an attempt; `None` for any other. Only the
    /// flow's status shows whether the flow knows it too.
    pub fn from_view(view: JobView) -> Option<Self> {
        let JobView { metadata, spec, mut status } = view;
        let owner = flow(&metadata)?;
        // In Kubernetes an owner is always in the same namespace.
        let flow = id(metadata.namespace.as_deref().unwrap_or_default(), &owner.name, &owner.uid);
        let labels = metadata.labels.as_ref();
        let step = labels?.get(names::STEP_LABEL)?.as_str().into();
        let attempt = metadata.annotations.as_ref()?.get(names::ATTEMPT_ANNOTATION)?;
        let attempt = attempt.parse().ok().filter(|attempt| *attempt >= 1)?;
        // Bookkeeping of the Job controller: up to 500 UIDs that nobody reads.
        status.remove("uncountedTerminatedPods");
        let text = |field: &str| status.get(field).and_then(Value::as_str);
        let number = |field: &str| status.get(field).and_then(Value::as_i64).unwrap_or(0);
        Some(Self {
            name: metadata.name.as_deref()?.into(),
            uid: metadata.uid.as_deref()?.into(),
            flow,
            step,
            attempt,
            created: metadata.creation_timestamp.as_ref()?.0,
            deleting: metadata.deletion_timestamp.is_some(),
            containers: containers(&metadata, &spec),
            shape: shape(&spec.fields, spec.restart_policy.as_deref()),
            conditions: conditions(&status),
            active: number("active"),
            succeeded: number("succeeded"),
            failed: number("failed"),
            completed_indexes: text("completedIndexes").filter(|text| !text.is_empty()).map(Into::into),
            document: document(&metadata, &spec.fields, &status),
        })
    }
}

/// The containers of the step's template: as recorded in an annotation when the Job was created, since a webhook may
/// have changed the Job; for an older Job without it, the containers of its own template.
fn containers(metadata: &ObjectMeta, spec: &JobSpecView) -> Box<str> {
    let annotations = metadata.annotations.as_ref();
    match annotations.and_then(|annotations| annotations.get(names::CONTAINERS_ANNOTATION)) {
        Some(names) => names.as_str().into(),
        None => spec.containers.join(",").into(),
    }
}

/// The flow that controls an object, as the object says.
pub fn flow(metadata: &ObjectMeta) -> Option<&OwnerReference> {
    controller(metadata).filter(|owner| {
        let group = owner.api_version.split_once('/').map(|(group, _)| group);
        owner.kind == names::KIND && group == Some(names::GROUP)
    })
}

/// The owner that controls an object.
pub(super) fn controller(metadata: &ObjectMeta) -> Option<&OwnerReference> {
    metadata.owner_references.iter().flatten().find(|owner| owner.controller == Some(true))
}

fn shape(spec: &Map<String, Value>, restart_policy: Option<&str>) -> JobShape {
    let number = |field: &str| spec.get(field).and_then(Value::as_i64);
    let text = |field: &str| spec.get(field).and_then(Value::as_str);
    let given = |field: &str| spec.get(field).is_some_and(|value| !value.is_null());
    JobShape {
        completions: number("completions"),
        indexed: text("completionMode") == Some("Indexed"),
        backoff_limit: number("backoffLimit"),
        backoff_limit_per_index: given("backoffLimitPerIndex"),
        pod_failure_policy: given("podFailurePolicy"),
        success_policy: given("successPolicy"),
        managed_by_other: text("managedBy").is_some_and(|manager| manager != JOB_CONTROLLER),
        suspended: spec.get("suspend") == Some(&Value::Bool(true)),
        restart_never: restart_policy == Some("Never"),
    }
}

fn conditions(status: &Map<String, Value>) -> Vec<JobCondition> {
    let list = status.get("conditions").and_then(Value::as_array);
    let mut found = Vec::new();
    for condition in list.into_iter().flatten() {
        let text = |field: &str| condition.get(field).and_then(Value::as_str).unwrap_or_default();
        let kind = match text("type") {
            "Complete" => JobConditionKind::Complete,
            "Failed" => JobConditionKind::Failed,
            "SuccessCriteriaMet" => JobConditionKind::SuccessCriteriaMet,
            "FailureTarget" => JobConditionKind::FailureTarget,
            "Suspended" => JobConditionKind::Suspended,
            _ => continue,
        };
        if text("status") == "True" {
            found.push(JobCondition {
                kind,
                reason: text("reason").into(),
                message: text("message").into(),
                at: text("lastTransitionTime").parse().ok(),
            });
        }
    }
    found.shrink_to_fit();
    found
}

fn document(metadata: &ObjectMeta, spec: &Map<String, Value>, status: &Map<String, Value>) -> Box<str> {
    #[derive(Serialize)]
    struct Document<'a> {
        metadata: Metadata<'a>,
        spec: &'a Map<String, Value>,
        status: &'a Map<String, Value>,
    }
    #[derive(Serialize)]
    struct Metadata<'a> {
        name: Option<&'a str>,
        namespace: Option<&'a str>,
        uid: Option<&'a str>,
        labels: &'a BTreeMap<String, String>,
        annotations: BTreeMap<&'a str, &'a str>,
    }
    static NONE: BTreeMap<String, String> = BTreeMap::new();
    let metadata = Metadata {
        name: metadata.name.as_deref(),
        namespace: metadata.namespace.as_deref(),
        uid: metadata.uid.as_deref(),
        labels: metadata.labels.as_ref().unwrap_or(&NONE),
        // Those that are for nobody but us would only take memory.
        annotations: metadata
            .annotations
            .iter()
            .flatten()
            .map(|(key, value)| (key.as_str(), value.as_str()))
            .filter(|(key, _)| ![names::CONTAINERS_ANNOTATION, names::RENDERED_ANNOTATION].contains(key))
            .collect(),
    };
    // Texts and JSON values with text keys: there is nothing in it that could not be written.
    serde_json::to_string(&Document { metadata, spec, status }).unwrap_or_default().into_boxed_str()
}
