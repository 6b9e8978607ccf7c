//! Comparison of the planner's last status with the reference.

use super::case::Case;
use super::ending::{Ending, FlowWhy, StepEnding, Why};
use super::manifest::micros;
use super::reference::Micros;
use crate::flows::api::{FlowPhase, JobFlowStatus, OnStepFailure, StepPhase, StepStatus, defaults};

/// The fields that have to agree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Extent {
    /// Phases, reasons, attempts and times.
    Everything,
    /// All but the times.
    Ends,
}

/// Tells whether the end of a case is independent of timing: there is no timeout or deadline, the retries of all steps
/// are not used up, and either a failure stops nothing else or every failure was tolerated. Then the end of each step
/// follows from the ends of those before it.
pub(super) fn is_timeless(case: &Case, ending: &Ending) -> bool {
    let clocks = case.deadline.is_some() || case.steps.iter().any(|step| step.timeout.is_some());
    let limit = |retry: super::case::Retry| retry.limit.unwrap_or(defaults::RETRY_LIMIT);
    let retries: i64 = case.steps.iter().filter_map(|step| step.retry).map(limit).sum();
    let stops = case.reaction != Some(OnStepFailure::RunIndependent) && ending.failed.is_some();
    !clocks && !stops && retries <= case.backoff_limit.unwrap_or(defaults::BACKOFF_LIMIT)
}

/// Compares, and lists the differences.
pub(super) fn compare(expected: &Ending, found: &JobFlowStatus, extent: Extent) -> Result<(), String> {
    if found.steps.is_empty() && expected.started.is_none() {
        return Ok(());
    }
    let mut wrong = Vec::new();
    for (expected, found) in expected.steps.iter().zip(&found.steps) {
        step(expected, found, extent, &mut wrong);
    }
    flow(expected, found, extent, &mut wrong);
    if wrong.is_empty() { Ok(()) } else { Err(wrong.join("\n")) }
}

fn step(expected: &StepEnding, found: &StepStatus, extent: Extent, wrong: &mut Vec<String>) {
    let name = &found.name;
    if found.phase.unwrap_or(StepPhase::Pending) != expected.phase {
        wrong.push(format!(
            "{name}: {:?} ({:?}), and the reference has {:?} ({:?})",
            found.phase, found.reason, expected.phase, expected.why
        ));
        return;
    }
    if !is_reason(expected, found.reason.as_deref()) {
        wrong.push(format!(
            "{name}: {:?} for {:?}, and the reference has {:?}",
            expected.phase, found.reason, expected.why
        ));
    }
    // A Manual step has no attempts to speak of.
    if expected.attempts > 0 && found.attempt != Some(expected.attempts) {
        wrong.push(format!(
            "{name}: attempt {:?}, and the reference has {}",
            found.attempt, expected.attempts
        ));
    }
    if found.retry_count.unwrap_or(0) != (expected.attempts - 1).max(0) {
        wrong.push(format!("{name}: {:?} retries after {} attempts", found.retry_count, expected.attempts));
    }
    if extent == Extent::Everything {
        time(
            &format!("start of {name}"),
            expected.started,
            found.start_time.as_ref().map(|at| micros(at.0)),
            wrong,
        );
        let ended = found.completion_time.as_ref().map(|at| micros(at.0));
        time(&format!("end of {name}"), expected.ended, ended, wrong);
    }
}

fn is_reason(expected: &StepEnding, found: Option<&str>) -> bool {
    const OURS: [&str; 6] =
        ["JobLost", "StepTimeout", "FlowBackoffLimitExceeded", "Rejected", "UpstreamFailed", "FlowFailed"];
    let word = match expected.why {
        Why::JobLost => "JobLost",
        Why::StepTimeout => "StepTimeout",
        // Not the reason of a Job that has used up its own limit.
        Why::BackoffLimitExceeded => "FlowBackoffLimitExceeded",
        Why::Rejected => "Rejected",
        Why::UpstreamFailed => "UpstreamFailed",
        Why::FlowFailed => "FlowFailed",
        Why::Deadline => "DeadlineExceeded",
        // The Job's own reason, or the planner's.
        Why::JobFailed | Why::WhenFalse => return found.is_some_and(|found| !OURS.contains(&found)),
        Why::Nothing => return found.is_none_or(|found| !OURS.contains(&found)),
    };
    found == Some(word)
}

fn flow(expected: &Ending, found: &JobFlowStatus, extent: Extent, wrong: &mut Vec<String>) {
    let over = matches!(found.phase, Some(FlowPhase::Succeeded | FlowPhase::Failed));
    let ready = found.conditions.iter().find(|condition| condition.type_ == "Ready");
    let reason = ready.map(|ready| ready.reason.as_str());
    let expects = expected.over.map(|(_, why)| match why {
        None => (FlowPhase::Succeeded, "FlowSucceeded"),
        Some(FlowWhy::StepFailed) => (FlowPhase::Failed, "FlowFailed"),
        Some(FlowWhy::BackoffLimitExceeded) => (FlowPhase::Failed, "BackoffLimitExceeded"),
        Some(FlowWhy::ActiveDeadlineExceeded) => (FlowPhase::Failed, "ActiveDeadlineExceeded"),
    });
    match expects {
        Some((phase, word)) if Some(phase) != found.phase || Some(word) != reason => {
            wrong.push(format!(
                "flow: {:?} for {reason:?}, and the reference has {phase:?} for {word}",
                found.phase
            ));
        }
        // The flow's message names the first step that failed.
        Some((FlowPhase::Failed, word))
            if word != "ActiveDeadlineExceeded" && extent == Extent::Everything =>
        {
            let name = expected.failed.map(Case::name).unwrap_or_default();
            if !found.message.as_ref().is_some_and(|message| message.contains(&format!("{name:?}"))) {
                wrong.push(format!("flow: {:?} does not name {name}, which failed first", found.message));
            }
        }
        None if over => wrong.push(format!("flow: {:?}, and in the reference it goes on", found.phase)),
        _ => {}
    }
    if extent == Extent::Everything {
        time("start of the flow", expected.started, found.start_time.as_ref().map(|at| micros(at.0)), wrong);
        let ended = found.completion_time.as_ref().map(|at| micros(at.0));
        time("end of the flow", expected.over.map(|(at, _)| at), ended, wrong);
    }
}

fn time(what: &str, expected: Option<Micros>, found: Option<Micros>, wrong: &mut Vec<String>) {
    if expected != found {
        wrong.push(format!("{what}: {found:?} µs, and the reference has {expected:?}"));
    }
}
