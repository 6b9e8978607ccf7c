//! The `JobFlow` of a case.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::json;

use super::case::{Case, Retry, Step, When};
use super::reference::Micros;
use crate::flows::api;
use crate::flows::api::{Backoff, ExecutionPolicy, JobFlow, JobFlowSpec, RetryPolicy, StepType};

/// The flow's UID: waits with jitter are derived from it.
pub(super) const UID: &str = "6f2f6f4e-7b86-4c0e-9f55-0c7d7e3f6a11";

/// An instant of a case.
pub(super) fn instant(at: Micros) -> Timestamp {
    Timestamp::constant(1_800_000_000, 0) + SignedDuration::from_micros(at)
}

/// Converts a time to an instant of its case. A fraction of a microsecond is rounded up.
pub(super) fn micros(at: Timestamp) -> Micros {
    let since = at.duration_since(instant(0));
    let whole = i64::try_from(since.as_micros()).expect("cases are short");
    whole + i64::from(since.subsec_nanos() % 1_000 != 0)
}

/// The flow as it is created.
pub(super) fn flow(case: &Case) -> JobFlow {
    let spec = JobFlowSpec {
        execution_policy: Some(ExecutionPolicy {
            backoff_limit: case.backoff_limit,
            parallelism: case.parallelism,
            active_deadline_seconds: case.deadline,
            on_step_failure: case.reaction,
            ttl_seconds_after_finished: case.ttl,
            ..ExecutionPolicy::default()
        }),
        steps: case.steps.iter().enumerate().map(|(i, s)| step(i, s)).collect(),
        ..JobFlowSpec::default()
    };
    let mut flow = JobFlow::new("flow", spec);
    flow.metadata.uid = Some(UID.to_owned());
    flow.metadata.namespace = Some("default".to_owned());
    flow.metadata.generation = Some(1);
    flow.metadata.creation_timestamp = Some(Time(instant(0)));
    flow
}

fn step(i: usize, step: &Step) -> api::Step {
    let mut template = json!({"spec": {"template": {"spec": {
        "restartPolicy": "Never", "containers": [{"name": "main", "image": "busybox:1.37"}],
    }}}});
    if let Some(limit) = step.job_backoff_limit {
        template["spec"]["backoffLimit"] = json!(limit);
    }
    api::Step {
        name: Case::name(i),
        type_: step.manual.then_some(StepType::Manual),
        dependencies: step.after.iter().map(|&i| Case::name(i)).collect(),
        when: step.when.map(when),
        continue_on_failure: step.tolerated.then_some(true),
        timeout_seconds: step.timeout,
        retry_policy: step.retry.as_ref().map(|retry| Box::new(retry_policy(retry))),
        template: (!step.manual).then(|| template.into()),
        ..api::Step::default()
    }
}

fn when(when: When) -> String {
    match when {
        When::Always => "true".to_owned(),
        When::Never => "false".to_owned(),
        When::Is(step, phase) => format!("steps.{}.phase == \"{phase:?}\"", Case::name(step)),
        When::IsNot(step, phase) => format!("steps.{}.phase != \"{phase:?}\"", Case::name(step)),
    }
}

/// The `retryPolicy` of a step.
pub(super) fn retry_policy(retry: &Retry) -> RetryPolicy {
    let text = |ms: i64| format!("{ms}ms");
    let backoff = Backoff {
        type_: retry.kind,
        factor: retry.factor,
        duration: retry.wait.map(text),
        max_duration: retry.longest.map(text),
    };
    RetryPolicy { limit: retry.limit, backoff: (backoff != Backoff::default()).then_some(backoff) }
}
