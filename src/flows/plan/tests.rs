//! The rules of the planner, one by one. Random flows are compared with an independent interpreter in `oracle`.

#![expect(clippy::needless_pass_by_value, reason = "`json!` makes values")]

use serde_json::{Value, json};

use std::sync::Arc;

use super::*;
use crate::flows::api::{JobFlowStatus, ObjectRef};
use crate::flows::observed::fixtures::{at, complete, job, pod};
use crate::flows::observed::{Job, Pod};

/// A flow in a cluster where nothing happens but what a test does.
struct World {
    flow: JobFlow,
    observed: Observed,
    second: i64,
}

impl World {
    fn new(spec: Value) -> Self {
        let object = json!({
            "apiVersion": crate::names::API_VERSION, "kind": "JobFlow",
            "metadata": {"name": "f", "namespace": "n", "uid": "flow-uid", "generation": 1,
                         "creationTimestamp": "2026-11-24T09:59:00Z"},
            "spec": spec,
        });
        Self { flow: serde_json::from_value(object).unwrap(), observed: Observed::default(), second: 0 }
    }

    /// Plans, stores the status, carries out the actions, and returns them as text.
    fn reconcile(&mut self) -> String {
        let plan = plan(&self.flow, &self.observed, at(self.second));
        self.flow.status = Some(plan.status);
        self.observed.jobs.retain(|seen| !plan.prunable.contains(&seen.job.uid));
        let mut done = Vec::new();
        for action in plan.actions {
            match action {
                Action::CreateResources => done.push("+resources".to_owned()),
                Action::CreateJob { step, attempt, name, .. } => {
                    let step = self.flow.spec.steps[step].name.clone();
                    done.push(format!("{step}/{attempt}"));
                    let uid = format!("job-{step}-{attempt}");
                    let job = Job {
                        name: name.into(),
                        uid: uid.into(),
                        step: step.into(),
                        attempt,
                        active: 1,
                        created: at(self.second),
                        ..job()
                    };
                    self.observed.jobs.push(JobSeen::new(Arc::new(job), Vec::new()));
                }
                Action::DeleteJob { uid, .. } => {
                    self.observed.jobs.retain(|seen| *seen.job.uid != *uid);
                    done.push(format!("-{uid}"));
                }
                Action::DeleteFlow => done.push("-flow".to_owned()),
            }
        }
        done.join(" ")
    }

    /// The reason in the Event about a retry.
    fn retry(&self) -> String {
        let plan = plan(&self.flow, &self.observed, at(self.second));
        let [event] = &*plan.events else { panic!("{:?}", plan.events) };
        assert!(event.warning && event.reason == "StepRetry", "{event:?}");
        event.message.split_once("will be tried again: ").unwrap().1.to_owned()
    }

    fn seen(&mut self, step: &str) -> &mut JobSeen {
        self.observed.jobs.iter_mut().rev().find(|seen| *seen.job.step == *step).unwrap()
    }

    fn ends(&mut self, step: &str, exit_code: i64) -> &mut Self {
        let second = self.second;
        let seen = self.seen(step);
        let pod = match exit_code {
            0 => pod("p").succeeded(second, ""),
            code => pod("p").failed(code, "no such table"),
        };
        seen.pods = vec![Arc::new(Pod { job: seen.job.id(), ..pod })];
        self
    }

    fn later(&mut self, seconds: i64) -> &mut Self {
        self.second += seconds;
        self
    }

    fn step(&self, name: &str) -> crate::flows::api::StepStatus {
        let status = self.flow.status.as_ref().unwrap();
        status.steps.iter().find(|step| step.name == name).unwrap().clone()
    }

    /// The phases as text: `Running: a Succeeded, b Running`.
    fn summary(&self) -> String {
        let status = self.flow.status.as_ref().unwrap();
        let steps = status.steps.iter().map(|step| {
            let reason = step.reason.as_ref().map_or_else(String::new, |reason| format!("({reason})"));
            format!("{} {:?}{reason}", step.name, step.phase.unwrap())
        });
        format!("{:?}: {}", status.phase.unwrap(), steps.collect::<Vec<_>>().join(", "))
    }

    fn due(&self) -> Option<i64> {
        let plan = plan(&self.flow, &self.observed, at(self.second));
        plan.due.map(|due| due.duration_since(at(0)).as_secs())
    }

    /// Steps whose Jobs are still needed.
    fn still_needed(&self) -> String {
        let steps = self.observed.jobs.iter().map(|seen| &*seen.job.step);
        steps.collect::<Vec<_>>().join(" ")
    }

    fn message(&self) -> String {
        self.flow.status.as_ref().unwrap().message.clone().unwrap_or_default()
    }

    fn ready(&self) -> String {
        let conditions = &self.flow.status.as_ref().unwrap().conditions;
        conditions.iter().find(|condition| condition.type_ == "Ready").unwrap().reason.clone()
    }
}

fn step(name: &str, after: &[&str], more: Value) -> Value {
    let mut step = json!({"name": name, "dependencies": after, "template": {"spec": {}}});
    step.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    step
}

fn chain() -> World {
    World::new(json!({"steps": [step("a", &[], json!({})), step("b", &["a"], json!({}))]}))
}

#[test]
fn steps_start_when_what_they_wait_for_is_done() {
    let mut world = chain();
    assert_eq!(world.reconcile(), "a/1");
    assert_eq!(world.summary(), "Running: a Running, b Pending");
    assert_eq!(world.later(5).ends("a", 0).reconcile(), "b/1");
    assert_eq!(world.summary(), "Running: a Succeeded, b Running");
    assert_eq!(world.later(5).ends("b", 0).reconcile(), "");
    assert_eq!(world.summary(), "Succeeded: a Succeeded, b Succeeded");
    assert_eq!(world.flow.status.unwrap().duration.as_deref(), Some("10s"));
}

#[test]
fn planning_again_changes_nothing() {
    let mut world = chain();
    for ended in ["", "a"] {
        if !ended.is_empty() {
            world.ends(ended, 0);
        }
        world.reconcile();
        let before = world.flow.status.clone();
        assert_eq!(world.later(1).reconcile(), "");
        assert_eq!(world.flow.status, before);
    }
}

#[test]
fn a_crash_between_status_and_action_is_repaired_under_the_same_name() {
    let mut world = chain();
    let lost = plan(&world.flow, &world.observed, at(0));
    world.flow.status = Some(lost.status);
    let again = plan(&world.flow, &world.observed, at(3));
    assert_eq!(again.actions, lost.actions);
    assert_eq!(Some(again.status), world.flow.status);
    assert!(again.events.is_empty());
}

#[test]
fn a_failure_skips_what_depends_on_it_and_names_itself() {
    let mut world = World::new(json!({"steps": [
        step("a", &[], json!({})), step("b", &["a"], json!({})), step("c", &["b"], json!({})), step("d", &[], json!({})),
    ]}));
    assert_eq!(world.reconcile(), "a/1 d/1");
    world.ends("a", 3).reconcile();
    // d finishes, because nothing says otherwise.
    assert_eq!(
        world.summary(),
        "Running: a Failed(BackoffLimitExceeded), b Skipped(UpstreamFailed), c Skipped(UpstreamFailed), d Running"
    );
    world.ends("d", 0).reconcile();
    assert!(world.summary().starts_with("Failed: "), "{}", world.summary());
    assert_eq!(world.step("a").exit_code, Some(3));
    assert!(world.message().starts_with("step \"a\" failed: BackoffLimitExceeded: "), "{}", world.message());
    assert!(world.message().contains("exited with 3"), "{}", world.message());
}

#[test]
fn the_reaction_to_a_failure_is_the_flows_to_choose() {
    for (reaction, expected) in [
        ("FinishRunning", "a Failed(BackoffLimitExceeded), d Running, e Skipped(FlowFailed)"),
        (
            "CancelRunning",
            "a Failed(BackoffLimitExceeded), d Cancelled(FlowFailed), e Skipped(UpstreamFailed)",
        ),
        ("RunIndependent", "a Failed(BackoffLimitExceeded), d Running, e Pending"),
    ] {
        let mut world = World::new(json!({
            "executionPolicy": {"onStepFailure": reaction},
            "steps": [step("a", &[], json!({})), step("d", &[], json!({})), step("e", &["d"], json!({}))],
        }));
        world.reconcile();
        let done = world.ends("a", 1).reconcile();
        assert!(world.summary().ends_with(expected), "{reaction}: {}", world.summary());
        assert_eq!(done, if reaction == "CancelRunning" { "-job-d-1" } else { "" });
    }
}

#[test]
fn a_tolerated_failure_counts_as_done_and_the_flow_succeeds() {
    let mut world = World::new(json!({"steps": [
        step("a", &[], json!({"continueOnFailure": true})), step("b", &["a"], json!({})),
    ]}));
    world.reconcile();
    assert_eq!(world.ends("a", 1).reconcile(), "b/1");
    world.ends("b", 0).reconcile();
    assert_eq!(world.summary(), "Succeeded: a Failed(BackoffLimitExceeded), b Succeeded");
}

#[test]
fn a_retry_comes_exactly_when_it_is_due() {
    let retry = json!({"retryPolicy": {"limit": 2, "backoff": {"type": "Linear", "duration": "4s"}}});
    let mut world = World::new(json!({"steps": [step("a", &[], retry)]}));
    world.reconcile();
    world.later(1).ends("a", 1).reconcile();
    assert_eq!(
        (world.summary().as_str(), world.due()),
        ("Running: a Pending(BackoffLimitExceeded)", Some(5))
    );
    assert_eq!(world.later(3).reconcile(), "");
    assert_eq!(world.later(1).reconcile(), "a/2");
    assert_eq!(world.step("a").retry_count, Some(1));
    world.ends("a", 1).reconcile();
    assert_eq!(world.due(), Some(13));
    assert_eq!(world.later(8).reconcile(), "a/3");
    world.ends("a", 1).reconcile();
    assert_eq!(world.summary(), "Failed: a Failed(BackoffLimitExceeded)");
}

#[test]
fn one_retry_more_than_the_flow_allows_fails_it() {
    let retry =
        json!({"continueOnFailure": true, "retryPolicy": {"backoff": {"type": "Fixed", "duration": "1s"}}});
    let mut world =
        World::new(json!({"executionPolicy": {"backoffLimit": 1}, "steps": [step("a", &[], retry)]}));
    world.reconcile();
    world.ends("a", 1).reconcile();
    assert_eq!(world.later(1).reconcile(), "a/2");
    world.ends("a", 1).reconcile();
    assert_eq!(world.summary(), "Failed: a Failed(FlowBackoffLimitExceeded)");
    assert_eq!(world.ready(), "BackoffLimitExceeded");
}

#[test]
fn a_step_has_its_time_with_all_its_attempts() {
    let more =
        json!({"timeoutSeconds": 10, "retryPolicy": {"backoff": {"type": "Fixed", "duration": "30s"}}});
    let mut world = World::new(json!({"steps": [step("a", &[], more)]}));
    world.reconcile();
    assert_eq!(world.due(), Some(10));
    world.ends("a", 1).reconcile();
    assert_eq!(world.due(), Some(10), "sooner than its retry");
    world.later(10).reconcile();
    assert_eq!(world.summary(), "Failed: a Failed(StepTimeout)");
}

#[test]
fn a_step_that_succeeds_just_when_its_time_is_over_has_succeeded() {
    let mut world = World::new(json!({"steps": [step("a", &[], json!({"timeoutSeconds": 10}))]}));
    world.reconcile();
    world.later(10).ends("a", 0).reconcile();
    assert_eq!(world.summary(), "Succeeded: a Succeeded");
}

#[test]
fn the_deadline_ends_everything() {
    let mut world = World::new(json!({
        "executionPolicy": {"activeDeadlineSeconds": 60},
        "steps": [step("a", &[], json!({})), step("b", &["a"], json!({})), step("ask", &[], json!({"type": "Manual"}))],
    }));
    world.reconcile();
    assert_eq!(world.due(), Some(10), "the Job's UID is written late");
    assert_eq!(world.later(60).reconcile(), "-job-a-1");
    assert_eq!(
        world.summary(),
        "Failed: a Cancelled(DeadlineExceeded), b Skipped(UpstreamFailed), ask Cancelled(DeadlineExceeded)"
    );
    assert_eq!(world.ready(), "ActiveDeadlineExceeded");
}

#[test]
fn a_finished_flow_is_never_touched_but_by_its_ttl() {
    let mut world = World::new(json!({
        "executionPolicy": {"ttlSecondsAfterFinished": 5, "activeDeadlineSeconds": 3}, "steps": [step("a", &[], json!({}))],
    }));
    world.reconcile();
    world.ends("a", 0).reconcile();
    let done = world.flow.status.clone();
    world.observed.jobs.clear();
    assert_eq!(world.later(4).reconcile(), "");
    assert_eq!(world.due(), Some(5));
    assert_eq!(world.later(1).reconcile(), "-flow");
    assert_eq!(world.flow.status, done);
}

#[test]
fn slots_go_to_steps_in_the_order_of_the_document() {
    let mut world = World::new(json!({
        "executionPolicy": {"parallelism": 2},
        "steps": (["a", "b", "c", "d"].map(|name| step(name, &[], json!({})))),
    }));
    assert_eq!(world.reconcile(), "a/1 b/1");
    assert_eq!(world.step("c").waiting.unwrap().reason, "Parallelism");
    assert_eq!(world.ends("b", 0).reconcile(), "c/1");
    world.ends("a", 0);
    assert_eq!(world.ends("c", 0).reconcile(), "d/1");
}

#[test]
fn nothing_starts_while_a_flow_is_suspended_and_what_runs_goes_on() {
    let mut world = chain();
    world.flow.spec.suspend = Some(true);
    world.reconcile();
    assert_eq!(world.summary(), "Suspended: a Pending, b Pending");
    world.flow.spec.suspend = Some(false);
    assert_eq!(world.reconcile(), "a/1");
    world.flow.spec.suspend = Some(true);
    assert_eq!(world.ends("a", 0).reconcile(), "");
    assert_eq!(world.summary(), "Suspended: a Succeeded, b Pending");
    world.flow.spec.suspend = None;
    assert_eq!(world.reconcile(), "b/1");
}

#[test]
fn a_manual_step_waits_for_its_decision_and_records_who_made_it() {
    let spec = json!({"steps": [step("ask", &[], json!({"type": "Manual", "message": "is it good?"}))]});
    for (decision, expected) in
        [("true", "Succeeded: ask Succeeded"), ("false", "Failed: ask Failed(Rejected)")]
    {
        let mut world = World::new(spec.clone());
        world.reconcile();
        assert_eq!(world.summary(), "Paused: ask PendingApproval");
        assert_eq!(world.message(), "waits for approval of step \"ask\": is it good?");
        let annotations = [
            ("approved.workflow.kube-zen.io/ask", decision),
            ("approved-by.workflow.kube-zen.io/ask", "jane"),
        ];
        world.flow.metadata.annotations =
            Some(annotations.map(|(key, value)| (key.into(), value.into())).into());
        world.reconcile();
        assert_eq!(world.summary(), expected);
        assert_eq!(world.step("ask").approved_by.as_deref(), Some("jane"));
    }
}

#[test]
fn a_job_that_somebody_deletes_is_lost_and_counts_as_an_attempt() {
    let retry = json!({"retryPolicy": {"limit": 1, "backoff": {"type": "Fixed", "duration": "1s"}}});
    let mut world = World::new(json!({"steps": [step("a", &[], retry)]}));
    world.reconcile();
    world.seen("a").gone = Some(Gone::Seen);
    assert_eq!(world.retry(), "its Job was deleted while it ran");
    world.reconcile();
    assert_eq!(world.summary(), "Running: a Pending(JobLost)");
    assert_eq!(world.later(1).reconcile(), "a/2");
    // After a restart the UID in the status tells it.
    world.later(60).reconcile();
    assert_eq!(world.step("a").job_ref.unwrap().uid.as_deref(), Some("job-a-2"));
    world.observed = Observed::default();
    world.reconcile();
    assert_eq!(world.summary(), "Failed: a Failed(JobLost)");
    assert_eq!(world.step("a").message.as_deref(), Some("its Job is gone, and how it ended was not seen"));
}

#[test]
fn a_step_whose_end_nobody_saw_is_not_run_twice_without_a_warning() {
    let retry = json!({"retryPolicy": {"limit": 1, "backoff": {"type": "Fixed", "duration": "1s"}}});
    let mut world = World::new(json!({"steps": [step("a", &[], retry)]}));
    world.reconcile();
    world.seen("a").gone = Some(Gone::Missed);
    assert_eq!(world.retry(), "its Job is gone, and how it ended was not seen, so the step may be run twice");
}

#[test]
fn a_job_that_is_gone_has_ended_as_the_last_of_it_says() {
    for how in [Gone::Seen, Gone::Missed] {
        let by_condition = |world: &mut World| {
            let seen = world.seen("a");
            let conditions = complete().conditions;
            seen.job = Arc::new(Job { deleting: true, conditions, ..(*seen.job).clone() });
        };
        let by_pods = |world: &mut World| _ = world.ends("a", 0);
        for end in [&by_condition as &dyn Fn(&mut World), &by_pods] {
            let mut world = chain();
            world.reconcile();
            end(&mut world);
            let seen = world.seen("a");
            (seen.ended, seen.gone) = (std::mem::take(&mut seen.pods), Some(how));
            assert_eq!(world.later(5).reconcile(), "b/1");
            assert_eq!(world.summary(), "Running: a Succeeded, b Running");
        }
        let mut world = chain();
        world.reconcile();
        world.ends("a", 3).seen("a").gone = Some(how);
        world.later(5).reconcile();
        assert_eq!(world.summary(), "Failed: a Failed(BackoffLimitExceeded), b Skipped(UpstreamFailed)");
        assert!(world.observed.jobs.is_empty(), "it is no longer needed");
    }
}

/// A Job that says it is the one of an attempt, and has ended.
fn look_alike(world: &mut World, name: Option<&str>) -> usize {
    let seen = world.seen("a");
    let stranger = Job {
        name: name.map_or_else(|| seen.job.name.clone(), Into::into),
        uid: "stranger".into(),
        step: "a".into(),
        ..complete()
    };
    world.observed.jobs.push(JobSeen::new(Arc::new(stranger), Vec::new()));
    world.observed.jobs.len() - 1
}

#[test]
fn only_the_job_that_the_status_names_decides() {
    for first in [false, true] {
        let mut world = chain();
        world.reconcile();
        let at = look_alike(&mut world, Some("another"));
        if first {
            world.observed.jobs.swap(0, at);
        }
        assert_eq!(world.reconcile(), "");
        assert_eq!(world.summary(), "Running: a Running, b Pending");
        let ours = world.observed.jobs.iter_mut().find(|seen| &*seen.job.uid == "job-a-1").unwrap();
        ours.pods = vec![Arc::new(Pod { job: ours.job.id(), ..pod("p").failed(7, "") })];
        world.reconcile();
        assert_eq!(world.step("a").exit_code, Some(7));
        assert_eq!(world.summary(), "Failed: a Failed(BackoffLimitExceeded), b Skipped(UpstreamFailed)");
    }
}

#[test]
fn a_job_that_takes_the_name_of_one_that_is_gone_is_another() {
    // Its UID is not in the status yet, and the gap was seen.
    let mut world = chain();
    world.reconcile();
    look_alike(&mut world, None);
    world.observed.jobs[0].gone = Some(Gone::Seen);
    world.reconcile();
    assert_eq!(world.summary(), "Failed: a Failed(JobLost), b Skipped(UpstreamFailed)");
    // Nobody saw the gap, and the status knows the UID.
    let mut world = chain();
    world.reconcile();
    world.later(60).reconcile();
    look_alike(&mut world, None);
    world.observed.jobs.remove(0);
    world.reconcile();
    assert_eq!(world.summary(), "Failed: a Failed(JobLost), b Skipped(UpstreamFailed)");
}

#[test]
fn a_look_alike_is_not_deleted_with_what_is_stopped() {
    let mut world = World::new(json!({"steps": [step("a", &[], json!({"timeoutSeconds": 5}))]}));
    world.reconcile();
    let at = look_alike(&mut world, Some("another"));
    let running = Job { conditions: Vec::new(), ..(*world.observed.jobs[at].job).clone() };
    world.observed.jobs[at].job = Arc::new(running);
    assert_eq!(world.later(6).reconcile(), "-job-a-1");
    assert_eq!(world.later(1).reconcile(), "");
}

#[test]
fn a_job_of_the_right_name_that_was_refused_as_a_strangers_decides_nothing() {
    let mut world = chain();
    world.reconcile();
    look_alike(&mut world, None);
    world.observed.jobs.remove(0);
    let message = "a Job exists".into();
    let refusal = Refusal { kind: RefusalKind::NameConflict, message, at: at(0), again: None };
    world.observed.refused.insert(("a".into(), 1), refusal);
    world.reconcile();
    world.reconcile();
    assert_eq!(world.summary(), "Failed: a Failed(NameConflict), b Skipped(UpstreamFailed)");
    assert_eq!(world.step("a").job_ref.unwrap().uid, None);
}

#[test]
fn a_quota_is_waited_for_and_a_strangers_job_is_not() {
    let refusal = |kind, again| Refusal { kind, message: "exceeded quota: q".into(), at: at(0), again };
    let mut world = chain();
    world.reconcile();
    world.observed.jobs.clear();
    world.observed.refused.insert(("a".into(), 1), refusal(RefusalKind::Quota, Some(at(2))));
    assert_eq!(world.reconcile(), "");
    assert_eq!(world.message(), "step \"a\": Quota: exceeded quota: q");
    assert_eq!(world.due(), Some(2));
    assert_eq!(world.later(2).reconcile(), "a/1");

    let mut world = chain();
    world.reconcile();
    world.observed.jobs.clear();
    world.observed.refused.insert(("a".into(), 1), refusal(RefusalKind::NameConflict, None));
    world.reconcile();
    assert_eq!(world.summary(), "Failed: a Failed(NameConflict), b Skipped(UpstreamFailed)");
}

#[test]
fn a_flow_that_cannot_be_run_says_so_and_waits_to_be_fixed() {
    let mut world = chain();
    world.observed.verdict = Verdict::Broken { reason: "DAGCycle", message: "cycle: a -> b -> a".into() };
    assert_eq!(world.reconcile(), "");
    assert_eq!((world.ready().as_str(), world.message().as_str()), ("DAGCycle", "cycle: a -> b -> a"));
    world.observed.verdict = Verdict::Sound;
    assert_eq!(world.reconcile(), "a/1");
}

impl World {
    /// The message of the condition SpecNoLongerValid, if it is set.
    fn no_longer_valid(&self) -> Option<&str> {
        let conditions = &self.flow.status.as_ref().unwrap().conditions;
        let condition = conditions.iter().find(|condition| condition.type_ == "SpecNoLongerValid")?;
        assert_eq!((condition.status.as_str(), condition.reason.as_str()), ("True", "ValidationFailed"));
        Some(&condition.message)
    }

    /// Changes the spec; the validator gives this verdict on it.
    fn changed(&mut self, change: impl FnOnce(&mut Value), verdict: Verdict) -> &mut Self {
        let mut object = serde_json::to_value(&self.flow).unwrap();
        change(&mut object["spec"]);
        self.flow = serde_json::from_value(object).unwrap();
        self.flow.metadata.generation = self.flow.metadata.generation.map(|generation| generation + 1);
        self.observed.verdict = verdict;
        self
    }
}

fn broken() -> Verdict {
    Verdict::Broken { reason: "ValidationFailed", message: "spec: a new rule".into() }
}

fn free(spec: &mut Value) {
    spec["executionPolicy"] = json!({"ttlSecondsAfterFinished": 7_200});
}

#[test]
fn a_flow_with_an_unchanged_spec_continues_although_it_would_not_be_admitted_any_more() {
    let mut world = chain();
    world.reconcile();
    assert!(world.flow.status.as_ref().unwrap().spec_hash.is_some());
    world.changed(free, broken());
    let plan = plan(&world.flow, &world.observed, at(0));
    let reasons: Vec<&str> = plan.events.iter().map(|event| event.reason).collect();
    assert_eq!(reasons, ["SpecNoLongerValid"]);
    assert_eq!(world.reconcile(), "", "nothing is stopped");
    assert_eq!(world.summary(), "Running: a Running, b Pending");
    assert_eq!(world.no_longer_valid(), Some("spec: a new rule"));
    // The spec of a known generation is not validated again: the condition stays, and causes no second Event.
    world.observed.verdict = Verdict::Sound;
    let before = world.flow.status.clone();
    assert_eq!(world.later(60).reconcile(), "");
    assert_eq!(world.flow.status, before);
    // It is asked when the spec changes, and has nothing to say.
    world.changed(|spec| spec["suspend"] = json!(false), Verdict::Sound).reconcile();
    assert_eq!(world.no_longer_valid(), None);
    assert_eq!(world.ends("a", 0).reconcile(), "b/1");
    world.ends("b", 0).reconcile();
    assert_eq!(world.summary(), "Succeeded: a Succeeded, b Succeeded");
}

#[test]
fn a_flow_whose_spec_was_changed_into_an_invalid_one_is_stopped() {
    let mut world = chain();
    world.reconcile();
    world.changed(|spec| spec["steps"][1]["timeoutSeconds"] = json!(7), broken());
    assert_eq!(world.reconcile(), "-job-a-1");
    assert_eq!(world.summary(), "Failed: a Cancelled(FlowFailed), b Skipped(UpstreamFailed)");
    assert_eq!((world.ready().as_str(), world.no_longer_valid()), ("ValidationFailed", None));
}

#[test]
fn a_flow_that_started_before_hashes_were_kept_is_taken_for_unchanged() {
    let mut world = chain();
    world.reconcile();
    world.flow.status.as_mut().unwrap().spec_hash = None;
    assert_eq!(world.changed(free, broken()).reconcile(), "");
    assert_eq!(world.summary(), "Running: a Running, b Pending");
    assert!(world.no_longer_valid().is_some());
}

#[test]
fn a_source_that_cannot_be_read_keeps_its_step_and_nothing_else_from_going_on() {
    use crate::flows::eval::{Source, Unread};
    let secret = Source::Secret("creds".to_owned());
    let mut reads = step("reads", &["a"], json!({"timeoutSeconds": 60}));
    reads["template"] = json!({"metadata": {"annotations": {"x": "{{ parameters.token }}"}}, "spec": {}});
    let mut world = World::new(json!({
        "executionPolicy": {"activeDeadlineSeconds": 40, "onStepFailure": "RunIndependent"},
        "parameters": [{"name": "token", "default": "d",
            "valueFrom": {"secretKeyRef": {"name": "creds", "key": "token", "optional": true}}}],
        "steps": [step("a", &[], json!({})), reads, step("b", &["a"], json!({})), step("c", &["b"], json!({}))],
    }));
    world.reconcile();
    // An error that may pass: nothing is reported yet, and it is read again soon.
    world.observed.sources.unread.insert(secret.clone(), Unread::Passing);
    assert_eq!(world.later(5).ends("a", 0).reconcile(), "b/1");
    assert_eq!(world.step("reads").waiting.unwrap().reason, "Dependencies");
    assert_eq!(world.due(), Some(6));
    // A right is missing: neither the default nor `optional` stands in for a value that may be there.
    world.observed.sources.unread.insert(secret, Unread::Reported("may not read".to_owned()));
    assert_eq!(world.later(1).ends("b", 0).reconcile(), "c/1");
    let waiting = world.step("reads").waiting.unwrap();
    assert_eq!((waiting.reason.as_str(), waiting.message.as_deref()), ("Reference", Some("may not read")));
    world.later(1).ends("c", 0).reconcile();
    assert_eq!(world.summary(), "Running: a Succeeded, reads Pending, b Succeeded, c Succeeded");
    assert!(world.due().unwrap() <= 40);
    world.later(33).reconcile();
    assert_eq!((world.second, world.ready().as_str()), (40, "ActiveDeadlineExceeded"));
}

#[test]
fn a_newer_flow_that_replaces_stops_the_older_one() {
    let rival = |created| Rival {
        name: "new".into(),
        uid: "z".into(),
        created: at(created),
        started: false,
        over: false,
        queued: true,
        replaces: true,
    };
    let mut world = chain();
    world.reconcile();
    world.observed.rivals = vec![rival(5)];
    assert_eq!(world.reconcile(), "-job-a-1");
    assert_eq!(world.summary(), "Failed: a Cancelled(Replaced), b Skipped(UpstreamFailed)");
    assert_eq!(world.ready(), "Replaced");
}

#[test]
fn a_thousand_steps_fit_into_two_hundred_kilobytes() {
    let steps: Vec<Value> = (0..1_000).map(|i| step(&format!("step-{i:04}"), &[], json!({}))).collect();
    let mut world = World::new(json!({"steps": steps}));
    world.reconcile();
    for i in 0..1_000 {
        world.ends(&format!("step-{i:04}"), 0);
    }
    world.reconcile();
    assert!(world.summary().starts_with("Succeeded"));
    let size = serde_json::to_vec(&world.flow.status).unwrap().len();
    assert!(size < 200_000, "{size}");
}

#[test]
fn a_job_that_has_ended_waits_a_little_for_the_pods_that_say_what_came_of_it() {
    let outputs =
        json!({"outputs": {"parameters": [{"name": "rows", "valueFrom": {"jsonPath": "$.output.rows"}}]}});
    let ended = |at: i64| {
        let mut world = World::new(json!({"steps": [step("a", &[], outputs.clone())]}));
        world.reconcile();
        // The watch of Jobs is ahead of that of pods.
        let seen = world.seen("a");
        let conditions = complete().conditions;
        seen.job = Arc::new(Job { succeeded: 1, active: 0, conditions, ..(*seen.job).clone() });
        world.later(at).reconcile();
        world
    };
    let mut world = ended(12);
    assert_eq!((world.summary().as_str(), world.due()), ("Running: a Running", Some(15)));
    let seen = world.seen("a");
    seen.pods = vec![Arc::new(Pod { job: seen.job.id(), ..pod("p").succeeded(9, r#"{"rows": 4}"#) })];
    world.reconcile();
    assert_eq!(world.summary(), "Succeeded: a Succeeded");
    assert_eq!(world.step("a").outputs.unwrap().parameters[0].value, "4");

    // Somebody deleted them, or they would be here by now.
    assert_eq!(ended(15).summary(), "Failed: a Failed(OutputMissing)");
}

#[test]
fn a_job_that_gets_no_pods_is_asked_about_although_no_watch_event_comes() {
    let mut world = World::new(json!({"steps": [step("a", &[], json!({"timeoutSeconds": 60}))]}));
    let first = plan(&world.flow, &world.observed, at(0));
    assert_eq!(first.due, Some(at(5)), "sooner than its timeout");
    world.reconcile();
    let seen = world.seen("a");
    seen.job = Arc::new(Job { active: 0, ..(*seen.job).clone() });
    let needs = plan(&world.flow, &world.observed, at(5)).needs;
    assert_eq!(needs.complaints.into_iter().collect::<Vec<_>>(), ["job-a-1"]);
}

#[test]
fn a_job_is_needed_until_its_step_is_over_and_its_result_has_been_read() {
    let read =
        json!({"inputs": {"parameters": [{"name": "p", "valueFrom": {"jsonPath": "a: $.pods[0].phase"}}]}});
    let mut world = World::new(json!({"steps": [
        step("a", &[], json!({})), step("b", &["a"], json!({})), step("c", &["b"], read), step("d", &[], json!({}))
    ]}));
    world.reconcile();
    assert_eq!(world.still_needed(), "a d");
    world.ends("a", 0).ends("d", 0).reconcile();
    assert_eq!(world.still_needed(), "a b", "c has still to read what came of a");
    world.ends("b", 0).reconcile();
    assert_eq!(world.summary(), "Running: a Succeeded, b Succeeded, c Running, d Succeeded");
    assert_eq!(world.still_needed(), "a c", "c may have to be made again");
    world.ends("c", 0).reconcile();
    assert_eq!(world.still_needed(), "");
}

#[test]
fn a_job_whose_step_was_stopped_is_needed_until_it_is_gone() {
    let mut world = World::new(json!({"steps": [step("a", &[], json!({"timeoutSeconds": 5}))]}));
    world.reconcile();
    // The controller crashed before it deleted the Job.
    let plan = plan(&world.flow, &world.observed, at(5));
    assert_eq!((plan.actions.len(), plan.prunable.len()), (1, 0));
    world.flow.status = Some(plan.status);
    assert_eq!(world.later(6).reconcile(), "-job-a-1");
}

#[test]
fn a_status_change_without_actions_may_be_written_a_little_later() {
    let mut world = World::new(json!({"steps": [
        step("a", &[], json!({})), step("b", &[], json!({})), step("c", &["a", "b"], json!({}))
    ]}));
    let may_wait = |world: &World| plan(&world.flow, &world.observed, at(world.second)).may_wait;
    assert!(!may_wait(&world), "it starts");
    world.reconcile();
    assert!(!may_wait(&world), "nothing has changed");
    world.ends("a", 0);
    assert!(may_wait(&world), "c waits for b as well");
    world.ends("b", 0);
    assert!(!may_wait(&world), "c can start");
    world.reconcile();
    world.ends("c", 0);
    assert!(!may_wait(&world), "the flow is over");
}

#[test]
fn a_status_of_another_version_is_left_alone() {
    let mut world =
        World::new(json!({"steps": [{"name": "a", "template": {}}, {"name": "b", "template": {}}]}));
    world.reconcile();
    for status in [
        json!({"phase": "Hibernating"}),
        json!({"phase": "Running", "steps": [{"name": "a", "phase": "Hibernating"}, {"name": "b"}]}),
    ] {
        world.flow.status = Some(serde_json::from_value(status).unwrap());
        let before = world.flow.status.clone();
        assert_eq!((world.reconcile().as_str(), &world.flow.status), ("", &before));
    }
}

#[test]
fn resources_are_created_before_a_flow_starts_and_its_status_waits_for_them() {
    let templates = json!({"configMapTemplates": [{"metadata": {"name": "settings"}}]});
    let mut world = World::new(json!({"resourceTemplates": templates, "steps": [step("a", &[], json!({}))]}));
    let first = plan(&world.flow, &world.observed, at(0));
    assert_eq!(first.actions, [Action::CreateResources]);
    assert_eq!((first.status, first.events.len(), first.due), (JobFlowStatus::default(), 0, None));
    // A refusal is reported, and tried again when the controller asks the next time.
    let refusal = Refusal {
        kind: RefusalKind::Quota,
        message: "exceeded quota".to_owned(),
        at: at(0),
        again: Some(at(1)),
    };
    world.observed.resources = Some(Err(refusal));
    assert_eq!(world.due(), Some(1));
    assert_eq!(world.reconcile(), "");
    assert_eq!(world.summary(), "Pending: a Pending");
    world.observed.resources = None;
    let before = world.flow.status.clone();
    assert_eq!(world.reconcile(), "+resources");
    assert_eq!(world.flow.status, before);
    let reference = ObjectRef { name: "f-settings".to_owned(), ..ObjectRef::default() };
    world.observed.resources = Some(Ok(vec![reference.clone()]));
    assert_eq!(world.reconcile(), "a/1");
    assert_eq!(world.flow.status.as_ref().unwrap().resource_refs, [reference]);
}
