//! A flow that is over: nothing of it changes any more, and at the end of its time it is deleted.

use jiff::Timestamp;

use super::ledger::{Work, refers};
use super::model::{Action, JobSeen, Observed, Plan};
use super::policy::{Policy, after};
use super::prune;
use super::reason::was_stopped;
use crate::flows::api::{FlowPhase, JobFlow, StepStatus};

/// Whether a flow has come to its end.
pub(super) fn is_over(flow: &JobFlow) -> bool {
    let phase = flow.status.as_ref().and_then(|status| status.phase);
    matches!(phase, Some(FlowPhase::Succeeded | FlowPhase::Failed))
}

/// What is left to do for a flow that is over.
pub(super) fn plan(flow: &JobFlow, observed: &Observed, now: Timestamp) -> Plan {
    let status = flow.status.clone().unwrap_or_default();
    let mut plan = Plan { actions: Vec::new(), ..Plan::default() };
    // What was stopped and still runs: a crash came between the status and the deed, or the deletion failed.
    let leftovers = observed.jobs.iter().filter(|seen| {
        let step = status.steps.iter().find(|step| refers(step, &seen.job));
        step.is_some_and(|step| is_leftover(step, seen))
    });
    plan.actions.extend(leftovers.map(delete));
    if let Some(end) = status.completion_time.as_ref() {
        let time = after(end.0, Policy::of(&flow.spec).ttl);
        if time <= now {
            plan.actions.push(Action::DeleteFlow);
        } else {
            plan.due = Some(time);
        }
    }
    plan.spent = prune::prunable(flow, &status, &observed.jobs);
    plan.status = status;
    plan
}

/// In a flow that goes on, delete again what was stopped and is still there.
pub(super) fn delete_leftovers(work: &mut Work<'_>) {
    for place in 0..work.steps.len() {
        let Some(seen) = work.job(place).filter(|seen| is_leftover(&work.steps[place], seen)) else {
            continue;
        };
        let action = delete(seen);
        if !work.actions.contains(&action) {
            work.actions.push(action);
        }
    }
}

fn delete(seen: &JobSeen) -> Action {
    Action::DeleteJob { name: seen.job.name.to_string(), uid: seen.job.uid.to_string() }
}

/// Whether a Job may still run something that its step was stopped from. The Job of a step that succeeded or failed
/// stays, however far its controller is with it.
fn is_leftover(step: &StepStatus, seen: &JobSeen) -> bool {
    was_stopped(step)
        && !seen.job.deleting
        && seen.gone.is_none()
        && !seen.job.conditions.iter().any(|condition| condition.kind.is_final())
        && seen.outcome(false).is_none()
}
