//! The entries of the state: flows, Jobs and pods as they are kept, and the memory of this process about a flow.

use std::borrow::Borrow;
use std::collections::BTreeMap;
use std::ops::Deref;
use std::sync::Arc;

use jiff::Timestamp;

use crate::flows::api::JobFlow;
use crate::flows::controller::queue::Urgency;
use crate::flows::controller::view;
use crate::flows::controller::view::FlowKey;
use crate::flows::eval::Source;
use crate::flows::observed::{Job, Pod};
use crate::flows::plan::{Gone, Refusal, Verdict};

/// The identity of an object ([`crate::flows::observed::id`]): namespace, name and UID. An owner is never found by its UID
/// alone, which anybody may name in any namespace.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Id(Box<str>);

impl From<Box<str>> for Id {
    fn from(id: Box<str>) -> Self {
        Self(id)
    }
}

impl From<&str> for Id {
    fn from(id: &str) -> Self {
        Self(id.into())
    }
}

impl Borrow<str> for Id {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl Deref for Id {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

/// A flow with its verdict, which is costly to find out.
pub(in crate::flows::controller) struct FlowEntry {
    pub(in crate::flows::controller) flow: Result<JobFlow, view::Malformed>,
    pub(in crate::flows::controller) verdict: Verdict,
    pub(super) id: Id,
    /// Its resourceVersion; the largest number if that is none.
    pub(super) version: u64,
    pub(super) scope: usize,
}

/// A watch: of one kind, in one scope (a namespace, or the whole cluster).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in crate::flows::controller) struct Watch {
    pub(in crate::flows::controller) kind: Kind,
    pub(in crate::flows::controller) scope: usize,
}

/// The kind of object that a watch delivers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in crate::flows::controller) enum Kind {
    Flow,
    Job,
    Pod,
}

/// Flows to reconcile after a change.
pub(in crate::flows::controller) type Touched = Vec<(FlowKey, Urgency)>;

impl FlowEntry {
    /// Tells whether the flow has ended.
    pub(super) fn is_over(&self) -> bool {
        self.flow.as_ref().is_ok_and(view::is_over)
    }

    /// Returns the identity of the flow.
    pub(in crate::flows::controller) fn id(&self) -> &str {
        &self.id
    }

    /// Returns the UID of the flow.
    pub(in crate::flows::controller) fn uid(&self) -> &str {
        self.id.rsplit('/').next().unwrap_or_default()
    }
}

/// The flow that owns a Job, and how much of the Job is kept.
pub(super) struct Owner {
    pub(super) flow: Id,
    pub(super) stage: Stage,
}

/// The part of a Job that is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// The Job exists, and all of it is kept.
    Whole,
    /// The Job exists, but no plan needs it again: only its identity is kept, and its pods that still run. Holds the scope
    /// of the watch that has seen it, if one has.
    Pruned(Option<usize>),
    /// The Job is gone, but pods of it are not, or a plan has still to read how it ended.
    Gone,
}

/// A Job that is gone.
pub(super) struct Lost {
    /// Its last known state.
    pub(super) job: Arc<Job>,
    pub(super) how: Gone,
}

/// A Job that exists.
pub(super) struct JobEntry {
    pub(super) job: Arc<Job>,
    /// The scope of the watch that has seen it; `None` as long as we know it only from creating it.
    pub(super) scope: Option<usize>,
}

/// A pod, whether or not its Job was seen.
pub(super) struct PodEntry {
    pub(super) pod: Arc<Pod>,
    pub(super) scope: usize,
    /// Set if it had ended before its Job counted it and before its deletion began: then its end counts.
    decided: bool,
}

/// The most pods of one Job that are kept after they are gone. Somebody may delete them while the Job makes new ones.
pub(super) const MOST_ENDED: usize = 500;

impl PodEntry {
    pub(super) fn new(pod: Pod, scope: usize) -> Self {
        let decided = pod.has_ended() && pod.tracked && !pod.deleting;
        Self { pod: Arc::new(pod), scope, decided }
    }

    /// Takes in a newer state. Returns whether that changes anything.
    pub(super) fn take(&mut self, mut pod: Pod) -> bool {
        // A pod that had ended before its deletion began still counts: its Job counts it as well.
        pod.deleting &= !self.pod.has_ended() || self.pod.deleting;
        if *self.pod == pod {
            return false;
        }
        let newer = Self::new(pod, self.scope);
        self.pod = newer.pod;
        self.decided |= newer.decided;
        true
    }

    /// Returns the pod as it counts for a Job that is gone: the finalizer is taken away then without the pod being counted.
    pub(super) fn for_a_lost_job(&self) -> Arc<Pod> {
        if self.decided && !self.pod.tracked {
            Arc::new(Pod { tracked: true, ..(*self.pod).clone() })
        } else {
            self.pod.clone()
        }
    }
}

/// Facts about a flow that only this process knows, and may lose.
#[derive(Default)]
pub(super) struct Memory {
    pub(super) refused: BTreeMap<(String, i64), Refusal>,
    /// The number of failed reads in a row, of a ConfigMap or Secret.
    pub(super) unread: BTreeMap<Source, u32>,
    /// The time since which a change of its status waits to be written.
    pub(super) waits: Option<Timestamp>,
}

impl Memory {
    pub(super) fn is_empty(&self) -> bool {
        self.refused.is_empty() && self.unread.is_empty() && self.waits.is_none()
    }
}

/// Tells whether a Job has this identity. Most differ in the UID, which is compared first.
pub(super) fn is(job: &Job, id: &str) -> bool {
    id.ends_with(&*job.uid) && *job.id() == *id
}

/// Copies a Job without its document, most of whose changes decide nothing.
pub(super) fn without_document(job: &Job) -> Job {
    Job { document: Box::default(), ..job.clone() }
}
