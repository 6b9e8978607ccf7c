//! Flows, Jobs and pods, each found by its owner, and what is kept of each. No lock: that is [`Cache`](super::Cache)'s.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use super::{FlowEntry, Id, Touched, Watch};
use crate::flows::api::defaults::RETRY_LIMIT;
use crate::flows::api::{FlowPhase, JobFlow};
use crate::flows::controller::queue::Urgency;
use crate::flows::controller::view;
use crate::flows::controller::view::FlowKey;
use crate::flows::eval::Source;
use crate::flows::job_name::is_job_name;
use crate::flows::observed::{Job, Pod, id_of};
use crate::flows::plan::{Gone, JobSeen, Refusal, Rival, Verdict, durations};

#[derive(Default)]
pub(super) struct Index {
    pub(super) flows: HashMap<FlowKey, Arc<FlowEntry>>,
    pub(super) keys: HashMap<Id, FlowKey>,
    /// Flows by namespace and concurrency key.
    pub(super) lines: HashMap<(String, String), BTreeSet<FlowKey>>,
    /// Jobs by the flow that owns them.
    pub(super) jobs: HashMap<Id, Vec<JobEntry>>,
    /// Jobs that are gone, by the flow that owns them, until nobody asks what came of them.
    pub(super) lost: HashMap<Id, Vec<Lost>>,
    /// The flow of each Job.
    pub(super) owners: HashMap<Id, Owner>,
    /// Pods by the Job that owns them. A pod may be seen before its Job is.
    pub(super) pods: HashMap<Id, Vec<PodEntry>>,
    /// Pods that had ended and are gone, by the Job that owns them: what they said is asked for until the Job is spent.
    pub(super) ended: HashMap<Id, Vec<PodEntry>>,
    /// What only this process knows of a flow.
    pub(super) memories: HashMap<Id, Memory>,
    /// Jobs that are gone or spent while pods of theirs have not ended, by the flow that owns them.
    pub(super) leaving: HashMap<Id, HashSet<Id>>,
    /// What was seen since a watch started over: ids of flows and Jobs, UIDs of pods.
    pub(super) listed: HashMap<Watch, HashSet<Id>>,
}

/// Whose a Job is, and what is kept of it.
pub(super) struct Owner {
    pub(super) flow: Id,
    pub(super) stage: Stage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// It is there, and kept as a whole.
    Whole,
    /// Nobody looks at it again, and nothing is kept of it nor of its pods that have ended. In the scope of the watch
    /// that has seen it, if one has.
    Spent(Option<usize>),
    /// It is gone, and pods of it are not, or somebody has still to ask what came of it.
    Gone,
}

/// A Job that is gone.
pub(super) struct Lost {
    /// The last that was seen of it.
    pub(super) job: Arc<Job>,
    pub(super) how: Gone,
}

pub(super) struct JobEntry {
    pub(super) job: Arc<Job>,
    /// The scope of the watch that has seen it; `None` while it is known from our own creation alone.
    pub(super) scope: Option<usize>,
}

pub(super) struct PodEntry {
    pub(super) pod: Arc<Pod>,
    pub(super) scope: usize,
    /// Whether it was seen at its end before its Job had counted it and before it was deleted: then it has decided.
    decided: bool,
}

/// How many pods of one Job are remembered after they are gone. Somebody may delete them while the Job makes new ones.
const MOST_ENDED: usize = 500;

impl PodEntry {
    pub(super) fn new(pod: Pod, scope: usize) -> Self {
        let decided = pod.has_ended() && pod.tracked && !pod.deleting;
        Self { pod: Arc::new(pod), scope, decided }
    }

    /// Take in a newer state. Whether that changes anything.
    pub(super) fn take(&mut self, mut pod: Pod) -> bool {
        // One that had ended before its deletion began counts as before: its Job counts it too.
        pod.deleting &= !self.pod.has_ended() || self.pod.deleting;
        if *self.pod == pod {
            return false;
        }
        let newer = Self::new(pod, self.scope);
        self.pod = newer.pod;
        self.decided |= newer.decided;
        true
    }

    /// As it counts for a Job that is gone: what takes the finalizer away then is no verdict.
    fn for_a_lost_job(&self) -> Arc<Pod> {
        if self.decided && !self.pod.tracked {
            Arc::new(Pod { tracked: true, ..(*self.pod).clone() })
        } else {
            self.pod.clone()
        }
    }
}

/// What only this process knows of a flow; it may be lost.
#[derive(Default)]
pub(super) struct Memory {
    pub(super) refused: BTreeMap<(String, i64), Refusal>,
    /// How often in a row a ConfigMap or Secret could not be read.
    pub(super) unread: BTreeMap<Source, u32>,
    /// Since when a change of its status waits to be written.
    pub(super) waits: Option<Timestamp>,
}

impl Memory {
    pub(super) fn is_empty(&self) -> bool {
        self.refused.is_empty() && self.unread.is_empty() && self.waits.is_none()
    }
}

/// Whether a Job has this [`crate::flows::observed::id`]. Most differ in the UID, which is compared first.
fn is(job: &Job, id: &str) -> bool {
    id.ends_with(&*job.uid) && *job.id() == *id
}

impl Index {
    pub(super) fn saw(&mut self, watch: Watch, id: &str) {
        if let Some(listed) = self.listed.get_mut(&watch) {
            listed.insert(id.into());
        }
    }

    /// An older state than is known is passed over: a watch may be behind the answers to our own writes.
    pub(super) fn flow(&mut self, view: view::FlowView, verdict: Verdict, scope: Option<usize>) -> Touched {
        let id = id_of(&view.metadata);
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
        self.index(&key, old.as_deref(), &view);
        self.keys.insert(id.clone(), key.clone());
        let scope = scope.or_else(|| old.as_ref().map(|old| old.scope)).unwrap_or_default();
        let entry = FlowEntry { flow: view.flow, verdict, id, version, scope };
        if entry.is_over() {
            self.forget_lost(&entry.id);
        }
        // The others in line look only at whether and how it stands in their way.
        let same = old.is_some_and(|old| self.rival(&old) == self.rival(&entry));
        self.flows.insert(key.clone(), Arc::new(entry));
        if same { vec![(key, Urgency::Normal)] } else { self.touched_with_line(key) }
    }

    /// Keep the lines of concurrency keys.
    fn index(&mut self, key: &FlowKey, old: Option<&FlowEntry>, new: &view::FlowView) {
        let line = |flow: &Result<JobFlow, _>| {
            let word = view::concurrency_key(flow.as_ref().ok()?)?.to_owned();
            Some((key.namespace.clone(), word))
        };
        let (was, is) = (old.and_then(|old| line(&old.flow)), line(&new.flow));
        if was != is
            && let Some(was) = was
        {
            self.leave_line(&was, key);
        }
        if let Some(is) = is {
            self.lines.entry(is).or_default().insert(key.clone());
        }
    }

    fn leave_line(&mut self, line: &(String, String), key: &FlowKey) {
        if let Some(flows) = self.lines.get_mut(line) {
            flows.remove(key);
            if flows.is_empty() {
                self.lines.remove(line);
            }
        }
    }

    fn line_of(&self, key: &FlowKey) -> Option<(String, String)> {
        let entry = self.flows.get(key)?;
        let word = view::concurrency_key(entry.flow.as_ref().ok()?)?;
        Some((key.namespace.clone(), word.to_owned()))
    }

    /// A flow and those that stand in line with it.
    fn touched_with_line(&self, key: FlowKey) -> Touched {
        let line = self.line_of(&key).and_then(|line| self.lines.get(&line));
        let others = line.into_iter().flatten().filter(|other| **other != key);
        let mut touched: Touched = others.map(|other| (other.clone(), Urgency::Normal)).collect();
        touched.push((key, Urgency::Normal));
        touched
    }

    pub(super) fn flow_gone(&mut self, id: &str) -> Touched {
        let Some(key) = self.keys.remove(id) else { return Vec::new() };
        self.memories.remove(id);
        self.forget_lost(id);
        if self.flows.get(&key).is_none_or(|entry| &*entry.id != id) {
            return Vec::new();
        }
        let touched = self.touched_with_line(key.clone());
        if let Some(line) = self.line_of(&key) {
            self.leave_line(&line, &key);
        }
        self.flows.remove(&key);
        touched
    }

    pub(super) fn job(&mut self, job: Job, scope: Option<usize>) -> Touched {
        let (flow, id) = (job.flow.clone(), job.id());
        let over = job.conditions.iter().any(|condition| condition.kind.is_final());
        if let Some(Owner { stage: Stage::Spent(known), .. }) = self.owners.get_mut(&id) {
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
        // A Job goes before its pods do, and who waits in line waits for those.
        if self.pods.contains_key(id) {
            self.leaves(id);
        }
        if stage == Stage::Whole
            && let Some(job) = self.take_job(&flow, |job| is(job, id))
            && self.may_be_asked_for(&flow, &job.job)
        {
            // How it ended, or that it had not, is what its last state says.
            let job = last.filter(|last| last.flow == flow).map_or(job.job, Arc::new);
            self.lost.entry(flow.clone()).or_default().push(Lost { job, how });
        } else {
            self.ended.remove(id);
        }
        if !self.is_asked_for(&flow, id) && !self.pods.contains_key(id) {
            self.owners.remove(id);
        }
        if stage == Stage::Whole { self.touched_by_flow(&flow, Urgency::High) } else { Vec::new() }
    }

    /// Take a Job out of those that are there.
    fn take_job(&mut self, flow: &str, is_it: impl Fn(&Job) -> bool) -> Option<JobEntry> {
        let jobs = self.jobs.get_mut(flow)?;
        let at = jobs.iter().position(|entry| is_it(&entry.job))?;
        let job = jobs.swap_remove(at);
        if jobs.is_empty() {
            self.jobs.remove(flow);
        }
        Some(job)
    }

    /// Whether somebody may still ask what came of a Job that is gone: it is that of an attempt that its flow may make, and
    /// the first of them with the name that we give, or without it. Whoever may create Jobs could have any number of others
    /// kept.
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

    /// Whether a Job is gone, and somebody has still to ask what came of it.
    fn is_asked_for(&self, flow: &str, id: &str) -> bool {
        self.lost.get(flow).is_some_and(|lost| lost.iter().any(|lost| is(&lost.job, id)))
    }

    pub(super) fn spend(&mut self, flow: &str, uid: &str) {
        if let Some(entry) = self.take_job(flow, |job| *job.uid == *uid) {
            let id = entry.job.id();
            self.ended.remove(&id);
            if let Some(owner) = self.owners.get_mut(&id) {
                owner.stage = Stage::Spent(entry.scope);
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

    /// Nobody asks any more what came of the Jobs of a flow.
    fn forget_lost(&mut self, flow: &str) {
        for Lost { job, .. } in self.lost.remove(flow).unwrap_or_default() {
            self.forget(&job.id());
        }
    }

    /// Nobody asks any more what came of a Job that is gone.
    fn forget(&mut self, id: &str) {
        self.ended.remove(id);
        if !self.pods.contains_key(id) {
            self.owners.remove(id);
        }
    }

    /// The Jobs of a flow, those that are gone last, as a plan sees them.
    pub(super) fn jobs_of(&self, flow: &str) -> Vec<JobSeen> {
        let pods = |of: &HashMap<Id, Vec<PodEntry>>, job: &Job, as_seen: fn(&PodEntry) -> Arc<Pod>| {
            of.get(&job.id()).into_iter().flatten().map(as_seen).collect()
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

    pub(super) fn is_spent(&self, job: &str) -> bool {
        self.owners.get(job).is_some_and(|owner| matches!(owner.stage, Stage::Spent(_)))
    }

    /// Whether a Job is gone or spent.
    pub(super) fn is_left(&self, job: &str) -> bool {
        self.owners.get(job).is_some_and(|owner| owner.stage != Stage::Whole)
    }

    /// Pods of a Job that is gone or spent have not ended.
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
            && !self.is_spent(job)
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

    /// What is left of a Job that went before its pods is forgotten with the last of them.
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

    /// The flow of a Job.
    pub(super) fn touched_by_job(&self, job: &str, urgency: Urgency) -> Touched {
        self.owners.get(job).map_or_else(Vec::new, |owner| self.touched_by_flow(&owner.flow, urgency))
    }

    /// A flow; of one that is over, also those that wait for its last pod to end.
    fn touched_by_flow(&self, flow: &str, urgency: Urgency) -> Touched {
        let Some(key) = self.keys.get(flow) else { return Vec::new() };
        let over = self.flows.get(key).is_some_and(|entry| entry.is_over());
        if over { self.touched_with_line(key.clone()) } else { vec![(key.clone(), urgency)] }
    }

    pub(super) fn rivals(&self, key: &FlowKey, entry: &FlowEntry) -> Vec<Rival> {
        let Some(line) = self.line_of(key).and_then(|line| self.lines.get(&line)) else { return Vec::new() };
        let others =
            line.iter().filter_map(|other| self.flows.get(other)).filter(|other| other.id != entry.id);
        others.filter_map(|other| self.rival(other)).collect()
    }

    pub(super) fn took(&self, key: &FlowKey) -> BTreeMap<String, SignedDuration> {
        let line = self.line_of(key).and_then(|line| self.lines.get(&line)).into_iter().flatten();
        let statuses = line.filter_map(|other| self.flows.get(other)?.flow.as_ref().ok()?.status.as_ref());
        let succeeded = statuses.filter(|status| status.phase == Some(FlowPhase::Succeeded));
        let last = succeeded.max_by_key(|status| status.completion_time.as_ref().map(|time| time.0));
        last.map(|status| durations(&status.steps)).unwrap_or_default()
    }

    /// A flow as others in its line see it.
    fn rival(&self, entry: &FlowEntry) -> Option<Rival> {
        let flow = entry.flow.as_ref().ok()?;
        Some(Rival {
            name: flow.metadata.name.clone().unwrap_or_default(),
            uid: entry.uid().to_owned(),
            created: view::created(&flow.metadata),
            started: view::has_started(flow),
            over: view::is_over(flow) && !self.runs_something(&entry.id),
            queued: entry.verdict == Verdict::Sound
                && flow.spec.suspend != Some(true)
                && flow.metadata.deletion_timestamp.is_none(),
            replaces: view::replaces(flow),
        })
    }

    /// Whether a pod of the flow has not ended.
    fn runs_something(&self, flow: &str) -> bool {
        let jobs = self.jobs.get(flow).into_iter().flatten().map(|entry| entry.job.id());
        let jobs = jobs.chain(self.leaving.get(flow).into_iter().flatten().cloned());
        let mut pods = jobs.flat_map(|job| self.pods.get(&job).into_iter().flatten());
        pods.any(|known| !known.pod.has_ended())
    }
}

/// A Job but for its document, most of whose changes decide nothing.
fn without_document(job: &Job) -> Job {
    Job { document: Box::default(), ..job.clone() }
}
