//! What people see: Events, columns, `kubectl wait`.

use serde_json::{Value, json};

use super::space::{Run, space};
use super::write::{Flow, flow, job, manual, pass};

/// The Events about a flow as `TYPE REASON`, in the order in which they were sent.
fn events(run: &Run<'_>, enough: usize) -> Vec<Value> {
    crate::eventually("its Events", || {
        let mut events = run.space.list("Event");
        events.retain(|event| event["regarding"]["uid"] == run.uid.as_str());
        events.sort_by_key(|event| event["eventTime"].as_str().unwrap_or_default().to_owned());
        (events.len() >= enough).then_some(events)
    })
}

fn in_words(event: &Value) -> String {
    format!("{} {}", event["type"].as_str().unwrap(), event["reason"].as_str().unwrap())
}

#[test]
fn events_tell_what_people_must_see_and_which_job_it_is_about() {
    let Some(space) = space("events") else { return };
    let run = space.run(
        flow("events")
            .step(pass("fine"))
            .step(
                job("bad", "exit 2")
                    .after(&["fine"])
                    .retry(1, json!({"type": "Fixed", "duration": "100ms"}))
                    .continue_on_failure(),
            )
            .step(job("slow", "sleep 600").after(&["fine"]).timeout(1).continue_on_failure())
            .step(manual("gate").after(&["bad", "slow"]))
            .step(job("last", "exit 3").after(&["gate"]))
            .step(pass("never").after(&["last"])),
    );
    run.until("the gate", |seen| seen.phase() == "Paused");
    run.annotate("approved.workflow.kube-zen.io/gate", "true");
    let end = run.ends_as(
        "Failed",
        &[
            "fine Succeeded",
            "bad Failed BackoffLimitExceeded exit 2 attempt 2",
            "slow Failed StepTimeout",
            "gate Succeeded",
            "last Failed BackoffLimitExceeded exit 3",
            "never Skipped UpstreamFailed",
        ],
    );
    let events = events(&run, 10);
    let mut words: Vec<String> = events.iter().map(in_words).collect();
    // `slow` and `bad` end when they end.
    words[..3].sort();
    assert_eq!(
        words,
        [
            "Warning StepFailed",
            "Warning StepRetry",
            "Warning StepTimeout",
            "Normal StepPendingApproval",
            "Normal FlowPaused",
            "Normal StepApproved",
            "Normal FlowResumed",
            "Warning StepFailed",
            "Normal StepSkipped",
            "Warning FlowFailed",
        ]
    );
    let flow = json!({
        "apiVersion": "workflow.kube-zen.io/v1alpha1", "kind": "JobFlow", "namespace": space.name, "name": "events", "uid": run.uid
    });
    for event in &events {
        let mut regarding = event["regarding"].clone();
        regarding.as_object_mut().unwrap().remove("resourceVersion");
        assert_eq!(regarding, flow);
        assert_eq!(event["reportingController"], "headworks");
    }
    let last = events.iter().rfind(|event| event["reason"] == "StepFailed").unwrap();
    let job = &end.step("last")["jobRef"];
    assert_eq!(last["related"]["kind"], "Job");
    assert_eq!((&last["related"]["name"], &last["related"]["uid"]), (&job["name"], &job["uid"]));
    let note = format!("step \"last\" failed: BackoffLimitExceeded: {}", end.step_message("last"));
    assert_eq!(last["note"], note);
    let ended = events.last().unwrap();
    assert_eq!((&ended["note"], &ended["related"]), (&json!(end.message()), &Value::Null));
}

#[test]
fn kubectl_waits_for_the_end_as_it_does_for_a_job() {
    let Some(space) = space("wait") else { return };
    let good = space.run(flow("good").step(pass("a")));
    let bad = space.run(flow("bad").step(job("a", "exit 1")));
    for (run, condition) in [(&good, "Complete"), (&bad, "Failed")] {
        let said = space.kubectl(&[
            "wait",
            &format!("--for=condition={condition}"),
            "--timeout=90s",
            &format!("jobflow/{}", run.name),
        ]);
        assert!(said.ok, "{}", said.err);
        assert_eq!(said.out.trim(), format!("jobflow.workflow.kube-zen.io/{} condition met", run.name));
    }
    good.ends();
    bad.ends();
}

#[test]
fn columns_tell_where_a_flow_stands_and_why() {
    let Some(space) = space("columns") else { return };
    let run = space.run(flow("columns").step(pass("a")).step(job("b", "exit 1").after(&["a"])));
    let end = run.ends_as("Failed", &["a Succeeded", "b Failed BackoffLimitExceeded exit 1"]);
    let table = space.kubectl(&["get", "jf", "columns"]).out;
    let mut lines = table.lines();
    let heads: Vec<&str> = lines.next().unwrap().split_whitespace().collect();
    assert_eq!(heads, ["NAME", "PHASE", "PROGRESS", "MESSAGE", "AGE"]);
    let row = lines.next().unwrap();
    let cells: Vec<&str> = row.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).collect();
    assert_eq!(cells[..4], ["columns", "Failed", "2/2", end.message()]);
    let wide = space.kubectl(&["get", "flow", "columns", "-o", "wide"]).out;
    let heads: Vec<&str> = wide.lines().next().unwrap().split_whitespace().collect();
    assert_eq!(heads, ["NAME", "PHASE", "PROGRESS", "MESSAGE", "RUNNING", "STARTED", "DURATION", "AGE"]);
    let duration = end.flow["status"]["duration"].as_str().unwrap();
    assert!(wide.lines().nth(1).unwrap().contains(&format!("  {duration}  ")), "{duration}: {wide}");
    let all = space.kubectl(&["get", "all", "-o", "name"]).out;
    assert!(all.lines().any(|line| line == "jobflow.workflow.kube-zen.io/columns"), "{all}");
}

#[test]
fn a_flow_tells_who_started_it() {
    let Some(space) = space("audit") else { return };
    let run = space.run(flow("audit").step(pass("a")));
    let end = run.ends_as("Succeeded", &["a Succeeded"]);
    let who = space.kubectl(&["auth", "whoami", "-o", "jsonpath={.status.userInfo.username}"]).out;
    assert_eq!(
        end.flow["status"]["audit"],
        json!({"initiatedBy": {"user": who, "type": "User"}, "correlationID": run.uid})
    );
}

#[test]
fn the_example_runs_to_its_end() {
    let Some(space) = space("example") else { return };
    let text = std::fs::read_to_string("examples/nightly.yaml").unwrap();
    let mut nightly = headworks::manifest::read(&text).remove(0).unwrap().value;
    nightly["metadata"]["namespace"] = json!(space.name);
    let run = space.run(Flow(nightly));
    let waits = run.until("the approval", |seen| seen.phase() == "Paused");
    let asked = "waits for approval of step \"sign-off\": Are the figures right?";
    assert_eq!((waits.message(), waits.output("extract-orders", "rows")), (asked, Some("42")));
    run.annotate("approved.workflow.kube-zen.io/sign-off", "true");
    run.ends_as(
        "Succeeded",
        &[
            "extract-orders Succeeded",
            "extract-customers Succeeded",
            "join Succeeded",
            "sign-off Succeeded",
            "publish Succeeded",
        ],
    );
    let pod = run.pods(Some("join")).remove(0);
    let log = space.kubectl(&["logs", pod["metadata"]["name"].as_str().unwrap()]);
    assert_eq!(log.out, "joining 42 rows\n", "{}", log.err);
}
