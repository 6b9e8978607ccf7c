//! How a case ends, in the words of the specification.

use super::reference::Micros;
use crate::flows::api::StepPhase;

/// How a flow ended, or where it stands when nothing can happen any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Ending {
    pub(super) steps: Vec<StepEnding>,
    pub(super) started: Option<Micros>,
    /// When it was over, and why it failed, if it did.
    pub(super) over: Option<(Micros, Option<FlowWhy>)>,
    /// The first step that failed and was not tolerated.
    pub(super) failed: Option<usize>,
}

/// How a step ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct StepEnding {
    pub(super) phase: StepPhase,
    pub(super) why: Why,
    /// Attempts that were started.
    pub(super) attempts: i64,
    pub(super) started: Option<Micros>,
    pub(super) ended: Option<Micros>,
}

/// Why a step ended as it did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Why {
    /// It has not ended, or nothing is to be explained.
    Nothing,
    /// Its Job failed.
    JobFailed,
    JobLost,
    StepTimeout,
    BackoffLimitExceeded,
    Rejected,
    WhenFalse,
    UpstreamFailed,
    FlowFailed,
    Deadline,
}

/// Why a flow failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FlowWhy {
    StepFailed,
    BackoffLimitExceeded,
    ActiveDeadlineExceeded,
}
