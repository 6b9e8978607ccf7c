//! What `executionPolicy` promises of a flow as a whole, and `suspend`.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::jobs::{let_the_next_succeed, told_by_config_map};
use super::lag;
use super::space::{Run, space};
use super::status::{Seen, near, seconds};
use super::write::{Flow, flow, job, pass};

/// Assert that the flow is deleted so many seconds after its end, with its Jobs and pods.
fn is_deleted_after(run: &Run<'_>, end: &Seen, seconds: f64) {
    let gone = run.goes();
    let lag = lag::between(end.at, gone);
    near("from its end to its deletion", (gone - end.at).as_secs_f64(), seconds, 0.5 + lag);
    run.leaves_nothing_running(None);
}

#[test]
fn a_ttl_of_nothing_deletes_the_flow_and_all_it_made_at_once() {
    let Some(space) = space("ttl0") else { return };
    let run = space.run(
        flow("ttl0").policy(json!({"ttlSecondsAfterFinished": 0})).step(pass("a")).step(job("b", "exit 1")),
    );
    let end = run.ends_as("Failed", &["a Succeeded", "b Failed BackoffLimitExceeded exit 1"]);
    is_deleted_after(&run, &end, 0.0);
}

#[test]
fn a_ttl_deletes_the_flow_exactly_then() {
    let Some(space) = space("ttl5") else { return };
    let run = space.run(flow("ttl5").policy(json!({"ttlSecondsAfterFinished": 5})).step(pass("a")));
    let end = run.ends_as("Succeeded", &["a Succeeded"]);
    is_deleted_after(&run, &end, 5.0);
}

/// A flow of one key.
fn keyed(name: &str, policy: &str, script: &str) -> Flow {
    flow(name)
        .policy(json!({"concurrencyPolicy": policy, "concurrencyKey": "nightly"}))
        .step(job("work", script))
}

#[test]
fn forbid_waits_in_line_and_goes_on_when_its_turn_comes() {
    let Some(space) = space("forbid") else { return };
    let first = space.run(keyed("first", "Forbid", "sleep 10"));
    first.until("its start", |seen| seen.phase() == "Running");
    let second = space.run(keyed("second", "Forbid", "true"));
    let waits = second.until("its place in line", |seen| seen.waiting("work") == "Concurrency");
    assert_eq!(waits.phase(), "Pending");
    assert_eq!(waits.message(), "waits for the flow \"first\" of the same concurrencyKey \"nightly\"");
    // Another key, and none, wait for nobody.
    let stranger = keyed("stranger", "Forbid", "true");
    let stranger = stranger.with(json!({"spec": {"executionPolicy": {"concurrencyKey": "other"}}}));
    let stranger = space.run(stranger);
    let first = first.ends_as("Succeeded", &["work Succeeded"]);
    let second = second.ends_as("Succeeded", &["work Succeeded"]);
    let late = seconds(first.completed(), second.started());
    assert!((0.0..0.5).contains(&late), "the second started {late} s after the first was done");
    let stranger = stranger.ends_as("Succeeded", &["work Succeeded"]);
    assert!(stranger.started() < first.completed());
}

#[test]
fn allow_runs_flows_of_one_key_side_by_side() {
    let Some(space) = space("allow") else { return };
    let runs = ["first", "second"].map(|name| space.run(keyed(name, "Allow", "sleep 10")));
    let [first, second] = runs.map(|run| run.ends_as("Succeeded", &["work Succeeded"]));
    assert!(second.started() < first.completed());
    near("between their starts", seconds(first.started(), second.started()), 0.0, 1.0);
}

#[test]
fn replace_stops_the_older_flow_and_starts_when_its_pods_are_gone() {
    let Some(space) = space("replace") else { return };
    let older = space.run(keyed("older", "Replace", "sleep 600"));
    older.pod_runs("work");
    let newer = space.run(keyed("newer", "Replace", "true"));
    let stopped = older.ends_as("Failed", &["work Cancelled Replaced"]);
    assert_eq!(stopped.condition("Ready").unwrap(), "False Replaced");
    assert_eq!(stopped.message(), "replaced by the flow \"newer\"");
    let newer = newer.ends_as("Succeeded", &["work Succeeded"]);
    assert!(newer.started() >= stopped.completed());
    older.leaves_nothing_running(None);
}

#[test]
fn never_more_steps_run_than_parallelism_allows_and_earlier_ones_go_first() {
    let Some(space) = space("parallel") else { return };
    let names = ["s1", "s2", "s3", "s4", "s5", "s6"];
    let run = space.run(
        flow("parallel").policy(json!({"parallelism": 2})).steps(names.map(|name| job(name, "sleep 1"))),
    );
    let waits = run.until("a step without a slot", |seen| seen.waiting("s3") == "Parallelism");
    assert_eq!(waits.flow["status"]["progress"]["runningSteps"], 2);
    let end = run.ends();
    assert_eq!(end.phase(), "Succeeded");
    let starts = names.map(|name| end.step_started(name));
    assert!(starts.is_sorted(), "{starts:?}");
    // Every version of every pod, in the order in which the API server had them.
    let most = space.pods.look(|records| {
        let (mut live, mut most) = (BTreeSet::new(), 0);
        for record in records {
            if record.gone || record.has_ended() {
                live.remove(record.name())
            } else {
                live.insert(record.name())
            };
            most = most.max(live.len());
        }
        most
    });
    assert_eq!(most, 2);
}

#[test]
fn a_suspended_flow_lets_end_what_runs_and_goes_on_when_resumed() {
    let Some(space) = space("suspend") else { return };
    let run = space.run(flow("suspend").suspended().step(job("a", "sleep 10")).step(pass("b").after(&["a"])));
    let waits = run.until("its suspension", |seen| seen.phase() == "Suspended");
    assert_eq!(waits.waiting("a"), "Suspended");
    assert_eq!(waits.condition("Ready").unwrap(), "False FlowSuspended");
    assert!(waits.flow["status"]["startTime"].is_null());
    run.patch(&json!({"spec": {"suspend": false}}));
    run.pod_runs("a");
    run.patch(&json!({"spec": {"suspend": true}}));
    let still = run.until("the step to be running on", |seen| {
        seen.phase() == "Suspended" && seen.step_phase("a") == "Running"
    });
    assert_eq!(still.message(), "suspended; 1 step still running");
    let held = run.until("the step to be done", |seen| seen.step_phase("a") == "Succeeded");
    assert_eq!((held.phase(), held.message()), ("Suspended", "suspended"));
    assert_eq!((held.step_phase("b"), held.waiting("b")), ("Pending", "Suspended"));
    assert!(run.jobs(Some("b")).is_empty());
    run.patch(&json!({"spec": {"suspend": false}}));
    let end = run.ends_as("Succeeded", &["a Succeeded", "b Succeeded"]);
    assert!(end.step_started("b") > end.step_completed("a"));
}

/// The rules of the two tests below, and a step of each: a Job that may replace three pods.
fn ruled(name: &str) -> Flow {
    flow(name).policy(json!({"podFailurePolicy": {"rules": [
        {"action": "FailJob", "onExitCodes": {"operator": "In", "values": [42, 41]}},
        {"action": "Ignore", "onExitCodes": {"containerName": "main", "operator": "In", "values": [7]}}
    ]}}))
}

#[test]
fn pod_failure_policy_fails_the_job_at_an_exit_code_that_it_names() {
    let Some(space) = space("failjob") else { return };
    let run = space.run(ruled("failjob").step(job("fatal", "exit 42").job_spec(json!({"backoffLimit": 3}))));
    let end = run.ends_as("Failed", &["fatal Failed PodFailurePolicy exit 42"]);
    let message = end.step_message("fatal");
    assert!(message.contains("exit code 42") && message.contains("FailJob"), "{message}");
    assert_eq!(run.pods(None).len(), 1);
    // Ours as the Job has it: values sorted, which the API server insists on.
    let policy = &run.jobs(None)[0]["spec"]["podFailurePolicy"]["rules"];
    assert_eq!(policy[0]["onExitCodes"]["values"], json!([41, 42]));
}

#[test]
fn pod_failure_policy_replaces_a_pod_that_it_ignores() {
    let Some(space) = space("ignore") else { return };
    let run = space.run(ruled("ignore").step(told_by_config_map(&space, "unlucky", "7").timeout(80)));
    let first = let_the_next_succeed(&space);
    // Although its backoffLimit is 0.
    run.ends_as("Succeeded", &["unlucky Succeeded"]);
    let pods = run.pods(None);
    assert_eq!(pods.len(), 2, "{}", Value::from(pods));
    assert_eq!(pods[0]["metadata"]["uid"], first["metadata"]["uid"]);
}

#[test]
fn limits_that_may_change_are_changed_while_the_flow_runs() {
    let Some(space) = space("change") else { return };
    let run = space.run(flow("change").step(job("slow", "sleep 600")));
    run.pod_runs("slow");
    let started = run.until("its start", |seen| seen.phase() == "Running").started();
    // Long over by the time it is set: it strikes at once.
    run.patch(&json!({"spec": {"executionPolicy": {"activeDeadlineSeconds": 1}}}));
    let end = run.ends_as("Failed", &["slow Cancelled DeadlineExceeded"]);
    assert!(seconds(started, end.completed()) > 1.0);
    let refused = space.kubectl(&[
        "patch",
        "jobflow",
        "change",
        "--type=merge",
        "-p",
        r#"{"spec": {"executionPolicy": {"backoffLimit": 1}}}"#,
    ]);
    assert!(!refused.ok && refused.err.contains("HW701"), "{}", refused.err);
    let last: Vec<Seen> = run.versions();
    assert_eq!(last.last().unwrap().version(), end.version());
}
