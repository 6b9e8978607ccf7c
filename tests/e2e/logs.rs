//! `headworks logs`: pods that really print.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use headworks::flows::job_name::job_name;
use serde_json::{Value, json};

use super::command::{self, Said};
use super::{eventually, installed, json as get, kubectl};

fn headworks(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_headworks"));
    command.args(args).args(["-n", "logs"]);
    command
}

fn logs(args: &[&str]) -> Said {
    command::run(&mut headworks(&[&["logs", "printing"], args].concat()), "")
}

/// A Job as the engine makes it, its name and all; its containers run our own image, which has a program that prints.
fn job(uid: &Value, step: &str, attempt: &str, containers: &Value) {
    let name = job_name("printing", uid.as_str().unwrap(), step, attempt.parse().unwrap(), None);
    let labels = json!({
        "workflow.kube-zen.io/flow": "printing", "workflow.kube-zen.io/step": step,
        "workflow.kube-zen.io/managed-by": "zen-flow",
    });
    let owner = json!({
        "apiVersion": "workflow.kube-zen.io/v1alpha1", "kind": "JobFlow", "name": "printing", "uid": uid, "controller": true,
    });
    let job = json!({
        "apiVersion": "batch/v1", "kind": "Job",
        "metadata": {
            "name": name, "namespace": "logs", "labels": labels,
            "annotations": {"workflow.kube-zen.io/attempt": attempt}, "ownerReferences": [owner],
        },
        "spec": {"backoffLimit": 0, "template": {
            "metadata": {"labels": labels}, "spec": {"restartPolicy": "Never", "containers": containers},
        }},
    });
    kubectl(&["create", "-f", "-"], &job.to_string());
}

#[test]
fn what_steps_print_is_shown_once_and_as_it_comes() {
    if !installed() {
        return;
    }
    let deployment = get(&["-n", super::NAMESPACE, "get", "deployment", "headworks"]);
    let image = &deployment["spec"]["template"]["spec"]["containers"][0]["image"];
    let container = |name: &str, args: &[&str]| json!({"name": name, "image": image, "args": args});
    let step = |name: &str| {
        json!({"name": name, "template": {"spec": {"template": {"spec": {
        "restartPolicy": "Never", "containers": [container("main", &["crd"])]}}}}})
    };
    // Suspended, so that nothing but this test makes its Jobs.
    let flow = json!({
        "apiVersion": "workflow.kube-zen.io/v1alpha1", "kind": "JobFlow", "metadata": {"name": "printing", "namespace": "logs"},
        "spec": {"suspend": true, "steps": [step("tell"), step("serve")]},
    });
    kubectl(&["create", "namespace", "logs"], "");
    kubectl(&["create", "-f", "-"], &flow.to_string());
    let uid = get(&["-n", "logs", "get", "jobflow", "printing"])["metadata"]["uid"].clone();

    // A first attempt that fails, and a second with two containers.
    job(&uid, "tell", "1", &json!([container("main", &["explain", "HW0"])]));
    let first =
        eventually("the first attempt to print", || Some(logs(&["tell"]).out).filter(|out| !out.is_empty()));
    job(
        &uid,
        "tell",
        "2",
        &json!([container("main", &["explain", "HW201"]), container("side", &["explain", "HW203"])]),
    );
    let said = eventually("both containers to print", || {
        let said = logs(&["tell"]);
        (said.out.contains("[main] ") && said.out.contains("[side] ")).then_some(said.out)
    });
    assert!(said.lines().any(|line| line.starts_with("[main] ") && line.contains("HW201")), "{said}");
    assert!(said.lines().any(|line| line.starts_with("[side] ") && line.contains("HW203")), "{said}");
    let side = logs(&["tell", "-c", "side", "--tail", "1"]);
    assert!(side.ok && side.out.lines().count() == 1, "{side:?}");
    assert_eq!(logs(&["tell", "--attempt", "1"]).out, first);

    // One that goes on: its lines come while it runs, from a pod that starts after the command did.
    let mut follow = headworks(&["logs", "printing", "-f"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(follow.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().starts_with("[tell/side] ")));
    let serve = ["run", "--no-controllers", "--cert-mode", "mounted", "--cert-dir", "/tmp"];
    job(&uid, "serve", "1", &json!([container("main", &serve)]));
    let line =
        lines.find(|line| line.as_ref().is_ok_and(|line| line.starts_with("[serve] "))).unwrap().unwrap();
    assert!(line.contains("headworks"), "{line}");
    follow.kill().unwrap();
    follow.wait().unwrap();
    kubectl(&["delete", "namespace", "logs", "--wait=false"], "");
}
