//! Flows that are over: their status no longer changes, and they are deleted at the end of their TTL.

use jiff::Timestamp;

use super::ledger::{Ledger, refers};
use super::model::{Action, JobSeen, Observed, Plan};
use super::policy::{Policy, after};
use super::prune;
use super::reason::was_stopped;
use crate::flows::api::{FlowPhase, JobFlow, StepStatus};

/// Tells whether a flow has ended.
pub(super) fn is_over(flow: &JobFlow) -> bool {
    let phase = flow.status.as_ref().and_then(|status| status.phase);
    phase.is_some_and(FlowPhase::is_over)
}

/// Plans the rest for a flow that is over: the deletion of Jobs that were stopped, and of the flow itself.
pub(super) fn plan(flow: &JobFlow, observed: &Observed, now: Timestamp) -> Plan {
    let status = flow.status.clone().unwrap_or_default();
    let mut plan = Plan { actions: Vec::new(), ..Plan::default() };
    // A Job whose step was stopped may still run: the controller crashed before it deleted the Job, or failed to.
    let leftovers = observed.jobs.iter().filter(|seen| {
        let step = status.steps.iter().find(|step| refers(step, &seen.job));
        step.is_some_and(|step| is_leftover(step, seen))
    });
    plan.actions.extend(leftovers.map(delete));
    if let Some(end) = status.completion_time.as_ref() {
        let expires = after(end.0, Policy::of(&flow.spec).ttl);
        if expires <= now {
            plan.actions.push(Action::DeleteFlow);
        } else {
            plan.due = Some(expires);
        }
    }
    plan.prunable = prune::prunable(flow, &status, &observed.jobs);
    plan.status = status;
    plan
}

/// Deletes again, in a flow that continues, the Jobs of stopped steps that still exist.
pub(super) fn delete_leftovers(ledger: &mut Ledger<'_>) {
    for index in 0..ledger.steps.len() {
        let Some(seen) = ledger.job(index).filter(|seen| is_leftover(&ledger.steps[index], seen)) else {
            continue;
        };
        let action = delete(seen);
        if !ledger.actions.contains(&action) {
            ledger.actions.push(action);
        }
    }
}

fn delete(seen: &JobSeen) -> Action {
    Action::DeleteJob { name: seen.job.name.to_string(), uid: seen.job.uid.to_string() }
}

/// Tells whether a Job may still run although its step was stopped. The Job of a step that succeeded or failed is kept,
/// even if its controller has not finished with it.
fn is_leftover(step: &StepStatus, seen: &JobSeen) -> bool {
    was_stopped(step)
        && !seen.job.deleting
        && seen.gone.is_none()
        && !seen.job.conditions.iter().any(|condition| condition.kind.is_final())
        && seen.outcome(false).is_none()
}
