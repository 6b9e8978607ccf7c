//! The controller's state of the cluster: flows, and the Jobs and pods that belong to them, found by their owners.
//!
//! It is fed by watches and by the answers to our own writes, so that no plan misses what we have done ourselves. Every
//! change returns the flows to reconcile, and how urgently.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;

use super::queue::Urgency;
use super::view;
use super::view::FlowKey;
use crate::flows::api::JobFlow;
use crate::flows::eval::Source;
use crate::flows::observed::{Job, Pod, id_of};
use crate::flows::plan;
use crate::flows::plan::{Gone, JobSeen, Observed, Refusal, Verdict};

mod entry;
mod groups;
mod index;

pub(super) use entry::{FlowEntry, Kind, Touched, Watch};

use entry::{Id, Lost, PodEntry, Stage};
use index::Index;

/// The state behind a lock, which every method holds for microseconds.
#[derive(Default)]
pub struct Cache {
    index: Mutex<Index>,
}

/// A flow and what belongs to it, at one instant.
pub(super) struct Snapshot {
    pub(super) entry: Arc<FlowEntry>,
    /// The input of a plan, without what has to be read first.
    pub(super) observed: Observed,
    /// Jobs that we created and no watch has shown yet.
    pub(super) unseen: Vec<Arc<Job>>,
}

impl Cache {
    fn lock(&self) -> MutexGuard<'_, Index> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins the list of a restarted watch: objects that it does not deliver now are gone.
    pub(super) fn list_begins(&self, watch: Watch) {
        self.lock().listed.insert(watch, HashSet::new());
    }

    /// Ends the list of a watch, and removes what it did not deliver.
    pub(super) fn list_ends(&self, watch: Watch) -> Touched {
        let mut index = self.lock();
        let Some(listed) = index.listed.remove(&watch) else { return Vec::new() };
        let scope = watch.scope;
        let touched = match watch.kind {
            Kind::Flow => {
                let known = index.flows.values().filter(|entry| entry.scope == scope);
                let gone: Vec<Id> =
                    known.map(|entry| &entry.id).filter(|id| !listed.contains(*id)).cloned().collect();
                gone.iter().flat_map(|id| index.flow_gone(id)).collect()
            }
            Kind::Job => {
                // What we have just created may be newer than the list, and has no scope yet.
                let known = index.jobs.values().flatten().filter(|entry| entry.scope == Some(scope));
                let known = known.map(|entry| Id::from(entry.job.id()));
                let pruned =
                    index.owners.iter().filter(|(_, owner)| owner.stage == Stage::Pruned(Some(scope)));
                let known = known.chain(pruned.map(|(id, _)| id.clone()));
                let gone: Vec<Id> = known.filter(|id| !listed.contains(id)).collect();
                gone.iter().flat_map(|id| index.job_gone(id, None, Gone::Missed)).collect()
            }
            Kind::Pod => {
                let known = index.pods.values().flatten().filter(|entry| entry.scope == scope);
                let gone = known.map(|entry| &entry.pod).filter(|pod| !listed.contains(&*pod.uid));
                let gone: Vec<(Box<str>, Box<str>)> =
                    gone.map(|pod| (pod.job.clone(), pod.uid.clone())).collect();
                gone.iter().flat_map(|(job, uid)| index.pod_gone(job, uid, None)).collect()
            }
        };
        if watch.kind == Kind::Job {
            let owners: Vec<Id> = index.jobs.keys().cloned().collect();
            drop(index);
            for flow in &owners {
                self.prune_by_status(flow);
            }
        }
        touched
    }

    /// Takes in a flow from a watch.
    pub(super) fn flow(&self, view: view::FlowView, verdict: Verdict, scope: usize) -> Touched {
        let id = id_of(&view.metadata);
        let mut index = self.lock();
        index.saw(Watch { kind: Kind::Flow, scope }, &id);
        let touched = index.flow(view, verdict, Some(scope));
        drop(index);
        if !touched.is_empty() {
            self.prune_by_status(&id);
        }
        touched
    }

    /// Takes in a flow from the answer to a call of ours.
    pub(super) fn flow_read(&self, view: view::FlowView, verdict: Verdict) -> Touched {
        self.lock().flow(view, verdict, None)
    }

    /// Removes a flow that is gone.
    pub(super) fn flow_deleted(&self, id: &str) -> Touched {
        self.lock().flow_gone(id)
    }

    /// Takes in a Job from a watch.
    pub(super) fn job(&self, job: Job, scope: usize) -> Touched {
        let (flow, watch) = (job.flow.clone(), Watch { kind: Kind::Job, scope });
        let id = Id::from(job.id());
        let mut index = self.lock();
        index.saw(watch, &id);
        // Jobs of an initial list are checked once the list is complete.
        let is_new = !index.owners.contains_key(&id) && !index.listed.contains_key(&watch);
        let touched = index.job(job, Some(scope));
        drop(index);
        if is_new {
            self.prune_by_status(&flow);
        }
        touched
    }

    /// Takes in a Job that we have just created, or found under its name. Returns whether its pods were seen before it: then
    /// no flow was queued for them.
    pub(super) fn job_created(&self, job: Job) -> bool {
        let id = Id::from(job.id());
        let mut index = self.lock();
        let has_pods = index.pods.contains_key(&id);
        // The watch may have been quicker, and knows more.
        if !index.owners.contains_key(&id) {
            index.job(job, None);
        }
        has_pods
    }

    /// Removes a Job that was deleted. `last` is its last state, if that was seen.
    pub(super) fn job_deleted(&self, id: &str, last: Option<Job>) -> Touched {
        self.lock().job_gone(id, last, Gone::Seen)
    }

    /// Removes a Job that is gone without a watch having shown its deletion.
    pub(super) fn job_missed(&self, id: &str) -> Touched {
        self.lock().job_gone(id, None, Gone::Missed)
    }

    /// Takes in a pod from a watch.
    pub(super) fn pod(&self, pod: Pod, scope: usize) -> Touched {
        let mut index = self.lock();
        index.saw(Watch { kind: Kind::Pod, scope }, &pod.uid);
        // The pods of a pruned Job count only as long as they run.
        if index.is_pruned(&pod.job) && pod.has_ended() {
            return index.pod_gone(&pod.job, &pod.uid, None);
        }
        let urgency = if pod.has_ended() { Urgency::High } else { Urgency::Normal };
        let job = Id::from(pod.job.clone());
        let pods = index.pods.entry(job.clone()).or_default();
        match pods.iter_mut().find(|known| known.pod.uid == pod.uid) {
            // Most updates of a pod change nothing that plans use.
            Some(known) => {
                if !known.take(pod) {
                    return Vec::new();
                }
            }
            None => pods.push(PodEntry::new(pod, scope)),
        }
        if index.is_left(&job) {
            index.leaves(&job);
        }
        index.touched_by_job(&job, urgency)
    }

    /// Drops cached details of Jobs that no later plan needs. `jobs` are UIDs.
    pub(super) fn prune(&self, flow: &str, jobs: &[Box<str>]) {
        let mut index = self.lock();
        for uid in jobs {
            index.prune(flow, uid);
        }
    }

    /// Drops cached details of Jobs about which the flow's status holds everything needed. The leader's plans name these
    /// Jobs already ([`prune`](Self::prune)); this is for statuses that another replica wrote.
    pub(super) fn prune_by_status(&self, flow: &str) {
        let index = self.lock();
        let Some(entry) = index.keys.get(flow).and_then(|key| index.flows.get(key)).cloned() else { return };
        let there = index.jobs.get(flow).into_iter().flatten();
        let there = there.map(|entry| JobSeen::new(entry.job.clone(), Vec::new()));
        let lost = index.lost.get(flow).into_iter().flatten();
        let lost = lost
            .map(|Lost { job, how }| JobSeen { gone: Some(*how), ..JobSeen::new(job.clone(), Vec::new()) });
        let jobs: Vec<JobSeen> = there.chain(lost).collect();
        drop(index);
        if let Ok(of) = &entry.flow
            && let Some(status) = &of.status
        {
            self.prune(flow, &plan::prunable(of, status, &jobs));
        }
    }

    /// Removes a pod that was deleted. `last` is its last state.
    pub(super) fn pod_deleted(&self, last: Pod) -> Touched {
        let (job, uid) = (last.job.clone(), last.uid.clone());
        self.lock().pod_gone(&job, &uid, Some(last))
    }

    /// Records that the API server refused to create the Job of an attempt.
    pub(super) fn refuse(&self, flow: &str, step: String, attempt: i64, refusal: Refusal) {
        self.lock().memories.entry(flow.into()).or_default().refused.insert((step, attempt), refusal);
    }

    /// Records that the Job of an attempt was created after all.
    pub(super) fn not_refused(&self, flow: &str, step: &str, attempt: i64) {
        if let Some(memory) = self.lock().memories.get_mut(flow) {
            memory.refused.remove(&(step.to_owned(), attempt));
        }
    }

    /// Records a failed read of a ConfigMap or Secret for the flow. Returns how many there were in a row.
    pub(super) fn not_read(&self, flow: &str, source: Source) -> u32 {
        let mut index = self.lock();
        let tries = index.memories.entry(flow.into()).or_default().unread.entry(source).or_default();
        *tries = tries.saturating_add(1);
        *tries
    }

    /// Records that a ConfigMap or Secret was read.
    pub(super) fn was_read(&self, flow: &str, source: &Source) {
        let mut index = self.lock();
        if let Some(memory) = index.memories.get_mut(flow) {
            memory.unread.remove(source);
            if memory.is_empty() {
                index.memories.remove(flow);
            }
        }
    }

    /// Returns the time since which a change of the flow's status waits to be written: `now`, if none did, or if the clock
    /// was set back meanwhile.
    pub(super) fn waits_since(&self, flow: &str, now: Timestamp) -> Timestamp {
        let mut index = self.lock();
        let waits = &mut index.memories.entry(flow.into()).or_default().waits;
        let since = waits.filter(|since| *since <= now).unwrap_or(now);
        *waits = Some(since);
        since
    }

    /// Records that the flow's status is written.
    pub(super) fn written(&self, flow: &str) {
        if let Some(memory) = self.lock().memories.get_mut(flow) {
            memory.waits = None;
        }
    }

    /// Returns a flow and everything that belongs to it.
    pub(super) fn snapshot(&self, key: &FlowKey) -> Option<Snapshot> {
        let index = self.lock();
        let entry = index.flows.get(key)?.clone();
        let jobs = index.jobs.get(&entry.id).map_or(&[][..], Vec::as_slice);
        let unseen =
            jobs.iter().filter(|entry| entry.scope.is_none()).map(|entry| entry.job.clone()).collect();
        let memory = index.memories.get(&entry.id);
        let observed = Observed {
            jobs: index.jobs_of(&entry.id),
            refused: memory.map(|memory| memory.refused.clone()).unwrap_or_default(),
            rivals: index.rivals(key, &entry),
            durations: index.durations(key),
            verdict: entry.verdict.clone(),
            ..Observed::default()
        };
        Some(Snapshot { entry, observed, unseen })
    }

    /// Returns a flow without what belongs to it.
    pub(super) fn entry(&self, key: &FlowKey) -> Option<Arc<FlowEntry>> {
        self.lock().flows.get(key).cloned()
    }

    /// Counts the objects that are kept, by kind.
    pub(super) fn sizes(&self) -> [(&'static str, usize); 4] {
        let index = self.lock();
        let all = index.owners.len();
        let jobs = index.jobs.values().map(Vec::len).sum::<usize>();
        let jobs = jobs + index.lost.values().map(Vec::len).sum::<usize>();
        let pods = index.pods.values().map(Vec::len).sum();
        [("flow", index.flows.len()), ("job", jobs), ("pod", pods), ("spent job", all.saturating_sub(jobs))]
    }

    /// Lists every flow.
    pub(super) fn flows(&self) -> Vec<FlowKey> {
        self.lock().flows.keys().cloned().collect()
    }

    /// Calls `visit` with every flow; with the key alone if it is malformed. The lock is not held meanwhile.
    pub(super) fn each_flow(&self, mut visit: impl FnMut(&FlowKey, Option<&JobFlow>)) {
        let flows: Vec<_> =
            self.lock().flows.iter().map(|(key, entry)| (key.clone(), entry.clone())).collect();
        for (key, entry) in &flows {
            visit(key, entry.flow.as_ref().ok());
        }
    }
}

#[cfg(test)]
mod tests;
