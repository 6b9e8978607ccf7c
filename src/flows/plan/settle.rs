//! Steps that have started: their outcomes, approvals and timeouts, and what keeps their Jobs and pods from running.

use jiff::SignedDuration;

use super::create::{PODLESS, create, next_read};
use super::ledger::Ledger;
use super::model::{Gone, JobSeen, RefusalKind};
use super::policy::{LARGE, after, backoff};
use super::reason::{UNSEEN, is_waiting};
use crate::flows::api::{StepOutputs, StepPhase, StepReason, WaitingReason, defaults};
use crate::flows::eval;
use crate::flows::observed::PodWaitingKind;
use crate::flows::outcome;
use crate::flows::outcome::Outcome;
use crate::names::{APPROVED_BY_PREFIX, APPROVED_PREFIX};

/// A waiting pod is reported only after this long: most start immediately.
const PATIENCE: SignedDuration = SignedDuration::from_secs(2);
/// Pods that a Job has counted may be seen a little after the Job's end, or never if somebody deleted them: wait this
/// long for them.
const PODS_LATE: SignedDuration = SignedDuration::from_secs(5);

/// Records what happened to every step that has started, in document order.
pub(super) fn settle(ledger: &mut Ledger<'_>) {
    for index in 0..ledger.steps.len() {
        match ledger.phase(index) {
            StepPhase::Running => settle_running(ledger, index),
            StepPhase::PendingApproval => approval(ledger, index),
            // A step that waits for a retry or a reference has started: its timeout covers that wait.
            StepPhase::Pending if ledger.steps[index].start_time.is_some() => {
                timed_out(ledger, index);
            }
            _ => {}
        }
    }
}

/// Records what happened to a running step. An outcome counts even if the timeout has passed since.
fn settle_running(ledger: &mut Ledger<'_>, index: usize) {
    let decided = ledger.job(index).and_then(|seen| seen.outcome(ledger.reads_job_status(index)));
    match decided {
        Some(_) if pods_are_late(ledger, index) => {}
        Some(outcome) => attempt_ended(ledger, index, outcome),
        None if timed_out(ledger, index) => {}
        None => match ledger.job(index) {
            None => job_missing(ledger, index),
            Some(seen) => match seen.gone {
                None => report_waiting_pod(ledger, index, seen),
                Some(Gone::Seen) => job_lost(ledger, index, "its Job was deleted while it ran"),
                Some(Gone::Missed) => job_lost(ledger, index, UNSEEN),
            },
        },
    }
}

/// Tells whether the Job has ended and its pods, which hold its results, have not been seen yet.
fn pods_are_late(ledger: &mut Ledger<'_>, index: usize) -> bool {
    let Some(seen) = ledger.job(index) else { return false };
    let until = outcome::ahead_of_pods(&seen.job, &seen.all_pods()).map(|ended| after(ended, PODS_LATE));
    let Some(until) = until.filter(|until| *until > ledger.now) else { return false };
    ledger.requeue_at(until);
    true
}

/// Records the outcome of an attempt.
fn attempt_ended(ledger: &mut Ledger<'_>, index: usize, outcome: Outcome) {
    match outcome {
        Outcome::Succeeded { pod, .. } => {
            let outputs = match step_outputs(ledger, index) {
                Ok(outputs) => outputs,
                Err(failure) => {
                    return attempt_failed(ledger, index, failure.reason, failure.message, None);
                }
            };
            ledger.end(index, StepPhase::Succeeded, None, None);
            let step = &mut ledger.steps[index];
            step.outputs = outputs.map(Box::new);
            step.exit_code = None;
            step.pod_uid = pod;
        }
        Outcome::Failed { reason, message, exit_code, pod, .. } => {
            ledger.steps[index].pod_uid = pod;
            attempt_failed(ledger, index, &reason, message, exit_code);
        }
    }
    if ledger.steps.len() > LARGE {
        ledger.steps[index].pod_uid = None;
    }
}

/// Evaluates the step's outputs.
fn step_outputs(ledger: &Ledger<'_>, index: usize) -> Result<Option<StepOutputs>, eval::Failure> {
    let step = ledger.step(index);
    let (Some(seen), true) =
        (ledger.job(index), step.outputs.as_ref().is_some_and(|outputs| !outputs.parameters.is_empty()))
    else {
        return Ok(None);
    };
    let parameters = eval::outputs(step, &outcome::document(&seen.job, &seen.all_pods(), None))?;
    Ok(Some(StepOutputs { parameters, artifacts: Vec::new() }))
}

/// Records a failed attempt: the step is retried if it may be, otherwise it has failed.
fn attempt_failed(
    ledger: &mut Ledger<'_>,
    index: usize,
    reason: &str,
    message: String,
    exit_code: Option<i64>,
) {
    ledger.steps[index].exit_code = exit_code;
    let attempt = ledger.steps[index].attempt.unwrap_or(1);
    let policy = ledger.step(index).retry_policy.as_ref();
    let limit = policy.map_or(0, |policy| policy.limit.unwrap_or(defaults::RETRY_LIMIT));
    let timeout = ledger.timeout(index);
    // An attempt that fails just when its time is up failed by itself, but there is no time for another.
    let late = timeout.into_iter().chain(ledger.deadline()).any(|end| end <= ledger.now);
    let Some(policy) = policy.filter(|_| attempt - 1 < limit && ledger.may_go_on() && !late) else {
        return ledger.end(index, StepPhase::Failed, Some(reason), Some(message));
    };
    // This limit is the flow's: one retry more than it allows fails the flow, even if the step may fail.
    if ledger.retries() >= ledger.policy.backoff_limit {
        let reason = StepReason::FlowBackoffLimitExceeded.as_str();
        let what = format!(
            "{message}; the flow's backoffLimit of {} retries is used up",
            ledger.policy.backoff_limit
        );
        return ledger.end(index, StepPhase::Failed, Some(reason), Some(what));
    }
    let until = after(ledger.now, backoff(policy, ledger.uid(), &ledger.step(index).name, attempt - 1));
    let step = &mut ledger.steps[index];
    step.phase = Some(StepPhase::Pending);
    step.reason = Some(reason.to_owned());
    step.message = None;
    ledger.wait(index, WaitingReason::Retry, Some(message), Some(until));
    if let Some(timeout) = timeout {
        ledger.requeue_at(timeout);
    }
}

/// Fails a step whose timeout has passed and deletes its Job. Returns false if there is time left.
fn timed_out(ledger: &mut Ledger<'_>, index: usize) -> bool {
    let Some(timeout) = ledger.timeout(index) else { return false };
    if timeout > ledger.now {
        ledger.requeue_at(timeout);
        return false;
    }
    let span = ledger.step(index).timeout_seconds.unwrap_or_default();
    ledger.delete_job(index);
    let what = match (&ledger.steps[index].waiting, ledger.phase(index)) {
        (_, StepPhase::PendingApproval) => format!("nobody approved within {span} s"),
        (Some(waiting), _) => format!("not done within {span} s; it waited: {}", waiting.reason),
        _ => format!("not done within {span} s"),
    };
    ledger.end(index, StepPhase::Failed, Some(StepReason::StepTimeout.as_str()), Some(what));
    true
}

/// Records what keeps the pods of a Job that has not ended from running.
fn report_waiting_pod(ledger: &mut Ledger<'_>, index: usize, seen: &JobSeen) {
    if seen.pods.is_empty() && seen.job.active == 0 && !seen.job.shape.suspended && !seen.job.deleting {
        return report_missing_pods(ledger, index, seen);
    }
    let waiting = seen.pods.iter().filter(|pod| !pod.deleting).find_map(|pod| {
        let waiting = pod.waiting.as_ref()?;
        Some((waiting, waiting.since.unwrap_or(pod.created)))
    });
    let Some((waiting, since)) = waiting else {
        ledger.steps[index].waiting = None;
        return;
    };
    let report_at = after(since, PATIENCE);
    if report_at > ledger.now {
        ledger.requeue_at(report_at);
        return;
    }
    let reason = match waiting.kind {
        PodWaitingKind::Unschedulable => WaitingReason::Unschedulable,
        PodWaitingKind::ImagePull => WaitingReason::ImagePull,
        PodWaitingKind::ContainerConfig => WaitingReason::ContainerConfig,
    };
    // The cluster's message changes with every try. The first one is kept, so that the status is not written each time.
    if !is_waiting(&ledger.steps[index], reason) {
        ledger.wait(index, reason, Some(waiting.message.to_string()), None);
    }
}

/// Records why a Job gets no pods, such as a quota or a policy. Only an Event of the Job controller says so.
fn report_missing_pods(ledger: &mut Ledger<'_>, index: usize, seen: &JobSeen) {
    let ask_at = after(seen.job.created, PODLESS);
    if ask_at > ledger.now {
        return ledger.requeue_at(ask_at);
    }
    let Some(complaint) = ledger.observed.complaints.get(&*seen.job.uid) else {
        ledger.needs.complaints.insert(seen.job.uid.to_string());
        return;
    };
    ledger.requeue_at(after(ledger.now, next_read(seen.job.created, ledger.now)));
    let Some(message) = complaint else { return };
    let reason =
        if message.contains("exceeded quota") { WaitingReason::Quota } else { WaitingReason::Unavailable };
    if !is_waiting(&ledger.steps[index], reason) {
        ledger.wait(index, reason, Some(message.clone()), None);
    }
}

/// Handles an attempt that is in the status and whose Job is missing: it was deleted, or has still to be created.
fn job_missing(ledger: &mut Ledger<'_>, index: usize) {
    let attempt = ledger.steps[index].attempt.unwrap_or(1);
    let key = (ledger.step(index).name.clone(), attempt);
    let existed = ledger.steps[index].job_ref.as_ref().is_some_and(|job| job.uid.is_some());
    if existed {
        return job_lost(ledger, index, UNSEEN);
    }
    if let Some(refusal) = ledger.observed.refused.get(&key) {
        let message = refusal.message.clone();
        let reason = match refusal.kind {
            RefusalKind::NameConflict => {
                return ledger.end(
                    index,
                    StepPhase::Failed,
                    Some(StepReason::NameConflict.as_str()),
                    Some(message),
                );
            }
            RefusalKind::Invalid => {
                return ledger.end(
                    index,
                    StepPhase::Failed,
                    Some(StepReason::JobRefused.as_str()),
                    Some(message),
                );
            }
            RefusalKind::Quota => WaitingReason::Quota,
            RefusalKind::Transient => WaitingReason::Unavailable,
        };
        // Once the flow is failing, the creation is not tried again: it would be a new start.
        if !ledger.may_go_on() {
            return ledger.end(
                index,
                StepPhase::Cancelled,
                Some(StepReason::FlowFailed.as_str()),
                Some(message),
            );
        }
        if !is_waiting(&ledger.steps[index], reason) {
            ledger.wait(index, reason, Some(message), None);
        }
        if let Some(again) = refusal.again.filter(|again| *again > ledger.now) {
            return ledger.requeue_at(again);
        }
    }
    create(ledger, index, attempt);
}

/// Fails an attempt whose Job is gone and whose outcome is not known.
fn job_lost(ledger: &mut Ledger<'_>, index: usize, message: &str) {
    attempt_failed(ledger, index, StepReason::JobLost.as_str(), message.to_owned(), None);
}

/// Ends a Manual step that was approved or rejected, or whose time is over.
pub(super) fn approval(ledger: &mut Ledger<'_>, index: usize) {
    let Some(approved) = decision(ledger, index) else {
        timed_out(ledger, index);
        return;
    };
    let step = &ledger.step(index).name;
    let by = format!("{APPROVED_BY_PREFIX}{step}");
    let annotations = ledger.flow.metadata.annotations.as_ref();
    let by = annotations.and_then(|annotations| annotations.get(&by)).cloned();
    if approved {
        ledger.end(index, StepPhase::Succeeded, None, None);
    } else {
        let who = by.as_deref().map_or_else(String::new, |who| format!(" by {who}"));
        ledger.end(
            index,
            StepPhase::Failed,
            Some(StepReason::Rejected.as_str()),
            Some(format!("rejected{who}")),
        );
    }
    ledger.steps[index].approved_by = by;
}

/// Reads the decision about a Manual step from the flow's annotations: true if it was approved.
pub(super) fn decision(ledger: &Ledger<'_>, index: usize) -> Option<bool> {
    let key = format!("{}{}", APPROVED_PREFIX, ledger.step(index).name);
    match ledger.flow.metadata.annotations.as_ref()?.get(&key)?.as_str() {
        "true" => Some(true),
        "false" => Some(false),
        _ => None,
    }
}
