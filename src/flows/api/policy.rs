//! Policies of flows and steps: concurrency, retries, deadlines, reactions to failures.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Policy of a flow as a whole.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ExecutionPolicy {
    /// Reaction to another flow with the same `concurrencyKey` that runs in the namespace: Allow runs both,
    /// Forbid (the default) waits in line, Replace stops the older ones first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub concurrency_policy: Option<ConcurrencyPolicy>,
    /// Flows of one key and namespace are held against `concurrencyPolicy`; without a key a flow is alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub concurrency_key: Option<String>,
    /// Seconds after completion when the flow and its Jobs are deleted; 0 is immediately. Default 86400.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 2_147_483_647))]
    pub ttl_seconds_after_finished: Option<i64>,
    /// Retries of all steps together; one more fails the flow. Default 6.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 2_147_483_647))]
    pub backoff_limit: Option<i64>,
    /// Seconds since the start after which running Jobs are deleted and the flow fails.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 2_147_483_647))]
    pub active_deadline_seconds: Option<i64>,
    /// The most steps that run together; steps earlier in the document go first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 2_147_483_647))]
    pub parallelism: Option<i64>,
    /// After a failure that is not `continueOnFailure`: FinishRunning (the default) starts nothing new, CancelRunning
    /// also deletes what runs, RunIndependent goes on with every step that does not depend on the failed one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_step_failure: Option<OnStepFailure>,
    /// Becomes the Job's own `podFailurePolicy` wherever the template has none and restartPolicy is Never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod_failure_policy: Option<PodFailurePolicy>,
}

/// Reaction to another flow of the same key that runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[expect(missing_docs, reason = "said once, at the field")]
pub enum ConcurrencyPolicy {
    Allow,
    Forbid,
    Replace,
}

/// Treatment of other steps after a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[expect(missing_docs, reason = "said once, at the field")]
pub enum OnStepFailure {
    FinishRunning,
    CancelRunning,
    RunIndependent,
}

/// Reactions to failed pods, as in the Job API.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PodFailurePolicy {
    /// Tried in order; the first that matches decides.
    #[schemars(length(max = 20), extend("x-kubernetes-list-type" = "atomic"))]
    pub rules: Vec<PodFailureRule>,
}

/// One reaction. Exactly one of `onExitCodes` and `onPodConditions` is given.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [
    {"rule": "has(self.onExitCodes) != (has(self.onPodConditions) && size(self.onPodConditions) > 0)",
     "message": "exactly one of onExitCodes and onPodConditions is needed"}
]))]
pub struct PodFailureRule {
    /// FailJob ends the Job, Ignore replaces the pod without counting it, Count counts it against the backoffLimit.
    pub action: PodFailureAction,
    /// Matches on the exit code of a container.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_exit_codes: Option<OnExitCodes>,
    /// Matches on conditions of the pod, such as `DisruptionTarget`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20), extend("x-kubernetes-list-type" = "atomic"))]
    pub on_pod_conditions: Vec<OnPodCondition>,
}

/// Action of a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[expect(missing_docs, reason = "said once, at the field")]
pub enum PodFailureAction {
    FailJob,
    Ignore,
    Count,
}

/// A match on exit codes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct OnExitCodes {
    /// The container that is looked at; absent: any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container_name: Option<String>,
    /// In or `NotIn`.
    pub operator: ExitCodeOperator,
    /// Exit codes from 0 to 255; 0 not with In.
    #[schemars(length(max = 255), extend("x-kubernetes-list-type" = "atomic"))]
    pub values: Vec<i64>,
}

/// Comparison of exit codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[expect(missing_docs, reason = "said once, at the field")]
pub enum ExitCodeOperator {
    In,
    NotIn,
}

/// A match on one condition of a pod.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct OnPodCondition {
    /// The condition's type, such as `DisruptionTarget`.
    #[serde(rename = "type")]
    pub type_: String,
    /// The status it must have; default True.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
}

/// Retries of one step.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RetryPolicy {
    /// Number of times that a failed step is tried again; 0 is never. Default 3.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1000))]
    pub limit: Option<i64>,
    /// Time to wait before retry n, counted from 0: Fixed d, Linear d * (n + 1), Exponential d * factor^n with
    /// 10 % jitter; never more than maxDuration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backoff: Option<Backoff>,
}

/// Growth of the wait between attempts.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Backoff {
    /// Growth of the wait from retry to retry. Default Exponential.
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    pub type_: Option<BackoffType>,
    /// The factor of Exponential, at least 1. Default 2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1.0, max = 1000.0))]
    pub factor: Option<f64>,
    /// The first wait, as a Go duration such as 500ms, 10s or 1m30s; more than 0, at most 30 days. Default 1s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration: Option<String>,
    /// The longest wait. Default 10m.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_duration: Option<String>,
}

/// Growth of the wait between attempts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[expect(missing_docs, reason = "said once, at the field")]
pub enum BackoffType {
    Exponential,
    Linear,
    Fixed,
}
