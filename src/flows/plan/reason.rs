//! The vocabulary of the status: why a step waits, why it ended, and why a flow is stopped.

use crate::flows::api::{FlowReason, StepPhase, StepReason, StepStatus, WaitingReason};

/// The type of the condition of a flow that continues although its spec would not be admitted any more.
pub(super) const NO_LONGER_VALID: &str = "SpecNoLongerValid";
/// The message about a Job that is gone and whose end was not seen: it may have succeeded.
pub(super) const UNSEEN: &str = "its Job is gone, and how it ended was not seen";

/// An external reason to stop everything that runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// `activeDeadlineSeconds` have passed.
    Deadline,
    /// A newer flow of the same key, given by its name, replaces this one.
    Replaced(String),
    /// The spec was changed, past admission, into one that cannot be run.
    Broken { reason: &'static str, message: String },
}

impl Stop {
    /// The reason of the flow's condition Ready.
    pub(super) fn reason(&self) -> &'static str {
        match self {
            Self::Deadline => FlowReason::ActiveDeadlineExceeded.as_str(),
            Self::Replaced(_) => FlowReason::Replaced.as_str(),
            Self::Broken { reason, .. } => reason,
        }
    }

    /// The reason of a step that it stops.
    pub(super) fn step_reason(&self) -> StepReason {
        match self {
            Self::Deadline => StepReason::DeadlineExceeded,
            Self::Replaced(_) => StepReason::Replaced,
            Self::Broken { .. } => StepReason::FlowFailed,
        }
    }
}

/// Tells whether a step waits for this reason.
pub(super) fn is_waiting(step: &StepStatus, reason: WaitingReason) -> bool {
    step.waits_for() == Some(reason)
}

/// Tells whether a step was skipped because of a failure, and not by its own `when`.
pub(super) fn is_skipped_by_failure(step: &StepStatus) -> bool {
    step.phase == Some(StepPhase::Skipped)
        && matches!(step.reason(), Some(StepReason::UpstreamFailed | StepReason::FlowFailed))
}

/// Tells whether a step ended before its Job did.
pub(super) fn was_stopped(step: &StepStatus) -> bool {
    step.phase == Some(StepPhase::Cancelled) || step.reason() == Some(StepReason::StepTimeout)
}
