//! Flows that end before their steps do: after a failure, at a deadline, for a newer flow, or for a spec that cannot be
//! run.

use super::concurrency;
use super::ledger::Ledger;
use super::model::Verdict;
use super::reason::{Stop, is_waiting};
use crate::flows::api::{OnStepFailure, StepPhase, StepReason, WaitingReason};
use crate::flows::pinned;

/// Returns an external reason to stop the flow: an invalid spec, or a newer flow that replaces it.
pub(super) fn cause(ledger: &Ledger<'_>) -> Option<Stop> {
    if let Verdict::Broken { reason, message } = &ledger.observed.verdict
        && no_longer_valid(ledger).is_none()
    {
        return Some(Stop::Broken { reason, message: message.clone() });
    }
    let newer = concurrency::replaced_by(&ledger.observed.rivals, position(ledger))?;
    Some(Stop::Replaced(newer.name.clone()))
}

/// Returns the validator's reason and message if the spec is the one that the flow started with: then only the
/// rules have changed. Such a flow continues, and a condition reports it.
pub(super) fn no_longer_valid<'w>(ledger: &Ledger<'w>) -> Option<(&'static str, &'w str)> {
    let Verdict::Broken { reason, message } = &ledger.observed.verdict else { return None };
    let same = ledger.has_started() && pinned::is_unchanged(ledger.flow, ledger.status.spec_hash.as_deref());
    same.then_some((*reason, message.as_str()))
}

/// The position of the flow in the queue of its `concurrencyKey`.
pub(super) fn position<'w>(ledger: &Ledger<'w>) -> concurrency::Position<'w> {
    let created = ledger.flow.metadata.creation_timestamp.as_ref();
    (created.map_or(jiff::Timestamp::UNIX_EPOCH, |time| time.0), ledger.uid())
}

/// Starts nothing more, and stops the steps that have to be stopped.
pub(super) fn wind_down(ledger: &mut Ledger<'_>) {
    let reason = ledger.stopped.as_ref().map_or(StepReason::FlowFailed, Stop::step_reason).as_str();
    let cancel = ledger.stopped.is_some() || ledger.policy.reaction == OnStepFailure::CancelRunning;
    for index in 0..ledger.steps.len() {
        match ledger.phase(index) {
            StepPhase::Running if cancel => {
                ledger.delete_job(index);
                ledger.end(index, StepPhase::Cancelled, Some(reason), None);
            }
            // An approval would change nothing any more, whatever the policy.
            StepPhase::PendingApproval => ledger.end(index, StepPhase::Cancelled, Some(reason), None),
            StepPhase::Pending if is_waiting(&ledger.steps[index], WaitingReason::Retry) => {
                // There is no other attempt: the last one's failure becomes the step's.
                let waiting = ledger.steps[index].waiting.take();
                let why = ledger.steps[index].reason.take();
                let message = waiting.and_then(|waiting| waiting.message);
                ledger.end(index, StepPhase::Failed, why.as_deref(), message);
            }
            _ => {}
        }
    }
    // In topological order, so that a step sees that the one it depends on was skipped for an upstream failure.
    for index in ledger.dag.topological().unwrap_or_else(|| (0..ledger.steps.len()).collect()) {
        if ledger.phase(index) == StepPhase::Pending {
            match upstream_failure(ledger, index) {
                Some(upstream) => ledger.skip_behind(index, &upstream),
                None => {
                    ledger.end(index, StepPhase::Skipped, Some(StepReason::FlowFailed.as_str()), None);
                }
            }
        }
    }
}

/// Returns the first dependency that failed, was cancelled, or was skipped because of such a one.
fn upstream_failure(ledger: &Ledger<'_>, index: usize) -> Option<String> {
    ledger.dag.dependencies(index).find_map(|dependency| {
        let step = &ledger.steps[dependency];
        let failed = match ledger.phase(dependency) {
            StepPhase::Failed => ledger.is_fatal(dependency),
            StepPhase::Cancelled => true,
            StepPhase::Skipped => step.reason() == Some(StepReason::UpstreamFailed),
            phase => {
                debug_assert!(!phase.is_final() || phase == StepPhase::Succeeded);
                false
            }
        };
        failed.then(|| step.name.clone())
    })
}
