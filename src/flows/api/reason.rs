//! Reasons: one word each for what happened to a step or a flow, in statuses, conditions and Events.

use super::words::words;

words! {
    /// The reason for which a step ended, as far as headworks itself gives it. A step whose Job failed carries the
    /// reason of the Job's condition instead.
    pub enum StepReason {
        /// The flow's deadline passed.
        DeadlineExceeded,
        /// The flow failed, and its policy stops this step.
        FlowFailed,
        /// The flow's `backoffLimit` is used up, so this step is not tried again.
        FlowBackoffLimitExceeded,
        /// A newer flow of the same concurrency group replaced this one.
        Replaced,
        /// A step that this one depends on failed.
        UpstreamFailed,
        /// Its `when` is false.
        WhenFalse,
        /// It ran longer than its `timeoutSeconds`.
        StepTimeout,
        /// The API server refused its Job.
        JobRefused,
        /// Its Job is gone, and nobody saw how it ended.
        JobLost,
        /// Another object has the name of its Job.
        NameConflict,
        /// Somebody rejected it.
        Rejected,
        /// An expression or template could not be evaluated.
        ExpressionFailed,
        /// A parameter does not fit its declaration.
        ParameterInvalid,
        /// An output does not fit its declaration.
        OutputInvalid,
        /// An output was not written.
        OutputMissing,
        /// Values or templates are larger than an object may be.
        DataTooLarge,
    }
}

words! {
    /// The reason for which a step waits.
    pub enum WaitingReason {
        /// For the steps that it depends on.
        Dependencies,
        /// For somebody's approval.
        Approval,
        /// For a free place under `maxParallel` or the like.
        Parallelism,
        /// For the next attempt.
        Retry,
        /// For another flow of its concurrency group.
        Concurrency,
        /// For the flow to be resumed.
        Suspended,
        /// For an object that it reads.
        Reference,
        /// For quota.
        Quota,
        /// For the API server, or a webhook in its way.
        Unavailable,
        /// For a node that its pod fits on.
        Unschedulable,
        /// For an image.
        ImagePull,
        /// For what its container's configuration names.
        ContainerConfig,
    }
}

words! {
    /// The reason of an Event about a flow.
    #[expect(missing_docs, reason = "the names say it")]
    pub enum EventReason {
        FlowStarted,
        FlowSucceeded,
        FlowFailed,
        FlowPaused,
        FlowSuspended,
        FlowResumed,
        SpecNoLongerValid,
        StepStarted,
        StepRetry,
        StepPendingApproval,
        StepApproved,
        StepRejected,
        StepSucceeded,
        StepFailed,
        StepTimeout,
        StepSkipped,
        StepCancelled,
    }
}

words! {
    /// The reason of a flow's conditions.
    pub enum FlowReason {
        /// It waits for its start.
        FlowPending,
        /// It runs.
        FlowRunning,
        /// It is suspended.
        FlowSuspended,
        /// It waits for approval, and nothing else runs.
        FlowPaused,
        /// Every step succeeded or was skipped.
        FlowSucceeded,
        /// A step failed.
        FlowFailed,
        /// Its deadline passed.
        ActiveDeadlineExceeded,
        /// Its retries are used up.
        BackoffLimitExceeded,
        /// A newer flow of its concurrency group replaced it.
        Replaced,
        /// Its status does not fit into one object.
        StatusTooLarge,
        /// Its spec breaks a rule.
        ValidationFailed,
        /// Its dependencies form a cycle.
        DAGCycle,
    }
}
