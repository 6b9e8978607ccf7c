//! The summary of a flow in its status: phase, progress, conditions, and a message of one sentence.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

use super::ledger::Ledger;
use super::policy::{LARGE, cut, stamp};
use super::reason::{NO_LONGER_VALID, Stop, is_waiting};
use super::stop;
use crate::flows::api::{
    FlowPhase, FlowReason, JobFlowStatus, Progress, StepPhase, StepReason, StepStatus, WaitingReason,
};
use crate::flows::outline::count;
use crate::k8s::duration;

/// A flow whose steps take more bytes than this is failed: the API server would soon refuse its status (etcd takes
/// 1.5 MiB for the whole object).
const TOO_LARGE: usize = 1_000_000;
/// The longest message about a flow, in bytes.
const LONGEST: usize = 1_024;

/// Sums up the flow from its steps.
pub(super) fn report(ledger: &mut Ledger<'_>) {
    if size(ledger) > TOO_LARGE && ledger.stopped.is_none() {
        ledger.stopped = Some(Stop::Broken {
            reason: FlowReason::StatusTooLarge.as_str(),
            message: "what is known of its steps does not fit into one object; hand less from step to step"
                .to_owned(),
        });
        stop::wind_down(ledger);
    }
    let over = ledger.all_final();
    let (phase, reason, message) = if over { final_summary(ledger) } else { interim_summary(ledger) };
    if over && ledger.status.completion_time.is_none() {
        ledger.status.completion_time = stamp(ledger.now);
        if let Some(start) = &ledger.status.start_time {
            let nanoseconds = ledger.now.duration_since(start.0).as_nanos();
            let milliseconds = i64::try_from(nanoseconds / 1_000_000).unwrap_or(i64::MAX / 1_000_000);
            ledger.status.duration = Some(duration::format(milliseconds * 1_000_000));
        }
    }
    // A large flow saves the bytes of UIDs that no later plan needs.
    if ledger.steps.len() > LARGE {
        for step in ledger.steps.iter_mut().filter(|step| step.phase == Some(StepPhase::Succeeded)) {
            if let Some(job) = &mut step.job_ref {
                job.uid = None;
            }
        }
    }
    summarize(ledger, phase, reason, message);
}

/// Reports a flow whose spec cannot be run and may still be fixed.
pub(super) fn invalid(ledger: &mut Ledger<'_>, reason: &'static str, message: &str) {
    summarize(ledger, FlowPhase::Pending, reason, Some(message.to_owned()));
}

/// Reports a flow that waits for its start.
pub(super) fn not_started(ledger: &mut Ledger<'_>, reason: WaitingReason, message: &str) {
    for index in 0..ledger.steps.len() {
        if ledger.dag.dependencies(index).next().is_some() {
            ledger.wait(index, WaitingReason::Dependencies, None, None);
        } else {
            ledger.wait(index, reason, Some(message.to_owned()), None);
        }
    }
    let (phase, ready_reason) = match reason {
        WaitingReason::Suspended => (FlowPhase::Suspended, FlowReason::FlowSuspended.as_str()),
        _ => (FlowPhase::Pending, FlowReason::FlowPending.as_str()),
    };
    summarize(ledger, phase, ready_reason, Some(message.to_owned()));
}

/// The phase, the reason of the condition Ready, and the message.
type Summary = (FlowPhase, &'static str, Option<String>);

fn final_summary(ledger: &Ledger<'_>) -> Summary {
    if let Some(stop) = &ledger.stopped {
        let message = match stop {
            Stop::Deadline => {
                let seconds = ledger.policy.deadline.map_or(0, |span| span.as_secs());
                format!("not done within activeDeadlineSeconds, {seconds} s")
            }
            Stop::Replaced(by) => format!("replaced by the flow {by:?}"),
            Stop::Broken { message, .. } => message.clone(),
        };
        return (FlowPhase::Failed, stop.reason(), Some(message));
    }
    let fatal = (0..ledger.steps.len()).filter(|index| ledger.is_fatal(*index));
    // The message names the step that failed first in time, not in the document.
    let first =
        fatal.min_by_key(|&index| (ledger.steps[index].completion_time.as_ref().map(|time| time.0), index));
    let Some(first) = first else { return (FlowPhase::Succeeded, FlowReason::FlowSucceeded.as_str(), None) };
    let used_up = |step: &StepStatus| step.reason() == Some(StepReason::FlowBackoffLimitExceeded);
    let used_up = ledger.steps.iter().any(used_up);
    let reason = if used_up { FlowReason::BackoffLimitExceeded } else { FlowReason::FlowFailed };
    (FlowPhase::Failed, reason.as_str(), Some(failure(&ledger.steps[first])))
}

/// Formats a failure: `step "load" failed: BackoffLimitExceeded: container "main" exited with 3`
fn failure(step: &StepStatus) -> String {
    let mut text = format!("step {:?} failed", step.name);
    for part in [&step.reason, &step.message].into_iter().flatten() {
        text += ": ";
        text += part;
    }
    text
}

fn interim_summary(ledger: &Ledger<'_>) -> Summary {
    let mut indexes = 0..ledger.steps.len();
    let in_phase = |phase| indexes.clone().filter(move |index| ledger.phase(*index) == phase);
    let running = in_phase(StepPhase::Running).count();
    if ledger.is_suspended() {
        let still = match running {
            0 => "suspended".to_owned(),
            n => format!("suspended; {} still running", count(n as u64, "step")),
        };
        return (FlowPhase::Suspended, FlowReason::FlowSuspended.as_str(), Some(still));
    }
    let retry = indexes.clone().any(|index| is_waiting(&ledger.steps[index], WaitingReason::Retry));
    if let Some(index) = in_phase(StepPhase::PendingApproval).next()
        && running == 0
        && !retry
    {
        let step = &ledger.steps[index];
        let asked = step.waiting.as_ref().and_then(|waiting| waiting.message.as_ref());
        let asked = asked.map_or_else(String::new, |message| format!(": {message}"));
        return (
            FlowPhase::Paused,
            FlowReason::FlowPaused.as_str(),
            Some(format!("waits for approval of step {:?}{asked}", step.name)),
        );
    }
    // The message says what is wrong: first a step that has failed, then one that waits for more than its turn.
    let fatal =
        indexes.clone().find(|index| ledger.is_fatal(*index)).map(|index| failure(&ledger.steps[index]));
    let message = fatal.or_else(|| indexes.find_map(|index| obstacle(&ledger.steps[index])));
    (FlowPhase::Running, FlowReason::FlowRunning.as_str(), message)
}

/// Formats what a step waits for, `step "load": ImagePull: ...`, if that is no part of the usual course.
fn obstacle(step: &StepStatus) -> Option<String> {
    let waiting = step.waiting.as_ref()?;
    if let Some(WaitingReason::Dependencies | WaitingReason::Parallelism | WaitingReason::Approval) =
        step.waits_for()
    {
        return None;
    }
    let what = waiting.message.as_ref().map_or_else(String::new, |message| format!(": {message}"));
    Some(format!("step {:?}: {}{what}", step.name, waiting.reason))
}

/// Writes phase, message, progress and conditions into the status. `reason` is that of the condition Ready.
fn summarize(ledger: &mut Ledger<'_>, phase: FlowPhase, reason: &'static str, message: Option<String>) {
    let progress = progress(&ledger.steps);
    let generation = ledger.flow.metadata.generation;
    let now = ledger.now;
    let (invalid, judged) = (stop::no_longer_valid(ledger), ledger.was_judged());
    let status = &mut ledger.status;
    status.phase = Some(phase);
    status.message = message.map(|text| cut(&text, LONGEST));
    status.observed_generation = generation;
    status.progress = Some(progress);
    let text = status.message.clone().unwrap_or_default();
    let ready = matches!(FlowReason::parse(reason), FlowReason::FlowRunning | FlowReason::FlowSucceeded);
    let mut set = |kind: &str, on: bool| set_condition(status, kind, on, reason, &text, generation, now);
    set("Ready", ready);
    match phase {
        FlowPhase::Succeeded => set("Complete", true),
        FlowPhase::Failed => set("Failed", true),
        _ => {}
    }
    match invalid {
        Some((reason, problems)) => {
            set_condition(status, NO_LONGER_VALID, true, reason, &cut(problems, LONGEST), generation, now);
        }
        // If the spec was not validated for this plan, the earlier verdict still holds.
        None if judged => status.conditions.retain(|condition| condition.type_ != NO_LONGER_VALID),
        None => {}
    }
}

/// Sets a condition. Its transition time changes only with its status.
fn set_condition(
    status: &mut JobFlowStatus,
    kind: &str,
    on: bool,
    reason: &str,
    message: &str,
    observed_generation: Option<i64>,
    now: jiff::Timestamp,
) {
    let value = if on { "True" } else { "False" };
    let old = status.conditions.iter().find(|condition| condition.type_ == kind && condition.status == value);
    // Conditions have whole seconds.
    let since = old.map(|condition| condition.last_transition_time.clone());
    let whole = jiff::Timestamp::from_second(now.as_second()).unwrap_or(now);
    let condition = Condition {
        type_: kind.to_owned(),
        status: value.to_owned(),
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

/// Estimates the bytes that the steps take in the status.
fn size(ledger: &Ledger<'_>) -> usize {
    let text = |text: &Option<String>| text.as_ref().map_or(0, String::len);
    let of = |step: &StepStatus| {
        let outputs = step.outputs.iter().flat_map(|outputs| &outputs.parameters);
        let outputs: usize = outputs.map(|output| output.name.len() + output.value.len() + 24).sum();
        let waiting = step.waiting.as_ref().map_or(0, |waiting| 96 + text(&waiting.message));
        let job = step.job_ref.as_ref().map_or(0, |job| 24 + job.name.len() + text(&job.uid));
        120 + step.name.len() + text(&step.reason) + text(&step.message) + outputs + waiting + job
    };
    ledger.steps.iter().map(of).sum()
}
