//! The stages of a plan, in their order: start, settle, stop or advance, report.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;

use super::ledger::Ledger;
use super::model::{Action, Observed, Plan};
use super::policy::{LARGE, after, microseconds};
use super::reason::Stop;
use super::{advance, estimate, events, finished, prune, report, settle, start, stop};
use crate::flows::api::{JobFlow, JobFlowStatus, OnStepFailure, StepPhase};

/// The longest time that a Job's UID may be missing from the status.
const LATE: SignedDuration = SignedDuration::from_mins(1);
/// The time from a Job's creation to the next plan: the controller knows by then whether a watch has shown it.
const SETTLED: SignedDuration = SignedDuration::from_secs(10);

/// Plans the next step for `flow`, given the cluster state at `now`.
pub(super) fn plan(flow: &JobFlow, observed: &Observed, now: Timestamp) -> Plan {
    let now = microseconds(now);
    if flow.metadata.deletion_timestamp.is_some() {
        // Its Jobs are deleted with it, through their ownerReferences, and it creates no new ones.
        return unchanged(flow);
    }
    if flow.status.as_ref().is_some_and(JobFlowStatus::has_unknown_phase) {
        // Another version wrote it and knows what to do; whatever we did might undo that.
        return unchanged(flow);
    }
    if finished::is_over(flow) {
        return finished::plan(flow, observed, now);
    }
    let mut ledger = Ledger::new(flow, observed, now);
    if ledger.has_started() || start::start(&mut ledger) {
        run(&mut ledger);
    } else if ledger.actions == [Action::CreateResources] {
        // The status follows from the outcome, so it stays as it is until then.
        return Plan { actions: ledger.actions, ..unchanged(flow) };
    }
    into_plan(ledger)
}

/// Returns a plan that leaves the status as it is and does nothing.
fn unchanged(flow: &JobFlow) -> Plan {
    Plan { status: flow.status.clone().unwrap_or_default(), ..Plan::default() }
}

/// Takes a started flow as far as it can go now.
fn run(ledger: &mut Ledger<'_>) {
    ledger.stopped = stop::cause(ledger);
    settle::settle(ledger);
    apply_deadline(ledger);
    loop {
        let failing = ledger.is_failing() && ledger.policy.reaction != OnStepFailure::RunIndependent;
        if ledger.stopped.is_some() || failing {
            stop::wind_down(ledger);
            break;
        }
        // A step that fails while it starts may fail the flow, so go round again.
        if !advance::advance(ledger) {
            break;
        }
    }
    finished::delete_leftovers(ledger);
    report::report(ledger);
}

/// Stops the flow if its deadline has passed. Outcomes that are visible were taken before: a step that has ended is
/// not cancelled.
fn apply_deadline(ledger: &mut Ledger<'_>) {
    let Some(deadline) = ledger.deadline() else { return };
    if ledger.stopped.is_some() || ledger.all_final() {
        return;
    }
    if deadline <= ledger.now {
        ledger.stopped = Some(Stop::Deadline);
    } else {
        ledger.requeue_at(deadline);
    }
}

/// Turns the ledger into a plan.
fn into_plan(mut ledger: Ledger<'_>) -> Plan {
    // A step may have been stopped after its Job was planned: such a Job must not be created.
    let steps = &ledger.steps;
    ledger.actions.retain(|action| match action {
        Action::CreateJob { step, .. } => steps[*step].phase == Some(StepPhase::Running),
        _ => true,
    });
    if let Some(end) = &ledger.status.completion_time {
        ledger.due = Some(after(end.0, ledger.policy.ttl));
    }
    let changed = ledger.is_changed();
    record_uids(&mut ledger, changed);
    if changed {
        // The estimate moves with the clock, so it is updated along with a write, but is no reason for one.
        let runs = ledger.status.start_time.is_some() && ledger.status.completion_time.is_none();
        let end = estimate::end(&ledger.dag, &ledger.steps, &ledger.observed.durations, ledger.now);
        ledger.status.estimated_completion_time = end.filter(|_| runs).map(MicroTime);
    }
    ledger.status.steps = std::mem::take(&mut ledger.steps);
    let events = events::between(ledger.flow, &ledger.before, &ledger.status);
    let prunable = prune::prunable(ledger.flow, &ledger.status, &ledger.observed.jobs);
    let may_wait = changed && ledger.actions.is_empty() && ledger.status.phase == ledger.before.phase;
    let Ledger { status, actions, due, needs, .. } = ledger;
    Plan { status, may_wait, actions, due, needs, events, prunable }
}

/// Records the UIDs of Jobs along with a write that happens anyway (`changed`), or once they are overdue.
fn record_uids(ledger: &mut Ledger<'_>, changed: bool) {
    let large = ledger.steps.len() > LARGE;
    for index in 0..ledger.steps.len() {
        let Some(seen) = ledger.job(index) else { continue };
        let is_final = ledger.phase(index).is_final();
        let Some(reference) = &mut ledger.steps[index].job_ref else { continue };
        // The status of a large flow does without the UIDs of steps that have ended.
        if reference.uid.is_some() || large && is_final {
            continue;
        }
        let [settled, overdue] = [SETTLED, LATE].map(|span| after(seen.job.created, span));
        if changed || overdue <= ledger.now {
            reference.uid = Some(seen.job.uid.to_string());
        } else {
            ledger.requeue_at(if settled > ledger.now { settled } else { overdue });
        }
    }
}
