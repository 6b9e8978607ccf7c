//! What fails, and what comes of it: for the step, for those that depend on it, for the flow.

use std::time::Duration;

use headworks::flows::job_name::job_name;
use serde_json::json;

use super::lag;
use super::space::{Run, Space, space};
use super::status::{Seen, near, seconds, time};
use super::write::{flow, job, pass};

#[test]
fn a_failed_step_fails_the_flow_and_skips_what_depends_on_it() {
    let Some(space) = space("failed") else { return };
    let run = space.run(
        flow("failed")
            .step(pass("a"))
            .step(job("b", "echo no space left > /dev/termination-log; exit 3").after(&["a"]))
            .step(pass("c").after(&["b"]))
            .step(pass("d").after(&["c", "a"])),
    );
    let end = run.ends_as(
        "Failed",
        &[
            "a Succeeded",
            "b Failed BackoffLimitExceeded exit 3",
            "c Skipped UpstreamFailed",
            "d Skipped UpstreamFailed",
        ],
    );
    let pod = run.pods(Some("b")).remove(0);
    let pod = pod["metadata"]["name"].as_str().unwrap();
    let why = format!("container \"main\" of pod \"{pod}\" exited with 3: no space left");
    assert_eq!(end.step_message("b"), why);
    assert_eq!(end.step_message("c"), "step \"b\" did not succeed");
    assert_eq!(end.step_message("d"), "step \"c\" did not succeed");
    assert_eq!(end.message(), format!("step \"b\" failed: BackoffLimitExceeded: {why}"));
    assert_eq!(end.condition("Ready").unwrap(), "False FlowFailed");
    assert_eq!(run.jobs(None).len(), 2);
}

#[test]
fn continue_on_failure_lets_dependants_run_and_the_flow_succeed() {
    let Some(space) = space("continue") else { return };
    let run = space.run(
        flow("continue")
            .step(job("shaky", "exit 4").continue_on_failure())
            .step(pass("next").after(&["shaky"]))
            .step(job("leaf", "exit 5").after(&["next"]).continue_on_failure()),
    );
    let end = run.ends_as(
        "Succeeded",
        &[
            "shaky Failed BackoffLimitExceeded exit 4",
            "next Succeeded",
            "leaf Failed BackoffLimitExceeded exit 5",
        ],
    );
    assert_eq!(end.flow["status"]["progress"]["failedSteps"], 2);
    assert_eq!(end.message(), "");
}

/// One step that fails while another runs, what follows each, and what stands alone and has no slot yet.
fn failing_beside_others<'s>(space: &'s Space, mode: &str) -> Run<'s> {
    space.run(
        flow("beside")
            .policy(json!({"onStepFailure": mode, "parallelism": 2}))
            .step(job("bad", "exit 6"))
            .step(job("slow", "sleep 20"))
            .step(pass("after-bad").after(&["bad"]))
            .step(pass("after-slow").after(&["slow"]))
            .step(pass("after-both").after(&["slow", "bad"])),
    )
}

#[test]
fn finish_running_starts_nothing_new_and_lets_end_what_runs() {
    let Some(space) = space("finish") else { return };
    let run = failing_beside_others(&space, "FinishRunning");
    let failing = run.until("the failure", |seen| seen.step_phase("bad") == "Failed");
    assert_eq!((failing.phase(), failing.step_phase("slow")), ("Running", "Running"));
    assert!(failing.message().starts_with("step \"bad\" failed: "), "{}", failing.message());
    let end = run.ends_as(
        "Failed",
        &[
            "bad Failed BackoffLimitExceeded exit 6",
            "slow Succeeded",
            "after-bad Skipped UpstreamFailed",
            "after-slow Skipped FlowFailed",
            "after-both Skipped UpstreamFailed",
        ],
    );
    assert!(end.message().starts_with("step \"bad\" failed: "), "{}", end.message());
}

#[test]
fn cancel_running_stops_what_runs() {
    let Some(space) = space("cancel") else { return };
    let run = failing_beside_others(&space, "CancelRunning");
    let end = run.ends_as(
        "Failed",
        &[
            "bad Failed BackoffLimitExceeded exit 6",
            "slow Cancelled FlowFailed",
            "after-bad Skipped UpstreamFailed",
            "after-slow Skipped UpstreamFailed",
            "after-both Skipped UpstreamFailed",
        ],
    );
    assert_eq!(end.completed(), end.step_completed("bad"));
    run.leaves_nothing_running(Some("slow"));
}

#[test]
fn run_independent_goes_on_with_what_does_not_depend_on_the_failure() {
    let Some(space) = space("independent") else { return };
    let run = failing_beside_others(&space, "RunIndependent");
    run.ends_as(
        "Failed",
        &[
            "bad Failed BackoffLimitExceeded exit 6",
            "slow Succeeded",
            "after-bad Skipped UpstreamFailed",
            "after-slow Succeeded",
            "after-both Skipped UpstreamFailed",
        ],
    );
}

/// How long the step waited before each retry: as the status promised it, as it was, and how much of that may be this
/// machine's.
fn waits(run: &Run<'_>, step: &str) -> Vec<(f64, f64, f64)> {
    let versions = run.versions();
    let first = |condition: &dyn Fn(&Seen) -> bool| versions.iter().find(|seen| condition(seen)).cloned();
    let attempt = |seen: &Seen, n: i64| seen.step(step)["attempt"] == n;
    let mut waits = Vec::new();
    for n in 1.. {
        let Some(failed) = first(&|seen| attempt(seen, n) && seen.waiting(step) == "Retry") else { break };
        let again = first(&|seen| attempt(seen, n + 1) && seen.step_phase(step) == "Running").unwrap();
        let waiting = &failed.step(step)["waiting"];
        waits.push((
            seconds(time(&waiting["since"]), time(&waiting["until"])),
            (again.at - failed.at).as_secs_f64(),
            lag::between(failed.at, again.at),
        ));
    }
    waits
}

#[test]
fn retries_wait_exactly_as_long_as_their_policy_says() {
    let Some(space) = space("retry") else { return };
    let run = space.run(
        flow("retry")
            .policy(json!({"onStepFailure": "RunIndependent", "backoffLimit": 20}))
            .step(job("fixed", "exit 1").retry(2, json!({"type": "Fixed", "duration": "2s"})))
            .step(job("linear", "exit 1").retry(2, json!({"type": "Linear", "duration": "1s"})))
            .step(
                job("exponential", "exit 1")
                    .retry(3, json!({"type": "Exponential", "duration": "1s", "factor": 2.0})),
            )
            .step(job("never", "exit 1").retry(0, json!({}))),
    );
    let end = run.ends_as(
        "Failed",
        &[
            "fixed Failed BackoffLimitExceeded exit 1 attempt 3",
            "linear Failed BackoffLimitExceeded exit 1 attempt 3",
            "exponential Failed BackoffLimitExceeded exit 1 attempt 4",
            "never Failed BackoffLimitExceeded exit 1",
        ],
    );
    assert_eq!(end.step("exponential")["retryCount"], 3);
    let expected: [(&str, &[f64], f64); 3] =
        [("fixed", &[2.0, 2.0], 0.0), ("linear", &[1.0, 2.0], 0.0), ("exponential", &[1.0, 2.0, 4.0], 0.1)];
    for (step, expected, jitter) in expected {
        let waited = waits(&run, step);
        assert_eq!(waited.len(), expected.len(), "{step}: {waited:?}");
        for ((promised, real, lag), expected) in waited.into_iter().zip(expected) {
            near(&format!("{step}, promised"), promised, *expected, expected * jitter + 0.001);
            near(&format!("{step}, real"), real, promised, 0.5 + lag);
        }
        assert_eq!(run.jobs(Some(step)).len(), expected.len() + 1, "{step}");
    }
    assert_eq!(run.jobs(Some("never")).len(), 1);
}

#[test]
fn the_flow_backoff_limit_caps_the_retries_of_all_steps_together() {
    let Some(space) = space("limit") else { return };
    let step = |name: &str| job(name, "exit 1").retry(5, json!({"type": "Fixed", "duration": "100ms"}));
    let run = space.run(
        flow("limit")
            .policy(json!({"backoffLimit": 2, "onStepFailure": "CancelRunning"}))
            .step(step("one"))
            .step(step("two").after(&["one"])),
    );
    let end = run.ends_as(
        "Failed",
        &["one Failed FlowBackoffLimitExceeded exit 1 attempt 3", "two Skipped UpstreamFailed"],
    );
    assert_eq!(end.condition("Ready").unwrap(), "False BackoffLimitExceeded");
    let said = "the flow's backoffLimit of 2 retries is used up";
    assert!(end.message().ends_with(said), "{}", end.message());
    assert_eq!(run.jobs(None).len(), 3);
}

#[test]
fn a_step_that_takes_too_long_is_stopped_with_its_pods_and_not_tried_again() {
    let Some(space) = space("timeout") else { return };
    let run =
        space.run(flow("timeout").step(
            job("slow", "sleep 600").timeout(20).retry(3, json!({"type": "Fixed", "duration": "100ms"})),
        ));
    run.pod_runs("slow");
    let end = run.ends_as("Failed", &["slow Failed StepTimeout"]);
    assert_eq!(end.step_message("slow"), "not done within 20 s");
    assert_eq!(end.message(), "step \"slow\" failed: StepTimeout: not done within 20 s");
    near("the timeout", seconds(end.step_started("slow"), end.step_completed("slow")), 20.0, 0.5);
    run.leaves_nothing_running(None);
    assert_eq!(run.versions().last().unwrap().version(), end.version());
}

#[test]
fn a_flow_past_its_deadline_fails_with_everything_stopped() {
    let Some(space) = space("deadline") else { return };
    let run = space.run(
        flow("deadline")
            .policy(json!({"activeDeadlineSeconds": 600}))
            .step(pass("quick"))
            .step(job("slow", "sleep 600"))
            .step(pass("next").after(&["slow"])),
    );
    run.pod_runs("slow");
    let started = run.until("the quick step", |seen| seen.step_phase("quick") == "Succeeded").started();
    // However long the pods took to start: three seconds from now, or four.
    let deadline = jiff::Timestamp::now().duration_since(started).as_secs() + 4;
    run.patch(&json!({"spec": {"executionPolicy": {"activeDeadlineSeconds": deadline}}}));
    let end = run.ends_as(
        "Failed",
        &["quick Succeeded", "slow Cancelled DeadlineExceeded", "next Skipped UpstreamFailed"],
    );
    assert_eq!(end.condition("Ready").unwrap(), "False ActiveDeadlineExceeded");
    assert_eq!(end.message(), format!("not done within activeDeadlineSeconds, {deadline} s"));
    let took = seconds(end.started(), end.completed());
    #[expect(clippy::cast_precision_loss, reason = "a few seconds")]
    near("the deadline", took, deadline as f64, 0.5);
    run.leaves_nothing_running(Some("slow"));
}

#[test]
fn a_job_deleted_while_it_runs_is_lost_and_counts_as_an_attempt() {
    let Some(space) = space("lost") else { return };
    let run = space.run(
        flow("lost")
            .policy(json!({"onStepFailure": "RunIndependent"}))
            .step(job("once", "sleep 600"))
            .step(job("twice", "sleep 600").retry(1, json!({"type": "Fixed", "duration": "100ms"}))),
    );
    for (step, attempt) in [("once", 1), ("twice", 1), ("twice", 2)] {
        let running = run.until("the Job", |seen| {
            seen.step(step)["attempt"] == attempt && seen.step_phase(step) == "Running"
        });
        let name = running.step(step)["jobRef"]["name"].as_str().unwrap().to_owned();
        space.jobs.find(Duration::from_secs(90), |records| {
            records.iter().any(|record| record.name() == name).then_some(())
        });
        space.delete("Job", &name);
    }
    let end = run.ends_as("Failed", &["once Failed JobLost", "twice Failed JobLost attempt 2"]);
    assert_eq!(end.step_message("once"), "its Job was deleted while it ran");
    run.leaves_nothing_running(None);
}

#[test]
fn a_foreign_job_of_the_same_name_fails_the_step_and_is_left_alone() {
    let Some(space) = space("conflict") else { return };
    let run = space.run(flow("conflict").suspended().step(pass("only")));
    let name = job_name("conflict", &run.uid, "only", 1, None);
    let theirs = space.create(&json!({
        "apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name},
        "spec": {"suspend": true, "template": {"spec": {
            "restartPolicy": "Never", "containers": [{"name": "theirs", "image": "busybox:1.36"}]
        }}}
    }));
    run.patch(&json!({"spec": {"suspend": false}}));
    let end = run.ends_as("Failed", &["only Failed NameConflict"]);
    let said =
        format!("a Job \"{name}\" exists and does not belong to the flow; delete it or rename the step");
    assert_eq!(end.step_message("only"), said);
    let there = space.get("Job", &name).unwrap();
    assert_eq!(there["metadata"]["uid"], theirs["metadata"]["uid"]);
    assert_eq!(there["spec"], theirs["spec"]);
}

#[test]
fn nothing_that_happens_after_its_end_changes_a_flow() {
    let Some(space) = space("final") else { return };
    let run = space.run(
        flow("final")
            .policy(json!({"activeDeadlineSeconds": 600, "ttlSecondsAfterFinished": 30}))
            .step(pass("done"))
            .step(job("failed", "exit 1").after(&["done"])),
    );
    let end = run.ends_as("Failed", &["done Succeeded", "failed Failed BackoffLimitExceeded exit 1"]);
    // Its Jobs go, its deadline is over, it is suspended: none of it matters any more.
    for job in run.jobs(None) {
        space.delete("Job", job["metadata"]["name"].as_str().unwrap());
    }
    run.leaves_nothing_running(None);
    run.patch(&json!({"spec": {"suspend": true, "executionPolicy": {"activeDeadlineSeconds": 1}}}));
    let patched = space.get("JobFlow", "final").unwrap();
    // The TTL is the next thing to happen.
    run.goes();
    let last = run.versions().pop().unwrap();
    assert_eq!(last.version(), patched["metadata"]["resourceVersion"]);
    assert_eq!(last.flow["status"], end.flow["status"]);
}

#[test]
fn a_flow_deleted_while_it_runs_takes_its_jobs_and_pods_with_it() {
    let Some(space) = space("deleted") else { return };
    let run = space.run(flow("deleted").step(job("slow", "sleep 600")).step(pass("next").after(&["slow"])));
    run.pod_runs("slow");
    space.delete("JobFlow", "deleted");
    run.goes();
    run.leaves_nothing_running(None);
    assert!(run.jobs(Some("next")).is_empty());
}
