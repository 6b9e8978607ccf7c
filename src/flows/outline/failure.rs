//! The effect of the final failure of one step.

use crate::flows::api::{JobFlowSpec, OnStepFailure};
use crate::flows::dag::Dag;

/// The end that a step would have.
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
    /// Its phase at that moment decides: if it runs, it finishes; if it has not started, it is Skipped with the reason
    /// `FlowFailed`.
    FinishesIfRunning,
    /// Its phase at that moment decides: if it runs, it is Cancelled; if it has not started, it is Skipped with the
    /// reason `FlowFailed`.
    CancelledIfRunning,
}

/// The end that a flow would have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The end of every step, in document order.
    pub steps: Vec<End>,
    /// True if the flow would be Failed; else it would be Succeeded.
    pub flow_fails: bool,
    /// The reaction that the flow asks for.
    pub reaction: OnStepFailure,
}

/// Predicts the end of every step if `failing` failed for good, all other steps that run succeeded and no `when`
/// skipped one.
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
                // The approval of a Manual step would change nothing any more: it is cancelled in either case.
                OnStepFailure::FinishRunning if !spec.steps[step].is_manual() => End::FinishesIfRunning,
                OnStepFailure::FinishRunning | OnStepFailure::CancelRunning => End::CancelledIfRunning,
            }
        }
    };
    Failure { steps: (0..spec.steps.len()).map(end).collect(), flow_fails: !tolerated, reaction }
}
