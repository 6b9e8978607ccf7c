//! The end of a case, in the terms of the specification.

use super::reference::Micros;
use crate::flows::api::StepPhase;

/// The end of a flow, or its last state if nothing can happen any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Ending {
    pub(super) steps: Vec<StepEnding>,
    pub(super) started: Option<Micros>,
    /// The time of its end, and the reason of its failure, if it failed.
    pub(super) over: Option<(Micros, Option<FlowWhy>)>,
    /// The first step that failed and was not tolerated.
    pub(super) failed: Option<usize>,
}

/// The end of a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct StepEnding {
    pub(super) phase: StepPhase,
    pub(super) why: Why,
    /// Attempts that were started.
    pub(super) attempts: i64,
    pub(super) started: Option<Micros>,
    pub(super) ended: Option<Micros>,
}

/// The reason of a step's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Why {
    /// It has not ended, or needs no reason.
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

/// The reason of a flow's failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FlowWhy {
    StepFailed,
    BackoffLimitExceeded,
    ActiveDeadlineExceeded,
}
