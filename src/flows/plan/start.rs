//! The start of a flow: a valid spec, its turn in the queue of its `concurrencyKey`, the objects of its resource
//! templates.

use super::ledger::Ledger;
use super::model::{Action, RefusalKind};
use super::policy::stamp;
use super::reason::Stop;
use super::stop::{cause, position, wind_down};
use super::{concurrency, report};
use crate::flows::api::{Audit, FlowReason, InitiatedBy, WaitingReason};
use crate::flows::pinned;
use crate::names;

/// Starts the flow if it may start, and tells whether it did. If not, the status says why.
pub(super) fn start(ledger: &mut Ledger<'_>) -> bool {
    match cause(ledger) {
        // The user can still fix it: nothing has started, so the spec may change.
        Some(Stop::Broken { reason, message }) => {
            report::invalid(ledger, reason, &message);
            return false;
        }
        Some(stop) => {
            ledger.stopped = Some(stop);
            wind_down(ledger);
            report::report(ledger);
            return false;
        }
        None => {}
    }
    if ledger.is_suspended() {
        report::not_started(ledger, WaitingReason::Suspended, "suspended");
        return false;
    }
    if let Some(ahead) =
        concurrency::blocked_by(&ledger.observed.rivals, position(ledger), ledger.policy.concurrency)
    {
        let key = ledger.policy.key.unwrap_or_default();
        let what = format!("waits for the flow {:?} of the same concurrencyKey {key:?}", ahead.name);
        report::not_started(ledger, WaitingReason::Concurrency, &what);
        return false;
    }
    if !has_resources(ledger) {
        return false;
    }
    ledger.status.start_time = stamp(ledger.now);
    ledger.status.audit = Some(audit(ledger));
    ledger.status.spec_hash = Some(pinned::hash(ledger.flow));
    true
}

/// Tells whether the objects of the resource templates exist, or there are no templates.
fn has_resources(ledger: &mut Ledger<'_>) -> bool {
    let templates = ledger.flow.spec.resource_templates.as_ref();
    let wanted = templates.is_some_and(|templates| {
        !templates.volume_claim_templates.is_empty() || !templates.config_map_templates.is_empty()
    });
    if !wanted {
        return true;
    }
    match &ledger.observed.resources {
        None => {
            ledger.actions.push(Action::CreateResources);
            false
        }
        Some(Ok(references)) => {
            ledger.status.resource_refs.clone_from(references);
            true
        }
        Some(Err(refusal)) => {
            let reason = match refusal.kind {
                RefusalKind::NameConflict | RefusalKind::Invalid => {
                    let message = refusal.message.clone();
                    ledger.stopped = Some(Stop::Broken { reason: FlowReason::FlowFailed.as_str(), message });
                    wind_down(ledger);
                    report::report(ledger);
                    return false;
                }
                RefusalKind::Quota => WaitingReason::Quota,
                RefusalKind::Transient => WaitingReason::Unavailable,
            };
            report::not_started(ledger, reason, &refusal.message);
            if let Some(again) = refusal.again {
                ledger.requeue_at(again);
            }
            false
        }
    }
}

/// The user who created the flow, as admission recorded it, and the ID that its logs and Events share.
fn audit(ledger: &Ledger<'_>) -> Audit {
    let annotations = ledger.flow.metadata.annotations.as_ref();
    let user = annotations.and_then(|annotations| annotations.get(names::INITIATED_BY)).cloned();
    let initiated_by = user.map(|user| {
        let kind = if user.starts_with("system:serviceaccount:") { "ServiceAccount" } else { "User" };
        InitiatedBy { user: Some(user), type_: Some(kind.to_owned()) }
    });
    Audit { initiated_by, correlation_id: ledger.flow.metadata.uid.clone() }
}
