//! State of one replica.

use crate::managed::plan::replicas::ReplicaTracker;
use crate::managed::plan::secret::{Material, State};
use crate::managed::plan::step::Step;
use crate::managed::plan::timer::PublishTimer;

/// A replica: what it serves, what it sees of the cluster, and the call it is about to make.
#[derive(Clone, Default)]
pub(super) struct Node {
    pub(super) up: bool,
    pub(super) pod: String,
    /// No event of the Secret, or of the configurations, comes before then.
    pub(super) deaf_until: [u64; 2],
    /// It does nothing before then, whatever it was about to do.
    pub(super) frozen_until: u64,
    /// The leaf it serves.
    pub(super) leaf: Option<Material>,
    /// It has been ready, so it may be called.
    pub(super) latched: bool,
    /// The serial it reported last.
    pub(super) reported: Option<String>,
    /// The versions it sees.
    pub(super) secret: usize,
    pub(super) configs: Vec<usize>,
    /// Difference of its clock from the real one, in seconds.
    pub(super) skew: i64,
    pub(super) timer: PublishTimer,
    pub(super) tracker: ReplicaTracker,
    pub(super) op: Op,
}

/// The call that is on its way.
#[derive(Clone, Default)]
pub(super) enum Op {
    #[default]
    None,
    /// Configurations to be written, each as it was seen.
    Patch(String, Vec<(usize, String)>),
    /// The Secret to be written, as it was seen; and what was read of the configurations for it.
    Put(usize, Step, Box<State>, Option<Reading>),
}

/// The configurations as they were read. Several changes may happen within one second: the versions order them.
#[derive(Clone)]
pub(super) struct Reading {
    /// Time of the reading, by the steady clock.
    pub(super) at: u64,
    /// The last version of each.
    pub(super) versions: Vec<usize>,
}
