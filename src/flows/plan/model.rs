//! The planner's input and output: what is known of a flow's surroundings, and what to do next.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use crate::flows::api::{JobFlowStatus, ObjectRef};
use crate::flows::eval::{Rendered, Source, Sources};
use crate::flows::observed::{Job, Pod};
use crate::flows::outcome;
use crate::flows::outcome::Outcome;

/// The cluster state around a flow.
#[derive(Clone, Default)]
pub struct Observed {
    /// Every Job that says it is the flow's, with its pods, except those that a plan called
    /// [`prunable`](Plan::prunable). The Job of an attempt is the one that the step's `jobRef` names; any other one
    /// decides nothing.
    pub jobs: Vec<JobSeen>,
    /// Other flows of the same `concurrencyKey` in the namespace.
    pub rivals: Vec<Rival>,
    /// The time that each step took in the last flow of the key that succeeded.
    pub durations: BTreeMap<String, SignedDuration>,
    /// The validator's verdict on this generation of the spec.
    pub verdict: Verdict,
    /// ConfigMaps and Secrets that were read for this decision.
    pub sources: Sources,
    /// The Job controller's last message about pods that it could not create, by the Job's UID; `None` if there was
    /// none.
    pub complaints: BTreeMap<String, Option<String>>,
    /// The objects of the resource templates, or why they could not be created: the outcome of
    /// [`Action::CreateResources`], `None` until it was carried out for this plan.
    pub resources: Option<Result<Vec<ObjectRef>, Refusal>>,
    /// The API server's answer to the last try at creating a Job, by (step, attempt).
    pub refused: BTreeMap<(String, i64), Refusal>,
}

/// A Job and its pods.
#[derive(Clone, Debug)]
pub struct JobSeen {
    /// The Job; if it is gone, its last observed state.
    pub job: Arc<Job>,
    /// The pods that it owns.
    pub pods: Vec<Arc<Pod>>,
    /// Pods of the Job that ended and were deleted since: their results still count.
    pub ended: Vec<Arc<Pod>>,
    /// Set once the Job is gone.
    pub gone: Option<Gone>,
}

/// The way in which a Job disappeared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gone {
    /// Its deletion was seen, and so was everything before it.
    Seen,
    /// It was missing from a list: what happened in between is not known.
    Missed,
}

impl JobSeen {
    /// A Job that exists.
    pub fn new(job: Arc<Job>, pods: Vec<Arc<Pod>>) -> Self {
        Self { job, pods, ended: Vec::new(), gone: None }
    }

    /// All pods of the Job that were seen, deleted ones included.
    pub fn all_pods(&self) -> Vec<&Pod> {
        self.pods.iter().chain(&self.ended).map(AsRef::as_ref).collect()
    }

    /// The Job's outcome, if it is decided.
    pub(super) fn outcome(&self, by_condition: bool) -> Option<Outcome> {
        match self.gone {
            None => outcome::outcome(&self.job, &self.all_pods(), by_condition),
            Some(_) => outcome::of_gone(&self.job, &self.all_pods()),
        }
    }
}

/// Another flow of the same `concurrencyKey`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "four facts that say nothing of each other")]
pub struct Rival {
    /// Its name.
    pub name: String,
    /// Its UID.
    pub uid: String,
    /// Its creation time.
    pub created: Timestamp,
    /// True once it has started.
    pub started: bool,
    /// True once it is over and none of its Jobs runs any more.
    pub over: bool,
    /// True if it is queued for its start: valid, not suspended, not being deleted.
    pub queued: bool,
    /// True if its policy is Replace.
    pub replaces: bool,
}

/// The validator's verdict.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Verdict {
    /// The spec can be run.
    #[default]
    Sound,
    /// The spec cannot be run.
    Broken {
        /// ValidationFailed or DAGCycle.
        reason: &'static str,
        /// Every error, one a line.
        message: String,
    },
}

/// The API server's refusal to create an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The consequence.
    pub kind: RefusalKind,
    /// The API server's message.
    pub message: String,
    /// The time of the answer.
    pub at: Timestamp,
    /// The time of the next try; only if another try may help.
    pub again: Option<Timestamp>,
}

/// The consequence of a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefusalKind {
    /// A quota is used up: try again.
    Quota,
    /// Overload, a timeout, a conflict: try again.
    Transient,
    /// An object of that name exists, and the flow does not own it.
    NameConflict,
    /// The API server will never accept the object.
    Invalid,
}

/// A plan: what to do next.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// The status that the flow should have; if it differs, it is written before anything else is done.
    pub status: JobFlowStatus,
    /// True if no action follows from the change of the status, so that its write may wait a little and include later
    /// changes.
    pub may_wait: bool,
    /// The actions to take after that, in this order.
    pub actions: Vec<Action>,
    /// The time to plan again even if nothing happens.
    pub due: Option<Timestamp>,
    /// Missing input. If there is any, read it and plan again: status and actions hold only for what does not depend on
    /// it.
    pub needs: Needs,
    /// Events to publish once the status is written.
    pub events: Vec<Event>,
    /// UIDs of Jobs that no later plan needs once the status is written: they may be left out of [`Observed::jobs`].
    pub prunable: Vec<Box<str>>,
}

/// Input that a plan lacks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// ConfigMaps and Secrets.
    pub sources: BTreeSet<Source>,
    /// The Job controller's messages about Jobs that have no pod, by the Job's UID.
    pub complaints: BTreeSet<String>,
}

/// An action. Each is safe to repeat.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Create the objects of the resource templates, or find those that an earlier try created, and plan again with the
    /// outcome in [`Observed::resources`]. It is the only action of its plan, whose status is the flow's own: these
    /// objects need no record before they are created, since their names follow from the spec alone.
    CreateResources,
    /// Create the Job of an attempt.
    CreateJob {
        /// The step, by its index.
        step: usize,
        /// The attempt, counted from 1.
        attempt: i64,
        /// The Job's name.
        name: String,
        /// The rendered template.
        rendered: Box<Rendered>,
    },
    /// Delete a Job and its pods.
    DeleteJob {
        /// Its name.
        name: String,
        /// Its UID: another Job of that name is left alone.
        uid: String,
    },
    /// Delete the flow: its TTL has passed.
    DeleteFlow,
}

/// A transition, to be published as a Kubernetes Event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// One word, such as StepFailed.
    pub reason: &'static str,
    /// True if somebody should look at it: an Event of the type Warning.
    pub warning: bool,
    /// The step, by its index, if the Event is about one.
    pub step: Option<usize>,
    /// A sentence.
    pub message: String,
}
