//! What the cluster shows of a flow's Jobs and pods: no more than decisions, messages and result documents need.
//!
//! The engine keeps thousands of these in memory, so they are small, and owned strings are boxed. They are made from
//! what a watch delivers ([`view`]), by [`Job::from_view`] and [`Pod::from_view`]; nothing here is ever written back.
//!
//! A view shows each object as it was at some moment, and a Job and its pods not at the same one: who decides from it
//! must be right whichever of the two is behind.

use jiff::Timestamp;

#[cfg(test)]
pub(crate) mod fixtures;
mod job;
mod pod;
pub mod view;

/// A Job that headworks made for one attempt at a step.
#[derive(Clone, Debug, PartialEq)]
pub struct Job {
    /// Its name.
    pub name: Box<str>,
    /// Its UID.
    pub uid: Box<str>,
    /// The UID of the flow that owns it.
    pub flow: Box<str>,
    /// The step.
    pub step: Box<str>,
    /// The attempt, counted from 1.
    pub attempt: i64,
    /// When it was created.
    pub created: Timestamp,
    /// Whether it is being deleted.
    pub deleting: bool,
    /// What decides how its pods count.
    pub shape: JobShape,
    /// Its conditions that are True, in the order of the API.
    pub conditions: Vec<JobCondition>,
    /// `status.active`.
    pub active: i64,
    /// `status.succeeded`: pods that succeeded, have been counted, and have lost their finalizer for it.
    pub succeeded: i64,
    /// `status.failed`: the same of pods that failed.
    pub failed: i64,
    /// `status.completedIndexes`, such as `0-2,5`: indexes that are done for good.
    pub completed_indexes: Option<Box<str>>,
    /// `{metadata: {name, namespace, uid, labels, annotations}, spec: {...}, status: {...}}` as compact JSON: the part
    /// of a result document that comes from the Job. The pod template and the selector are left out.
    pub document: Box<str>,
}

/// The fields of a Job's spec that decide how its pods count.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a field of its own that is there or not")]
pub struct JobShape {
    /// `completions`; `None` for a work queue, whose end only the Job controller knows.
    pub completions: Option<i64>,
    /// Whether `completionMode` is Indexed.
    pub indexed: bool,
    /// `backoffLimit`; the API server writes the default of 6.
    pub backoff_limit: Option<i64>,
    /// Whether there is a `backoffLimitPerIndex`.
    pub backoff_limit_per_index: bool,
    /// Whether there is a `podFailurePolicy`.
    pub pod_failure_policy: bool,
    /// Whether there is a `successPolicy`.
    pub success_policy: bool,
    /// Whether somebody else than the Job controller manages it (`managedBy`).
    pub managed_by_other: bool,
    /// Whether it is suspended.
    pub suspended: bool,
    /// Whether `restartPolicy` is Never.
    pub restart_never: bool,
}

/// A condition of a Job that is True.
#[derive(Clone, Debug, PartialEq)]
pub struct JobCondition {
    /// Which.
    pub kind: JobConditionKind,
    /// One word, such as `BackoffLimitExceeded`.
    pub reason: Box<str>,
    /// The Job controller's words.
    pub message: Box<str>,
    /// `lastTransitionTime`, in whole seconds.
    pub at: Option<Timestamp>,
}

/// Conditions of Jobs (KEP-3998, KEP-3939): the targets become final through Complete and Failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the API's own names")]
pub enum JobConditionKind {
    Complete,
    Failed,
    SuccessCriteriaMet,
    FailureTarget,
    Suspended,
}

/// A pod of such a Job.
#[derive(Clone, Debug, PartialEq)]
pub struct Pod {
    /// Its name.
    pub name: Box<str>,
    /// Its UID.
    pub uid: Box<str>,
    /// The UID of the Job that owns it.
    pub job: Box<str>,
    /// When it was created.
    pub created: Timestamp,
    /// Whether it is being deleted.
    pub deleting: bool,
    /// Whether the Job has yet to count it: it still has the finalizer `batch.kubernetes.io/job-tracking`. The Job
    /// controller takes that away once it has counted the pod, or when it will never count it.
    pub tracked: bool,
    /// Where it stands.
    pub phase: PodPhase,
    /// How often containers of it have been restarted, all together; it never falls.
    pub restarts: i64,
    /// Its completion index, in an Indexed Job.
    pub index: Option<i64>,
    /// The node it was bound to.
    pub node: Option<Box<str>>,
    /// `status.reason`, such as Evicted.
    pub reason: Option<Box<str>>,
    /// `status.message`.
    pub message: Option<Box<str>>,
    /// The containers, in the order of the spec, init containers first.
    pub containers: Vec<Container>,
    /// Why it does not run yet, if it says so.
    pub waiting: Option<PodWaiting>,
}

/// Phases of pods.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the API's own names")]
pub enum PodPhase {
    Pending,
    Running,
    Succeeded,
    Failed,
    Unknown,
}

/// A container that has ended, or has not.
#[derive(Clone, Debug, PartialEq)]
pub struct Container {
    /// Its name.
    pub name: Box<str>,
    /// Whether it is an init container.
    pub init: bool,
    /// Whether it is an init container that runs beside the others and is stopped after them.
    pub sidecar: bool,
    /// How it ended, if it has.
    pub ended: Option<Ended>,
}

/// How a container ended.
#[derive(Clone, Debug, PartialEq)]
pub struct Ended {
    /// Its exit code.
    pub exit_code: i64,
    /// Such as Completed, Error or OOMKilled.
    pub reason: Box<str>,
    /// What it wrote to its termination message path; at most 4,096 bytes.
    pub message: Box<str>,
    /// When it started, in whole seconds.
    pub started: Option<Timestamp>,
    /// When it ended, in whole seconds.
    pub finished: Option<Timestamp>,
}

/// Why a pod does not run.
#[derive(Clone, Debug, PartialEq)]
pub struct PodWaiting {
    /// Which kind of reason.
    pub kind: PodWaitingKind,
    /// The cluster's words.
    pub message: Box<str>,
    /// Since when, where the cluster says so.
    pub since: Option<Timestamp>,
}

/// Reasons for which a pod does not run, as `waiting.reason` of a step names them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PodWaitingKind {
    /// No node fits.
    Unschedulable,
    /// The image cannot be pulled.
    ImagePull,
    /// A container cannot be made, for want of a ConfigMap, Secret or volume.
    ContainerConfig,
}

#[cfg(test)]
mod tests;
