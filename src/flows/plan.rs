//! What to do next for a flow: one pure decision.
//!
//! [`plan`] looks at a flow, its Jobs and pods, and the time, and says what the status should be, what has to be done,
//! and when to look again. It does nothing itself. The shell in `engine/` writes the status first, guarded by the
//! resourceVersion, and only then acts: an intent is stored before the deed, so a crash between the two is healed by
//! planning again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use super::api::{JobFlow, JobFlowStatus, ObjectRef};
use super::eval::{Rendered, Source, Sources};
use super::observed::{Job, Pod};
use super::outcome;
use super::outcome::Outcome;

mod advance;
mod estimate;
mod events;
mod finished;
mod ledger;
mod line;
mod policy;
mod prune;
mod report;
mod settle;
mod start;
mod stop;

#[cfg(test)]
mod oracle;

pub use estimate::durations;
pub use policy::backoff;
pub use prune::prunable;

/// What to do next for `flow`, as the world looks at `now`.
///
/// The status that the plan starts from is the flow's own, so the flow has to be as fresh as its last write: the shell
/// guards the next write by the resourceVersion that it planned on. Planning twice on one world gives one answer, and
/// planning on a world that already is as the plan wants it gives a plan that changes nothing.
pub fn plan(flow: &JobFlow, observed: &Observed, now: Timestamp) -> Plan {
    let now = policy::microseconds(now);
    if flow.metadata.deletion_timestamp.is_some() {
        // Its Jobs go with it, by their ownerReferences; nothing is created for what goes.
        return Plan { status: flow.status.clone().unwrap_or_default(), ..Plan::default() };
    }
    if flow.status.as_ref().is_some_and(JobFlowStatus::has_unknown_phase) {
        // Another version wrote it and knows what to do; whatever we did might undo that.
        return Plan { status: flow.status.clone().unwrap_or_default(), ..Plan::default() };
    }
    if finished::is_over(flow) {
        return finished::plan(flow, observed, now);
    }
    let mut work = ledger::Work::new(flow, observed, now);
    if !work.has_started() && !start::start(&mut work) {
        return work.into_plan();
    }
    work.run();
    work.into_plan()
}

/// What is known of the world around a flow.
#[derive(Clone, Default)]
pub struct Observed {
    /// Every Job that says it is the flow's, with its pods, but for those that a plan called [`spent`](Plan::spent). The
    /// Job of an attempt is the one that the step's `jobRef` names; another one decides nothing.
    pub jobs: Vec<JobSeen>,
    /// Other flows of the same `concurrencyKey` in the namespace.
    pub rivals: Vec<Rival>,
    /// How long steps took in the last flow of the key that succeeded.
    pub took: BTreeMap<String, SignedDuration>,
    /// What the validator says of this generation of the spec.
    pub verdict: Verdict,
    /// ConfigMaps and Secrets that were read for this decision.
    pub sources: Sources,
    /// What the Job controller last said of pods that it could not create, by the Job's UID; `None` if it said nothing.
    pub complaints: BTreeMap<String, Option<String>>,
    /// What came of the resource templates, if they were asked for.
    pub resources: Option<Result<Vec<ObjectRef>, Refusal>>,
    /// What the API server said to the last try at creating a Job, by (step, attempt).
    pub refused: BTreeMap<(String, i64), Refusal>,
}

/// A Job and its pods.
#[derive(Clone, Debug)]
pub struct JobSeen {
    /// The Job; of one that is gone, the last that was seen of it.
    pub job: Arc<Job>,
    /// The pods that it owns.
    pub pods: Vec<Arc<Pod>>,
    /// Pods of it that had ended, and are gone: what they said still counts.
    pub ended: Vec<Arc<Pod>>,
    /// Whether it is gone.
    pub gone: Option<Gone>,
}

/// How a Job went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gone {
    /// Its deletion was seen, and so was all that came before.
    Seen,
    /// It was not there any more when it was looked for: what happened in between is not known.
    Missed,
}

impl JobSeen {
    /// A Job that is there.
    pub fn new(job: Arc<Job>, pods: Vec<Arc<Pod>>) -> Self {
        Self { job, pods, ended: Vec::new(), gone: None }
    }

    /// All pods of it that were seen.
    pub fn all_pods(&self) -> Vec<&Pod> {
        self.pods.iter().chain(&self.ended).map(AsRef::as_ref).collect()
    }

    /// How it ended, if that is decided.
    fn outcome(&self, by_condition: bool) -> Option<Outcome> {
        match self.gone {
            None => outcome::outcome(&self.job, &self.all_pods(), by_condition),
            Some(_) => outcome::of_gone(&self.job, &self.all_pods()),
        }
    }
}

/// Another flow of the same key.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "four facts that say nothing of each other")]
pub struct Rival {
    /// Its name.
    pub name: String,
    /// Its UID.
    pub uid: String,
    /// When it was created.
    pub created: Timestamp,
    /// Whether it has started.
    pub started: bool,
    /// Whether it is over, and no Job of it runs any more.
    pub over: bool,
    /// Whether it waits in line: sound, not suspended, not being deleted.
    pub in_line: bool,
    /// Whether its policy is Replace.
    pub replaces: bool,
}

/// What the validator said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Verdict {
    /// The spec can be run.
    #[default]
    Sound,
    /// It cannot.
    Broken {
        /// ValidationFailed or DAGCycle.
        reason: &'static str,
        /// Every error, one a line.
        message: String,
    },
}

/// Why the API server did not create something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// What follows from it.
    pub kind: RefusalKind,
    /// The API server's own words.
    pub message: String,
    /// When it said so.
    pub at: Timestamp,
    /// When to try again; only where trying again may help.
    pub again: Option<Timestamp>,
}

/// What follows from a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefusalKind {
    /// A quota is used up: try again.
    Quota,
    /// Overload, a timeout, a conflict: try again.
    Transient,
    /// An object of that name exists, and the flow does not own it.
    NameConflict,
    /// It will never be taken.
    Invalid,
}

/// What to do next.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// The status that the flow should have; written before anything is done, if it differs.
    pub status: JobFlowStatus,
    /// Whether nothing follows from the change of the status, so that it may be written a little later, together with
    /// what comes until then.
    pub may_wait: bool,
    /// What to do after that, in this order.
    pub actions: Vec<Action>,
    /// When to plan again even if nothing happens.
    pub due: Option<Timestamp>,
    /// What has to be known first. If there is anything, read it and plan again: status and actions are to be used
    /// only for what does not wait for it.
    pub needs: Needs,
    /// What to tell people once the status is written.
    pub events: Vec<Event>,
    /// UIDs of Jobs that no plan looks at again once the status is written: they may be left out of
    /// [`Observed::jobs`].
    pub spent: Vec<Box<str>>,
}

/// What a plan wants to know.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// ConfigMaps and Secrets.
    pub sources: BTreeSet<Source>,
    /// The objects of the resource templates, created.
    pub resources: bool,
    /// What the Job controller said of Jobs that have no pod, by the Job's UID.
    pub complaints: BTreeSet<String>,
}

/// Something to do. Each is safe to do twice.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Create the Job of an attempt.
    CreateJob {
        /// The step, by its place.
        step: usize,
        /// The attempt, counted from 1.
        attempt: i64,
        /// The Job's name.
        name: String,
        /// What it is made from.
        rendered: Box<Rendered>,
    },
    /// Delete a Job and its pods.
    DeleteJob {
        /// Its name.
        name: String,
        /// Its UID: no other Job of that name is meant.
        uid: String,
    },
    /// Delete the flow: its time is over.
    DeleteFlow,
}

/// A transition, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// One word, such as StepFailed.
    pub reason: &'static str,
    /// Whether somebody should look.
    pub warning: bool,
    /// The step, by its place, if it is about one.
    pub step: Option<usize>,
    /// A sentence.
    pub message: String,
}

#[cfg(test)]
mod tests;
