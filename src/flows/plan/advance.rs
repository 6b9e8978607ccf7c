//! Steps that may start: readiness, `when`, approval points, slots.

use super::create::{create, unready_to_start};
use super::ledger::Work;
use super::policy::stamp;
use super::reason::{WaitingReason, is_final, is_skipped_by_failure, is_waiting};
use super::settle::{approval, decision};
use crate::flows::api::StepPhase;
use crate::flows::eval;

/// What a step's dependencies say of it.
enum Readiness {
    Ready,
    Waits,
    UpstreamFailed(String),
}

/// Start what may start. Whether a step failed while it started, so that the flow has to be looked at again.
pub(super) fn advance(work: &mut Work<'_>) -> bool {
    let failing = work.is_failing();
    let mut wanting = Vec::new();
    // A cyclic flow is never started.
    for place in work.dag.topological().unwrap_or_default() {
        if work.phase(place) != StepPhase::Pending {
            continue;
        }
        if is_waiting(&work.steps[place], WaitingReason::Retry) {
            if let Some(place) = due_retry(work, place) {
                wanting.push(place);
            }
            continue;
        }
        match readiness(work, place) {
            Readiness::Waits => work.wait(place, WaitingReason::Dependencies, None, None),
            Readiness::UpstreamFailed(upstream) => {
                let what = format!("step {upstream:?} did not succeed");
                work.end(place, StepPhase::Skipped, Some("UpstreamFailed"), Some(what));
            }
            Readiness::Ready if work.is_suspended() => work.wait(place, WaitingReason::Suspended, None, None),
            Readiness::Ready => {
                if chosen(work, place) {
                    if work.step(place).is_manual() { ask(work, place) } else { wanting.push(place) }
                }
            }
        }
    }
    // A rejection that was given beforehand: nothing more starts.
    if !work.may_go_on() {
        return true;
    }
    wanting.sort_unstable();
    give_slots(work, &wanting);
    work.is_failing() != failing
}

fn readiness(work: &Work<'_>, place: usize) -> Readiness {
    let mut waits = false;
    for dependency in work.dag.dependencies(place) {
        let step = &work.steps[dependency];
        match work.phase(dependency) {
            StepPhase::Succeeded => {}
            StepPhase::Skipped if !is_skipped_by_failure(step) => {}
            StepPhase::Failed if !work.is_fatal(dependency) => {}
            phase if is_final(phase) => return Readiness::UpstreamFailed(step.name.clone()),
            _ => waits = true,
        }
    }
    if waits { Readiness::Waits } else { Readiness::Ready }
}

/// Whether the step's `when` lets it run. It is asked once: a step that waits for a slot was let through.
fn chosen(work: &mut Work<'_>, place: usize) -> bool {
    let passed = is_waiting(&work.steps[place], WaitingReason::Parallelism);
    if passed || work.step(place).when.is_none() {
        return true;
    }
    match work.evaluate(place, 1, eval::when) {
        Ok(true) => true,
        Ok(false) => {
            work.end(place, StepPhase::Skipped, Some("WhenFalse"), None);
            false
        }
        Err(unready) => {
            unready_to_start(work, place, unready);
            false
        }
    }
}

/// A Manual step is reached; it may have been decided before.
fn ask(work: &mut Work<'_>, place: usize) {
    let message = work.step(place).message.clone();
    work.steps[place].phase = Some(StepPhase::PendingApproval);
    work.steps[place].start_time = stamp(work.now);
    if decision(work, place).is_none() {
        work.wait(place, WaitingReason::Approval, message, None);
    }
    approval(work, place);
}

/// A step that waits for its retry, if it is time.
fn due_retry(work: &mut Work<'_>, place: usize) -> Option<usize> {
    let until = work.steps[place].waiting.as_ref()?.until.as_ref()?.0;
    if until > work.now {
        work.wake(until);
        return None;
    }
    (!work.is_suspended()).then_some(place)
}

/// Start steps in document order as long as there are slots.
fn give_slots(work: &mut Work<'_>, wanting: &[usize]) {
    let running = (0..work.steps.len()).filter(|place| work.phase(*place) == StepPhase::Running).count();
    let mut free = work.policy.parallelism.saturating_sub(running);
    for &place in wanting {
        let retry = is_waiting(&work.steps[place], WaitingReason::Retry);
        if free == 0 {
            // A retry keeps its own word, which tells more.
            if !retry {
                work.wait(place, WaitingReason::Parallelism, None, None);
            }
            continue;
        }
        if start(work, place, retry) {
            free -= 1;
        }
    }
}

/// Start an attempt. Whether it takes a slot.
fn start(work: &mut Work<'_>, place: usize, retry: bool) -> bool {
    let attempt = if retry { work.steps[place].attempt.unwrap_or(1) + 1 } else { 1 };
    let before = work.steps[place].clone();
    let now = work.now;
    let step = &mut work.steps[place];
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
    if create(work, place, attempt) {
        if let Some(strikes) = work.timeout(place) {
            work.wake(strikes);
        }
        return true;
    }
    // It failed, and that stays; or it cannot start yet, and then it has not.
    if work.phase(place) == StepPhase::Running {
        let waiting = work.steps[place].waiting.take();
        let started = work.steps[place].start_time.take();
        work.steps[place] = before;
        if waiting.is_some() {
            work.steps[place].start_time = started;
            if !retry {
                work.steps[place].waiting = waiting;
            }
        }
    }
    false
}
