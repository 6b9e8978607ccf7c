//! Flows, Jobs and pods, each found by its owner. It has no lock: [`Cache`](super::Cache) has.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use super::entry::{
    FlowEntry, Id, JobEntry, Lost, MOST_ENDED, Memory, Owner, PodEntry, Stage, Touched, Watch, is,
    without_document,
};
use crate::flows::api::defaults::RETRY_LIMIT;
use crate::flows::controller::queue::Urgency;
use crate::flows::controller::view;
use crate::flows::controller::view::FlowKey;
use crate::flows::job_name::is_job_name;
use crate::flows::observed::{Job, Pod, id_of};
use crate::flows::plan::{Gone, JobSeen, Verdict};

#[derive(Default)]
pub(super) struct Index {
    pub(super) flows: HashMap<FlowKey, Arc<FlowEntry>>,
    pub(super) keys: HashMap<Id, FlowKey>,
    /// Flows by namespace and concurrency key.
    pub(super) groups: HashMap<(String, String), BTreeSet<FlowKey>>,
    /// Jobs by the flow that owns them.
    pub(super) jobs: HashMap<Id, Vec<JobEntry>>,
    /// Jobs that are gone, by the flow that owns them, until no plan asks how they ended.
    pub(super) lost: HashMap<Id, Vec<Lost>>,
    /// The flow of each Job.
    pub(super) owners: HashMap<Id, Owner>,
    /// Pods by the Job that owns them. A pod may be seen before its Job is.
    pub(super) pods: HashMap<Id, Vec<PodEntry>>,
    /// Pods that had ended and are gone, by the Job that owns them: plans read their results until the Job is pruned.
    pub(super) ended: HashMap<Id, Vec<PodEntry>>,
    /// Facts that only this process knows, by flow.
    pub(super) memories: HashMap<Id, Memory>,
    /// Jobs that are gone or pruned while pods of theirs have not ended, by the flow that owns them.
    pub(super) leaving: HashMap<Id, HashSet<Id>>,
    /// Objects that a watch has delivered since it was restarted: ids of flows and Jobs, UIDs of pods.
    pub(super) listed: HashMap<Watch, HashSet<Id>>,
}

impl Index {
    /// Records that a watch has delivered an object.
    pub(super) fn saw(&mut self, watch: Watch, id: &str) {
        if let Some(listed) = self.listed.get_mut(&watch) {
            listed.insert(id.into());
        }
    }

    /// Takes in a flow. A state older than the known one is ignored: a watch may be behind the answers to our own writes.
    pub(super) fn flow(&mut self, view: view::FlowView, verdict: Verdict, scope: Option<usize>) -> Touched {
        let id = Id::from(id_of(&view.metadata));
        let key = FlowKey::of(&view.metadata);
        let version = view.metadata.resource_version.as_deref().and_then(|text| text.parse().ok());
        let version = version.unwrap_or(u64::MAX);
        let mut old = self.flows.get(&key).cloned();
        if let Some(known) = old.take_if(|known| known.id != id) {
            self.flow_gone(&known.id);
        }
        if old.as_ref().is_some_and(|old| old.version >= version && version != u64::MAX) {
            return Vec::new();
        }
        self.regroup(&key, old.as_deref(), &view);
        self.keys.insert(id.clone(), key.clone());
        let scope = scope.or_else(|| old.as_ref().map(|old| old.scope)).unwrap_or_default();
        let entry = FlowEntry { flow: view.flow, verdict, id, version, scope };
        if entry.is_over() {
            self.forget_lost(&entry.id);
        }
        // The others of its group care only whether and how it holds them up.
        let same = old.is_some_and(|old| self.rival(&old) == self.rival(&entry));
        self.flows.insert(key.clone(), Arc::new(entry));
        if same { vec![(key, Urgency::Normal)] } else { self.touched_with_group(key) }
    }

    pub(super) fn flow_gone(&mut self, id: &str) -> Touched {
        let Some(key) = self.keys.remove(id) else { return Vec::new() };
        self.memories.remove(id);
        self.forget_lost(id);
        if self.flows.get(&key).is_none_or(|entry| &*entry.id != id) {
            return Vec::new();
        }
        let touched = self.touched_with_group(key.clone());
        if let Some(group) = self.group_of(&key) {
            self.leave_group(&group, &key);
        }
        self.flows.remove(&key);
        touched
    }

    pub(super) fn job(&mut self, job: Job, scope: Option<usize>) -> Touched {
        let (flow, id) = (Id::from(job.flow.clone()), Id::from(job.id()));
        let over = job.conditions.iter().any(|condition| condition.kind.is_final());
        if let Some(Owner { stage: Stage::Pruned(known), .. }) = self.owners.get_mut(&id) {
            *known = scope.or(*known);
            return Vec::new();
        }
        self.owners.insert(id, Owner { flow: flow.clone(), stage: Stage::Whole });
        let jobs = self.jobs.entry(flow.clone()).or_default();
        match jobs.iter_mut().find(|known| known.job.uid == job.uid) {
            Some(known) => {
                known.scope = scope.or(known.scope);
                // Most changes of a Job's document decide nothing.
                let same = without_document(&known.job) == without_document(&job);
                known.job = Arc::new(job);
                if same {
                    return Vec::new();
                }
            }
            None => jobs.push(JobEntry { job: Arc::new(job), scope }),
        }
        self.touched(&flow, if over { Urgency::High } else { Urgency::Normal })
    }

    pub(super) fn job_gone(&mut self, id: &str, last: Option<Job>, how: Gone) -> Touched {
        let Some(owner) = self.owners.get_mut(id) else {
            self.pods.remove(id);
            return Vec::new();
        };
        let flow = owner.flow.clone();
        let stage = std::mem::replace(&mut owner.stage, Stage::Gone);
        // A Job goes before its pods do, and the next flow of the group waits for those.
        if self.pods.contains_key(id) {
            self.leaves(id);
        }
        if stage == Stage::Whole
            && let Some(job) = self.take_job(&flow, |job| is(job, id))
            && self.may_be_asked_for(&flow, &job.job)
        {
            // Its last state tells how it ended, or that it had not.
            let job = last.filter(|last| *last.flow == *flow).map_or(job.job, Arc::new);
            self.lost.entry(flow.clone()).or_default().push(Lost { job, how });
        } else {
            self.ended.remove(id);
        }
        if !self.is_asked_for(&flow, id) && !self.pods.contains_key(id) {
            self.owners.remove(id);
        }
        if stage == Stage::Whole { self.touched_by_flow(&flow, Urgency::High) } else { Vec::new() }
    }

    /// Takes a Job out of those that exist.
    fn take_job(&mut self, flow: &str, is_it: impl Fn(&Job) -> bool) -> Option<JobEntry> {
        let jobs = self.jobs.get_mut(flow)?;
        let at = jobs.iter().position(|entry| is_it(&entry.job))?;
        let job = jobs.swap_remove(at);
        if jobs.is_empty() {
            self.jobs.remove(flow);
        }
        Some(job)
    }

    /// Tells whether a plan may still ask how a Job that is gone ended: it is that of an attempt that its flow may make, and
    /// the first such Job with the name that we give, or with another name. Without that limit, whoever may create Jobs
    /// could fill the memory.
    fn may_be_asked_for(&self, flow: &str, job: &Job) -> bool {
        let Some(entry) = self.keys.get(flow).and_then(|key| self.flows.get(key)) else { return false };
        let (Ok(of), false) = (&entry.flow, entry.is_over()) else { return false };
        let Some(step) = of.spec.steps.iter().find(|step| *step.name == *job.step) else { return false };
        let retries = step.retry_policy.as_ref().map_or(0, |policy| policy.limit.unwrap_or(RETRY_LIMIT));
        let has_our_name = |job: &Job| is_job_name(&job.name, entry.uid(), &job.step, job.attempt);
        let is_ours = has_our_name(job);
        let is_same = |Lost { job: other, .. }: &Lost| {
            other.step == job.step && other.attempt == job.attempt && has_our_name(other) == is_ours
        };
        (1..=retries.saturating_add(1)).contains(&job.attempt)
            && !self.lost.get(flow).is_some_and(|lost| lost.iter().any(is_same))
    }

    /// Tells whether a Job is gone, and a plan has still to read how it ended.
    fn is_asked_for(&self, flow: &str, id: &str) -> bool {
        self.lost.get(flow).is_some_and(|lost| lost.iter().any(|lost| is(&lost.job, id)))
    }

    /// Drops the details of a Job that no later plan needs.
    pub(super) fn prune(&mut self, flow: &str, uid: &str) {
        if let Some(entry) = self.take_job(flow, |job| *job.uid == *uid) {
            let id = Id::from(entry.job.id());
            self.ended.remove(&id);
            if let Some(owner) = self.owners.get_mut(&id) {
                owner.stage = Stage::Pruned(entry.scope);
            }
            let Some(pods) = self.pods.get_mut(&id) else { return };
            pods.retain(|entry| !entry.pod.has_ended());
            if pods.is_empty() {
                self.pods.remove(&id);
            } else {
                self.leaves(&id);
            }
            return;
        }
        let Some(lost) = self.lost.get_mut(flow) else { return };
        let Some(at) = lost.iter().position(|lost| *lost.job.uid == *uid) else { return };
        let id = lost.swap_remove(at).job.id();
        if lost.is_empty() {
            self.lost.remove(flow);
        }
        self.forget(&id);
    }

    /// Drops the Jobs of a flow that are gone.
    fn forget_lost(&mut self, flow: &str) {
        for Lost { job, .. } in self.lost.remove(flow).unwrap_or_default() {
            self.forget(&job.id());
        }
    }

    /// Drops what is kept of a Job that is gone, but for pods that still run.
    fn forget(&mut self, id: &str) {
        self.ended.remove(id);
        if !self.pods.contains_key(id) {
            self.owners.remove(id);
        }
    }

    /// Returns the Jobs of a flow as a plan sees them, those that are gone last.
    pub(super) fn jobs_of(&self, flow: &str) -> Vec<JobSeen> {
        let pods = |of: &HashMap<Id, Vec<PodEntry>>, job: &Job, as_seen: fn(&PodEntry) -> Arc<Pod>| {
            of.get(&*job.id()).into_iter().flatten().map(as_seen).collect()
        };
        let there = self.jobs.get(flow).into_iter().flatten().map(|JobEntry { job, .. }| {
            let as_seen = |entry: &PodEntry| entry.pod.clone();
            JobSeen {
                ended: pods(&self.ended, job, as_seen),
                ..JobSeen::new(job.clone(), pods(&self.pods, job, as_seen))
            }
        });
        let lost = self.lost.get(flow).into_iter().flatten().map(|Lost { job, how }| JobSeen {
            job: job.clone(),
            pods: pods(&self.pods, job, PodEntry::for_a_lost_job),
            ended: pods(&self.ended, job, PodEntry::for_a_lost_job),
            gone: Some(*how),
        });
        there.chain(lost).collect()
    }

    pub(super) fn is_pruned(&self, job: &str) -> bool {
        self.owners.get(job).is_some_and(|owner| matches!(owner.stage, Stage::Pruned(_)))
    }

    /// Tells whether a Job is gone or pruned.
    pub(super) fn is_left(&self, job: &str) -> bool {
        self.owners.get(job).is_some_and(|owner| owner.stage != Stage::Whole)
    }

    /// Records that pods of a Job that is gone or pruned have not ended.
    pub(super) fn leaves(&mut self, job: &str) {
        if let Some(owner) = self.owners.get(job) {
            self.leaving.entry(owner.flow.clone()).or_default().insert(job.into());
        }
    }

    pub(super) fn pod_gone(&mut self, job: &str, uid: &str, last: Option<Pod>) -> Touched {
        let Some(pods) = self.pods.get_mut(job) else { return Vec::new() };
        let at = pods.iter().position(|known| &*known.pod.uid == uid);
        let mut gone = at.map(|at| pods.remove(at));
        let was_last = pods.is_empty();
        if was_last {
            self.pods.remove(job);
        }
        if let (Some(gone), Some(last)) = (&mut gone, last) {
            gone.take(last);
        }
        if let Some(gone) = gone.filter(|gone| gone.pod.has_ended())
            && self
                .owners
                .get(job)
                .is_some_and(|owner| owner.stage != Stage::Gone || self.is_asked_for(&owner.flow, job))
            && !self.is_pruned(job)
        {
            let ended = self.ended.entry(job.into()).or_default();
            if ended.len() < MOST_ENDED {
                ended.push(gone);
            }
        }
        let touched = self.touched_by_job(job, Urgency::Normal);
        if was_last {
            self.last_pod_gone(job);
        }
        touched
    }

    /// Drops what is kept of a Job that went before its pods, now that the last of them is gone.
    fn last_pod_gone(&mut self, job: &str) {
        let Some(Owner { flow, stage }) = self.owners.get(job) else { return };
        if let Some(jobs) = self.leaving.get_mut(flow) {
            jobs.remove(job);
            if jobs.is_empty() {
                self.leaving.remove(flow);
            }
        }
        if *stage == Stage::Gone && !self.is_asked_for(flow, job) {
            self.owners.remove(job);
        }
    }

    fn touched(&self, flow: &str, urgency: Urgency) -> Touched {
        self.keys.get(flow).map(|key| (key.clone(), urgency)).into_iter().collect()
    }

    /// Returns the flow of a Job.
    pub(super) fn touched_by_job(&self, job: &str, urgency: Urgency) -> Touched {
        self.owners.get(job).map_or_else(Vec::new, |owner| self.touched_by_flow(&owner.flow, urgency))
    }

    /// Returns a flow; if it is over, also the flows of its group, which wait for its last pod to end.
    fn touched_by_flow(&self, flow: &str, urgency: Urgency) -> Touched {
        let Some(key) = self.keys.get(flow) else { return Vec::new() };
        let over = self.flows.get(key).is_some_and(|entry| entry.is_over());
        if over { self.touched_with_group(key.clone()) } else { vec![(key.clone(), urgency)] }
    }

    /// Tells whether a pod of the flow has not ended.
    pub(super) fn runs_something(&self, flow: &str) -> bool {
        let jobs = self.jobs.get(flow).into_iter().flatten().map(|entry| Id::from(entry.job.id()));
        let jobs = jobs.chain(self.leaving.get(flow).into_iter().flatten().cloned());
        let mut pods = jobs.flat_map(|job| self.pods.get(&job).into_iter().flatten());
        pods.any(|known| !known.pod.has_ended())
    }
}
