//! What was seen of one Job and its pods, in the order in which two watches delivered it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use headworks::flows::observed::{Job, Pod};
use headworks::flows::outcome::{Outcome, outcome};

/// How far one watch may be behind the other when the engine decides.
const SKEW: Duration = Duration::from_millis(1500);

#[derive(Default)]
pub(super) struct History {
    jobs: Vec<(Instant, Arc<Job>)>,
    /// All pods, each time that one of them changed.
    pods: Vec<(Instant, Vec<Arc<Pod>>)>,
    now: BTreeMap<Box<str>, Arc<Pod>>,
    /// The first decision, and when it could be made.
    pub(super) first: Option<(Instant, Outcome)>,
    /// What the Job's condition said, and when it was seen.
    pub(super) last: Option<(Instant, Outcome)>,
}

impl History {
    pub(super) fn job(&mut self, job: Arc<Job>) {
        self.jobs.push((Instant::now(), job));
        self.decide();
    }

    pub(super) fn pod(&mut self, pod: Arc<Pod>, gone: bool) {
        if gone {
            self.now.remove(&pod.uid);
        } else {
            self.now.insert(pod.uid.clone(), pod);
        }
        self.pods.push((Instant::now(), self.now.values().cloned().collect()));
        self.decide();
    }

    fn decide(&mut self) {
        let Some((_, job)) = self.jobs.last() else { return };
        let pods: Vec<&Pod> = self.now.values().map(AsRef::as_ref).collect();
        let now = Instant::now();
        if self.last.is_none() {
            self.last = outcome(job, &pods, true).map(|outcome| (now, outcome));
        }
        if self.first.is_none() {
            self.first = outcome(job, &pods, false).map(|outcome| (now, outcome));
        }
    }

    /// Every decision that an engine could have made whose watches are apart by less than [`SKEW`].
    pub(super) fn every_decision(&self) -> impl Iterator<Item = Outcome> {
        let end = |at: Option<Instant>| at.unwrap_or_else(Instant::now);
        let jobs = self
            .jobs
            .iter()
            .enumerate()
            .map(move |(i, (from, job))| (*from, end(self.jobs.get(i + 1).map(|next| next.0)), job));
        jobs.flat_map(move |(from, to, job)| {
            let pods =
                self.pods.iter().enumerate().map(move |(i, (from, pods))| {
                    (*from, end(self.pods.get(i + 1).map(|next| next.0)), pods)
                });
            let near = pods.filter(move |(since, until, _)| *since < to + SKEW && from < *until + SKEW);
            near.filter_map(move |(_, _, pods)| {
                outcome(job, &pods.iter().map(AsRef::as_ref).collect::<Vec<_>>(), false)
            })
        })
    }
}
