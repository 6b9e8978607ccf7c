//! Kubernetes Events: the transitions between two statuses.

use super::model::Event;
use super::reason::{NO_LONGER_VALID, UNSEEN, is_waiting};
use crate::flows::api::{
    EventReason, FlowPhase, JobFlow, JobFlowStatus, StepPhase, StepReason, StepStatus, WaitingReason,
};
use crate::flows::outline::count;

/// The reason, whether it is a warning, and the message.
type Description = (EventReason, bool, String);

/// Returns the Events for the transition from one status to the next, steps before the end of the flow.
pub(super) fn between(flow: &JobFlow, before: &JobFlowStatus, after: &JobFlowStatus) -> Vec<Event> {
    let mut events = Vec::new();
    if before.start_time.is_none() && after.start_time.is_some() {
        events.push(event(EventReason::FlowStarted, false, None, "the flow started".to_owned()));
    }
    for (index, step) in after.steps.iter().enumerate() {
        let named = |old: &&StepStatus| old.name == step.name;
        // Steps may have been reordered in the manifest since.
        let old = before.steps.get(index).filter(named).or_else(|| before.steps.iter().find(named));
        if old.is_none_or(|old| old != step) {
            step_events(index, old, step, &mut events);
        }
    }
    let invalid = |status: &JobFlowStatus| {
        status.conditions.iter().find(|condition| condition.type_ == NO_LONGER_VALID).cloned()
    };
    if let (None, Some(condition)) = (invalid(before), invalid(after)) {
        let what =
            "the flow goes on with the spec that it started with, which would not be admitted any more";
        events.push(event(
            EventReason::SpecNoLongerValid,
            true,
            None,
            format!("{what}: {}", condition.message),
        ));
    }
    if before.phase != after.phase {
        flow_event(flow, before, after, &mut events);
    }
    events
}

fn step_events(index: usize, old: Option<&StepStatus>, step: &StepStatus, events: &mut Vec<Event>) {
    let mut publish = |(reason, warning, message)| events.push(event(reason, warning, Some(index), message));
    let retries = is_waiting(step, WaitingReason::Retry);
    if retries && old.is_none_or(|old| !is_waiting(old, WaitingReason::Retry)) {
        publish(retry(step));
    }
    // A new phase or a new attempt is reported; other changes of a step are not.
    if old.is_none_or(|old| old.phase != step.phase || old.attempt != step.attempt) {
        let asked = old.is_some_and(|old| old.phase == Some(StepPhase::PendingApproval));
        phase(step, asked).into_iter().for_each(publish);
    }
}

/// Describes an attempt that failed and will be followed by another.
fn retry(step: &StepStatus) -> Description {
    let (name, attempt) = (&step.name, step.attempt.unwrap_or(1));
    let why = step.waiting.as_ref().and_then(|waiting| waiting.message.clone()).unwrap_or_default();
    // Nobody saw how the attempt ended, so it may have done its work: warn before the next one repeats it.
    let twice = if why == UNSEEN { ", so the step may be run twice" } else { "" };
    let message = format!("attempt {attempt} at step {name:?} failed and will be tried again: {why}{twice}");
    (EventReason::StepRetry, true, message)
}

/// Describes the phase that a step has entered. `asked`: it waited for approval before.
fn phase(step: &StepStatus, asked: bool) -> Option<Description> {
    use EventReason as Reason;
    let name = &step.name;
    let attempt = match step.attempt {
        Some(attempt) if attempt > 1 => format!(", attempt {attempt}"),
        _ => String::new(),
    };
    let why = |otherwise: &str| {
        let parts: Vec<&str> =
            [&step.reason, &step.message].into_iter().flatten().map(String::as_str).collect();
        if parts.is_empty() { otherwise.to_owned() } else { parts.join(": ") }
    };
    let decided = asked || step.approved_by.is_some();
    let by = step.approved_by.as_deref().map_or_else(String::new, |by| format!(" by {by}"));
    Some(match step.phase? {
        StepPhase::Running => (Reason::StepStarted, false, format!("step {name:?} started{attempt}")),
        StepPhase::PendingApproval => {
            (Reason::StepPendingApproval, false, format!("step {name:?} waits for approval"))
        }
        StepPhase::Succeeded if decided => {
            (Reason::StepApproved, false, format!("step {name:?} was approved{by}"))
        }
        StepPhase::Succeeded => (Reason::StepSucceeded, false, format!("step {name:?} succeeded")),
        StepPhase::Failed => match step.reason() {
            Some(StepReason::Rejected) => {
                (Reason::StepRejected, true, format!("step {name:?} was rejected{by}"))
            }
            Some(StepReason::StepTimeout) => {
                (Reason::StepTimeout, true, format!("step {name:?}: {}", why("timed out")))
            }
            _ => (Reason::StepFailed, true, format!("step {name:?} failed: {}", why("no reason was given"))),
        },
        StepPhase::Skipped => {
            (Reason::StepSkipped, false, format!("step {name:?} was skipped: {}", why("its `when` is false")))
        }
        StepPhase::Cancelled => {
            (Reason::StepCancelled, true, format!("step {name:?} was cancelled: {}", why("the flow ended")))
        }
        StepPhase::Pending | StepPhase::Unknown => return None,
    })
}

fn flow_event(flow: &JobFlow, before: &JobFlowStatus, after: &JobFlowStatus, events: &mut Vec<Event>) {
    let message = |otherwise: &str| after.message.clone().unwrap_or_else(|| otherwise.to_owned());
    let (reason, warning, message) = match after.phase {
        Some(FlowPhase::Succeeded) => {
            let steps = count(flow.spec.steps.len() as u64, "step");
            let duration = after.duration.as_deref();
            let duration = duration.map_or_else(String::new, |duration| format!(" in {duration}"));
            (EventReason::FlowSucceeded, false, format!("{steps} done{duration}"))
        }
        Some(FlowPhase::Failed) => (EventReason::FlowFailed, true, message("the flow failed")),
        Some(FlowPhase::Paused) => (EventReason::FlowPaused, false, message("the flow waits for approval")),
        Some(FlowPhase::Suspended) => (EventReason::FlowSuspended, false, message("the flow is suspended")),
        Some(FlowPhase::Running)
            if matches!(before.phase, Some(FlowPhase::Paused | FlowPhase::Suspended))
                && before.start_time.is_some() =>
        {
            (EventReason::FlowResumed, false, "the flow goes on".to_owned())
        }
        _ => return,
    };
    events.push(event(reason, warning, None, message));
}

fn event(reason: EventReason, warning: bool, step: Option<usize>, message: String) -> Event {
    Event { reason: reason.as_str(), warning, step, message }
}
