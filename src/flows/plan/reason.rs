//! Why a step waits, ends or is stopped, in the words of the status.

use crate::flows::api::{StepPhase, StepStatus};

/// The reason of a step whose failure was one more than the flow's `backoffLimit` allows.
pub(super) const RETRIES_USED_UP: &str = "FlowBackoffLimitExceeded";
/// The reason of a step whose Job has the name of somebody else's.
pub(super) const NAME_CONFLICT: &str = "NameConflict";
/// The condition of a flow that goes on though its spec would not be admitted any more.
pub(super) const NO_LONGER_VALID: &str = "SpecNoLongerValid";
/// What is said of a Job whose end nobody saw: it may have done its work.
pub(super) const UNSEEN: &str = "its Job is gone, and how it ended was not seen";

/// Why a step waits, as `waiting.reason` says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WaitingReason {
    Dependencies,
    Approval,
    Parallelism,
    Retry,
    Concurrency,
    Suspended,
    Reference,
    Quota,
    Unavailable,
    Unschedulable,
    ImagePull,
    ContainerConfig,
}

impl WaitingReason {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Dependencies => "Dependencies",
            Self::Approval => "Approval",
            Self::Parallelism => "Parallelism",
            Self::Retry => "Retry",
            Self::Concurrency => "Concurrency",
            Self::Suspended => "Suspended",
            Self::Reference => "Reference",
            Self::Quota => "Quota",
            Self::Unavailable => "Unavailable",
            Self::Unschedulable => "Unschedulable",
            Self::ImagePull => "ImagePull",
            Self::ContainerConfig => "ContainerConfig",
        }
    }

    /// Dependencies say it by themselves, and most steps of a large flow wait for some.
    pub(super) fn has_since(self) -> bool {
        self != Self::Dependencies
    }
}

/// Whether a step waits for this reason.
pub(super) fn is_waiting(step: &StepStatus, reason: WaitingReason) -> bool {
    step.waiting.as_ref().is_some_and(|waiting| waiting.reason == reason.word())
}

/// Whether a phase is final.
pub(super) fn is_final(phase: StepPhase) -> bool {
    matches!(phase, StepPhase::Succeeded | StepPhase::Failed | StepPhase::Skipped | StepPhase::Cancelled)
}

/// Why everything that runs is stopped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// `activeDeadlineSeconds` is over.
    Deadline,
    /// A newer flow of the same key takes its place.
    Replaced(String),
    /// The spec was changed, past admission, into one that cannot be run.
    Broken { reason: &'static str, message: String },
}

impl Stop {
    /// The reason of the flow's condition Ready.
    pub(super) fn reason(&self) -> &'static str {
        match self {
            Self::Deadline => "ActiveDeadlineExceeded",
            Self::Replaced(_) => "Replaced",
            Self::Broken { reason, .. } => reason,
        }
    }

    /// The reason of a step that is stopped by it.
    pub(super) fn step_reason(&self) -> &'static str {
        match self {
            Self::Deadline => "DeadlineExceeded",
            Self::Replaced(_) => "Replaced",
            Self::Broken { .. } => "FlowFailed",
        }
    }
}

/// Whether a step was skipped because of a failure, and not by its own `when`.
pub(super) fn is_skipped_by_failure(step: &StepStatus) -> bool {
    step.phase == Some(StepPhase::Skipped)
        && matches!(step.reason.as_deref(), Some("UpstreamFailed" | "FlowFailed"))
}

/// Whether a step ended before its Job did.
pub(super) fn was_stopped(step: &StepStatus) -> bool {
    step.phase == Some(StepPhase::Cancelled) || step.reason.as_deref() == Some("StepTimeout")
}
