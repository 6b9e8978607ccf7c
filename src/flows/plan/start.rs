//! From admitted to started: a sound spec, a place in line, the objects of the resource templates.

use super::ledger::{WaitingReason, Work};
use super::policy::stamp;
use super::stop::{Stop, cause, place_in_line, wind_down};
use super::{Action, RefusalKind, line, report};
use crate::flows::api::{Audit, InitiatedBy};
use crate::flows::pinned;
use crate::names;

/// Start the flow if it may; whether it has started. If not, the status says why.
pub(super) fn start(work: &mut Work<'_>) -> bool {
    match cause(work) {
        // It may still be mended: nothing has started, so the spec may change.
        Some(Stop::Broken { reason, message }) => {
            report::refused(work, reason, &message);
            return false;
        }
        Some(stop) => {
            work.stopped = Some(stop);
            wind_down(work);
            report::report(work);
            return false;
        }
        None => {}
    }
    if work.is_suspended() {
        report::not_started(work, WaitingReason::Suspended, "suspended");
        return false;
    }
    if let Some(ahead) = line::blocked_by(&work.observed.rivals, place_in_line(work), work.policy.concurrency)
    {
        let key = work.policy.key.unwrap_or_default();
        let what = format!("waits for the flow {:?} of the same concurrencyKey {key:?}", ahead.name);
        report::not_started(work, WaitingReason::Concurrency, &what);
        return false;
    }
    if !has_resources(work) {
        return false;
    }
    work.status.start_time = stamp(work.now);
    work.status.audit = Some(audit(work));
    work.status.spec_hash = Some(pinned::hash(work.flow));
    true
}

/// Whether the objects of the resource templates are there, or there are none.
fn has_resources(work: &mut Work<'_>) -> bool {
    let templates = work.flow.spec.resource_templates.as_ref();
    let wanted = templates.is_some_and(|templates| {
        !templates.volume_claim_templates.is_empty() || !templates.config_map_templates.is_empty()
    });
    if !wanted {
        return true;
    }
    match &work.observed.resources {
        None => {
            work.actions.push(Action::CreateResources);
            false
        }
        Some(Ok(references)) => {
            work.status.resource_refs.clone_from(references);
            true
        }
        Some(Err(refusal)) => {
            let reason = match refusal.kind {
                RefusalKind::NameConflict | RefusalKind::Invalid => {
                    let message = refusal.message.clone();
                    work.stopped = Some(Stop::Broken { reason: "FlowFailed", message });
                    wind_down(work);
                    report::report(work);
                    return false;
                }
                RefusalKind::Quota => WaitingReason::Quota,
                RefusalKind::Transient => WaitingReason::Unavailable,
            };
            report::not_started(work, reason, &refusal.message);
            if let Some(again) = refusal.again {
                work.wake(again);
            }
            false
        }
    }
}

/// Who started it, as admission stamped it, and the thread that joins its logs and events.
fn audit(work: &Work<'_>) -> Audit {
    let annotations = work.flow.metadata.annotations.as_ref();
    let user = annotations.and_then(|annotations| annotations.get(names::INITIATED_BY)).cloned();
    let initiated_by = user.map(|user| {
        let kind = if user.starts_with("system:serviceaccount:") { "ServiceAccount" } else { "User" };
        InitiatedBy { user: Some(user), type_: Some(kind.to_owned()) }
    });
    Audit { initiated_by, correlation_id: work.flow.metadata.uid.clone() }
}
