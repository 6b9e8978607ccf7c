use serde_json::{Value, json};

use super::*;
use crate::cmd::style::When;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_000_000 + second).unwrap()
}

/// A flow of six steps, with this status.
fn flow(status: &Value) -> JobFlow {
    let job =
        |name: &str, after: &[&str]| json!({"name": name, "dependencies": after, "template": {"spec": {}}});
    let mut steps = vec![
        job("extract", &[]),
        job("check", &["extract"]),
        job("load", &["extract"]),
        json!({"name": "sign-off", "type": "Manual", "message": "look at the report", "dependencies": ["check"]}),
        job("publish", &["load", "sign-off"]),
        job("notify", &[]),
    ];
    steps[2]["retryPolicy"] = json!({"limit": 3});
    steps[5]["continueOnFailure"] = json!(true);
    serde_json::from_value(json!({
        "apiVersion": "workflow.kube-zen.io/v1alpha1", "kind": "JobFlow",
        "metadata": {"name": "nightly", "namespace": "batch"},
        "spec": {"steps": steps}, "status": status,
    }))
    .unwrap()
}

fn step(name: &str, phase: &str, start: i64, end: i64) -> Value {
    let mut step = json!({"name": name, "phase": phase, "attempt": 1, "startTime": at(start).to_string()});
    if end > 0 {
        step["completionTime"] = json!(at(end).to_string());
    }
    step
}

/// In the middle of it: something of everything.
fn running() -> JobFlow {
    let mut load = step("load", "Running", 63, 0);
    load["attempt"] = json!(2);
    load["waiting"] = json!({"reason": "ImagePull", "message": "Back-off pulling\nimage \u{1b}[31m\"x:1\""});
    let mut notify = step("notify", "Failed", 0, 2);
    notify["exitCode"] = json!(3);
    notify["reason"] = json!("BackoffLimitExceeded");
    notify["message"] = json!("Job has reached the specified backoff limit");
    flow(&json!({
        "phase": "Running", "startTime": at(0).to_string(),
        "message": "step \"load\": ImagePull: Back-off pulling image",
        "progress": {"completedSteps": 3, "totalSteps": 6, "successfulSteps": 2, "failedSteps": 1,
                     "skippedSteps": 0, "runningSteps": 1},
        "steps": [
            step("extract", "Succeeded", 0, 63), step("check", "Succeeded", 68, 75), load,
            step("sign-off", "PendingApproval", 75, 0),
            {"name": "publish", "phase": "Pending", "waiting": {"reason": "Dependencies"}},
            notify,
        ],
    }))
}

const PLAIN: View = View { width: None, height: None, style: Style::NONE, tree: true };

#[test]
fn a_running_flow_is_a_tree_with_what_each_step_is_doing() {
    insta::assert_snapshot!(PLAIN.render(&running(), at(192)), @r#"
    nightly  Running  3/6  3m12s
    step "load": ImagePull: Back-off pulling image

    |- extract*           Succeeded        1m03s
    |  |- check           Succeeded         7.0s
    |  |  `- sign-off     PendingApproval  1m57s  look at the report
    |  |     `- publish*  Pending                 after load, sign-off
    |  `- load*           Running          2m09s  attempt 2 of 4; ImagePull: Back-off pulling image [31m"x:1"
    `- notify             Failed            2.0s  exit code 3; BackoffLimitExceeded: Job has reached the specified backoff limit; forgiven by continueOnFailure

    * critical path: extract -> load -> publish (3m12s so far)
    to go on: headworks approve -n batch nightly sign-off
    "#);
}

#[test]
fn where_nobody_looks_it_is_a_list() {
    let list = View { tree: false, ..PLAIN };
    insta::assert_snapshot!(list.render(&running(), at(192)), @r#"
    nightly  Running  3/6  3m12s
    step "load": ImagePull: Back-off pulling image

    extract*  Succeeded        1m03s
    check     Succeeded         7.0s
    load*     Running          2m09s  attempt 2 of 4; ImagePull: Back-off pulling image [31m"x:1"
    sign-off  PendingApproval  1m57s  look at the report
    publish*  Pending                 after load, sign-off
    notify    Failed            2.0s  exit code 3; BackoffLimitExceeded: Job has reached the specified backoff limit; forgiven by continueOnFailure

    * critical path: extract -> load -> publish (3m12s so far)
    to go on: headworks approve -n batch nightly sign-off
    "#);
}

#[test]
fn a_narrow_and_low_window_gets_what_fits_and_the_liveliest_steps() {
    let small = View { width: Some(48), height: Some(10), ..PLAIN };
    let text = small.render(&running(), at(192));
    insta::assert_snapshot!(text, @r#"
    nightly  Running  3/6  3m12s
    step "load": ImagePull: Back-off pulling image

    load*     Running          2m09s  attempt 2 of..
    sign-off  PendingApproval  1m57s  look at the..
    notify    Failed            2.0s  exit code 3;..
    and 3 more steps: 1 Pending, 2 Succeeded

    * critical path: extract -> load -> publish (3..
    to go on: headworks approve -n batch nightly s..
    "#);
    assert!(text.lines().all(|line| line.chars().count() <= 48));
}

#[test]
fn colours_are_painted_over_what_was_cut() {
    let colourful = View { width: Some(50), style: Style::new(When::Always), ..PLAIN };
    let text = colourful.render(&running(), at(192));
    assert!(text.contains("`- load*           \u{1b}[1;34mRunning\u{1b}[0m"), "{text}");
}

#[test]
fn a_flow_that_failed_says_where_to_look() {
    let failed = flow(&json!({
        "phase": "Failed", "startTime": at(0).to_string(), "completionTime": at(70).to_string(),
        "message": "step \"load\" failed: JobLost: its Job was deleted while it ran",
        "steps": [
            step("extract", "Succeeded", 0, 60), step("check", "Cancelled", 60, 70),
            {"name": "load", "phase": "Failed", "reason": "JobLost", "message": "its Job was deleted while it ran"},
            {"name": "sign-off", "phase": "Skipped", "reason": "FlowFailed"},
            {"name": "publish", "phase": "Skipped", "reason": "UpstreamFailed", "message": "step \"load\" did not succeed"},
            {"name": "notify", "phase": "Skipped", "reason": "WhenFalse"},
        ],
    }));
    insta::assert_snapshot!(PLAIN.render(&failed, at(9_999)), @r#"
    nightly  Failed  1m10s
    step "load" failed: JobLost: its Job was deleted while it ran

    |- extract*          Succeeded  1m00s
    |  |- check*         Cancelled    10s
    |  |  `- sign-off    Skipped           the flow had failed
    |  |     `- publish  Skipped           step "load" did not succeed
    |  `- load           Failed            JobLost: its Job was deleted while it ran
    `- notify            Skipped           `when` was false

    * critical path: extract -> check (1m10s)
    to see why: headworks why -n batch nightly load
    "#);
}

#[test]
fn a_flow_that_nobody_looked_at_says_so() {
    insta::assert_snapshot!(PLAIN.render(&flow(&Value::Null), at(0)), @r#"
    nightly  no status yet
    headworks has not looked at it; does it run? kubectl -n headworks-system get pods

    |- extract           Pending
    |  |- check          Pending    after extract
    |  |  `- sign-off    Pending    after check
    |  |     `- publish  Pending    after load, sign-off
    |  `- load           Pending    after extract
    `- notify            Pending
    "#);
}

#[test]
fn a_retry_counts_down() {
    let retry = flow(&json!({"phase": "Running", "steps": [{
        "name": "extract", "phase": "Pending", "attempt": 1, "startTime": at(0).to_string(),
        "waiting": {"reason": "Retry", "message": "attempt 1 failed with exit code 1", "until": at(20).to_string()},
    }]}));
    let text = PLAIN.render(&retry, at(8));
    assert!(text.contains("Pending  8.0s  Retry: attempt 1 failed with exit code 1 (in 12s)\n"), "{text}");
}

#[test]
fn only_what_changed_is_told_of_a_flow_that_goes_on() {
    let before = flow(&json!({"phase": "Running", "steps": [step("extract", "Running", 0, 0)]}));
    assert_eq!(changes(&before, &before), [""; 0]);
    assert_eq!(
        changes(&before, &running()),
        [
            "extract  Succeeded after 1m03s",
            "check  Succeeded after 7.0s",
            "load  Running  attempt 2 of 4; ImagePull: Back-off pulling image [31m\"x:1\"",
            "sign-off  PendingApproval  look at the report",
            "notify  Failed after 2.0s  exit code 3; BackoffLimitExceeded: Job has reached the specified backoff limit; \
             forgiven by continueOnFailure",
        ]
    );
    let over = flow(&json!({"phase": "Succeeded", "steps": [step("extract", "Succeeded", 0, 5)]}));
    assert_eq!(changes(&before, &over), ["extract  Succeeded after 5.0s", "nightly  Succeeded"]);
}

#[test]
fn a_flow_of_thousands_of_steps_is_drawn_at_once_and_fits() {
    let steps: Vec<Value> = (0..5_000)
        .map(|n: i32| {
            let after: Vec<String> = (1..n.min(4)).map(|back| format!("s{}", n - back)).collect();
            json!({"name": format!("s{n}"), "dependencies": after, "template": {"spec": {}}})
        })
        .collect();
    let flow: JobFlow = serde_json::from_value(json!({
        "apiVersion": "workflow.kube-zen.io/v1alpha1", "kind": "JobFlow", "metadata": {"name": "vast"},
        "spec": {"steps": steps}, "status": {"phase": "Running", "steps": [step("s0", "Running", 0, 0)]},
    }))
    .unwrap();
    let text = View { width: Some(80), height: Some(24), ..PLAIN }.render(&flow, at(5));
    assert!(text.lines().count() <= 24, "{text}");
    assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
}

/// A running flow with one more condition.
fn with_condition(type_: &str, status: &str) -> JobFlow {
    let mut flow = running();
    let condition = json!({
        "type": type_, "status": status, "reason": "ValidationFailed",
        "message": "spec.steps[2].retryPolicy.limit:\nmust be at most 2", "lastTransitionTime": at(100).to_string(),
    });
    flow.status.as_mut().unwrap().conditions.push(serde_json::from_value(condition).unwrap());
    flow
}

#[test]
fn a_flow_that_would_be_refused_today_says_so_below_its_message() {
    let text = PLAIN.render(&with_condition("SpecNoLongerValid", "True"), at(192));
    let head: Vec<&str> = text.lines().take(4).collect();
    assert_eq!(
        head,
        [
            "nightly  Running  3/6  3m12s",
            "step \"load\": ImagePull: Back-off pulling image",
            "SpecNoLongerValid: it continues, but its spec would be refused today: \
             spec.steps[2].retryPolicy.limit: must be at most 2",
            "",
        ]
    );
}

#[test]
fn conditions_that_do_not_hold_and_others_are_not_shown() {
    let plain = PLAIN.render(&running(), at(192));
    assert_eq!(PLAIN.render(&with_condition("SpecNoLongerValid", "False"), at(192)), plain);
    assert_eq!(PLAIN.render(&with_condition("Ready", "True"), at(192)), plain);
}
