//! The end of a flow before the end of its steps: a failure, a deadline, a newer flow, a spec that cannot be run.

use super::concurrency;
use super::ledger::Work;
use super::model::Verdict;
use super::reason::{Stop, WaitingReason, is_final, is_skipped_by_failure, is_waiting};
use crate::flows::api::{OnStepFailure, StepPhase};
use crate::flows::pinned;

/// Whether something stops the flow that its own steps do not know of.
pub(super) fn cause(work: &Work<'_>) -> Option<Stop> {
    if let Verdict::Broken { reason, message } = &work.observed.verdict
        && no_longer_valid(work).is_none()
    {
        return Some(Stop::Broken { reason, message: message.clone() });
    }
    let newer = concurrency::replaced_by(&work.observed.rivals, place_in_line(work))?;
    Some(Stop::Replaced(newer.name.clone()))
}

/// The validator's words about a flow that runs what it started with: rules have changed, the flow has not. Its work is
/// not thrown away for that; a condition tells.
pub(super) fn no_longer_valid<'w>(work: &Work<'w>) -> Option<(&'static str, &'w str)> {
    let Verdict::Broken { reason, message } = &work.observed.verdict else { return None };
    let same = work.has_started() && pinned::is_unchanged(work.flow, work.status.spec_hash.as_deref());
    same.then_some((*reason, message.as_str()))
}

pub(super) fn place_in_line<'w>(work: &Work<'w>) -> concurrency::Place<'w> {
    let created = work.flow.metadata.creation_timestamp.as_ref();
    (created.map_or(jiff::Timestamp::UNIX_EPOCH, |time| time.0), work.uid())
}

/// Start nothing more, and stop what has to be stopped.
pub(super) fn wind_down(work: &mut Work<'_>) {
    let reason = work.stopped.as_ref().map_or("FlowFailed", Stop::step_reason);
    let cancel = work.stopped.is_some() || work.policy.reaction == OnStepFailure::CancelRunning;
    for place in 0..work.steps.len() {
        match work.phase(place) {
            StepPhase::Running if cancel => {
                work.delete_job(place);
                work.end(place, StepPhase::Cancelled, Some(reason), None);
            }
            // It waits for something that will not matter any more.
            StepPhase::PendingApproval => work.end(place, StepPhase::Cancelled, Some(reason), None),
            StepPhase::Pending if is_waiting(&work.steps[place], WaitingReason::Retry) => {
                let waiting = work.steps[place].waiting.take();
                let why = work.steps[place].reason.take();
                let message = waiting.and_then(|waiting| waiting.message);
                work.end(place, StepPhase::Failed, why.as_deref(), message);
            }
            _ => {}
        }
    }
    for place in work.dag.topological().unwrap_or_else(|| (0..work.steps.len()).collect()) {
        if work.phase(place) == StepPhase::Pending {
            match upstream_failure(work, place) {
                Some(upstream) => {
                    let what = format!("step {upstream:?} did not succeed");
                    work.end(place, StepPhase::Skipped, Some("UpstreamFailed"), Some(what));
                }
                None => work.end(place, StepPhase::Skipped, Some("FlowFailed"), None),
            }
        }
    }
}

/// The dependency that failed, was cancelled, or was skipped for such a one.
fn upstream_failure(work: &Work<'_>, place: usize) -> Option<String> {
    work.dag.dependencies(place).find_map(|dependency| {
        let step = &work.steps[dependency];
        let failed = match work.phase(dependency) {
            StepPhase::Failed => work.is_fatal(dependency),
            StepPhase::Cancelled => true,
            StepPhase::Skipped => {
                is_skipped_by_failure(step) && step.reason.as_deref() == Some("UpstreamFailed")
            }
            phase => {
                debug_assert!(!is_final(phase) || phase == StepPhase::Succeeded);
                false
            }
        };
        failed.then(|| step.name.clone())
    })
}
