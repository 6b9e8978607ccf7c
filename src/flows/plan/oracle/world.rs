//! The cluster around a flow: its object, its Jobs, and the people who approve and suspend.

use std::collections::{BTreeMap, BTreeSet};

use super::case::{Attempt, Case, End};
use super::job::{Manner, Real, Seen};
use super::manifest;
use super::manifest::{instant, micros};
use super::reference::Micros;
use super::rng::Rng;
use crate::flows::api::{FlowPhase, JobFlow, JobFlowStatus, StepPhase, defaults};
use crate::flows::eval::Rendered;
use crate::flows::plan::{Action, Observed};
use crate::names;

/// A flow in its cluster.
pub(super) struct World<'a> {
    pub(super) case: &'a Case,
    /// The flow as stored by the API server.
    pub(super) flow: JobFlow,
    pub(super) jobs: Vec<Real>,
    pub(super) now: Micros,
    /// True once its TTL has passed and it was deleted.
    pub(super) deleted: bool,
    pub(super) rng: Rng,
    /// True if changes are seen late.
    lags: bool,
    /// UIDs of Jobs that the controller has pruned.
    pruned: BTreeSet<Box<str>>,
}

impl<'a> World<'a> {
    pub(super) fn new(case: &'a Case, rng: Rng, lags: bool) -> Self {
        let flow = manifest::flow(case);
        let mut world =
            Self { case, flow, jobs: Vec::new(), now: 0, deleted: false, rng, lags, pruned: BTreeSet::new() };
        world.move_to(0);
        world
    }

    /// Lets time pass.
    pub(super) fn move_to(&mut self, now: Micros) {
        self.now = now;
        let ms = now.div_euclid(1_000);
        let suspend = self.case.is_suspended(ms);
        if suspend != self.is_suspended() {
            self.flow.spec.suspend = Some(suspend);
            self.flow.metadata.generation = self.flow.metadata.generation.map(|generation| generation + 1);
        }
        for (i, step) in self.case.steps.iter().enumerate().filter(|(_, step)| step.manual) {
            if let Some((_, verdict)) = step.verdict.filter(|&(at, _)| at <= ms) {
                let key = format!("{}{}", names::APPROVED_PREFIX, Case::name(i));
                let annotations = self.flow.metadata.annotations.get_or_insert_default();
                annotations.entry(key).or_insert_with(|| verdict.to_string());
            }
        }
    }

    /// The next instant at which something happens or becomes visible.
    pub(super) fn next(&self) -> Option<Micros> {
        let people = self.case.suspended.iter().flat_map(|&(from, until)| [from, until]);
        let verdicts =
            self.case.steps.iter().filter(|step| step.manual).filter_map(|step| Some(step.verdict?.0));
        let people = people.chain(verdicts).map(|ms| ms * 1_000);
        people.chain(self.jobs.iter().flat_map(Real::instants)).filter(|&at| at > self.now).min()
    }

    pub(super) fn is_suspended(&self) -> bool {
        self.flow.spec.suspend == Some(true)
    }

    pub(super) fn status(&self) -> JobFlowStatus {
        self.flow.status.clone().unwrap_or_default()
    }

    pub(super) fn is_over(&self) -> bool {
        let phase = self.flow.status.as_ref().and_then(|status| status.phase);
        matches!(phase, Some(FlowPhase::Succeeded | FlowPhase::Failed))
    }

    /// The state that the controller knows.
    pub(super) fn observed(&mut self) -> Observed {
        let mut observed = Observed::default();
        for i in self.rng.shuffled(self.jobs.len()) {
            let job = &self.jobs[i];
            let seen = job.seen(self.now);
            let free = matches!(seen, Seen::Gone(_));
            match seen {
                Seen::Nothing => continue,
                Seen::There(_) | Seen::Gone(_) if self.pruned.contains(&*job.uid) => {}
                Seen::There(seen) | Seen::Gone(seen) => observed.jobs.push(seen),
            }
            if job.manner.doubled {
                let double = job.double(self.now, free);
                if !self.pruned.contains(&double.job.uid) {
                    let index = if self.rng.chance(50) { observed.jobs.len() } else { 0 };
                    observed.jobs.insert(index, double);
                }
            }
        }
        observed
    }

    /// Forgets the Jobs that no later plan needs.
    pub(super) fn prune(&mut self, jobs: &[Box<str>]) {
        self.pruned.extend(jobs.iter().cloned());
    }

    /// Restarts the program, which has forgotten everything.
    pub(super) fn crash(&mut self) {
        self.pruned.clear();
    }

    /// Stores the status. Returns false if nothing changes.
    pub(super) fn store(&mut self, status: &JobFlowStatus) -> Result<bool, String> {
        if self.flow.status.as_ref() == Some(status) {
            return Ok(false);
        }
        // The API server returns what JSON can express: a status of higher precision would be written again and again.
        if self.rng.chance(25) {
            let json = serde_json::to_value(status).expect("a status is JSON");
            let stored: JobFlowStatus = serde_json::from_value(json).expect("what was written is read back");
            if stored != *status {
                return Err(format!("{status:?} is read back as {stored:?}"));
            }
        }
        self.flow.status = Some(status.clone());
        Ok(true)
    }

    /// Carries out an action. Returns false if that changes nothing.
    pub(super) fn act(&mut self, action: &Action) -> Result<bool, String> {
        match action {
            Action::CreateResources => Err("no flow here has resource templates".to_owned()),
            Action::CreateJob { step, attempt, name, rendered } => {
                self.create(*step, *attempt, name, rendered)
            }
            Action::DeleteJob { name, uid } => self.delete(name, uid),
            Action::DeleteFlow => self.delete_flow(),
        }
    }

    fn create(&mut self, step: usize, attempt: i64, name: &str, rendered: &Rendered) -> Result<bool, String> {
        let what = format!("attempt {attempt} at {}", Case::name(step));
        if let Some(there) = self.jobs.iter().find(|job| job.name == name) {
            return match () {
                () if (there.step, there.attempt) != (step, attempt) => {
                    Err(format!("two Jobs are called {name}"))
                }
                () if there.deleted.is_some_and(|deleted| deleted <= self.now) => {
                    Err(format!("{what} is made again though its Job was deleted"))
                }
                () if *there.rendered != *rendered => Err(format!("{what} has two different Jobs")),
                // AlreadyExists, and it is ours.
                () => Ok(false),
            };
        }
        if name.is_empty() || name.len() > 63 {
            return Err(format!("the Job of {what} has the name {name:?}"));
        }
        if let Some(live) = self.jobs.iter().find(|job| job.step == step && job.is_live(self.now)) {
            return Err(format!("{what} is started while attempt {} runs", live.attempt));
        }
        let made = self.jobs.iter().filter(|job| job.step == step).count();
        if usize::try_from(attempt).ok() != Some(made + 1) {
            return Err(format!("{what} is started after {made} attempts"));
        }
        let status = self.status();
        let stored = status.steps.get(step).map(|step| (step.phase, step.attempt));
        if self.is_over() || stored != Some((Some(StepPhase::Running), Some(attempt))) {
            return Err(format!("{what} is started, but the stored status does not say so: {stored:?}"));
        }
        let spec = &self.case.steps[step];
        let script = spec.attempt(attempt);
        // Retries belong to the flow; else Kubernetes' default.
        let backoff_limit = spec.job_backoff_limit.unwrap_or(if spec.retry.is_some() { 0 } else { 6 });
        let ends = self.now + script.lasts * 1_000;
        let manner = self.manner(&script);
        let mut job = Real {
            uid: format!("uid-{}", self.jobs.len()),
            name: name.to_owned(),
            step,
            attempt,
            rendered: Box::new(rendered.clone()),
            backoff_limit,
            created: self.now,
            ends,
            end: script.end,
            deleted: None,
            manner,
        };
        job.deleted = job.goes_by_itself();
        self.jobs.push(job);
        Ok(true)
    }

    fn manner(&mut self, script: &Attempt) -> Manner {
        let (end, lags) = (script.end, self.lags);
        let rng = &mut self.rng;
        let swept = end != End::Lost && script.lasts > 2 && rng.chance(20);
        // A Job that was deleted before it was ever seen would rightly be made again.
        let longest = if end == End::Lost || swept { script.lasts - 1 } else { 3_000 };
        Manner {
            lag: if lags && rng.chance(60) { rng.between(1, longest) * 1_000 } else { 0 },
            by_pod: rng.chance(60),
            turns: !lags && rng.chance(10),
            announces: rng.chance(30),
            lingers: end != End::Lost && rng.chance(30),
            swept,
            doubled: rng.chance(20),
        }
    }

    fn delete(&mut self, name: &str, uid: &str) -> Result<bool, String> {
        let now = self.now;
        let Some(job) = self.jobs.iter_mut().find(|job| job.name == name && job.uid == uid) else {
            return Err(format!("the Job {name} with the UID {uid} is deleted, and there never was one"));
        };
        if job.deleted.is_some_and(|deleted| deleted <= now) {
            return Ok(false);
        }
        job.deleted = Some(now);
        let (step, attempt) = (job.step, job.attempt);
        let status = self.status();
        let stored = &status.steps[step];
        if stored.phase == Some(StepPhase::Running) && stored.attempt == Some(attempt) {
            return Err(format!("the Job of {} is deleted, and the step runs", stored.name));
        }
        // People read its logs until the flow goes.
        if stored.phase == Some(StepPhase::Succeeded) && stored.attempt == Some(attempt) {
            return Err(format!("the Job of {} is deleted, and the step has succeeded", stored.name));
        }
        Ok(true)
    }

    fn delete_flow(&mut self) -> Result<bool, String> {
        let completed = self.status().completion_time.map(|at| micros(at.0));
        let ttl = self.case.ttl.unwrap_or(defaults::TTL_SECONDS) * 1_000_000;
        match completed {
            Some(completed) if self.is_over() && completed + ttl <= self.now => {
                self.deleted = true;
                Ok(true)
            }
            _ => Err(format!("the flow is deleted at {} µs, completed at {completed:?}", self.now)),
        }
    }

    /// Deletes, as a user might, Jobs that no step waits for any more.
    pub(super) fn tidy(&mut self) {
        let status = self.status();
        let current: BTreeMap<usize, Option<i64>> =
            status.steps.iter().enumerate().map(|(i, step)| (i, step.attempt)).collect();
        for job in &mut self.jobs {
            let step = &status.steps[job.step];
            let waited_for = step.completion_time.is_none() && current[&job.step] == Some(job.attempt);
            if !waited_for && self.rng.chance(30) {
                job.deleted.get_or_insert(self.now);
            }
        }
    }

    /// The current time in the form that a plan takes.
    pub(super) fn timestamp(&self) -> jiff::Timestamp {
        instant(self.now)
    }
}
