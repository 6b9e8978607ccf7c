//! What the engine knows of the cluster: flows, and the Jobs and pods that belong to them, found by their owners.
//!
//! Fed by watches and by the answers to our own writes, so that a decision is never taken on less than we have done
//! ourselves. Every change tells which flows have to be looked at again, and how urgently.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;

use index::{Index, Lost, PodEntry, Stage};

use super::queue::Urgency;
use super::view;
use super::view::FlowKey;
use crate::flows::api::JobFlow;
use crate::flows::eval::Source;
use crate::flows::observed::{Job, Pod, id_of};
use crate::flows::plan;
use crate::flows::plan::{Gone, JobSeen, Observed, Refusal, Verdict};

mod index;

/// What tells one object from all others ([`crate::flows::observed::id`]): no owner is known by its UID alone, which
/// anybody may name in any namespace.
type Id = Box<str>;

/// What is known. Cheap to share; every method takes the lock for microseconds.
#[derive(Default)]
pub struct Cache {
    index: Mutex<Index>,
}

/// A flow, and what was found out about it once.
pub(super) struct FlowEntry {
    pub(super) flow: Result<JobFlow, view::Malformed>,
    pub(super) verdict: Verdict,
    id: Id,
    version: u64,
    scope: usize,
}

/// A watch: of one kind, in one scope (a namespace, or the whole cluster).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Watch {
    pub(super) kind: Kind,
    pub(super) scope: usize,
}

/// What a watch is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    Flow,
    Job,
    Pod,
}

/// Flows to look at again.
pub(super) type Touched = Vec<(FlowKey, Urgency)>;

/// A flow and what belongs to it, at one instant.
pub(super) struct Snapshot {
    pub(super) entry: Arc<FlowEntry>,
    /// What a plan looks at, but for what has to be read.
    pub(super) observed: Observed,
    /// Jobs that we created and no watch has shown yet.
    pub(super) unseen: Vec<Arc<Job>>,
}

impl Cache {
    fn lock(&self) -> MutexGuard<'_, Index> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A watch starts over: what it does not list now is gone.
    pub(super) fn list_begins(&self, watch: Watch) {
        self.lock().listed.insert(watch, HashSet::new());
    }

    /// The watch has listed everything.
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
                let known = known.map(|entry| entry.job.id());
                let spent = index.owners.iter().filter(|(_, owner)| owner.stage == Stage::Spent(Some(scope)));
                let known = known.chain(spent.map(|(id, _)| id.clone()));
                let gone: Vec<Id> = known.filter(|id| !listed.contains(id)).collect();
                gone.iter().flat_map(|id| index.job_gone(id, None, Gone::Missed)).collect()
            }
            Kind::Pod => {
                let known = index.pods.values().flatten().filter(|entry| entry.scope == scope);
                let gone = known.map(|entry| &entry.pod).filter(|pod| !listed.contains(&pod.uid));
                let gone: Vec<(Id, Id)> = gone.map(|pod| (pod.job.clone(), pod.uid.clone())).collect();
                gone.iter().flat_map(|(job, uid)| index.pod_gone(job, uid, None)).collect()
            }
        };
        if watch.kind == Kind::Job {
            let owners: Vec<Id> = index.jobs.keys().cloned().collect();
            drop(index);
            for flow in &owners {
                self.spend_told(flow);
            }
        }
        touched
    }

    /// A flow, from a watch.
    pub(super) fn flow(&self, view: view::FlowView, verdict: Verdict, scope: usize) -> Touched {
        let id = id_of(&view.metadata);
        let mut index = self.lock();
        index.saw(Watch { kind: Kind::Flow, scope }, &id);
        let touched = index.flow(view, verdict, Some(scope));
        drop(index);
        if !touched.is_empty() {
            self.spend_told(&id);
        }
        touched
    }

    /// A flow, from the answer to a call of ours.
    pub(super) fn flow_read(&self, view: view::FlowView, verdict: Verdict) -> Touched {
        self.lock().flow(view, verdict, None)
    }

    /// A flow is not there any more.
    pub(super) fn flow_deleted(&self, id: &str) -> Touched {
        self.lock().flow_gone(id)
    }

    /// A Job, from a watch.
    pub(super) fn job(&self, job: Job, scope: usize) -> Touched {
        let (flow, watch) = (job.flow.clone(), Watch { kind: Kind::Job, scope });
        let id = job.id();
        let mut index = self.lock();
        index.saw(watch, &id);
        // Of those that are listed it is found out at the end of the list.
        let is_new = !index.owners.contains_key(&id) && !index.listed.contains_key(&watch);
        let touched = index.job(job, Some(scope));
        drop(index);
        if is_new {
            self.spend_told(&flow);
        }
        touched
    }

    /// A Job that we have just created, or found under the name that we wanted to create. Whether its pods were seen
    /// before it: then nobody was told of them.
    pub(super) fn job_created(&self, job: Job) -> bool {
        let id = job.id();
        let mut index = self.lock();
        let has_pods = index.pods.contains_key(&id);
        // The watch may have been quicker, and knows more.
        if !index.owners.contains_key(&id) {
            index.job(job, None);
        }
        has_pods
    }

    /// A Job is not there any more. `last` is how it was when it was deleted, if that was seen.
    pub(super) fn job_deleted(&self, id: &str, last: Option<Job>) -> Touched {
        self.lock().job_gone(id, last, Gone::Seen)
    }

    /// A Job is not there any more, and nobody saw it go.
    pub(super) fn job_missed(&self, id: &str) -> Touched {
        self.lock().job_gone(id, None, Gone::Missed)
    }

    /// A pod, from a watch.
    pub(super) fn pod(&self, pod: Pod, scope: usize) -> Touched {
        let mut index = self.lock();
        index.saw(Watch { kind: Kind::Pod, scope }, &pod.uid);
        let spent = index.is_spent(&pod.job);
        if spent && pod.has_ended() {
            return index.pod_gone(&pod.job, &pod.uid, None);
        }
        let urgency = if pod.has_ended() { Urgency::High } else { Urgency::Normal };
        let job = pod.job.clone();
        let pods = index.pods.entry(job.clone()).or_default();
        match pods.iter_mut().find(|known| known.pod.uid == pod.uid) {
            // Most updates of a pod change nothing that counts here.
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

    /// Nobody looks at these Jobs of a flow again; they are given by their UIDs.
    pub(super) fn spend(&self, flow: &str, jobs: &[Box<str>]) {
        let mut index = self.lock();
        for uid in jobs {
            index.spend(flow, uid);
        }
    }

    /// Spend the Jobs of which the flow's status says all that is asked. Where plans are made, these have named them
    /// before; this is for what another replica wrote.
    pub(super) fn spend_told(&self, flow: &str) {
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
            self.spend(flow, &plan::prunable(of, status, &jobs));
        }
    }

    /// A pod is not there any more; `last` is how it was when it was deleted.
    pub(super) fn pod_deleted(&self, last: Pod) -> Touched {
        let (job, uid) = (last.job.clone(), last.uid.clone());
        self.lock().pod_gone(&job, &uid, Some(last))
    }

    /// The API server refused to create the Job of an attempt.
    pub(super) fn refuse(&self, flow: &str, step: String, attempt: i64, refusal: Refusal) {
        self.lock().memories.entry(flow.into()).or_default().refused.insert((step, attempt), refusal);
    }

    /// It was created after all.
    pub(super) fn not_refused(&self, flow: &str, step: &str, attempt: i64) {
        if let Some(memory) = self.lock().memories.get_mut(flow) {
            memory.refused.remove(&(step.to_owned(), attempt));
        }
    }

    /// A ConfigMap or Secret could not be read for the flow; how often in a row, with this time.
    pub(super) fn not_read(&self, flow: &str, source: Source) -> u32 {
        let mut index = self.lock();
        let tries = index.memories.entry(flow.into()).or_default().unread.entry(source).or_default();
        *tries = tries.saturating_add(1);
        *tries
    }

    /// It was read.
    pub(super) fn was_read(&self, flow: &str, source: &Source) {
        let mut index = self.lock();
        if let Some(memory) = index.memories.get_mut(flow) {
            memory.unread.remove(source);
            if memory.is_empty() {
                index.memories.remove(flow);
            }
        }
    }

    /// Since when a change of the flow's status waits to be written: since `now`, if none did, or if the clock was set
    /// back meanwhile.
    pub(super) fn waits_since(&self, flow: &str, now: Timestamp) -> Timestamp {
        let mut index = self.lock();
        let waits = &mut index.memories.entry(flow.into()).or_default().waits;
        let since = waits.filter(|since| *since <= now).unwrap_or(now);
        *waits = Some(since);
        since
    }

    /// The flow's status is written.
    pub(super) fn written(&self, flow: &str) {
        if let Some(memory) = self.lock().memories.get_mut(flow) {
            memory.waits = None;
        }
    }

    /// A flow and all that belongs to it.
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
            durations: index.took(key),
            verdict: entry.verdict.clone(),
            ..Observed::default()
        };
        Some(Snapshot { entry, observed, unseen })
    }

    /// A flow alone.
    pub(super) fn entry(&self, key: &FlowKey) -> Option<Arc<FlowEntry>> {
        self.lock().flows.get(key).cloned()
    }

    /// How many objects are kept, by kind.
    pub(super) fn sizes(&self) -> [(&'static str, usize); 4] {
        let index = self.lock();
        let all = index.owners.len();
        let jobs = index.jobs.values().map(Vec::len).sum::<usize>();
        let jobs = jobs + index.lost.values().map(Vec::len).sum::<usize>();
        let pods = index.pods.values().map(Vec::len).sum();
        [("flow", index.flows.len()), ("job", jobs), ("pod", pods), ("spent job", all.saturating_sub(jobs))]
    }

    /// Every flow that is known.
    pub(super) fn flows(&self) -> Vec<FlowKey> {
        self.lock().flows.keys().cloned().collect()
    }

    /// Look at every flow, such as for numbers; at one that is malformed by its key alone. The lock is not held
    /// meanwhile.
    pub(super) fn each_flow(&self, mut look: impl FnMut(&FlowKey, Option<&JobFlow>)) {
        let flows: Vec<_> =
            self.lock().flows.iter().map(|(key, entry)| (key.clone(), entry.clone())).collect();
        for (key, entry) in &flows {
            look(key, entry.flow.as_ref().ok());
        }
    }
}

impl FlowEntry {
    /// Whether the flow has come to its end.
    fn is_over(&self) -> bool {
        self.flow.as_ref().is_ok_and(view::is_over)
    }

    /// What tells the flow from all others.
    pub(super) fn id(&self) -> &str {
        &self.id
    }

    /// The UID of the flow.
    pub(super) fn uid(&self) -> &str {
        self.id.rsplit('/').next().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests;
