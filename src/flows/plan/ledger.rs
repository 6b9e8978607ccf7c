//! The ledger of a plan: the status that the flow had, the one that it will have, and the actions in between.
//!
//! It decides nothing: `drive` holds the order of the stages, and each stage changes the ledger.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::collections::HashMap;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;

use super::model::{Action, JobSeen, Needs, Observed, RefusalKind};
use super::policy::{LONGEST_MESSAGE, Policy, after, cut, seconds, stamp};
use super::reason::{Stop, is_waiting};
use crate::flows::api::{
    JobFlow, JobFlowStatus, ObjectRef, OnStepFailure, Step, StepPhase, StepReason, StepStatus, Waiting,
    WaitingReason,
};
use crate::flows::dag::Dag;
use crate::flows::eval;
use crate::flows::eval::{Reads, Scene, Unready};
use crate::flows::observed::Job;
use crate::flows::outcome;

/// A plan while it is being made.
pub(super) struct Ledger<'a> {
    pub(super) flow: &'a JobFlow,
    pub(super) observed: &'a Observed,
    pub(super) now: Timestamp,
    pub(super) policy: Policy<'a>,
    pub(super) dag: Dag<'a>,
    /// The old status.
    pub(super) before: Cow<'a, JobFlowStatus>,
    /// The new status, without its steps.
    pub(super) status: JobFlowStatus,
    /// The new steps, each at its index in the spec.
    pub(super) steps: Vec<StepStatus>,
    /// The Jobs of current attempts that the status names, by the step's index.
    jobs: HashMap<usize, &'a JobSeen>,
    pub(super) actions: Vec<Action>,
    pub(super) needs: Needs,
    pub(super) due: Option<Timestamp>,
    /// The external reason for which the flow ends before its steps do.
    pub(super) stopped: Option<Stop>,
    /// The parts of each step's result document that expressions read; computed at most once.
    reads: OnceCell<Vec<Reads>>,
}

impl<'a> Ledger<'a> {
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

    /// Tells whether the new status differs from the old one.
    pub(super) fn is_changed(&self) -> bool {
        self.steps != self.before.steps || self.status != self.before.clone_without_steps()
    }

    pub(super) fn has_started(&self) -> bool {
        self.status.start_time.is_some()
    }

    /// Tells whether the spec was validated for this plan: that is done for a generation that the status does not name
    /// yet.
    pub(super) fn was_judged(&self) -> bool {
        self.before.observed_generation != self.flow.metadata.generation
    }

    /// The end of the flow's `activeDeadlineSeconds`, if it has any.
    pub(super) fn deadline(&self) -> Option<Timestamp> {
        Some(after(self.status.start_time.as_ref()?.0, self.policy.deadline?))
    }

    /// The end of the step's `timeoutSeconds`, which cover all its attempts.
    pub(super) fn timeout(&self, index: usize) -> Option<Timestamp> {
        let start = self.steps[index].start_time.as_ref()?.0;
        Some(after(start, seconds(self.step(index).timeout_seconds?)))
    }

    pub(super) fn step(&self, index: usize) -> &'a Step {
        &self.flow.spec.steps[index]
    }

    pub(super) fn phase(&self, index: usize) -> StepPhase {
        self.steps[index].phase.unwrap_or(StepPhase::Pending)
    }

    /// Tells whether some expression reads the part of the step's result document that comes from the Job's status.
    pub(super) fn reads_job_status(&self, index: usize) -> bool {
        self.reads.get_or_init(|| eval::reads(self.flow))[index].job_status
    }

    /// The Job of the step's current attempt, if it was observed.
    pub(super) fn job(&self, index: usize) -> Option<&'a JobSeen> {
        self.jobs.get(&index).copied().filter(|seen| refers(&self.steps[index], &seen.job))
    }

    pub(super) fn uid(&self) -> &'a str {
        self.flow.metadata.uid.as_deref().unwrap_or_default()
    }

    pub(super) fn is_suspended(&self) -> bool {
        self.flow.spec.suspend == Some(true)
    }

    /// Plans again at `time` at the latest.
    pub(super) fn requeue_at(&mut self, time: Timestamp) {
        self.due = Some(self.due.map_or(time, |due| due.min(time)));
    }

    /// Tells whether the step has failed in a way that fails the flow.
    pub(super) fn is_fatal(&self, index: usize) -> bool {
        self.phase(index) == StepPhase::Failed
            && (self.step(index).continue_on_failure != Some(true)
                || self.steps[index].reason() == Some(StepReason::FlowBackoffLimitExceeded))
    }

    /// Tells whether a step's failure fails the flow.
    pub(super) fn is_failing(&self) -> bool {
        (0..self.steps.len()).any(|index| self.is_fatal(index))
    }

    /// Tells whether a new attempt may start: none may once the flow is failing, unless the policy is RunIndependent.
    pub(super) fn may_go_on(&self) -> bool {
        self.stopped.is_none()
            && (self.policy.reaction == OnStepFailure::RunIndependent || !self.is_failing())
    }

    /// The retries of all steps together, including those that are waited for.
    pub(super) fn retries(&self) -> i64 {
        let of = |step: &StepStatus| {
            step.attempt.unwrap_or(1) - 1 + i64::from(is_waiting(step, WaitingReason::Retry))
        };
        self.steps.iter().map(of).sum()
    }

    /// Tells whether every step has ended.
    pub(super) fn all_final(&self) -> bool {
        (0..self.steps.len()).all(|index| self.phase(index).is_final())
    }

    /// Skips a step because one that it depends on did not succeed.
    pub(super) fn skip_behind(&mut self, index: usize, upstream: &str) {
        let message = format!("step {upstream:?} did not succeed");
        self.end(index, StepPhase::Skipped, Some(StepReason::UpstreamFailed.as_str()), Some(message));
    }

    /// Ends a step.
    pub(super) fn end(
        &mut self,
        index: usize,
        phase: StepPhase,
        reason: Option<&str>,
        message: Option<String>,
    ) {
        let now = self.now;
        let step = &mut self.steps[index];
        step.phase = Some(phase);
        step.reason = reason.map(str::to_owned);
        step.message = message.map(|text| cut(&text, LONGEST_MESSAGE));
        step.waiting = None;
        step.completion_time = stamp(now);
    }

    /// Makes a step wait. The start of the wait is kept as long as the reason stays the same.
    pub(super) fn wait(
        &mut self,
        index: usize,
        reason: WaitingReason,
        message: Option<String>,
        until: Option<Timestamp>,
    ) {
        let now = self.now;
        // Most steps of a large flow wait for others: their status does without a time that says nothing new.
        let has_since = reason != WaitingReason::Dependencies;
        let since = match &self.steps[index].waiting {
            Some(waiting) if waiting.reason == reason.as_str() => waiting.since.clone(),
            _ => None,
        };
        self.steps[index].waiting = Some(Box::new(Waiting {
            reason: reason.as_str().to_owned(),
            message: message.map(|text| cut(&text, LONGEST_MESSAGE)),
            since: since.or_else(|| has_since.then_some(MicroTime(now))),
            until: until.and_then(stamp),
        }));
    }

    /// The time since which a step has waited for this reason; now, if it does not wait for it yet.
    pub(super) fn waits_since(&self, index: usize, reason: WaitingReason) -> Timestamp {
        let waiting = self.steps[index].waiting.as_ref().filter(|waiting| waiting.reason == reason.as_str());
        waiting.and_then(|waiting| waiting.since.as_ref()).map_or(self.now, |since| since.0)
    }

    /// Evaluates an expression or template of a step with the values known now.
    pub(super) fn evaluate<T>(
        &self,
        index: usize,
        attempt: i64,
        what: impl FnOnce(&Scene<'_>) -> Result<T, Unready>,
    ) -> Result<T, Unready> {
        let document = |name: &str| {
            let index = self.dag.find(name)?;
            let seen = self.job(index)?;
            Some(outcome::document(&seen.job, &seen.all_pods(), None))
        };
        what(&Scene {
            flow: self.flow,
            steps: &self.steps,
            step: index,
            attempt,
            sources: &self.observed.sources,
            document: &document,
        })
    }

    /// Plans the deletion of the Job of a step's current attempt, if it exists and is not being deleted already.
    pub(super) fn delete_job(&mut self, index: usize) {
        if let Some(seen) = self.job(index)
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

/// Finds the Job of each step's current attempt. The status decides which Job that is, whatever a Job's labels say.
fn referred<'a>(steps: &[StepStatus], observed: &'a Observed) -> HashMap<usize, &'a JobSeen> {
    let indexes =
        steps.iter().enumerate().filter_map(|(index, step)| Some((&*step.job_ref.as_ref()?.name, index)));
    let indexes: HashMap<&str, usize> = indexes.collect();
    let mut jobs: HashMap<usize, &JobSeen> = HashMap::new();
    for seen in &observed.jobs {
        let Some(&index) = indexes.get(&*seen.job.name) else { continue };
        let step = &steps[index];
        if !refers(step, &seen.job) || is_refused(step, observed) {
            continue;
        }
        // As long as the status lacks the UID, the Job's labels have to agree.
        let knows_uid = step.job_ref.as_ref().is_some_and(|reference| reference.uid.is_some());
        if !knows_uid && (*seen.job.step != *step.name || Some(seen.job.attempt) != step.attempt) {
            continue;
        }
        // If a Job of this name is gone, that was the step's Job, and the one that has the name now is another.
        if seen.gone.is_some() || !jobs.contains_key(&index) {
            jobs.insert(index, seen);
        }
    }
    jobs
}

/// Tells whether the step's status names this Job.
pub(super) fn refers(step: &StepStatus, job: &Job) -> bool {
    let Some(reference) = &step.job_ref else { return false };
    *reference.name == *job.name && reference.uid.as_deref().is_none_or(|uid| *uid == *job.uid)
}

/// Tells whether the Job that has the name of the step's Job was found to belong to somebody else.
fn is_refused(step: &StepStatus, observed: &Observed) -> bool {
    let refusal = || observed.refused.get(&(step.name.clone(), step.attempt.unwrap_or(1)));
    step.reason() == Some(StepReason::NameConflict)
        || !observed.refused.is_empty()
            && refusal().is_some_and(|refusal| refusal.kind == RefusalKind::NameConflict)
}

/// Returns a reference to a Job of the flow by its name.
pub(super) fn job_ref(name: String) -> ObjectRef {
    ObjectRef { name, ..ObjectRef::default() }
}
