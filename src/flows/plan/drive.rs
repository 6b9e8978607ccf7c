//! The stages of a plan, in their order.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;

use super::ledger::Work;
use super::model::{Action, Observed, Plan};
use super::policy::{LARGE, after, microseconds};
use super::reason::{Stop, is_final};
use super::{advance, estimate, events, finished, prune, report, settle, start, stop};
use crate::flows::api::{JobFlow, JobFlowStatus, OnStepFailure, StepPhase};

/// How long a Job's UID may be missing in the status.
const LATE: SignedDuration = SignedDuration::from_mins(1);
/// How long after its creation a Job is looked at again: the shell knows by then whether a watch has shown it.
const SETTLED: SignedDuration = SignedDuration::from_secs(10);

/// Plans for `flow` as the cluster is at `now`.
pub(super) fn plan(flow: &JobFlow, observed: &Observed, now: Timestamp) -> Plan {
    let now = microseconds(now);
    if flow.metadata.deletion_timestamp.is_some() {
        // Its Jobs go with it, by their ownerReferences; nothing is created for what goes.
        return Plan { status: flow.status.clone().unwrap_or_default(), ..Plan::default() };
    }
    if flow.status.as_ref().is_some_and(JobFlowStatus::has_unknown_phase) {
        // Another version wrote it and knows what to do; whatever we did might undo that.
        return Plan { status: flow.status.clone().unwrap_or_default(), ..Plan::default() };
    }
    if finished::is_over(flow) {
        return finished::plan(flow, observed, now);
    }
    let mut work = Work::new(flow, observed, now);
    if work.has_started() || start::start(&mut work) {
        run(&mut work);
    }
    into_plan(work)
}

/// Take a started flow as far as it goes now.
fn run(work: &mut Work<'_>) {
    work.stopped = stop::cause(work);
    settle::settle(work);
    decide_deadline(work);
    loop {
        let failing = work.is_failing() && work.policy.reaction != OnStepFailure::RunIndependent;
        if work.stopped.is_some() || failing {
            stop::wind_down(work);
            break;
        }
        // Something that fails while it starts may end the flow.
        if !advance::advance(work) {
            break;
        }
    }
    finished::delete_leftovers(work);
    report::report(work);
}

/// The deadline strikes after outcomes that are visible have been taken: what is done is done.
fn decide_deadline(work: &mut Work<'_>) {
    let Some(strikes) = work.deadline() else { return };
    if work.stopped.is_some() || (0..work.steps.len()).all(|place| is_final(work.phase(place))) {
        return;
    }
    if strikes <= work.now {
        work.stopped = Some(Stop::Deadline);
    } else {
        work.wake(strikes);
    }
}

/// The plan.
fn into_plan(mut work: Work<'_>) -> Plan {
    // A step that was stopped after its Job was asked for.
    let steps = &work.steps;
    work.actions.retain(|action| match action {
        Action::CreateJob { step, .. } => steps[*step].phase == Some(StepPhase::Running),
        _ => true,
    });
    if let Some(end) = &work.status.completion_time {
        work.due = Some(after(end.0, work.policy.ttl));
    }
    let changed = work.is_changed();
    write_late(&mut work, changed);
    if changed {
        // It moves with the clock, so it is no reason to write.
        let runs = work.status.start_time.is_some() && work.status.completion_time.is_none();
        let end = estimate::end(&work.dag, &work.steps, &work.observed.took, work.now);
        work.status.estimated_completion_time = end.filter(|_| runs).map(MicroTime);
    }
    work.status.steps = std::mem::take(&mut work.steps);
    let events = events::between(work.flow, &work.before, &work.status);
    let spent = prune::prunable(work.flow, &work.status, &work.observed.jobs);
    let may_wait = changed && work.actions.is_empty() && work.status.phase == work.before.phase;
    let Work { status, actions, due, needs, .. } = work;
    Plan { status, may_wait, actions, due, needs, events, spent }
}

/// UIDs of Jobs are written along with what has to be written, or when they have waited long enough.
fn write_late(work: &mut Work<'_>, changed: bool) {
    let large = work.steps.len() > LARGE;
    for place in 0..work.steps.len() {
        let Some(seen) = work.job(place) else { continue };
        let is_final = is_final(work.phase(place));
        let Some(reference) = &mut work.steps[place].job_ref else { continue };
        if reference.uid.is_some() || large && is_final {
            continue;
        }
        let [settled, overdue] = [SETTLED, LATE].map(|span| after(seen.job.created, span));
        if changed || overdue <= work.now {
            reference.uid = Some(seen.job.uid.to_string());
        } else {
            work.wake(if settled > work.now { settled } else { overdue });
        }
    }
}
