//! What would happen if one step failed for good.

use crate::flows::api::{JobFlowSpec, OnStepFailure};
use crate::flows::dag::Dag;

/// How a step would end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It is the step that fails.
    Fails,
    /// It was done before, because the failing step waited for it.
    Done,
    /// It runs as if nothing had happened.
    Runs,
    /// Skipped with the reason `UpstreamFailed`: it waits for the failed step, directly or not.
    UpstreamFailed,
    /// What it is at that moment decides: if it runs it finishes, if it has not started it is Skipped with the
    /// reason `FlowFailed`.
    FinishesIfRunning,
    /// What it is at that moment decides: if it runs it is Cancelled, if it has not started it is Skipped with the
    /// reason `FlowFailed`.
    CancelledIfRunning,
}

/// How a flow would end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The end of every step, in document order.
    pub steps: Vec<End>,
    /// Whether the flow would be Failed; else Succeeded.
    pub flow_fails: bool,
    /// The reaction that the flow asks for.
    pub reaction: OnStepFailure,
}

/// What would happen if `failing` failed for good, all other steps that run succeeded and no `when` skipped one.
pub fn fail(spec: &JobFlowSpec, failing: usize) -> Failure {
    let dag = Dag::new(&spec.steps);
    let ancestors = dag.ancestors();
    let policy = spec.execution_policy.as_ref();
    let reaction = policy.and_then(|policy| policy.on_step_failure).unwrap_or(OnStepFailure::FinishRunning);
    let tolerated = spec.steps[failing].continue_on_failure == Some(true);
    let end = |step: usize| {
        if step == failing {
            End::Fails
        } else if ancestors.contains(failing, step) {
            End::Done
        } else if tolerated {
            End::Runs
        } else if ancestors.contains(step, failing) {
            End::UpstreamFailed
        } else {
            match reaction {
                OnStepFailure::RunIndependent => End::Runs,
                // A Manual step that waits would wait for nothing: it is cancelled either way.
                OnStepFailure::FinishRunning if !spec.steps[step].is_manual() => End::FinishesIfRunning,
                OnStepFailure::FinishRunning | OnStepFailure::CancelRunning => End::CancelledIfRunning,
            }
        }
    };
    Failure { steps: (0..spec.steps.len()).map(end).collect(), flow_fails: !tolerated, reaction }
}
