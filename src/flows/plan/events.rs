//! What people are told: the transitions between two statuses.

use super::ledger::{WaitingReason, is_waiting};
use super::report::NO_LONGER_VALID;
use super::{Event, settle};
use crate::flows::api::{FlowPhase, JobFlow, JobFlowStatus, StepPhase, StepStatus};

/// The events of the way from one status to the next, steps first.
pub(super) fn between(flow: &JobFlow, before: &JobFlowStatus, after: &JobFlowStatus) -> Vec<Event> {
    let mut events = Vec::new();
    if before.start_time.is_none() && after.start_time.is_some() {
        events.push(event("FlowStarted", false, None, "the flow started".to_owned()));
    }
    for (place, step) in after.steps.iter().enumerate() {
        let named = |old: &&StepStatus| old.name == step.name;
        // The steps of a manifest may have been put in another order since.
        let old = before.steps.get(place).filter(named).or_else(|| before.steps.iter().find(named));
        if old.is_none_or(|old| old != step) {
            step_events(place, old, step, &mut events);
        }
    }
    let invalid = |status: &JobFlowStatus| {
        status.conditions.iter().find(|condition| condition.type_ == NO_LONGER_VALID).cloned()
    };
    if let (None, Some(condition)) = (invalid(before), invalid(after)) {
        let what =
            "the flow goes on with the spec that it started with, which would not be admitted any more";
        events.push(event(NO_LONGER_VALID, true, None, format!("{what}: {}", condition.message)));
    }
    if before.phase != after.phase {
        flow_event(flow, before, after, &mut events);
    }
    events
}

fn step_events(place: usize, old: Option<&StepStatus>, step: &StepStatus, events: &mut Vec<Event>) {
    let name = &step.name;
    let mut tell = |reason, warning, message| events.push(event(reason, warning, Some(place), message));
    let was = old.and_then(|old| old.phase);
    let retries = is_waiting(step, WaitingReason::Retry);
    if retries && old.is_none_or(|old| !is_waiting(old, WaitingReason::Retry)) {
        let attempt = step.attempt.unwrap_or(1);
        let why = step.waiting.as_ref().and_then(|waiting| waiting.message.clone()).unwrap_or_default();
        // It is not run twice without a word.
        let twice = if why == settle::UNSEEN { ", so the step may be run twice" } else { "" };
        tell(
            "StepRetry",
            true,
            format!("attempt {attempt} at step {name:?} failed and will be tried again: {why}{twice}"),
        );
    }
    if old.is_some_and(|old| old.phase == step.phase && old.attempt == step.attempt) {
        return;
    }
    let attempt = match step.attempt {
        Some(attempt) if attempt > 1 => format!(", attempt {attempt}"),
        _ => String::new(),
    };
    let why = |otherwise: &str| {
        let parts: Vec<&str> =
            [&step.reason, &step.message].into_iter().flatten().map(String::as_str).collect();
        if parts.is_empty() { otherwise.to_owned() } else { parts.join(": ") }
    };
    let decided = was == Some(StepPhase::PendingApproval) || step.approved_by.is_some();
    let by = step.approved_by.as_deref().map_or_else(String::new, |by| format!(" by {by}"));
    match step.phase {
        Some(StepPhase::Running) => tell("StepStarted", false, format!("step {name:?} started{attempt}")),
        Some(StepPhase::PendingApproval) => {
            tell("StepPendingApproval", false, format!("step {name:?} waits for approval"));
        }
        Some(StepPhase::Succeeded) if decided => {
            tell("StepApproved", false, format!("step {name:?} was approved{by}"));
        }
        Some(StepPhase::Succeeded) => tell("StepSucceeded", false, format!("step {name:?} succeeded")),
        Some(StepPhase::Failed) => match step.reason.as_deref() {
            Some("Rejected") => tell("StepRejected", true, format!("step {name:?} was rejected{by}")),
            Some("StepTimeout") => tell("StepTimeout", true, format!("step {name:?}: {}", why("timed out"))),
            _ => tell("StepFailed", true, format!("step {name:?} failed: {}", why("no reason was given"))),
        },
        Some(StepPhase::Skipped) => {
            tell("StepSkipped", false, format!("step {name:?} was skipped: {}", why("its `when` is false")));
        }
        Some(StepPhase::Cancelled) => {
            tell("StepCancelled", true, format!("step {name:?} was cancelled: {}", why("the flow ended")));
        }
        Some(StepPhase::Pending | StepPhase::Unknown) | None => {}
    }
}

fn flow_event(flow: &JobFlow, before: &JobFlowStatus, after: &JobFlowStatus, events: &mut Vec<Event>) {
    let said = |otherwise: &str| after.message.clone().unwrap_or_else(|| otherwise.to_owned());
    let (reason, warning, message) = match after.phase {
        Some(FlowPhase::Succeeded) => {
            let steps = crate::flows::outline::count(flow.spec.steps.len() as u64, "step");
            let took = after.duration.as_deref().map_or_else(String::new, |took| format!(" in {took}"));
            ("FlowSucceeded", false, format!("{steps} done{took}"))
        }
        Some(FlowPhase::Failed) => ("FlowFailed", true, said("the flow failed")),
        Some(FlowPhase::Paused) => ("FlowPaused", false, said("the flow waits for approval")),
        Some(FlowPhase::Suspended) => ("FlowSuspended", false, said("the flow is suspended")),
        Some(FlowPhase::Running)
            if matches!(before.phase, Some(FlowPhase::Paused | FlowPhase::Suspended))
                && before.start_time.is_some() =>
        {
            ("FlowResumed", false, "the flow goes on".to_owned())
        }
        _ => return,
    };
    events.push(event(reason, warning, None, message));
}

fn event(reason: &'static str, warning: bool, step: Option<usize>, message: String) -> Event {
    Event { reason, warning, step, message }
}
