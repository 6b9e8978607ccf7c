//! A plan in the making: the flow's steps, and what happens to them now.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::collections::HashMap;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;

use super::model::{Action, JobSeen, Needs, Observed, RefusalKind};
use super::policy::{LONGEST_MESSAGE, Policy, after, cut, seconds, stamp};
use super::reason::{NAME_CONFLICT, RETRIES_USED_UP, Stop, WaitingReason, is_waiting};
use crate::flows::api::{
    JobFlow, JobFlowStatus, ObjectRef, OnStepFailure, Step, StepPhase, StepStatus, Waiting,
};
use crate::flows::dag::Dag;
use crate::flows::eval;
use crate::flows::eval::{Reads, Scene, Unready};
use crate::flows::observed::Job;
use crate::flows::outcome;

/// A plan in the making.
pub(super) struct Work<'a> {
    pub(super) flow: &'a JobFlow,
    pub(super) observed: &'a Observed,
    pub(super) now: Timestamp,
    pub(super) policy: Policy<'a>,
    pub(super) dag: Dag<'a>,
    /// The status as it was.
    pub(super) before: Cow<'a, JobFlowStatus>,
    /// The status as it will be, without its steps.
    pub(super) status: JobFlowStatus,
    /// The steps as they will be, each at its place in the spec.
    pub(super) steps: Vec<StepStatus>,
    /// Jobs of current attempts, by the step's place: those that the status names.
    jobs: HashMap<usize, &'a JobSeen>,
    pub(super) actions: Vec<Action>,
    pub(super) needs: Needs,
    pub(super) due: Option<Timestamp>,
    /// Why the flow ends before its steps do.
    pub(super) stopped: Option<Stop>,
    /// What is read of each step's result document, found out at most once.
    reads: OnceCell<Vec<Reads>>,
}

impl<'a> Work<'a> {
    pub(super) fn new(flow: &'a JobFlow, observed: &'a Observed, now: Timestamp) -> Self {
        let before = flow.status.as_ref().map_or_else(Cow::default, Cow::Borrowed);
        let known: HashMap<&str, &StepStatus> =
            before.steps.iter().map(|step| (step.name.as_str(), step)).collect();
        let aligned = |step: &Step| match known.get(step.name.as_str()) {
            Some(step) => (*step).clone(),
            None => StepStatus {
                name: step.name.clone(),
                phase: Some(StepPhase::Pending),
                ..StepStatus::default()
            },
        };
        let steps: Vec<StepStatus> = flow.spec.steps.iter().map(aligned).collect();
        let dag = Dag::new(&flow.spec.steps);
        let jobs = referred(&steps, observed);
        let status = before.clone_without_steps();
        Self {
            flow,
            observed,
            now,
            policy: Policy::of(&flow.spec),
            dag,
            before,
            status,
            steps,
            jobs,
            actions: Vec::new(),
            needs: Needs::default(),
            due: None,
            stopped: None,
            reads: OnceCell::new(),
        }
    }

    /// Whether the status is another than before.
    pub(super) fn is_changed(&self) -> bool {
        self.steps != self.before.steps || self.status != self.before.clone_without_steps()
    }

    pub(super) fn has_started(&self) -> bool {
        self.status.start_time.is_some()
    }

    /// Whether the validator looked at the spec for this plan: it does so when the generation is one that the status does
    /// not tell of yet.
    pub(super) fn was_judged(&self) -> bool {
        self.before.observed_generation != self.flow.metadata.generation
    }

    /// When the flow's time is over.
    pub(super) fn deadline(&self) -> Option<Timestamp> {
        Some(after(self.status.start_time.as_ref()?.0, self.policy.deadline?))
    }

    /// When the step's time is over, with all its attempts.
    pub(super) fn timeout(&self, place: usize) -> Option<Timestamp> {
        let start = self.steps[place].start_time.as_ref()?.0;
        Some(after(start, seconds(self.step(place).timeout_seconds?)))
    }

    pub(super) fn step(&self, place: usize) -> &'a Step {
        &self.flow.spec.steps[place]
    }

    pub(super) fn phase(&self, place: usize) -> StepPhase {
        self.steps[place].phase.unwrap_or(StepPhase::Pending)
    }

    /// Whether the step's result document is read where it comes from the Job's status.
    pub(super) fn reads_job_status(&self, place: usize) -> bool {
        self.reads.get_or_init(|| eval::reads(self.flow))[place].job_status
    }

    /// The Job of the step's current attempt, if it is seen.
    pub(super) fn job(&self, place: usize) -> Option<&'a JobSeen> {
        self.jobs.get(&place).copied().filter(|seen| refers(&self.steps[place], &seen.job))
    }

    pub(super) fn uid(&self) -> &'a str {
        self.flow.metadata.uid.as_deref().unwrap_or_default()
    }

    pub(super) fn is_suspended(&self) -> bool {
        self.flow.spec.suspend == Some(true)
    }

    /// Plan again at `time`, or before.
    pub(super) fn wake(&mut self, time: Timestamp) {
        self.due = Some(self.due.map_or(time, |due| due.min(time)));
    }

    /// Whether a step's failure fails the flow.
    pub(super) fn is_fatal(&self, place: usize) -> bool {
        self.phase(place) == StepPhase::Failed
            && (self.step(place).continue_on_failure != Some(true)
                || self.steps[place].reason.as_deref() == Some(RETRIES_USED_UP))
    }

    /// Whether there is a failure that fails the flow.
    pub(super) fn is_failing(&self) -> bool {
        (0..self.steps.len()).any(|place| self.is_fatal(place))
    }

    /// Whether a new attempt may start: nothing may once the flow is failing, unless independent steps go on.
    pub(super) fn may_go_on(&self) -> bool {
        self.stopped.is_none()
            && (self.policy.reaction == OnStepFailure::RunIndependent || !self.is_failing())
    }

    /// Retries that were used or are promised, of all steps together.
    pub(super) fn retries(&self) -> i64 {
        let of = |step: &StepStatus| {
            step.attempt.unwrap_or(1) - 1 + i64::from(is_waiting(step, WaitingReason::Retry))
        };
        self.steps.iter().map(of).sum()
    }

    /// A step has come to its end.
    pub(super) fn end(
        &mut self,
        place: usize,
        phase: StepPhase,
        reason: Option<&str>,
        message: Option<String>,
    ) {
        let now = self.now;
        let step = &mut self.steps[place];
        step.phase = Some(phase);
        step.reason = reason.map(str::to_owned);
        step.message = message.map(|text| cut(&text, LONGEST_MESSAGE));
        step.waiting = None;
        step.completion_time = stamp(now);
    }

    /// A step waits; since when is kept as long as the reason stays the same.
    pub(super) fn wait(
        &mut self,
        place: usize,
        reason: WaitingReason,
        message: Option<String>,
        until: Option<Timestamp>,
    ) {
        let now = self.now;
        let since = match &self.steps[place].waiting {
            Some(waiting) if waiting.reason == reason.word() => waiting.since.clone(),
            _ => None,
        };
        self.steps[place].waiting = Some(Box::new(Waiting {
            reason: reason.word().to_owned(),
            message: message.map(|text| cut(&text, LONGEST_MESSAGE)),
            since: since.or_else(|| reason.has_since().then_some(MicroTime(now))),
            until: until.and_then(stamp),
        }));
    }

    /// Since when a step has waited for this reason; now, if it does not yet.
    pub(super) fn waits_since(&self, place: usize, reason: WaitingReason) -> Timestamp {
        let waiting = self.steps[place].waiting.as_ref().filter(|waiting| waiting.reason == reason.word());
        waiting.and_then(|waiting| waiting.since.as_ref()).map_or(self.now, |since| since.0)
    }

    /// Evaluate something of a step where it stands now.
    pub(super) fn evaluate<T>(
        &self,
        place: usize,
        attempt: i64,
        what: impl FnOnce(&Scene<'_>) -> Result<T, Unready>,
    ) -> Result<T, Unready> {
        let document = |name: &str| {
            let place = self.dag.find(name)?;
            let seen = self.job(place)?;
            Some(outcome::document(&seen.job, &seen.all_pods(), None))
        };
        what(&Scene {
            flow: self.flow,
            steps: &self.steps,
            step: place,
            attempt,
            sources: &self.observed.sources,
            document: &document,
        })
    }

    /// Delete the Job of a step's current attempt, if it is there and not going already.
    pub(super) fn delete_job(&mut self, place: usize) {
        if let Some(seen) = self.job(place)
            && !seen.job.deleting
            && seen.gone.is_none()
        {
            let action = Action::DeleteJob { name: seen.job.name.to_string(), uid: seen.job.uid.to_string() };
            if !self.actions.contains(&action) {
                self.actions.push(action);
            }
        }
    }
}

/// The Job of each step's current attempt. Whatever a Job says of itself, it is the one that the status names, or it is
/// nobody's.
fn referred<'a>(steps: &[StepStatus], observed: &'a Observed) -> HashMap<usize, &'a JobSeen> {
    let places =
        steps.iter().enumerate().filter_map(|(place, step)| Some((&*step.job_ref.as_ref()?.name, place)));
    let places: HashMap<&str, usize> = places.collect();
    let mut jobs: HashMap<usize, &JobSeen> = HashMap::new();
    for seen in &observed.jobs {
        let Some(&place) = places.get(&*seen.job.name) else { continue };
        let step = &steps[place];
        if !refers(step, &seen.job) || is_refused(step, observed) {
            continue;
        }
        // As long as its UID is not known, it has to say at least that it is this attempt's.
        let knows_uid = step.job_ref.as_ref().is_some_and(|reference| reference.uid.is_some());
        if !knows_uid && (*seen.job.step != *step.name || Some(seen.job.attempt) != step.attempt) {
            continue;
        }
        // One of this name was there and is gone: what has its name now is another one.
        if seen.gone.is_some() || !jobs.contains_key(&place) {
            jobs.insert(place, seen);
        }
    }
    jobs
}

/// Whether the step's status names this Job.
pub(super) fn refers(step: &StepStatus, job: &Job) -> bool {
    let Some(reference) = &step.job_ref else { return false };
    *reference.name == *job.name && reference.uid.as_deref().is_none_or(|uid| *uid == *job.uid)
}

/// Whether the Job that has the name of the step's Job was found to be somebody else's.
fn is_refused(step: &StepStatus, observed: &Observed) -> bool {
    let refusal = || observed.refused.get(&(step.name.clone(), step.attempt.unwrap_or(1)));
    step.reason.as_deref() == Some(NAME_CONFLICT)
        || !observed.refused.is_empty()
            && refusal().is_some_and(|refusal| refusal.kind == RefusalKind::NameConflict)
}

/// A reference to a Job of the flow.
pub(super) fn job_ref(name: String) -> ObjectRef {
    ObjectRef { name, ..ObjectRef::default() }
}
