//! Steps that run: how they ended, if they have; what keeps them; what is not there yet, or not any more.

use jiff::SignedDuration;

use super::create::{PODLESS, create, next_look};
use super::ledger::Work;
use super::model::{Gone, JobSeen, RefusalKind};
use super::policy::{LARGE, after, backoff};
use super::reason::{NAME_CONFLICT, RETRIES_USED_UP, UNSEEN, WaitingReason, is_waiting};
use crate::flows::api::{StepOutputs, StepPhase, defaults};
use crate::flows::eval;
use crate::flows::observed::PodWaitingKind;
use crate::flows::outcome;
use crate::flows::outcome::Outcome;
use crate::names::APPROVED_BY_PREFIX;

/// A pod that waits is told of once it has waited for this long: most start at once.
const PATIENCE: SignedDuration = SignedDuration::from_secs(2);
/// Pods that a Job has counted may be seen a little after the Job's end, or never if somebody deleted them: they are
/// waited for for this long.
const PODS_LATE: SignedDuration = SignedDuration::from_secs(5);

/// Take in what happened to every step that runs or waits for approval, in document order.
pub(super) fn settle(work: &mut Work<'_>) {
    for place in 0..work.steps.len() {
        match work.phase(place) {
            StepPhase::Running => running(work, place),
            StepPhase::PendingApproval => approval(work, place),
            // The wait for a retry or a reference is part of the step's time.
            StepPhase::Pending if work.steps[place].start_time.is_some() => {
                timed_out(work, place);
            }
            _ => {}
        }
    }
}

fn running(work: &mut Work<'_>, place: usize) {
    let decided = work.job(place).and_then(|seen| seen.outcome(work.reads_job_status(place)));
    match decided {
        Some(_) if pods_are_late(work, place) => {}
        Some(outcome) => ended(work, place, outcome),
        None if timed_out(work, place) => {}
        None => match work.job(place) {
            None => absent(work, place),
            Some(seen) => match seen.gone {
                None => keeps_waiting(work, place, seen),
                Some(Gone::Seen) => lost(work, place, "its Job was deleted while it ran"),
                Some(Gone::Missed) => lost(work, place, UNSEEN),
            },
        },
    }
}

/// Whether the Job has ended and its pods, which say what came of it, have still to be seen.
fn pods_are_late(work: &mut Work<'_>, place: usize) -> bool {
    let Some(seen) = work.job(place) else { return false };
    let until = outcome::ahead_of_pods(&seen.job, &seen.all_pods()).map(|ended| after(ended, PODS_LATE));
    let Some(until) = until.filter(|until| *until > work.now) else { return false };
    work.wake(until);
    true
}

fn ended(work: &mut Work<'_>, place: usize, outcome: Outcome) {
    match outcome {
        Outcome::Succeeded { pod, .. } => {
            let outputs = match handed_on(work, place) {
                Ok(outputs) => outputs,
                Err(failure) => {
                    return attempt_failed(work, place, failure.reason, failure.message, None);
                }
            };
            work.end(place, StepPhase::Succeeded, None, None);
            let step = &mut work.steps[place];
            step.outputs = outputs.map(Box::new);
            step.exit_code = None;
            step.pod_uid = pod;
        }
        Outcome::Failed { reason, message, exit_code, pod, .. } => {
            work.steps[place].pod_uid = pod;
            attempt_failed(work, place, &reason, message, exit_code);
        }
    }
    if work.steps.len() > LARGE {
        work.steps[place].pod_uid = None;
    }
}

/// The step's outputs, evaluated once.
fn handed_on(work: &Work<'_>, place: usize) -> Result<Option<StepOutputs>, eval::Failure> {
    let step = work.step(place);
    let (Some(seen), true) =
        (work.job(place), step.outputs.as_ref().is_some_and(|outputs| !outputs.parameters.is_empty()))
    else {
        return Ok(None);
    };
    let parameters = eval::outputs(step, &outcome::document(&seen.job, &seen.all_pods(), None))?;
    Ok(Some(StepOutputs { parameters, artifacts: Vec::new() }))
}

/// An attempt has failed: the step is tried again if it may be, else it has failed.
fn attempt_failed(work: &mut Work<'_>, place: usize, reason: &str, message: String, exit_code: Option<i64>) {
    work.steps[place].exit_code = exit_code;
    let attempt = work.steps[place].attempt.unwrap_or(1);
    let policy = work.step(place).retry_policy.as_ref();
    let limit = policy.map_or(0, |policy| policy.limit.unwrap_or(defaults::RETRY_LIMIT));
    let timeout = work.timeout(place);
    // An attempt that ends with the last of its time has ended by itself, and there is no time for another.
    let late = timeout.into_iter().chain(work.deadline()).any(|strikes| strikes <= work.now);
    let Some(policy) = policy.filter(|_| attempt - 1 < limit && work.may_go_on() && !late) else {
        return work.end(place, StepPhase::Failed, Some(reason), Some(message));
    };
    if work.retries() >= work.policy.backoff_limit {
        let what =
            format!("{message}; the flow's backoffLimit of {} retries is used up", work.policy.backoff_limit);
        return work.end(place, StepPhase::Failed, Some(RETRIES_USED_UP), Some(what));
    }
    let until = after(work.now, backoff(policy, work.uid(), &work.step(place).name, attempt - 1));
    let step = &mut work.steps[place];
    step.phase = Some(StepPhase::Pending);
    step.reason = Some(reason.to_owned());
    step.message = None;
    work.wait(place, WaitingReason::Retry, Some(message), Some(until));
    if let Some(timeout) = timeout {
        work.wake(timeout);
    }
}

/// Whether the step's time is over; then it has failed, and its Job goes.
fn timed_out(work: &mut Work<'_>, place: usize) -> bool {
    let Some(strikes) = work.timeout(place) else { return false };
    if strikes > work.now {
        work.wake(strikes);
        return false;
    }
    let span = work.step(place).timeout_seconds.unwrap_or_default();
    work.delete_job(place);
    let what = match (&work.steps[place].waiting, work.phase(place)) {
        (_, StepPhase::PendingApproval) => format!("nobody approved within {span} s"),
        (Some(waiting), _) => format!("not done within {span} s; it waited: {}", waiting.reason),
        _ => format!("not done within {span} s"),
    };
    work.end(place, StepPhase::Failed, Some("StepTimeout"), Some(what));
    true
}

/// The Job is there and goes on; tell what keeps its pods from running.
fn keeps_waiting(work: &mut Work<'_>, place: usize, seen: &JobSeen) {
    if seen.pods.is_empty() && seen.job.active == 0 && !seen.job.shape.suspended && !seen.job.deleting {
        return without_pods(work, place, seen);
    }
    let waiting = seen.pods.iter().filter(|pod| !pod.deleting).find_map(|pod| {
        let waiting = pod.waiting.as_ref()?;
        Some((waiting, waiting.since.unwrap_or(pod.created)))
    });
    let Some((waiting, since)) = waiting else {
        work.steps[place].waiting = None;
        return;
    };
    let told = after(since, PATIENCE);
    if told > work.now {
        work.wake(told);
        return;
    }
    let reason = match waiting.kind {
        PodWaitingKind::Unschedulable => WaitingReason::Unschedulable,
        PodWaitingKind::ImagePull => WaitingReason::ImagePull,
        PodWaitingKind::ContainerConfig => WaitingReason::ContainerConfig,
    };
    // The cluster's words change with every try; the first ones stay.
    if !is_waiting(&work.steps[place], reason) {
        work.wait(place, reason, Some(waiting.message.to_string()), None);
    }
}

/// A Job that gets no pods: a quota or a policy is in the way, and only an Event of the Job controller says so.
fn without_pods(work: &mut Work<'_>, place: usize, seen: &JobSeen) {
    let asked = after(seen.job.created, PODLESS);
    if asked > work.now {
        return work.wake(asked);
    }
    let Some(complaint) = work.observed.complaints.get(&*seen.job.uid) else {
        work.needs.complaints.insert(seen.job.uid.to_string());
        return;
    };
    work.wake(after(work.now, next_look(seen.job.created, work.now)));
    let Some(message) = complaint else { return };
    let reason =
        if message.contains("exceeded quota") { WaitingReason::Quota } else { WaitingReason::Unavailable };
    if !is_waiting(&work.steps[place], reason) {
        work.wait(place, reason, Some(message.clone()), None);
    }
}

/// The attempt is in the status, and its Job is not there: it was deleted, or has still to be created.
fn absent(work: &mut Work<'_>, place: usize) {
    let attempt = work.steps[place].attempt.unwrap_or(1);
    let key = (work.step(place).name.clone(), attempt);
    let known = work.steps[place].job_ref.as_ref().is_some_and(|job| job.uid.is_some());
    if known {
        return lost(work, place, UNSEEN);
    }
    if let Some(refusal) = work.observed.refused.get(&key) {
        let message = refusal.message.clone();
        let reason = match refusal.kind {
            RefusalKind::NameConflict => {
                return work.end(place, StepPhase::Failed, Some(NAME_CONFLICT), Some(message));
            }
            RefusalKind::Invalid => {
                return work.end(place, StepPhase::Failed, Some("JobRefused"), Some(message));
            }
            RefusalKind::Quota => WaitingReason::Quota,
            RefusalKind::Transient => WaitingReason::Unavailable,
        };
        // Once the flow fails the Job is not tried for again: that would be a start.
        if !work.may_go_on() {
            return work.end(place, StepPhase::Cancelled, Some("FlowFailed"), Some(message));
        }
        if !is_waiting(&work.steps[place], reason) {
            work.wait(place, reason, Some(message), None);
        }
        if let Some(again) = refusal.again.filter(|again| *again > work.now) {
            return work.wake(again);
        }
    }
    create(work, place, attempt);
}

/// The Job of an attempt is gone, and what it came to is not known.
fn lost(work: &mut Work<'_>, place: usize, how: &str) {
    attempt_failed(work, place, "JobLost", how.to_owned(), None);
}

/// A Manual step waits: was it decided?
pub(super) fn approval(work: &mut Work<'_>, place: usize) {
    let Some(approved) = decision(work, place) else {
        timed_out(work, place);
        return;
    };
    let step = &work.step(place).name;
    let by = format!("{APPROVED_BY_PREFIX}{step}");
    let annotations = work.flow.metadata.annotations.as_ref();
    let by = annotations.and_then(|annotations| annotations.get(&by)).cloned();
    if approved {
        work.end(place, StepPhase::Succeeded, None, None);
    } else {
        let who = by.as_deref().map_or_else(String::new, |who| format!(" by {who}"));
        work.end(place, StepPhase::Failed, Some("Rejected"), Some(format!("rejected{who}")));
    }
    work.steps[place].approved_by = by;
}

/// What the flow's annotations say of a Manual step.
pub(super) fn decision(work: &Work<'_>, place: usize) -> Option<bool> {
    let key = format!("{}{}", crate::names::APPROVED_PREFIX, work.step(place).name);
    match work.flow.metadata.annotations.as_ref()?.get(&key)?.as_str() {
        "true" => Some(true),
        "false" => Some(false),
        _ => None,
    }
}
