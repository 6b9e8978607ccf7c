//! Planners that are broken on purpose: the oracle has to detect each of them.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use super::drive::{Planner, Trouble};
use crate::flows::api::{FlowPhase, JobFlow, StepPhase};
use crate::flows::observed::Job;
use crate::flows::plan::{Action, Observed, Plan, plan};

/// Tells whether some case reveals that a planner is broken.
fn is_caught(planner: Planner, trouble: Trouble) -> bool {
    (0..300).any(|seed| {
        let case = super::random_case(seed, trouble);
        super::check(&case, planner, seed, trouble).is_err()
    })
}

#[test]
fn a_planner_that_does_not_repeat_what_a_crash_left_undone_is_caught() {
    fn forgets(flow: &JobFlow, observed: &Observed, now: Timestamp) -> Plan {
        let mut plan = plan(flow, observed, now);
        if flow.status.as_ref() == Some(&plan.status) {
            plan.actions.retain(|action| !matches!(action, Action::CreateJob { .. }));
        }
        plan
    }
    assert!(is_caught(forgets, Trouble::Much));
}

#[test]
fn a_planner_that_wakes_late_is_caught() {
    fn sleeps(flow: &JobFlow, observed: &Observed, now: Timestamp) -> Plan {
        let mut plan = plan(flow, observed, now);
        plan.due = plan.due.map(|due| due + SignedDuration::from_millis(1));
        plan
    }
    assert!(is_caught(sleeps, Trouble::None));
}

#[test]
fn a_planner_that_lets_cancelled_jobs_run_is_caught() {
    fn spares(flow: &JobFlow, observed: &Observed, now: Timestamp) -> Plan {
        let mut plan = plan(flow, observed, now);
        plan.actions.retain(|action| !matches!(action, Action::DeleteJob { .. }));
        plan
    }
    assert!(is_caught(spares, Trouble::None));
}

#[test]
fn a_planner_that_ignores_a_rule_is_caught() {
    fn without(flow: &JobFlow, change: impl Fn(&mut JobFlow)) -> JobFlow {
        let mut flow = flow.clone();
        change(&mut flow);
        flow
    }
    fn parallelism(flow: &JobFlow, observed: &Observed, now: Timestamp) -> Plan {
        plan(&without(flow, |flow| policy(flow).parallelism = None), observed, now)
    }
    fn backoff_limit(flow: &JobFlow, observed: &Observed, now: Timestamp) -> Plan {
        plan(&without(flow, |flow| policy(flow).backoff_limit = Some(99)), observed, now)
    }
    fn deadline(flow: &JobFlow, observed: &Observed, now: Timestamp) -> Plan {
        plan(&without(flow, |flow| policy(flow).active_deadline_seconds = None), observed, now)
    }
    fn suspend(flow: &JobFlow, observed: &Observed, now: Timestamp) -> Plan {
        plan(&without(flow, |flow| flow.spec.suspend = None), observed, now)
    }
    fn timeouts(flow: &JobFlow, observed: &Observed, now: Timestamp) -> Plan {
        let forget = |flow: &mut JobFlow| {
            flow.spec.steps.iter_mut().for_each(|step| step.timeout_seconds = None);
        };
        plan(&without(flow, forget), observed, now)
    }
    fn policy(flow: &mut JobFlow) -> &mut crate::flows::api::ExecutionPolicy {
        flow.spec.execution_policy.get_or_insert_default()
    }
    for (name, planner) in [
        ("parallelism", parallelism as Planner),
        ("backoffLimit", backoff_limit),
        ("activeDeadlineSeconds", deadline),
        ("suspend", suspend),
        ("timeoutSeconds", timeouts),
    ] {
        assert!(is_caught(planner, Trouble::None), "{name}");
    }
}

#[test]
fn a_planner_that_changes_what_is_final_is_caught() {
    fn rewrites(flow: &JobFlow, observed: &Observed, now: Timestamp) -> Plan {
        let mut plan = plan(flow, observed, now);
        if plan.status.phase == Some(FlowPhase::Running) {
            let done = |step: &&mut crate::flows::api::StepStatus| step.phase == Some(StepPhase::Succeeded);
            plan.status.steps.iter_mut().filter(done).for_each(|step| step.message = Some(now.to_string()));
        }
        plan
    }
    assert!(is_caught(rewrites, Trouble::None));
}

#[test]
fn a_planner_that_believes_what_a_job_says_of_itself_is_caught() {
    fn believes(flow: &JobFlow, observed: &Observed, now: Timestamp) -> Plan {
        let mut observed = observed.clone();
        let steps = flow.status.iter().flat_map(|status| &status.steps);
        let references: Vec<_> =
            steps.filter_map(|step| Some((&step.name, step.job_ref.as_ref()?))).collect();
        for seen in &mut observed.jobs {
            let named = references.iter().find(|(step, _)| **step == *seen.job.step);
            if let Some((_, reference)) = named {
                let uid = reference.uid.as_deref().map_or_else(|| seen.job.uid.clone(), Into::into);
                let job = Job { name: reference.name.as_str().into(), uid, ..(*seen.job).clone() };
                seen.job = Arc::new(job);
            }
        }
        plan(flow, &observed, now)
    }
    assert!(is_caught(believes, Trouble::None));
}

#[test]
fn a_planner_that_takes_what_is_gone_for_what_never_ended_is_caught() {
    fn forgets(flow: &JobFlow, observed: &Observed, now: Timestamp) -> Plan {
        let mut observed = observed.clone();
        for seen in observed.jobs.iter_mut().filter(|seen| seen.gone.is_some()) {
            seen.job = Arc::new(Job { conditions: Vec::new(), ..(*seen.job).clone() });
            (seen.pods, seen.ended) = (Vec::new(), Vec::new());
        }
        plan(flow, &observed, now)
    }
    assert!(is_caught(forgets, Trouble::Much));
}
