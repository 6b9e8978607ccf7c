//! What people read of a flow: its phase, its progress, its conditions, one sentence.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

use super::ledger::Work;
use super::policy::{LARGE, cut, stamp};
use super::reason::{NO_LONGER_VALID, RETRIES_USED_UP, Stop, WaitingReason, is_final, is_waiting};
use super::stop;
use crate::flows::api::{FlowPhase, JobFlowStatus, Progress, StepPhase, StepStatus};
use crate::flows::outline::count;
use crate::k8s::duration;

/// A status beyond this many bytes would soon be refused by the API server (etcd takes 1.5 MiB of the whole object).
const TOO_LARGE: usize = 1_000_000;
/// The longest sentence about a flow.
const LONGEST: usize = 1_024;

/// Say where the flow stands, from where its steps stand.
pub(super) fn report(work: &mut Work<'_>) {
    if size(work) > TOO_LARGE && work.stopped.is_none() {
        work.stopped = Some(Stop::Broken {
            reason: "StatusTooLarge",
            message: "what is known of its steps does not fit into one object; hand less from step to step"
                .to_owned(),
        });
        stop::wind_down(work);
    }
    let over = (0..work.steps.len()).all(|place| is_final(work.phase(place)));
    let (phase, reason, message) = if over { end(work) } else { middle(work) };
    if over && work.status.completion_time.is_none() {
        work.status.completion_time = stamp(work.now);
        if let Some(start) = &work.status.start_time {
            let nanoseconds = work.now.duration_since(start.0).as_nanos();
            let milliseconds = i64::try_from(nanoseconds / 1_000_000).unwrap_or(i64::MAX / 1_000_000);
            work.status.duration = Some(duration::format(milliseconds * 1_000_000));
        }
    }
    if work.steps.len() > LARGE {
        for step in work.steps.iter_mut().filter(|step| step.phase == Some(StepPhase::Succeeded)) {
            if let Some(job) = &mut step.job_ref {
                job.uid = None;
            }
        }
    }
    tell(work, phase, reason, message);
}

/// A flow that cannot be run, and may be mended.
pub(super) fn refused(work: &mut Work<'_>, reason: &'static str, message: &str) {
    tell(work, FlowPhase::Pending, reason, Some(message.to_owned()));
}

/// A flow that waits for its start.
pub(super) fn not_started(work: &mut Work<'_>, reason: WaitingReason, message: &str) {
    for place in 0..work.steps.len() {
        if work.dag.dependencies(place).next().is_some() {
            work.wait(place, WaitingReason::Dependencies, None, None);
        } else {
            work.wait(place, reason, Some(message.to_owned()), None);
        }
    }
    let (phase, told) = match reason {
        WaitingReason::Suspended => (FlowPhase::Suspended, "FlowSuspended"),
        _ => (FlowPhase::Pending, "FlowPending"),
    };
    tell(work, phase, told, Some(message.to_owned()));
}

fn end(work: &Work<'_>) -> (FlowPhase, &'static str, Option<String>) {
    if let Some(stop) = &work.stopped {
        let message = match stop {
            Stop::Deadline => {
                let seconds = work.policy.deadline.map_or(0, |span| span.as_secs());
                format!("not done within activeDeadlineSeconds, {seconds} s")
            }
            Stop::Replaced(by) => format!("replaced by the flow {by:?}"),
            Stop::Broken { message, .. } => message.clone(),
        };
        return (FlowPhase::Failed, stop.reason(), Some(message));
    }
    let fatal = (0..work.steps.len()).filter(|place| work.is_fatal(*place));
    // The first that failed, not the first in the document.
    let first =
        fatal.min_by_key(|&place| (work.steps[place].completion_time.as_ref().map(|time| time.0), place));
    let Some(first) = first else { return (FlowPhase::Succeeded, "FlowSucceeded", None) };
    let used_up =
        (0..work.steps.len()).any(|place| work.steps[place].reason.as_deref() == Some(RETRIES_USED_UP));
    let reason = if used_up { "BackoffLimitExceeded" } else { "FlowFailed" };
    (FlowPhase::Failed, reason, Some(failure(&work.steps[first])))
}

/// `step "load" failed: BackoffLimitExceeded: container "main" exited with 3`
fn failure(step: &StepStatus) -> String {
    let mut text = format!("step {:?} failed", step.name);
    for part in [&step.reason, &step.message].into_iter().flatten() {
        text += ": ";
        text += part;
    }
    text
}

fn middle(work: &Work<'_>) -> (FlowPhase, &'static str, Option<String>) {
    let mut places = 0..work.steps.len();
    let in_phase = |phase| places.clone().filter(move |place| work.phase(*place) == phase);
    let running = in_phase(StepPhase::Running).count();
    if work.is_suspended() {
        let still = match running {
            0 => "suspended".to_owned(),
            n => format!("suspended; {} still running", count(n as u64, "step")),
        };
        return (FlowPhase::Suspended, "FlowSuspended", Some(still));
    }
    let retry = places.clone().any(|place| is_waiting(&work.steps[place], WaitingReason::Retry));
    if let Some(place) = in_phase(StepPhase::PendingApproval).next()
        && running == 0
        && !retry
    {
        let step = &work.steps[place];
        let asked = step.waiting.as_ref().and_then(|waiting| waiting.message.as_ref());
        let asked = asked.map_or_else(String::new, |message| format!(": {message}"));
        return (
            FlowPhase::Paused,
            "FlowPaused",
            Some(format!("waits for approval of step {:?}{asked}", step.name)),
        );
    }
    // Why it is not moving: what fails already, then what waits for something other than its turn.
    let fatal = places.clone().find(|place| work.is_fatal(*place)).map(|place| failure(&work.steps[place]));
    let message = fatal.or_else(|| places.find_map(|place| held_up(&work.steps[place])));
    (FlowPhase::Running, "FlowRunning", message)
}

/// `step "load": ImagePull: ...`, if something keeps it.
fn held_up(step: &StepStatus) -> Option<String> {
    let waiting = step.waiting.as_ref()?;
    if matches!(waiting.reason.as_str(), "Dependencies" | "Parallelism" | "Approval") {
        return None;
    }
    let what = waiting.message.as_ref().map_or_else(String::new, |message| format!(": {message}"));
    Some(format!("step {:?}: {}{what}", step.name, waiting.reason))
}

fn tell(work: &mut Work<'_>, phase: FlowPhase, reason: &'static str, message: Option<String>) {
    let progress = progress(&work.steps);
    let generation = work.flow.metadata.generation;
    let now = work.now;
    let (invalid, judged) = (stop::no_longer_valid(work), work.was_judged());
    let status = &mut work.status;
    status.phase = Some(phase);
    status.message = message.map(|text| cut(&text, LONGEST));
    status.observed_generation = generation;
    status.progress = Some(progress);
    let said = status.message.clone().unwrap_or_default();
    let ready = matches!(reason, "FlowRunning" | "FlowSucceeded");
    let mut tell = |kind: &str, on: bool| condition(status, kind, on, reason, &said, generation, now);
    tell("Ready", ready);
    match phase {
        FlowPhase::Succeeded => tell("Complete", true),
        FlowPhase::Failed => tell("Failed", true),
        _ => {}
    }
    match invalid {
        Some((reason, words)) => {
            condition(status, NO_LONGER_VALID, true, reason, &cut(words, LONGEST), generation, now);
        }
        // Else nobody has judged it, and what was said still holds.
        None if judged => status.conditions.retain(|condition| condition.type_ != NO_LONGER_VALID),
        None => {}
    }
}

/// Set a condition; its time moves only with its status.
fn condition(
    status: &mut JobFlowStatus,
    kind: &str,
    on: bool,
    reason: &str,
    message: &str,
    observed_generation: Option<i64>,
    now: jiff::Timestamp,
) {
    let word = if on { "True" } else { "False" };
    let old = status.conditions.iter().find(|condition| condition.type_ == kind && condition.status == word);
    // Conditions have whole seconds.
    let since = old.map(|condition| condition.last_transition_time.clone());
    let whole = jiff::Timestamp::from_second(now.as_second()).unwrap_or(now);
    let condition = Condition {
        type_: kind.to_owned(),
        status: word.to_owned(),
        reason: reason.to_owned(),
        message: message.to_owned(),
        observed_generation,
        last_transition_time: since.unwrap_or(Time(whole)),
    };
    match status.conditions.iter_mut().find(|condition| condition.type_ == kind) {
        Some(slot) => *slot = condition,
        None => status.conditions.push(condition),
    }
}

fn progress(steps: &[StepStatus]) -> Progress {
    let count = |wanted: &[StepPhase]| {
        let n = steps.iter().filter(|step| step.phase.is_some_and(|phase| wanted.contains(&phase))).count();
        i64::try_from(n).unwrap_or(i64::MAX)
    };
    let completed =
        count(&[StepPhase::Succeeded, StepPhase::Failed, StepPhase::Skipped, StepPhase::Cancelled]);
    let total = i64::try_from(steps.len()).unwrap_or(i64::MAX);
    Progress {
        completed_steps: completed,
        total_steps: total,
        successful_steps: count(&[StepPhase::Succeeded]),
        failed_steps: count(&[StepPhase::Failed]),
        skipped_steps: count(&[StepPhase::Skipped]),
        running_steps: count(&[StepPhase::Running]),
        summary: Some(format!("{completed}/{total}")),
    }
}

/// About how many bytes the steps take in the status.
fn size(work: &Work<'_>) -> usize {
    let text = |text: &Option<String>| text.as_ref().map_or(0, String::len);
    let of = |step: &StepStatus| {
        let outputs = step.outputs.iter().flat_map(|outputs| &outputs.parameters);
        let outputs: usize = outputs.map(|output| output.name.len() + output.value.len() + 24).sum();
        let waiting = step.waiting.as_ref().map_or(0, |waiting| 96 + text(&waiting.message));
        let job = step.job_ref.as_ref().map_or(0, |job| 24 + job.name.len() + text(&job.uid));
        120 + step.name.len() + text(&step.reason) + text(&step.message) + outputs + waiting + job
    };
    work.steps.iter().map(of).sum()
}
