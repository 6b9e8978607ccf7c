//! Jobs and pods of a flow as the cluster shows them, reduced to what decisions, messages and result documents need.
//!
//! The controller keeps thousands of these in memory, so they are small, and owned strings are boxed. They are made
//! from what a watch delivers ([`view`]), by [`Job::from_view`] and [`Pod::from_view`]; nothing here is ever written
//! back.
//!
//! A view shows each object as it was at some moment, and a Job and its pods not at the same one: a decision
//! must be right whichever of the two is behind.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

#[cfg(test)]
pub(crate) mod fixtures;
mod job;
mod pod;
pub mod view;

pub use job::flow as owner;

/// The identity of an object: `namespace/name/uid`. A UID alone would be a claim that anybody can make, in
/// the ownerReferences of any object in any namespace.
pub fn id(namespace: &str, name: &str, uid: &str) -> Box<str> {
    format!("{namespace}/{name}/{uid}").into()
}

/// The [`id`] of the object that has this metadata.
pub fn id_of(metadata: &ObjectMeta) -> Box<str> {
    let text = |text: &Option<String>| text.as_deref().unwrap_or_default().to_owned();
    id(&text(&metadata.namespace), &text(&metadata.name), &text(&metadata.uid))
}

/// A Job that headworks made for one attempt at a step.
#[derive(Clone, Debug, PartialEq)]
pub struct Job {
    /// Its name.
    pub name: Box<str>,
    /// Its UID.
    pub uid: Box<str>,
    /// The [`id`] of the flow that owns it, which is in its own namespace: no owner can be in another.
    pub flow: Box<str>,
    /// The step, as its label says.
    pub step: Box<str>,
    /// The attempt, counted from 1.
    pub attempt: i64,
    /// The creation time.
    pub created: Timestamp,
    /// True while it is being deleted.
    pub deleting: bool,
    /// The containers of the step's template, separated by commas: any other container in a pod was injected by
    /// somebody else. The output of the first one is the step's; init containers come last.
    pub containers: Box<str>,
    /// The fields of the spec that decide how its pods count.
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
    /// True if `completionMode` is Indexed.
    pub indexed: bool,
    /// `backoffLimit`; the API server writes the default of 6.
    pub backoff_limit: Option<i64>,
    /// True if there is a `backoffLimitPerIndex`.
    pub backoff_limit_per_index: bool,
    /// True if there is a `podFailurePolicy`.
    pub pod_failure_policy: bool,
    /// True if there is a `successPolicy`.
    pub success_policy: bool,
    /// True if another controller than the Job controller manages it (`managedBy`).
    pub managed_by_other: bool,
    /// True while it is suspended.
    pub suspended: bool,
    /// True if `restartPolicy` is Never.
    pub restart_never: bool,
}

/// A condition of a Job that is True.
#[derive(Clone, Debug, PartialEq)]
pub struct JobCondition {
    /// The type of the condition.
    pub kind: JobConditionKind,
    /// One word, such as `BackoffLimitExceeded`.
    pub reason: Box<str>,
    /// The Job controller's message.
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

impl JobConditionKind {
    /// Tells whether the condition is final: the targets become final through Complete and Failed.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Complete | Self::Failed)
    }
}

/// A pod of such a Job.
#[derive(Clone, Debug, PartialEq)]
pub struct Pod {
    /// Its name.
    pub name: Box<str>,
    /// Its UID.
    pub uid: Box<str>,
    /// The [`id`] of the Job that owns it, which is in its own namespace.
    pub job: Box<str>,
    /// The creation time.
    pub created: Timestamp,
    /// True while it is being deleted.
    pub deleting: bool,
    /// True while the Job has yet to count it: it still has the finalizer `batch.kubernetes.io/job-tracking`. The Job
    /// controller takes that away once it has counted the pod, or when it will never count it.
    pub tracked: bool,
    /// Its phase.
    pub phase: PodPhase,
    /// The restarts of all its containers together; the number never falls.
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
    /// The number of containers that were added to it while it ran, such as by `kubectl debug`.
    pub ephemeral: usize,
    /// The reason why it does not run yet, if it gives one.
    pub waiting: Option<PodWaiting>,
}

impl Job {
    /// The [`id`] of the Job itself.
    pub fn id(&self) -> Box<str> {
        id(self.namespace(), &self.name, &self.uid)
    }

    /// Its namespace, which is the flow's.
    pub fn namespace(&self) -> &str {
        self.flow.split('/').next().unwrap_or_default()
    }

    /// The container whose output is the step's.
    pub fn speaker(&self) -> Option<&str> {
        self.containers.split(',').next().filter(|name| !name.is_empty())
    }

    /// Tells whether a container is in the step's template.
    pub fn has_container(&self, name: &str) -> bool {
        self.containers.split(',').any(|known| known == name)
    }
}

impl Pod {
    /// Tells whether it is a pod of this Job.
    pub fn is_of(&self, job: &Job) -> bool {
        self.job.split('/').eq([job.namespace(), &job.name, &job.uid])
    }

    /// Tells whether it has ended.
    pub fn has_ended(&self) -> bool {
        matches!(self.phase, PodPhase::Succeeded | PodPhase::Failed)
    }
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

/// A container of a pod.
#[derive(Clone, Debug, PartialEq)]
pub struct Container {
    /// Its name.
    pub name: Box<str>,
    /// True for an init container.
    pub init: bool,
    /// True for an init container that runs beside the others and is stopped after them.
    pub sidecar: bool,
    /// Its end, if it has ended.
    pub ended: Option<Ended>,
}

/// The end of a container.
#[derive(Clone, Debug, PartialEq)]
pub struct Ended {
    /// Its exit code.
    pub exit_code: i64,
    /// The reason, such as Completed, Error or OOMKilled.
    pub reason: Box<str>,
    /// The text that it wrote to its termination message path; at most 4,096 bytes.
    pub message: Box<str>,
    /// The time of its start, in whole seconds.
    pub started: Option<Timestamp>,
    /// The time of its end, in whole seconds.
    pub finished: Option<Timestamp>,
}

/// The reason why a pod does not run.
#[derive(Clone, Debug, PartialEq)]
pub struct PodWaiting {
    /// The kind of the reason.
    pub kind: PodWaitingKind,
    /// The cluster's message.
    pub message: Box<str>,
    /// The start of the wait, if the cluster gives it.
    pub since: Option<Timestamp>,
}

/// Reasons for which a pod does not run, as `waiting.reason` of a step names them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PodWaitingKind {
    /// No node fits.
    Unschedulable,
    /// The image cannot be pulled.
    ImagePull,
    /// A container cannot be created, because a ConfigMap, Secret or volume is missing.
    ContainerConfig,
}

#[cfg(test)]
mod tests;
