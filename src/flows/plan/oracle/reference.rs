//! The execution semantics a second time, as simple as possible: one instant after the other, every rule applied to
//! every step, with no state but what the rules mention.
//!
//! It was written from the specification, not from the planner, and is slow on purpose: where the two disagree, this
//! one should be the easier to check against the text.
//!
//! Everything visible at one instant is applied in this order: changes of the steps that have started, the deadline,
//! the reaction to failures, then the steps that can start. Within each of these the document's order holds.

use super::case::{Attempt, Case, End, Retry, When};
use super::ending::{Ending, FlowWhy, StepEnding, Why};
use crate::flows::api::{BackoffType, OnStepFailure, StepPhase, defaults};

#[cfg(test)]
mod tests;

/// Microseconds since the flow was created. Waits with jitter are not whole milliseconds.
pub(super) type Micros = i64;

/// Returns the wait of a step before its retry `n`, counted from 0, if that wait has jitter.
pub(super) type Jittered<'a> = &'a dyn Fn(usize, i64) -> Micros;

/// Follows a case to its end.
pub(super) fn run(case: &Case, jittered: Jittered<'_>) -> Ending {
    let fresh = State { stage: Stage::Idle, attempts: 0, started: None };
    let steps = vec![fresh; case.steps.len()];
    let mut run = Run {
        case,
        jittered,
        steps,
        started: None,
        failed: false,
        exceeded: false,
        struck: false,
        over: None,
    };
    let mut now = Some(0);
    while let Some(instant) = now {
        run.settle(instant);
        now = run.next(instant);
    }
    run.ending()
}

/// Returns the wait of a policy before retry `n`, counted from 0; without jitter.
#[expect(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "waits are short")]
pub(super) fn wait(retry: &Retry, n: i64) -> Micros {
    let first = retry.wait.unwrap_or(1_000) * 1_000;
    let wait = match retry.kind.unwrap_or(BackoffType::Exponential) {
        BackoffType::Fixed => first,
        BackoffType::Linear => first * (n + 1),
        BackoffType::Exponential => {
            (0..n).fold(first as f64, |wait, _| wait * retry.factor.unwrap_or(2.0)) as Micros
        }
    };
    wait.min(retry.longest.unwrap_or(600_000) * 1_000)
}

/// The state of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Idle,
    Running { ends: Micros, end: End },
    Retrying { due: Micros, failed: Why },
    Asking,
    Done { phase: StepPhase, why: Why, at: Micros },
}

#[derive(Clone, Copy, Debug)]
struct State {
    stage: Stage,
    attempts: i64,
    started: Option<Micros>,
}

struct Run<'a> {
    case: &'a Case,
    jittered: Jittered<'a>,
    steps: Vec<State>,
    started: Option<Micros>,
    /// True once a step failed and its failure was not tolerated.
    failed: bool,
    /// True once the retries of all steps were used up and one more was wanted.
    exceeded: bool,
    /// True once the deadline has passed.
    struck: bool,
    over: Option<Micros>,
}

impl Run<'_> {
    /// Applies everything that happens at one instant.
    fn settle(&mut self, now: Micros) {
        if self.over.is_some() {
            return;
        }
        let suspended = self.case.is_suspended(now.div_euclid(1_000));
        if self.started.is_none() {
            // A flow that is created suspended starts when it is resumed, and its deadline counts from then.
            if suspended {
                return;
            }
            self.started = Some(now);
        }
        (0..self.steps.len()).for_each(|i| self.take_changes(i, now));
        if self.deadline().is_some_and(|deadline| deadline <= now) && !self.all_done() {
            self.strike_deadline(now);
        }
        self.react(now);
        if !suspended {
            // Steps that need no slot pass first, all of them, before one of them (an approval that was refused
            // beforehand) can stop another.
            while self.pass_one(now) {}
            self.react(now);
            self.fill_slots(now);
        }
        if self.all_done() {
            self.over = Some(now);
        }
    }

    /// Applies what happened to a step that has started and is not done. The first that holds counts: its Job ended or
    /// an approver decided; it timed out, which allows no retry; its Job was deleted, which is a failed attempt.
    fn take_changes(&mut self, i: usize, now: Micros) {
        let timed_out = self.timeout(i).is_some_and(|end| end <= now);
        let stage = self.steps[i].stage;
        match stage {
            Stage::Running { ends, end: End::Success } if ends <= now => {
                self.finish(i, StepPhase::Succeeded, Why::Nothing, now);
            }
            Stage::Running { ends, end: End::Failure } if ends <= now => {
                self.fail_attempt(i, Why::JobFailed, now);
            }
            Stage::Asking if self.take_verdict(i, now) => {}
            _ if timed_out => self.fail(i, Why::StepTimeout, now),
            Stage::Running { ends, end: End::Lost } if ends <= now => self.fail_attempt(i, Why::JobLost, now),
            _ => {}
        }
    }

    /// Records a failed attempt: either there is another, or the step has failed.
    fn fail_attempt(&mut self, i: usize, why: Why, now: Micros) {
        let retries = self.steps[i].attempts - 1;
        let limit = self.case.steps[i].retry.map_or(0, |retry| retry.limit.unwrap_or(defaults::RETRY_LIMIT));
        let too_late = [self.timeout(i), self.deadline()].into_iter().flatten().any(|end| end <= now);
        if retries >= limit || self.is_stopping() || too_late {
            self.fail(i, why, now);
        } else if self.retries_of_all() >= self.case.backoff_limit.unwrap_or(defaults::BACKOFF_LIMIT) {
            self.finish(i, StepPhase::Failed, Why::BackoffLimitExceeded, now);
            // It fails the flow, whatever the step tolerates.
            (self.failed, self.exceeded) = (true, true);
        } else {
            self.steps[i].stage = Stage::Retrying { due: now + self.wait(i, retries), failed: why };
        }
    }

    /// Counts the retries that were made or are going to be.
    fn retries_of_all(&self) -> i64 {
        let made = self.steps.iter().map(|state| (state.attempts - 1).max(0)).sum::<i64>();
        let waiting = self.steps.iter().filter(|state| matches!(state.stage, Stage::Retrying { .. })).count();
        made + i64::try_from(waiting).expect("few")
    }

    /// Returns the wait before retry `n`, counted from 0.
    fn wait(&self, i: usize, n: i64) -> Micros {
        let retry = self.case.steps[i].retry.expect("only steps with a policy retry");
        match retry.kind {
            Some(BackoffType::Fixed | BackoffType::Linear) => wait(&retry, n),
            Some(BackoffType::Exponential) | None => (self.jittered)(i, n),
        }
    }

    /// Applies the decision on a Manual step, if the flow is annotated with one.
    fn take_verdict(&mut self, i: usize, now: Micros) -> bool {
        let Some((_, approved)) = self.case.steps[i].verdict.filter(|&(at, _)| at * 1_000 <= now) else {
            return false;
        };
        if approved {
            self.finish(i, StepPhase::Succeeded, Why::Nothing, now);
        } else {
            self.fail(i, Why::Rejected, now);
        }
        true
    }

    /// The time at which the step times out, counted from its first start, whatever it does in between.
    fn timeout(&self, i: usize) -> Option<Micros> {
        if matches!(self.steps[i].stage, Stage::Idle | Stage::Done { .. }) {
            return None;
        }
        Some(self.steps[i].started? + self.case.steps[i].timeout? * 1_000_000)
    }

    fn deadline(&self) -> Option<Micros> {
        Some(self.started? + self.case.deadline? * 1_000_000)
    }

    /// Applies `activeDeadlineSeconds`: running steps and approvals are cancelled, waits for a retry end as failures,
    /// and the flow has failed.
    fn strike_deadline(&mut self, now: Micros) {
        (self.failed, self.struck) = (true, true);
        for i in 0..self.steps.len() {
            match self.steps[i].stage {
                Stage::Running { .. } | Stage::Asking => {
                    self.finish(i, StepPhase::Cancelled, Why::Deadline, now);
                }
                Stage::Retrying { failed, .. } => self.finish(i, StepPhase::Failed, failed, now),
                // Skipped, as after any failure.
                Stage::Idle | Stage::Done { .. } => {}
            }
        }
    }

    /// Applies failures to other steps. `onStepFailure` decides on steps that run and on the start of others; waits for
    /// approval or a retry end; a step behind a failure is skipped for that, even if the flow is stopping.
    fn react(&mut self, now: Micros) {
        if self.is_stopping() {
            for i in 0..self.steps.len() {
                match self.steps[i].stage {
                    Stage::Retrying { failed, .. } => self.finish(i, StepPhase::Failed, failed, now),
                    Stage::Asking => self.finish(i, StepPhase::Cancelled, Why::FlowFailed, now),
                    Stage::Running { .. } if self.reaction() == OnStepFailure::CancelRunning => {
                        self.finish(i, StepPhase::Cancelled, Why::FlowFailed, now);
                    }
                    _ => {}
                }
            }
        }
        let idle: Vec<usize> =
            (0..self.steps.len()).filter(|&i| self.steps[i].stage == Stage::Idle).collect();
        let behind: Vec<bool> = idle.iter().map(|&i| self.is_behind_a_failure(i)).collect();
        for (i, behind) in idle.into_iter().zip(behind) {
            if behind {
                self.finish(i, StepPhase::Skipped, Why::UpstreamFailed, now);
            } else if self.is_stopping() {
                self.finish(i, StepPhase::Skipped, Why::FlowFailed, now);
            }
        }
    }

    /// Tells whether a step waits, directly or through steps that have not started, for one that will never be done.
    fn is_behind_a_failure(&self, i: usize) -> bool {
        self.case.steps[i].after.iter().any(|&dependency| match self.steps[dependency].stage {
            Stage::Idle => self.is_behind_a_failure(dependency),
            Stage::Done { .. } => !self.is_good(dependency),
            _ => false,
        })
    }

    /// Tells whether a step counts as done for those that wait for it.
    fn is_good(&self, i: usize) -> bool {
        match self.steps[i].stage {
            Stage::Done { phase: StepPhase::Succeeded, .. } => true,
            Stage::Done { phase: StepPhase::Skipped, why, .. } => why == Why::WhenFalse,
            Stage::Done { phase: StepPhase::Failed, why, .. } => {
                self.case.steps[i].tolerated && why != Why::BackoffLimitExceeded
            }
            _ => false,
        }
    }

    /// Lets the first ready step pass that needs no slot. Returns false if there is none.
    fn pass_one(&mut self, now: Micros) -> bool {
        for i in 0..self.steps.len() {
            if !self.is_ready(i) {
                continue;
            }
            if !self.is_wanted(i) {
                self.finish(i, StepPhase::Skipped, Why::WhenFalse, now);
                return true;
            }
            if self.case.steps[i].manual {
                self.steps[i].stage = Stage::Asking;
                self.steps[i].started = Some(now);
                self.take_verdict(i, now);
                return true;
            }
        }
        false
    }

    fn is_ready(&self, i: usize) -> bool {
        self.steps[i].stage == Stage::Idle && self.case.steps[i].after.iter().all(|&i| self.is_good(i))
    }

    /// Evaluates `when`.
    fn is_wanted(&self, i: usize) -> bool {
        let phase = |i: usize| match self.steps[i].stage {
            Stage::Done { phase, .. } => phase,
            other => unreachable!("{other:?} is read before it is final"),
        };
        match self.case.steps[i].when {
            None | Some(When::Always) => true,
            Some(When::Never) => false,
            Some(When::Is(step, wanted)) => phase(step) == wanted,
            Some(When::IsNot(step, other)) => phase(step) != other,
        }
    }

    /// Starts ready steps and due retries as far as `parallelism` allows.
    fn fill_slots(&mut self, now: Micros) {
        for i in 0..self.steps.len() {
            let running = self.steps.iter().filter(|s| matches!(s.stage, Stage::Running { .. })).count();
            let full = self.case.parallelism.is_some_and(|most| i64::try_from(running).expect("few") >= most);
            let again = matches!(self.steps[i].stage, Stage::Retrying { due, .. } if due <= now);
            if !full && (again || self.is_ready(i)) {
                let state = &mut self.steps[i];
                state.attempts += 1;
                state.started.get_or_insert(now);
                let Attempt { lasts, end } = self.case.steps[i].attempt(state.attempts);
                state.stage = Stage::Running { ends: now + lasts * 1_000, end };
            }
        }
    }

    /// Ends a step as failed.
    fn fail(&mut self, i: usize, why: Why, now: Micros) {
        self.finish(i, StepPhase::Failed, why, now);
        self.failed |= !self.case.steps[i].tolerated;
    }

    fn finish(&mut self, i: usize, phase: StepPhase, why: Why, at: Micros) {
        self.steps[i].stage = Stage::Done { phase, why, at };
    }

    fn reaction(&self) -> OnStepFailure {
        self.case.reaction.unwrap_or(OnStepFailure::FinishRunning)
    }

    /// Tells whether nothing new may start.
    fn is_stopping(&self) -> bool {
        self.struck || self.failed && self.reaction() != OnStepFailure::RunIndependent
    }

    fn all_done(&self) -> bool {
        self.steps.iter().all(|state| matches!(state.stage, Stage::Done { .. }))
    }

    /// The next instant at which something happens by itself or from outside.
    fn next(&self, now: Micros) -> Option<Micros> {
        if self.over.is_some() {
            return None;
        }
        let mut instants: Vec<Micros> = self.deadline().into_iter().collect();
        for (i, state) in self.steps.iter().enumerate() {
            instants.extend(self.timeout(i));
            match state.stage {
                Stage::Running { ends, .. } => instants.push(ends),
                Stage::Retrying { due, .. } => instants.push(due),
                Stage::Asking => instants.extend(self.case.steps[i].verdict.map(|(at, _)| at * 1_000)),
                Stage::Idle | Stage::Done { .. } => {}
            }
        }
        instants.extend(self.case.suspended.iter().flat_map(|&(from, until)| [from * 1_000, until * 1_000]));
        instants.into_iter().filter(|&instant| instant > now).min()
    }

    /// The step that failed first, and of several at one instant the first in the document.
    fn first_failed(&self) -> Option<usize> {
        let failed = |i: usize| match self.steps[i].stage {
            Stage::Done { phase: StepPhase::Failed, at, .. } if !self.is_good(i) => Some((at, i)),
            _ => None,
        };
        (0..self.steps.len()).filter_map(failed).min().map(|(_, i)| i)
    }

    fn ending(&self) -> Ending {
        let why = match (self.struck, self.exceeded, self.failed) {
            (true, _, _) => Some(FlowWhy::ActiveDeadlineExceeded),
            (_, true, _) => Some(FlowWhy::BackoffLimitExceeded),
            (_, _, true) => Some(FlowWhy::StepFailed),
            _ => None,
        };
        let step = |state: &State| {
            let (phase, why, ended) = match state.stage {
                Stage::Idle | Stage::Retrying { .. } => (StepPhase::Pending, Why::Nothing, None),
                Stage::Running { .. } => (StepPhase::Running, Why::Nothing, None),
                Stage::Asking => (StepPhase::PendingApproval, Why::Nothing, None),
                Stage::Done { phase, why, at } => (phase, why, Some(at)),
            };
            StepEnding { phase, why, attempts: state.attempts, started: state.started, ended }
        };
        Ending {
            steps: self.steps.iter().map(step).collect(),
            started: self.started,
            over: self.over.map(|at| (at, why)),
            failed: self.first_failed(),
        }
    }
}
