//! One step of a flow.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::data::{Inputs, Outputs};
use super::policy::RetryPolicy;
use super::template::JobTemplate;

/// One step: a Job, or a point where somebody has to approve.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [
    {"rule": "has(self.template) || (has(self.type) && self.type == 'Manual')",
     "message": "a step of type Job needs a template", "reason": "FieldValueRequired", "fieldPath": ".template"}
]))]
pub struct Step {
    // Fields that few steps have are boxed, here and in the status: the controller caches thousands of flows.
    /// A DNS label, unique in the flow.
    #[schemars(length(min = 1, max = 63), regex(pattern = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub name: String,
    /// Job (the default) runs the template; Manual waits until somebody approves.
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    pub type_: Option<StepType>,
    /// Shown while a Manual step waits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub message: Option<String>,
    /// Labels and annotations for the Job and its pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Box<StepMetadata>>,
    /// Steps that must be done before this one starts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 5000), schema_with = "super::crd::dependencies")]
    pub dependencies: Vec<String>,
    /// A CEL expression; when it is false the step is Skipped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 4096))]
    pub when: Option<String>,
    /// A failure of this step counts as done for its dependants and does not fail the flow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub continue_on_failure: Option<bool>,
    /// Seconds for the step with all its attempts, from its first start; for a Manual step the wait for approval.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 2_147_483_647))]
    pub timeout_seconds: Option<i64>,
    /// Retries; they belong to the flow, so a template without a backoffLimit of its own gets 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_policy: Option<Box<RetryPolicy>>,
    /// A Job of batch/v1: {apiVersion?, kind?, metadata?, spec}. Name, namespace and owner are set by headworks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "super::crd::preserved_object")]
    pub template: Option<JobTemplate>,
    /// Inputs that the step reads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inputs: Option<Box<Inputs>>,
    /// Outputs that the step passes on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outputs: Option<Box<Outputs>>,
}

/// Kind of a step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum StepType {
    /// Runs its template.
    #[default]
    Job,
    /// Waits for approval.
    Manual,
}

/// Labels and annotations of a step; our own keys win.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct StepMetadata {
    /// Labels of the Job and its pod.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Annotations of the Job and its pod.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

impl Step {
    /// The type, the default filled in.
    pub fn step_type(&self) -> StepType {
        self.type_.unwrap_or_default()
    }

    /// Tests whether the step waits for approval instead of running a Job.
    pub fn is_manual(&self) -> bool {
        self.step_type() == StepType::Manual
    }
}
