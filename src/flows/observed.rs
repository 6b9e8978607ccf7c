//! What the cluster shows of a flow's Jobs and pods: no more than decisions, messages and result documents need.
//!
//! The engine keeps thousands of these in memory, so they are small, and owned strings are boxed. They are made from
//! what a watch delivers ([`view`]), by [`Job::from_view`] and [`Pod::from_view`]; nothing here is ever written back.
//!
//! A view shows each object as it was at some moment, and a Job and its pods not at the same one: who decides from it
//! must be right whichever of the two is behind.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

#[cfg(test)]
pub(crate) mod fixtures;
mod job;
mod pod;
pub mod view;

pub use job::flow as owner;

/// What tells an object from every other: `namespace/name/uid`. A UID alone would be a claim that anybody can make, in
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
    /// When it was created.
    pub created: Timestamp,
    /// Whether it is being deleted.
    pub deleting: bool,
    /// The containers that the step's template has, a comma between each two: what else stands in a pod was put there
    /// by somebody else. The first one speaks for the step; init containers come last.
    pub containers: Box<str>,
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

impl JobConditionKind {
    /// Whether nothing follows: the targets become final through these.
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
    /// How many containers were put into it while it ran, such as by `kubectl debug`.
    pub ephemeral: usize,
    /// Why it does not run yet, if it says so.
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

    /// The container that speaks for the step.
    pub fn speaker(&self) -> Option<&str> {
        self.containers.split(',').next().filter(|name| !name.is_empty())
    }

    /// Whether a container stands in the step's template.
    pub fn has_container(&self, name: &str) -> bool {
        self.containers.split(',').any(|known| known == name)
    }
}

impl Pod {
    /// Whether it is a pod of this Job.
    pub fn is_of(&self, job: &Job) -> bool {
        self.job.split('/').eq([job.namespace(), &job.name, &job.uid])
    }

    /// Whether it has come to its end.
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
