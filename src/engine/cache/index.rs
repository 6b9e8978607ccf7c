//! Flows, Jobs and pods, each found by its owner, and what is kept of each. No lock: that is [`Cache`](super::Cache)'s.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use super::{FlowEntry, Touched, Uid, Watch};
use crate::api::{FlowPhase, JobFlow};
use crate::engine::flows::{self, FlowKey};
use crate::engine::queue::Urgency;
use crate::flow::eval::Source;
use crate::flow::observed::{Job, JobConditionKind, Pod, PodPhase};
use crate::flow::plan::{Refusal, Rival, Verdict, durations};

#[derive(Default)]
pub(super) struct Index {
    pub(super) flows: HashMap<FlowKey, Arc<FlowEntry>>,
    pub(super) keys: HashMap<Uid, FlowKey>,
    /// Flows by namespace and concurrency key.
    pub(super) lines: HashMap<(String, String), BTreeSet<FlowKey>>,
    /// Jobs by the UID of the flow that owns them.
    pub(super) jobs: HashMap<Uid, Vec<JobEntry>>,
    /// The flow of each Job, by the Job's UID.
    pub(super) owners: HashMap<Uid, Owner>,
    /// Pods by the UID of the Job that owns them. A pod may be seen before its Job is.
    pub(super) pods: HashMap<Uid, Vec<PodEntry>>,
    /// What only this process knows of a flow, by the flow's UID.
    pub(super) memories: HashMap<Uid, Memory>,
    /// Jobs that are gone or spent while pods of theirs have not ended, by the UID of the flow that owns them.
    pub(super) leaving: HashMap<Uid, HashSet<Uid>>,
    /// UIDs seen since a watch started over.
    pub(super) listed: HashMap<Watch, HashSet<Uid>>,
}

/// Whose a Job is, and what is kept of it.
pub(super) struct Owner {
    pub(super) flow: Uid,
    pub(super) stage: Stage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// It is there, and kept as a whole.
    Whole,
    /// Nobody looks at it again, and nothing is kept of it nor of its pods that have ended. In the scope of the watch
    /// that has seen it, if one has.
    Spent(Option<usize>),
    /// It is gone, and pods of it are not.
    Gone,
}

pub(super) struct JobEntry {
    pub(super) job: Arc<Job>,
    /// The scope of the watch that has seen it; `None` while it is known from our own creation alone.
    pub(super) scope: Option<usize>,
}

pub(super) struct PodEntry {
    pub(super) pod: Arc<Pod>,
    pub(super) scope: usize,
}

/// What only this process knows of a flow; it may be lost.
#[derive(Default)]
pub(super) struct Memory {
    pub(super) gone: BTreeSet<(String, i64)>,
    pub(super) refused: BTreeMap<(String, i64), Refusal>,
    /// How often in a row a ConfigMap or Secret could not be read.
    pub(super) unread: BTreeMap<Source, u32>,
    /// Since when a change of its status waits to be written.
    pub(super) waits: Option<Timestamp>,
}

impl Index {
    pub(super) fn saw(&mut self, watch: Watch, uid: &str) {
        if let Some(listed) = self.listed.get_mut(&watch) {
            listed.insert(uid.into());
        }
    }

    /// An older state than is known is passed over: a watch may be behind the answers to our own writes.
    pub(super) fn flow(&mut self, view: flows::FlowView, verdict: Verdict, scope: Option<usize>) -> Touched {
        let uid: Uid = view.metadata.uid.as_deref().unwrap_or_default().into();
        let key = FlowKey::of(&view.metadata);
        let version = view.metadata.resource_version.as_deref().and_then(|text| text.parse().ok());
        let version = version.unwrap_or(u64::MAX);
        let mut old = self.flows.get(&key).cloned();
        if let Some(known) = old.take_if(|known| known.uid != uid) {
            self.flow_gone(&known.uid);
        }
        if old.as_ref().is_some_and(|old| old.version >= version && version != u64::MAX) {
            return Vec::new();
        }
        self.index(&key, old.as_deref(), &view);
        self.keys.insert(uid.clone(), key.clone());
        let scope = scope.or_else(|| old.as_ref().map(|old| old.scope)).unwrap_or_default();
        let entry = FlowEntry { flow: view.flow, verdict, uid, version, scope };
        // The others in line look only at whether and how it stands in their way.
        let same = old.is_some_and(|old| self.rival(&old) == self.rival(&entry));
        self.flows.insert(key.clone(), Arc::new(entry));
        if same { vec![(key, Urgency::Normal)] } else { self.touched_with_line(key) }
    }

    /// Keep the lines of concurrency keys.
    fn index(&mut self, key: &FlowKey, old: Option<&FlowEntry>, new: &flows::FlowView) {
        let line = |flow: &Result<JobFlow, _>| {
            let word = flows::concurrency_key(flow.as_ref().ok()?)?.to_owned();
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
        let word = flows::concurrency_key(entry.flow.as_ref().ok()?)?;
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

    pub(super) fn flow_gone(&mut self, uid: &str) -> Touched {
        let Some(key) = self.keys.remove(uid) else { return Vec::new() };
        self.memories.remove(uid);
        if self.flows.get(&key).is_none_or(|entry| &*entry.uid != uid) {
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
        let (flow, uid) = (job.flow.clone(), job.uid.clone());
        let final_ = |kind| matches!(kind, JobConditionKind::Complete | JobConditionKind::Failed);
        let over = job.conditions.iter().any(|condition| final_(condition.kind));
        if let Some(Owner { stage: Stage::Spent(known), .. }) = self.owners.get_mut(&uid) {
            *known = scope.or(*known);
            return Vec::new();
        }
        self.owners.insert(uid.clone(), Owner { flow: flow.clone(), stage: Stage::Whole });
        let jobs = self.jobs.entry(flow.clone()).or_default();
        match jobs.iter_mut().find(|known| known.job.uid == uid) {
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

    pub(super) fn job_gone(&mut self, uid: &str) -> Touched {
        let Some(owner) = self.owners.get_mut(uid) else {
            self.pods.remove(uid);
            return Vec::new();
        };
        let flow = owner.flow.clone();
        let stage = std::mem::replace(&mut owner.stage, Stage::Gone);
        // A Job goes before its pods do, and who waits in line waits for those.
        if self.pods.contains_key(uid) {
            self.leaves(uid);
        } else {
            self.owners.remove(uid);
        }
        if stage != Stage::Whole {
            return Vec::new();
        }
        if let Some(jobs) = self.jobs.get_mut(&flow) {
            if let Some(at) = jobs.iter().position(|entry| &*entry.job.uid == uid) {
                let job = jobs.swap_remove(at).job;
                if self.keys.contains_key(&flow) {
                    let memory = self.memories.entry(flow.clone()).or_default();
                    memory.gone.insert((job.step.to_string(), job.attempt));
                }
            }
            if self.jobs.get(&flow).is_some_and(Vec::is_empty) {
                self.jobs.remove(&flow);
            }
        }
        self.touched_by_flow(&flow, Urgency::High)
    }

    pub(super) fn spend(&mut self, uid: &str) {
        let Some(owner) = self.owners.get_mut(uid).filter(|owner| owner.stage == Stage::Whole) else {
            return;
        };
        let Some(jobs) = self.jobs.get_mut(&owner.flow) else { return };
        let Some(at) = jobs.iter().position(|entry| &*entry.job.uid == uid) else { return };
        owner.stage = Stage::Spent(jobs.swap_remove(at).scope);
        if jobs.is_empty() {
            self.jobs.remove(&owner.flow);
        }
        let Some(pods) = self.pods.get_mut(uid) else { return };
        pods.retain(|entry| !has_ended(&entry.pod));
        if pods.is_empty() {
            self.pods.remove(uid);
        } else {
            self.leaves(uid);
        }
    }

    pub(super) fn is_spent(&self, job: &str) -> bool {
        self.owners.get(job).is_some_and(|owner| matches!(owner.stage, Stage::Spent(_)))
    }

    /// Pods of a Job that is gone or spent have not ended.
    pub(super) fn leaves(&mut self, job: &str) {
        if let Some(owner) = self.owners.get(job) {
            self.leaving.entry(owner.flow.clone()).or_default().insert(job.into());
        }
    }

    pub(super) fn pod_gone(&mut self, job: &str, uid: &str) -> Touched {
        let Some(pods) = self.pods.get_mut(job) else { return Vec::new() };
        pods.retain(|known| &*known.pod.uid != uid);
        if !pods.is_empty() {
            return self.touched_by_job(job, Urgency::Normal);
        }
        self.pods.remove(job);
        let touched = self.touched_by_job(job, Urgency::Normal);
        self.last_pod_gone(job);
        touched
    }

    /// What is left of a Job that went before its pods is forgotten with the last of them.
    fn last_pod_gone(&mut self, job: &str) {
        let Some(Owner { flow, stage }) = self.owners.get(job) else { return };
        let Some(jobs) = self.leaving.get_mut(flow).filter(|jobs| jobs.contains(job)) else { return };
        jobs.remove(job);
        if jobs.is_empty() {
            self.leaving.remove(flow);
        }
        if *stage == Stage::Gone {
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
        let over = self.flows.get(key).is_some_and(|entry| entry.flow.as_ref().is_ok_and(flows::is_over));
        if over { self.touched_with_line(key.clone()) } else { vec![(key.clone(), urgency)] }
    }

    pub(super) fn rivals(&self, key: &FlowKey, entry: &FlowEntry) -> Vec<Rival> {
        let Some(line) = self.line_of(key).and_then(|line| self.lines.get(&line)) else { return Vec::new() };
        let others =
            line.iter().filter_map(|other| self.flows.get(other)).filter(|other| other.uid != entry.uid);
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
            uid: entry.uid.to_string(),
            created: flows::created(&flow.metadata),
            started: flows::has_started(flow),
            over: flows::is_over(flow) && !self.runs_something(&entry.uid),
            in_line: entry.verdict == Verdict::Sound
                && flow.spec.suspend != Some(true)
                && flow.metadata.deletion_timestamp.is_none(),
            replaces: flows::replaces(flow),
        })
    }

    /// Whether a pod of the flow has not ended.
    fn runs_something(&self, flow: &str) -> bool {
        let jobs = self.jobs.get(flow).into_iter().flatten().map(|entry| &entry.job.uid);
        let jobs = jobs.chain(self.leaving.get(flow).into_iter().flatten());
        let mut pods = jobs.flat_map(|job| self.pods.get(job).into_iter().flatten());
        pods.any(|known| !has_ended(&known.pod))
    }
}

/// A Job but for its document, most of whose changes decide nothing.
fn without_document(job: &Job) -> Job {
    Job { document: Box::default(), ..job.clone() }
}

pub(super) fn has_ended(pod: &Pod) -> bool {
    matches!(pod.phase, PodPhase::Succeeded | PodPhase::Failed)
}
