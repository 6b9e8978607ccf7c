//! The outcome of an attempt: as soon as it is decided, never sooner.
//!
//! The Job's conditions decide, a second late, since the Job controller batches pod events for that long. Pods decide
//! earlier where no other input can change the result:
//!
//! | the Job | decided by |
//! |---|---|
//! | has the condition Complete or Failed | that condition |
//! | has SuccessCriteriaMet or FailureTarget | nothing yet: the final condition follows |
//! | has a successPolicy, another manager, is suspended or being deleted | nothing yet |
//! | has `completions`, and Succeeded pods cover them | success |
//! | has `backoffLimit: 0`, no podFailurePolicy, no backoffLimitPerIndex, `restartPolicy: Never`, and a pod is Failed | failure |
//!
//! **Guarantee.** A decision that pods made is the one that the Job controller comes to. Where the controller could
//! still decide otherwise, nothing is decided here. Two exceptions are known, both within the second that the controller
//! takes: an `activeDeadlineSeconds` that ends after the last pod succeeded and before the controller looked (it puts
//! the deadline first; we do not), and a user who edits the Job in the very moment in which its pod ends.
//!
//! **Why these pods count** (`pkg/controller/job/job_controller.go`, 1.37). The controller counts a pod once, while it
//! has the tracking finalizer, and takes that away afterwards; from pods that are surplus, or belong to a suspended Job,
//! it takes it away without counting, and deletes them. So a pod counts here while it is tracked; after that, only as
//! far as the Job's own record says so. A pod that is being deleted counts for nothing: the controller may have counted
//! it as failed in the moment its deletion began, and it may succeed all the same.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::observed::{Job, JobConditionKind, Pod, PodPhase};

mod blame;
mod document;

pub use document::{MOST_OF_CONTAINER, document};

/// The outcome of an attempt.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// The Job succeeded.
    Succeeded {
        /// The time: the last pod's end, else the condition's time.
        at: Option<Timestamp>,
        /// The UID of the pod that decided, where it was a single one and the Job's condition had not come yet.
        pod: Option<String>,
    },
    /// The Job failed.
    Failed {
        /// One word: the Job's own reason, such as BackoffLimitExceeded, DeadlineExceeded, PodFailurePolicy.
        reason: String,
        /// The Job controller's message and the container that failed; the container alone where the controller only
        /// says that the limit of retries is reached.
        message: String,
        /// The exit code of the first container that failed.
        exit_code: Option<i64>,
        /// The time: the pod's end, or the condition's time.
        at: Option<Timestamp>,
        /// The UID of the pod that decided, where it did and the Job's condition had not come yet.
        pod: Option<String>,
    },
}

/// The reason of a Job with more failed pods than its `backoffLimit` allows.
const BACKOFF_LIMIT_EXCEEDED: &str = "BackoffLimitExceeded";

/// Returns the outcome of a Job, if it is decided. With `by_condition` only the Job's conditions decide: for a step
/// whose result document is read where it comes from the Job's status.
///
/// `pods` may hold other Jobs' pods; they are ignored.
pub fn outcome(job: &Job, pods: &[&Pod], by_condition: bool) -> Option<Outcome> {
    let pods: Vec<&Pod> = pods.iter().copied().filter(|pod| pod.is_of(job)).collect();
    let last = ended_by(job, &pods, JobConditionKind::is_final);
    if last.is_some() {
        return last;
    }
    if by_condition || !pods_decide(job) {
        return None;
    }
    success(job, &pods).or_else(|| failure(job, &pods))
}

/// Returns the outcome of a Job that is gone, from its last observed state: nothing else can follow. Its condition
/// decides, even one that announces the final one; else its pods, as they were before they or their Job were deleted.
pub fn of_gone(job: &Job, pods: &[&Pod]) -> Option<Outcome> {
    let pods: Vec<&Pod> = pods.iter().copied().filter(|pod| pod.is_of(job)).collect();
    let last = ended_by(job, &pods, JobConditionKind::is_final);
    let target = || {
        ended_by(job, &pods, |kind| {
            matches!(kind, JobConditionKind::SuccessCriteriaMet | JobConditionKind::FailureTarget)
        })
    };
    let by_pods = || {
        // The Job was deleted after the pods had ended, so the deletion does not speak against them.
        let there = Job { deleting: false, ..job.clone() };
        let decide = pods_decide(&there);
        decide.then(|| success(&there, &pods).or_else(|| failure(&there, &pods))).flatten()
    };
    last.or_else(target).or_else(by_pods)
}

/// Returns the time at which a Job ended, if `pods` do not show that end yet: the watch of Jobs may be ahead of the
/// watch of pods. Exit codes and termination messages are not known then.
pub fn ahead_of_pods(job: &Job, pods: &[&Pod]) -> Option<Timestamp> {
    let of = |phase: PodPhase| {
        let pods = pods.iter().filter(|pod| pod.is_of(job) && pod.phase == phase);
        i64::try_from(pods.count()).unwrap_or(i64::MAX)
    };
    let ended = job.conditions.iter().find(|condition| match condition.kind {
        JobConditionKind::Complete => of(PodPhase::Succeeded) < job.succeeded,
        // One failed pod is enough to explain the failure; with other reasons, and where containers are restarted, the
        // Job controller deletes the pods.
        JobConditionKind::Failed => {
            let leaves_pods = [BACKOFF_LIMIT_EXCEEDED, "PodFailurePolicy"].contains(&&*condition.reason);
            leaves_pods && job.shape.restart_never && job.failed > 0 && of(PodPhase::Failed) == 0
        }
        _ => false,
    });
    ended?.at
}

/// Returns the outcome that the Job's condition of one of these kinds reports.
fn ended_by(job: &Job, pods: &[&Pod], is_end: fn(JobConditionKind) -> bool) -> Option<Outcome> {
    let last = job.conditions.iter().find(|condition| is_end(condition.kind))?;
    if matches!(last.kind, JobConditionKind::Complete | JobConditionKind::SuccessCriteriaMet) {
        let end = pods.iter().filter(|pod| pod.phase == PodPhase::Succeeded).filter_map(|pod| pod.ended());
        return Some(Outcome::Succeeded { at: end.max().or(last.at), pod: None });
    }
    // FailureTarget is set as soon as the failure is clear; the final condition only when all pods have terminated. So
    // the target has the better time.
    let target = job.conditions.iter().find(|condition| condition.kind == JobConditionKind::FailureTarget);
    let blame = blame::first_failure(job, pods);
    let failed = blame.as_ref().map(ToString::to_string);
    let message = match failed {
        Some(failed) if &*last.reason == BACKOFF_LIMIT_EXCEEDED || last.message.is_empty() => failed,
        Some(failed) => format!("{}; {failed}", last.message),
        None => last.message.to_string(),
    };
    Some(Outcome::Failed {
        reason: last.reason.to_string(),
        message,
        exit_code: blame.and_then(|blame| blame.exit_code()),
        at: target.unwrap_or(last).at.or(last.at),
        pod: None,
    })
}

/// Tells whether pods may decide at all.
fn pods_decide(job: &Job) -> bool {
    use JobConditionKind::{FailureTarget, SuccessCriteriaMet, Suspended};
    let pending = |kind| matches!(kind, SuccessCriteriaMet | FailureTarget | Suspended);
    !job.deleting
        && !job.shape.suspended
        && !job.shape.managed_by_other
        // Failures count only until the policy is met, and a pod may fail for having been stopped after that.
        && !job.shape.success_policy
        && !job.conditions.iter().any(|condition| pending(condition.kind))
}

fn success(job: &Job, pods: &[&Pod]) -> Option<Outcome> {
    // Without completions only the controller knows that no more pods come; with none, that the Job has been seen.
    let wanted = job.shape.completions.filter(|wanted| *wanted > 0)?;
    let mut spoiled = 0;
    for pod in pods {
        match pod.phase {
            PodPhase::Succeeded if !pod.deleting => {}
            _ if pod.deleting || pod.phase == PodPhase::Failed => spoiled += 1,
            // It may still fail, and failures are judged before successes.
            _ => return None,
        }
    }
    // A rule may yet strike at a pod that failed, when a condition such as DisruptionTarget is added to it.
    let ruled = job.shape.pod_failure_policy || job.shape.backoff_limit_per_index || !job.shape.restart_never;
    let limit = job.shape.backoff_limit.unwrap_or(0);
    if spoiled > if ruled { 0 } else { limit } || restarted_too_often(job, pods, limit) {
        return None;
    }
    let counting: Vec<&Pod> =
        pods.iter().copied().filter(|pod| pod.phase == PodPhase::Succeeded && !pod.deleting).collect();
    let covered = if job.shape.indexed { indexes(job, &counting, wanted) } else { distinct(job, &counting) };
    (covered >= wanted).then(|| Outcome::Succeeded {
        at: counting.iter().filter_map(|pod| pod.ended()).max(),
        pod: match counting.as_slice() {
            [pod] if wanted == 1 => Some(pod.uid.to_string()),
            _ => None,
        },
    })
}

/// Tells whether the controller may have failed the Job while one of its pods still ran (`pastBackoffLimitOnFailure`):
/// where containers are restarted, reaching the limit is enough.
fn restarted_too_often(job: &Job, pods: &[&Pod], limit: i64) -> bool {
    let restarts = pods.iter().map(|pod| pod.restarts).fold(0, i64::saturating_add);
    !job.shape.restart_never && restarts > 0 && restarts >= limit
}

/// Counts the pods of a NonIndexed Job that have succeeded.
fn distinct(job: &Job, succeeded: &[&Pod]) -> i64 {
    let tracked = succeeded.iter().filter(|pod| pod.tracked).count();
    let count = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
    // A pod without the finalizer has been counted, or never will be. The Job's counter tells how many have; it may be
    // ahead of the pods that we see, so that it vouches for pods and is never added to them.
    count(tracked) + count(succeeded.len() - tracked).min(job.succeeded)
}

/// Counts the indexes of an Indexed Job that are done, exactly as `calculateSucceededIndexes` does.
fn indexes(job: &Job, succeeded: &[&Pod], completions: i64) -> i64 {
    let done = intervals(job.completed_indexes.as_deref().unwrap_or_default(), completions);
    let counted: i64 = done.iter().map(|(first, last)| last - first + 1).sum();
    let known = |index: i64| {
        let after = done.partition_point(|(first, _)| *first <= index);
        after > 0 && index <= done[after - 1].1
    };
    let fresh: BTreeSet<i64> = succeeded
        .iter()
        .filter(|pod| pod.tracked)
        .filter_map(|pod| pod.index)
        .filter(|index| *index < completions && !known(*index))
        .collect();
    counted + i64::try_from(fresh.len()).unwrap_or(i64::MAX)
}

/// Parses `0-2,5` into intervals below `completions`, in rising order; text that is none ends the list.
fn intervals(text: &str, completions: i64) -> Vec<(i64, i64)> {
    let mut found: Vec<(i64, i64)> = Vec::new();
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (Ok(first), Ok(last)) = (first.parse::<i64>(), last.parse::<i64>()) else { break };
        let after = found.last().map_or(0, |(_, last)| last + 1);
        if first < after || last < first || first >= completions {
            break;
        }
        found.push((first, last.min(completions - 1)));
    }
    found
}

fn failure(job: &Job, pods: &[&Pod]) -> Option<Outcome> {
    let shape = &job.shape;
    let alone = shape.backoff_limit == Some(0)
        && !shape.pod_failure_policy
        && !shape.backoff_limit_per_index
        && shape.restart_never;
    // What else runs where completions are covered is surplus: the controller may have dismissed it before it failed.
    let succeeded = pods.iter().filter(|pod| pod.phase == PodPhase::Succeeded).count();
    let covered = shape.completions.is_some_and(|wanted| i64::try_from(succeeded).is_ok_and(|n| n >= wanted));
    if !alone || covered {
        return None;
    }
    let counts = |pod: &&Pod| {
        let wanted = !shape.indexed || pod.index.is_some_and(|index| Some(index) < shape.completions);
        pod.phase == PodPhase::Failed && pod.tracked && !pod.deleting && wanted
    };
    let failed: Vec<&Pod> = pods.iter().copied().filter(counts).collect();
    let pod = failed.iter().min_by_key(|pod| (pod.ended(), pod.created, &pod.name))?;
    let blame = blame::first_failure(job, &[*pod]);
    Some(Outcome::Failed {
        reason: BACKOFF_LIMIT_EXCEEDED.to_owned(),
        message: blame.as_ref().map_or_else(|| format!("pod \"{}\" failed", pod.name), ToString::to_string),
        exit_code: blame.as_ref().and_then(blame::Blame::exit_code),
        at: blame.as_ref().and_then(blame::Blame::at).or_else(|| pod.ended()),
        pod: Some(pod.uid.to_string()),
    })
}

impl Pod {
    /// The time at which the last of its containers ended, in whole seconds.
    fn ended(&self) -> Option<Timestamp> {
        self.containers.iter().filter_map(|container| container.ended.as_ref()?.finished).max()
    }
}

#[cfg(test)]
mod tests;
