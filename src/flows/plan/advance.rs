//! Steps that may start: readiness, `when`, approval points, slots.

use super::create::{create, unready_to_start};
use super::ledger::Ledger;
use super::policy::stamp;
use super::reason::{is_skipped_by_failure, is_waiting};
use super::settle::{approval, decision};
use crate::flows::api::{StepPhase, StepReason, WaitingReason};
use crate::flows::eval;

/// The state of a step's dependencies.
enum Readiness {
    Ready,
    Waits,
    /// The named dependency did not succeed.
    UpstreamFailed(String),
}

/// Starts the steps that may start. Returns true if a step failed while it started, so that the flow has to be looked
/// at again.
pub(super) fn advance(ledger: &mut Ledger<'_>) -> bool {
    let failing = ledger.is_failing();
    let mut candidates = Vec::new();
    // A cyclic flow is never started, so there is an order.
    for index in ledger.dag.topological().unwrap_or_default() {
        if ledger.phase(index) != StepPhase::Pending {
            continue;
        }
        if is_waiting(&ledger.steps[index], WaitingReason::Retry) {
            candidates.extend(due_retry(ledger, index));
            continue;
        }
        match readiness(ledger, index) {
            Readiness::Waits => ledger.wait(index, WaitingReason::Dependencies, None, None),
            Readiness::UpstreamFailed(upstream) => ledger.skip_behind(index, &upstream),
            Readiness::Ready if ledger.is_suspended() => {
                ledger.wait(index, WaitingReason::Suspended, None, None);
            }
            Readiness::Ready => {
                if passes_when(ledger, index) {
                    if ledger.step(index).is_manual() {
                        ask_for_approval(ledger, index);
                    } else {
                        candidates.push(index);
                    }
                }
            }
        }
    }
    // A Manual step may have been rejected before it was reached: then nothing more starts.
    if !ledger.may_go_on() {
        return true;
    }
    // Slots go to steps in document order, not in topological order.
    candidates.sort_unstable();
    fill_slots(ledger, &candidates);
    ledger.is_failing() != failing
}

fn readiness(ledger: &Ledger<'_>, index: usize) -> Readiness {
    let mut waits = false;
    for dependency in ledger.dag.dependencies(index) {
        let step = &ledger.steps[dependency];
        match ledger.phase(dependency) {
            StepPhase::Succeeded => {}
            StepPhase::Skipped if !is_skipped_by_failure(step) => {}
            StepPhase::Failed if !ledger.is_fatal(dependency) => {}
            phase if phase.is_final() => return Readiness::UpstreamFailed(step.name.clone()),
            _ => waits = true,
        }
    }
    if waits { Readiness::Waits } else { Readiness::Ready }
}

/// Evaluates the step's `when`. It does so once: a step that waits for a slot has passed already.
fn passes_when(ledger: &mut Ledger<'_>, index: usize) -> bool {
    let passed = is_waiting(&ledger.steps[index], WaitingReason::Parallelism);
    if passed || ledger.step(index).when.is_none() {
        return true;
    }
    match ledger.evaluate(index, 1, eval::when) {
        Ok(true) => true,
        Ok(false) => {
            ledger.end(index, StepPhase::Skipped, Some(StepReason::WhenFalse.as_str()), None);
            false
        }
        Err(unready) => {
            unready_to_start(ledger, index, unready);
            false
        }
    }
}

/// Makes a Manual step wait for its approval, unless it was decided before.
fn ask_for_approval(ledger: &mut Ledger<'_>, index: usize) {
    let message = ledger.step(index).message.clone();
    ledger.steps[index].phase = Some(StepPhase::PendingApproval);
    ledger.steps[index].start_time = stamp(ledger.now);
    if decision(ledger, index).is_none() {
        ledger.wait(index, WaitingReason::Approval, message, None);
    }
    approval(ledger, index);
}

/// The step, if it waits for its retry and the wait is over.
fn due_retry(ledger: &mut Ledger<'_>, index: usize) -> Option<usize> {
    let until = ledger.steps[index].waiting.as_ref()?.until.as_ref()?.0;
    if until > ledger.now {
        ledger.requeue_at(until);
        return None;
    }
    (!ledger.is_suspended()).then_some(index)
}

/// Starts steps in document order as long as `parallelism` leaves slots.
fn fill_slots(ledger: &mut Ledger<'_>, candidates: &[usize]) {
    let running = (0..ledger.steps.len()).filter(|index| ledger.phase(*index) == StepPhase::Running).count();
    let mut free = ledger.policy.parallelism.saturating_sub(running);
    for &index in candidates {
        let retry = is_waiting(&ledger.steps[index], WaitingReason::Retry);
        if free == 0 {
            // A retry keeps its own reason, which says more.
            if !retry {
                ledger.wait(index, WaitingReason::Parallelism, None, None);
            }
            continue;
        }
        if start(ledger, index, retry) {
            free -= 1;
        }
    }
}

/// Starts an attempt, and tells whether it takes a slot.
fn start(ledger: &mut Ledger<'_>, index: usize, retry: bool) -> bool {
    let attempt = if retry { ledger.steps[index].attempt.unwrap_or(1) + 1 } else { 1 };
    let before = ledger.steps[index].clone();
    let now = ledger.now;
    let step = &mut ledger.steps[index];
    step.phase = Some(StepPhase::Running);
    step.attempt = Some(attempt);
    step.retry_count = retry.then_some(attempt - 1);
    step.start_time = step.start_time.take().or_else(|| stamp(now));
    step.job_ref = None;
    step.pod_uid = None;
    step.waiting = None;
    step.reason = None;
    step.message = None;
    step.exit_code = None;
    if create(ledger, index, attempt) {
        if let Some(timeout) = ledger.timeout(index) {
            ledger.requeue_at(timeout);
        }
        return true;
    }
    // `create` either failed the step, which stays, or could not render the Job yet: then the attempt has not started,
    // and the step gets its old status back, with what it waits for now.
    if ledger.phase(index) == StepPhase::Running {
        let waiting = ledger.steps[index].waiting.take();
        let started = ledger.steps[index].start_time.take();
        ledger.steps[index] = before;
        if waiting.is_some() {
            ledger.steps[index].start_time = started;
            if !retry {
                ledger.steps[index].waiting = waiting;
            }
        }
    }
    false
}
