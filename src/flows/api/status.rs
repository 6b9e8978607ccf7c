//! The status that headworks writes back.
//!
//! Times have microseconds: after a restart every timer is derived from them, and a whole second would be lost.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, MicroTime};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::phase::{FlowPhase, StepPhase};
use super::reason::{StepReason, WaitingReason};

/// Status of a flow.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct JobFlowStatus {
    /// Phase of the flow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<FlowPhase>,
    /// The generation of the spec that this status is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Time at which the flow started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_time: Option<MicroTime>,
    /// Time at which the flow ended; written once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completion_time: Option<MicroTime>,
    /// Time for which it ran, for the printer column.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration: Option<String>,
    /// Time at which it is expected to end; only when every remaining step has a known duration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub estimated_completion_time: Option<MicroTime>,
    /// Reason why it is not moving, or why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Counts of steps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress: Option<Progress>,
    /// Ready, Complete, Failed and SpecNoLongerValid.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
    /// The steps, in document order.
    // Atomic: one writer writes it, and a map's managedFields would be longer than the list.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub steps: Vec<StepStatus>,
    /// Objects made from resource templates.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub resource_refs: Vec<ObjectRef>,
    /// User who started it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audit: Option<Audit>,
    /// A hash of what of the spec was pinned at the start: all but the fields that may change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spec_hash: Option<String>,
}

/// Counts of steps.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[expect(missing_docs, reason = "the names say it")]
pub struct Progress {
    pub completed_steps: i64,
    pub total_steps: i64,
    pub successful_steps: i64,
    pub failed_steps: i64,
    pub skipped_steps: i64,
    pub running_steps: i64,
    /// `completed/total`, for the printer column.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub summary: Option<String>,
}

/// Status of a step.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StepStatus {
    /// The step.
    pub name: String,
    /// Phase of the step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<StepPhase>,
    /// Time at which its first attempt started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_time: Option<MicroTime>,
    /// Time at which it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completion_time: Option<MicroTime>,
    /// The attempt, counted from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempt: Option<i64>,
    /// Attempts less one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_count: Option<i64>,
    /// The Job of the last attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job_ref: Option<ObjectRef>,
    /// The pod that decided the outcome, where a single one did before the Job's condition.
    #[serde(rename = "podUID", default, skip_serializing_if = "Option::is_none")]
    pub pod_uid: Option<String>,
    /// Reason for its phase, in one word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Reason for its phase, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Condition that it waits for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiting: Option<Box<Waiting>>,
    /// The exit code of the first container that failed, else 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i64>,
    /// Outputs that it passed on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outputs: Option<Box<StepOutputs>>,
    /// User who approved or rejected it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approved_by: Option<String>,
}

/// Condition that a step waits for.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Waiting {
    /// One word, such as Dependencies or Quota.
    pub reason: String,
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Since when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<MicroTime>,
    /// Until when, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<MicroTime>,
}

/// Outputs that a step passed on.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct StepOutputs {
    /// Values.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub parameters: Vec<OutputValue>,
    /// Files.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub artifacts: Vec<KeptArtifact>,
}

/// A value that a step handed on.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[expect(missing_docs, reason = "the names say it")]
pub struct OutputValue {
    pub name: String,
    pub value: String,
}

/// A file that a step handed on.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[expect(missing_docs, reason = "the names say it")]
pub struct KeptArtifact {
    pub name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// Bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
}

/// A reference to an object in the flow's namespace.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[expect(missing_docs, reason = "the names say it")]
pub struct ObjectRef {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_version: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    pub name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<String>,
}

/// User who started a flow.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Audit {
    /// The user who created it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub initiated_by: Option<InitiatedBy>,
    /// Joins logs, events and traces of this flow.
    #[serde(rename = "correlationID", default, skip_serializing_if = "Option::is_none")]
    pub correlation_id: Option<String>,
}

/// A user of the cluster.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct InitiatedBy {
    /// The user's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// User or `ServiceAccount`.
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    pub type_: Option<String>,
}

impl StepStatus {
    /// The reason, as one of those that headworks itself gives; [`StepReason::Unknown`] for those of a Job or of
    /// another version.
    pub fn reason(&self) -> Option<StepReason> {
        self.reason.as_deref().map(StepReason::parse)
    }

    /// The reason for waiting, while the step waits.
    pub fn waits_for(&self) -> Option<WaitingReason> {
        self.waiting.as_ref().map(|waiting| WaitingReason::parse(&waiting.reason))
    }
}

impl JobFlowStatus {
    /// Tests whether a phase in it was written by another version of headworks, with a name that this one does not
    /// know. Such a flow is shown, but left to the version that wrote it.
    pub fn has_unknown_phase(&self) -> bool {
        self.phase == Some(FlowPhase::Unknown)
            || self.steps.iter().any(|step| step.phase == Some(StepPhase::Unknown))
    }

    /// A copy of everything but the steps, which may be thousands.
    #[must_use]
    pub fn clone_without_steps(&self) -> Self {
        Self {
            phase: self.phase,
            observed_generation: self.observed_generation,
            start_time: self.start_time.clone(),
            completion_time: self.completion_time.clone(),
            duration: self.duration.clone(),
            estimated_completion_time: self.estimated_completion_time.clone(),
            message: self.message.clone(),
            progress: self.progress.clone(),
            conditions: self.conditions.clone(),
            steps: Vec::new(),
            resource_refs: self.resource_refs.clone(),
            audit: self.audit.clone(),
            spec_hash: self.spec_hash.clone(),
        }
    }
}
