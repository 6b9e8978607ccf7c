use headworks::flows::api::JobFlow;
use serde_json::{Value, json};

use super::*;
use crate::cmd::attempts::Attempt;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_000_000 + second).unwrap()
}

fn flow(steps: &Value, status: &Value) -> JobFlow {
    serde_json::from_value(json!({
        "apiVersion": "workflow.kube-zen.io/v1alpha1", "kind": "JobFlow",
        "metadata": {"name": "nightly", "namespace": "batch"}, "spec": {"steps": steps}, "status": status,
    }))
    .unwrap()
}

fn job(name: &str, after: &[&str]) -> Value {
    json!({"name": name, "dependencies": after, "template": {"spec": {}}})
}

/// The answer about `step` from the flow alone.
fn said(flow: &JobFlow, step: &str) -> String {
    said_of(flow, step, &Seen::default())
}

fn said_of(flow: &JobFlow, step: &str, seen: &Seen) -> String {
    let view = FlowView::new(flow);
    text(&view, view.dag.find(step).unwrap(), seen, at(100), Style::NONE)
}

/// A pod with one container in this state.
fn pod(state: &Value) -> Value {
    json!({
        "metadata": {"name": "load-x", "uid": "p1"},
        "spec": {"nodeName": "node-1", "containers": [{"name": "main", "image": "registry/x:1"}]},
        "status": {"phase": "Pending", "containerStatuses": [{
            "name": "main", "image": "x", "imageID": "", "ready": false, "restartCount": 2, "state": state,
        }]},
    })
}

fn attempt(number: i64, status: &Value) -> Attempt {
    let name = format!("nightly-load-{number}");
    let job = json!({"metadata": {"name": name, "uid": format!("j{number}")}, "status": status});
    Attempt { step: "load".to_owned(), number, job: serde_json::from_value(job).unwrap() }
}

fn seen(pod: &Value) -> Seen {
    let failed = json!({"failed": 1, "conditions": [{"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded"}]});
    Seen {
        attempts: vec![attempt(1, &failed), attempt(2, &json!({"active": 1}))],
        pods: vec![serde_json::from_value(pod.clone()).unwrap()],
        ..Seen::default()
    }
}

fn running_load() -> JobFlow {
    let mut load = job("load", &["extract"]);
    load["retryPolicy"] = json!({"limit": 3});
    flow(
        &json!([job("extract", &[]), load]),
        &json!({"phase": "Running", "steps": [
            {"name": "extract", "phase": "Succeeded", "startTime": at(0).to_string(), "completionTime": at(40).to_string()},
            {"name": "load", "phase": "Running", "attempt": 2, "startTime": at(40).to_string()},
        ]}),
    )
}

#[test]
fn an_image_that_cannot_be_pulled_is_named_with_everything_around_it() {
    let mut seen = seen(&pod(&json!({"waiting": {
        "reason": "ImagePullBackOff", "message": "Back-off pulling image \"registry/x:1\"\u{1b}[2J",
    }})));
    let event = json!({
        "metadata": {}, "type": "Warning", "reason": "Failed", "message": "Error: ErrImagePull", "count": 3,
        "lastTimestamp": at(88).to_string(), "involvedObject": {"kind": "Pod", "name": "load-x", "uid": "p1"},
    });
    seen.events.push(serde_json::from_value(event).unwrap());
    insta::assert_snapshot!(said_of(&running_load(), "load", &seen), @r#"
    load of nightly in batch: Running for 1m00s, attempt 2 of 4

    why:  the image "registry/x:1" of container "main" cannot be pulled: Back-off pulling image "registry/x:1" [2J
    do:   check the image's name and tag, imagePullPolicy, and imagePullSecrets where the registry asks for a login

    dependencies
      extract  Succeeded     40s

    attempts
      1  nightly-load-1  Failed  BackoffLimitExceeded
      2  nightly-load-2  1 active

    pods of the last attempt
      load-x  Pending on node-1
        main  waiting: ImagePullBackOff, restarted 2 times

    events
         12s ago  Warning  Failed x3  pod/load-x: Error: ErrImagePull
    "#);
}

#[test]
fn each_trouble_of_a_pod_has_a_reason_and_a_cure() {
    let cases = [
        (
            json!({"waiting": {"reason": "CreateContainerConfigError", "message": "configmap \"c\" not found"}}),
            "container \"main\" lacks something that it names: configmap \"c\" not found",
        ),
        (
            json!({"waiting": {"reason": "CreateContainerError", "message": "no such file"}}),
            "container \"main\" cannot be started: CreateContainerError: no such file",
        ),
        (
            json!({"waiting": {"reason": "CrashLoopBackOff"}}),
            "container \"main\" ends again and again (not started); restartPolicy OnFailure starts it anew",
        ),
        (
            json!({"terminated": {"exitCode": 137, "reason": "OOMKilled"}}),
            "container \"main\" was killed: it used more memory than its limit",
        ),
        (
            json!({"terminated": {"exitCode": 127, "reason": "Error"}}),
            "container \"main\" ended with exit code 127, its command was not found",
        ),
    ];
    for (state, expected) in cases {
        let text = said_of(&running_load(), "load", &seen(&pod(&state)));
        let why = text.lines().find_map(|line| line.strip_prefix("why:  ")).unwrap();
        assert_eq!(why, expected);
        assert!(text.contains("\ndo:   "), "{text}");
    }
}

#[test]
fn a_pod_without_a_node_tells_what_the_scheduler_says() {
    let mut pod = pod(&json!({}));
    pod["status"] = json!({"phase": "Pending", "conditions": [{
        "type": "PodScheduled", "status": "False", "reason": "Unschedulable",
        "message": "0/3 nodes are available: 3 Insufficient memory.",
    }]});
    let text = said_of(&running_load(), "load", &seen(&pod));
    assert!(
        text.contains("why:  its pod finds no node: 0/3 nodes are available: 3 Insufficient memory.\n"),
        "{text}"
    );
}

#[test]
fn a_job_whose_pods_are_refused_tells_who_refuses_them() {
    let mut seen = seen(&pod(&json!({})));
    seen.pods.clear();
    let event = json!({
        "metadata": {}, "type": "Warning", "reason": "FailedCreate", "message": "pods \"x\" is forbidden: exceeded quota",
        "involvedObject": {"kind": "Job", "name": "nightly-load-2", "uid": "j2"},
    });
    seen.events.push(serde_json::from_value(event).unwrap());
    let text = said_of(&running_load(), "load", &seen);
    assert!(
        text.contains("why:  its pod cannot be created: pods \"x\" is forbidden: exceeded quota\n"),
        "{text}"
    );
}

#[test]
fn a_step_that_waits_is_traced_to_what_keeps_them_all() {
    let steps = json!([job("extract", &[]), {"name": "sign-off", "type": "Manual"},
                       job("load", &["extract", "sign-off"]), job("publish", &["load"])]);
    let status = json!({"phase": "Running", "steps": [
        {"name": "extract", "phase": "Running", "startTime": at(40).to_string()},
        {"name": "sign-off", "phase": "PendingApproval", "startTime": at(10).to_string()},
        {"name": "load", "phase": "Pending", "waiting": {"reason": "Dependencies"}},
        {"name": "publish", "phase": "Pending", "waiting": {"reason": "Dependencies"}},
    ]});
    insta::assert_snapshot!(said(&flow(&steps, &status), "publish"), @r#"
    publish of nightly in batch: Pending

    why:  it waits for extract (Running for 1m00s), sign-off (PendingApproval for 1m30s)
    do:   headworks why -n batch nightly extract
          headworks approve -n batch nightly sign-off

    dependencies
      load  Pending          after extract, sign-off
    "#);
}

#[test]
fn what_a_condition_saw_is_shown() {
    let mut load = job("load", &["extract"]);
    load["when"] = json!("int(steps.extract.outputs.rows) > 0");
    let status = json!({"phase": "Succeeded", "steps": [
        {"name": "extract", "phase": "Succeeded", "outputs": {"parameters": [
            {"name": "rows", "value": "0"}, {"name": "row", "value": "secret"}]}},
        {"name": "load", "phase": "Skipped", "reason": "WhenFalse"},
    ]});
    insta::assert_snapshot!(said(&flow(&json!([job("extract", &[]), load]), &status), "load"), @r#"
    load of nightly in batch: Skipped

    why:  `when` was false; the expression and what it saw stand below

    dependencies
      extract  Succeeded

    when
      int(steps.extract.outputs.rows) > 0
      steps.extract.outputs.rows is "0"
    "#);
}

#[test]
fn a_step_that_was_passed_over_points_to_where_it_began() {
    let steps = json!([job("extract", &[]), job("load", &["extract"]), job("publish", &["load"])]);
    let status = json!({"phase": "Failed", "steps": [
        {"name": "extract", "phase": "Failed", "reason": "JobLost", "message": "its Job was deleted while it ran"},
        {"name": "load", "phase": "Skipped", "reason": "UpstreamFailed"},
        {"name": "publish", "phase": "Skipped", "reason": "UpstreamFailed", "message": "step \"extract\" did not succeed"},
    ]});
    let flow = flow(&steps, &status);
    let text = said(&flow, "publish");
    assert!(
        text.contains(
            "why:  step \"extract\" did not succeed\ndo:   headworks why -n batch nightly extract\n"
        ),
        "{text}"
    );
    let text = said(&flow, "extract");
    assert!(text.contains("why:  JobLost: its Job was deleted while it ran\ndo:   find out who"), "{text}");
}

#[test]
fn every_reason_to_wait_is_told_with_what_helps() {
    let with = |reason: &str| {
        let waiting = json!({"reason": reason, "message": "so it is", "until": at(130).to_string()});
        let step = json!({"name": "load", "phase": "Pending", "waiting": waiting});
        said(&flow(&json!([job("load", &[])]), &json!({"phase": "Pending", "steps": [step]})), "load")
    };
    let expected = [
        (
            "Suspended",
            "why:  the flow is suspended: so it is\ndo:   go on: kubectl patch jobflow -n batch nightly \
          --type=merge -p '{\"spec\":{\"suspend\":false}}'\n",
        ),
        (
            "Retry",
            "why:  it waits for its next attempt: so it is, in 30s\ndo:   headworks logs -n batch nightly load\n",
        ),
        ("Quota", "why:  the namespace's quota is used up: so it is\ndo:   free some"),
        (
            "Parallelism",
            "why:  as many steps run as executionPolicy.parallelism allows: so it is\ndo:   wait, or allow more\n",
        ),
        ("Concurrency", "why:  another flow of the same concurrencyKey goes first: so it is\n"),
        ("Reference", "why:  a ConfigMap or Secret that it reads is missing, or cannot be read: so it is\n"),
        ("Unheard-of", "why:  Unheard-of: so it is\n"),
    ];
    for (reason, expected) in expected {
        let text = with(reason);
        assert!(text.contains(expected), "{text}");
    }
}

#[test]
fn a_flow_that_nobody_looked_at_says_so() {
    let text = said(&flow(&json!([job("load", &[])]), &Value::Null), "load");
    assert!(text.contains("why:  headworks has not looked at this flow\ndo:   does it run?"), "{text}");
}

#[test]
fn what_could_not_be_read_is_named() {
    let seen = Seen { unread: vec!["pods: pods is forbidden".to_owned()], ..seen(&pod(&json!({}))) };
    let text = said_of(&running_load(), "load", &seen);
    assert!(text.ends_with("\nnot seen\n  pods: pods is forbidden\n"), "{text}");
}
