//! Jobs of every shape that Kubernetes knows, and what keeps one from running.

use std::time::Duration;

use serde_json::{Value, json};

use super::space::{Space, space};
use super::status::{near, seconds};
use super::write::{Step, flow, job, pass, tell};

#[test]
fn a_job_with_three_completions_is_done_when_all_three_are() {
    let Some(space) = space("completions") else { return };
    let step = job("three", "sleep 1").job_spec(json!({"completions": 3, "parallelism": 2}));
    let run = space.run(flow("completions").step(step).step(pass("next").after(&["three"])));
    run.ends_as("Succeeded", &["three Succeeded", "next Succeeded"]);
    assert_eq!(run.pods(Some("three")).len(), 3);
}

#[test]
fn an_indexed_job_is_done_when_every_index_is() {
    let Some(space) = space("indexed") else { return };
    let step = job("shards", "sleep 1; printf %s $JOB_COMPLETION_INDEX > /dev/termination-log")
        .job_spec(json!({"completionMode": "Indexed", "completions": 3, "parallelism": 3}))
        .output("all", "$.pods[*].containers.main.output")
        .output("first", "$.output");
    let run = space.run(flow("indexed").step(step));
    let end = run.ends_as("Succeeded", &["shards Succeeded"]);
    assert_eq!(end.output("shards", "all"), Some("[0,1,2]"));
    assert_eq!(end.output("shards", "first"), Some("0"));
}

#[test]
fn an_index_that_fails_fails_the_step_with_its_exit_code() {
    let Some(space) = space("index") else { return };
    let step = job("shards", "exit $((JOB_COMPLETION_INDEX * 9))")
        .job_spec(json!({"completionMode": "Indexed", "completions": 2, "parallelism": 2}));
    let run = space.run(flow("index").step(step));
    let end = run.ends_as("Failed", &["shards Failed BackoffLimitExceeded exit 9"]);
    let message = end.step_message("shards");
    assert!(message.contains("-1-") && message.ends_with(" exited with 9"), "{message}");
}

/// A step whose exit code stands in the ConfigMap `verdict`, so that a test can change its mind between two pods.
pub(super) fn told_by_config_map(space: &Space, name: &str, code: &str) -> Step {
    space.config_map("verdict", "code", code);
    job(name, "exit $CODE").container(
        json!({"env": [{"name": "CODE", "valueFrom": {"configMapKeyRef": {"name": "verdict", "key": "code"}}}]}),
    )
}

/// Wait until a pod has failed, then have the next one do better.
pub(super) fn let_the_next_succeed(space: &Space) -> Value {
    let first = space.pods.find(Duration::from_mins(1), |records| {
        let mut pods = records.iter().map(|record| &record.object);
        pods.find(|pod| pod["status"]["phase"] == "Failed").cloned()
    });
    space.patch("ConfigMap", "verdict", &json!({"data": {"code": "0"}}));
    first.unwrap()
}

#[test]
fn a_failed_pod_is_no_failed_step_while_the_job_may_replace_it() {
    let Some(space) = space("replaced") else { return };
    let step = told_by_config_map(&space, "stubborn", "3").job_spec(json!({"backoffLimit": 3}));
    let run = space.run(flow("replaced").step(step));
    let first = let_the_next_succeed(&space);
    let end = run.ends_as("Succeeded", &["stubborn Succeeded"]);
    let pods = run.pods(None);
    assert_eq!(pods.len(), 2);
    assert_eq!(pods[0]["metadata"]["uid"], first["metadata"]["uid"]);
    // It is one attempt of the flow, whatever the Job did.
    assert_eq!(end.step("stubborn")["attempt"], 1);
    assert_eq!(run.jobs(None).len(), 1);
}

#[test]
fn a_container_restarted_in_place_is_the_same_attempt() {
    let Some(space) = space("onfailure") else { return };
    let script = "test -e /state/second && exit 0; touch /state/second; exit 1";
    let step = job("again", script)
        .job_spec(json!({"backoffLimit": 6}))
        .pod_spec(json!({"restartPolicy": "OnFailure", "volumes": [{"name": "state", "emptyDir": {}}]}))
        .container(json!({"volumeMounts": [{"name": "state", "mountPath": "/state"}]}));
    let run = space.run(flow("onfailure").step(step));
    run.ends_as("Succeeded", &["again Succeeded"]);
    let pods = run.pods(None);
    assert_eq!(pods.len(), 1);
    assert_eq!(pods[0]["status"]["containerStatuses"][0]["restartCount"], 1);
}

#[test]
fn a_job_past_its_own_deadline_fails_the_step() {
    let Some(space) = space("jobdeadline") else { return };
    let step = job("slow", "sleep 600").job_spec(json!({"activeDeadlineSeconds": 3}));
    let run = space.run(flow("jobdeadline").step(step));
    let end = run.ends_as("Failed", &["slow Failed DeadlineExceeded"]);
    assert_eq!(end.step_message("slow"), "Job was active longer than specified deadline");
    run.leaves_nothing_running(Some("slow"));
}

#[test]
fn a_job_that_the_api_server_refuses_fails_the_step_in_its_words() {
    let Some(space) = space("refused") else { return };
    // Nobody can tell before it runs.
    let step = pass("only")
        .after(&["name"])
        .with(json!({"template": {"metadata": {"labels": {"team": "{{ steps.name.outputs.team }}"}}}}))
        .retry(3, json!({"type": "Fixed", "duration": "100ms"}));
    let run =
        space.run(flow("refused").step(tell("name", "no label!").output("team", "$.output")).step(step));
    let end = run.ends_as("Failed", &["name Succeeded", "only Failed JobRefused"]);
    let message = end.step_message("only");
    assert!(message.contains("metadata.labels: Invalid value: \"no label!\""), "{message}");
}

#[test]
fn a_quota_of_jobs_is_waited_for_and_told_of() {
    let Some(space) = space("quota") else { return };
    quota(&space, "count/jobs.batch");
    let run = space.run(flow("quota").step(pass("only")));
    let waits = run.until("the quota to be told of", |seen| seen.waiting("only") == "Quota");
    let words = waits.step("only")["waiting"]["message"].as_str().unwrap();
    assert!(words.contains("exceeded quota: few, requested: count/jobs.batch=1"), "{words}");
    assert_eq!(waits.message(), format!("step \"only\": Quota: {words}"));
    assert_eq!((waits.phase(), waits.step_phase("only")), ("Running", "Running"));
    space.patch("ResourceQuota", "few", &json!({"spec": {"hard": {"count/jobs.batch": "5"}}}));
    let end = run.ends_as("Succeeded", &["only Succeeded"]);
    assert!(end.step("only")["waiting"].is_null());
    assert_eq!(end.step("only")["attempt"], 1);
}

/// A quota that allows none, in force.
fn quota(space: &Space, resource: &str) {
    space.create(&json!({
        "apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "few"}, "spec": {"hard": {resource: "0"}}
    }));
    crate::eventually("the quota to be in force", || {
        let quota = space.get("ResourceQuota", "few")?;
        (quota["status"]["hard"][resource] == "0").then_some(())
    });
}

#[test]
fn a_pod_that_no_node_takes_is_told_of_in_the_clusters_words() {
    let Some(space) = space("unschedulable") else { return };
    let step = pass("homeless").pod_spec(json!({"nodeSelector": {"planet": "mars"}})).timeout(20);
    let run = space.run(flow("unschedulable").step(step));
    let waits = run.until("it to be told", |seen| seen.waiting("homeless") == "Unschedulable");
    let words = waits.step("homeless")["waiting"]["message"].as_str().unwrap();
    assert!(words.contains("node(s) didn't match Pod's node affinity/selector"), "{words}");
    assert_eq!(waits.message(), format!("step \"homeless\": Unschedulable: {words}"));
    let end = run.ends_as("Failed", &["homeless Failed StepTimeout"]);
    assert_eq!(end.step_message("homeless"), "not done within 20 s; it waited: Unschedulable");
    near("the timeout", seconds(end.step_started("homeless"), end.step_completed("homeless")), 20.0, 0.5);
    run.leaves_nothing_running(None);
}

#[test]
fn an_image_that_does_not_exist_is_told_of_in_the_clusters_words() {
    let Some(space) = space("image") else { return };
    let step = pass("missing").container(json!({"image": "headworks.invalid/nothing:1"})).timeout(30);
    let run = space.run(flow("image").step(step));
    let waits = run.until("it to be told", |seen| seen.waiting("missing") == "ImagePull");
    let words = waits.step("missing")["waiting"]["message"].as_str().unwrap();
    assert!(words.contains("headworks.invalid/nothing:1"), "{words}");
    let end = run.ends_as("Failed", &["missing Failed StepTimeout"]);
    assert_eq!(end.step_message("missing"), "not done within 30 s; it waited: ImagePull");
    run.leaves_nothing_running(None);
}

#[test]
fn pods_that_a_quota_refuses_are_told_of_and_waited_for() {
    let Some(space) = space("podquota") else { return };
    quota(&space, "pods");
    let run = space.run(flow("podquota").step(pass("only")));
    let waits = run.until("the quota to be told of", |seen| seen.waiting("only") == "Quota");
    let words = waits.step("only")["waiting"]["message"].as_str().unwrap();
    assert!(
        words.contains("exceeded quota: few, requested: pods=1, used: pods=0, limited: pods=0"),
        "{words}"
    );
    assert_eq!(waits.message(), format!("step \"only\": Quota: {words}"));
    assert!(run.pods(None).is_empty());
    space.patch("ResourceQuota", "few", &json!({"spec": {"hard": {"pods": "5"}}}));
    let end = run.ends_as("Succeeded", &["only Succeeded"]);
    assert!(end.step("only")["waiting"].is_null());
}

#[test]
fn pods_that_the_cluster_refuses_are_told_of_until_the_step_times_out() {
    let Some(space) = space("podrefused") else { return };
    let step = pass("only").pod_spec(json!({"priorityClassName": "platinum"})).timeout(30);
    let run = space.run(flow("podrefused").step(step));
    let waits = run.until("it to be told", |seen| seen.waiting("only") == "Unavailable");
    let words = waits.step("only")["waiting"]["message"].as_str().unwrap();
    assert!(words.contains("no PriorityClass with name platinum was found"), "{words}");
    let end = run.ends_as("Failed", &["only Failed StepTimeout"]);
    assert_eq!(end.step_message("only"), "not done within 30 s; it waited: Unavailable");
}
