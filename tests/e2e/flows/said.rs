//! What a step is believed to have said: all of it or nothing, by its own container, however soon its Job is gone.

use serde_json::{Value, json};

use super::space::{Space, space};
use super::write::{IMAGE, flow, job, pass};
use crate::{eventually, kubectl};

#[test]
fn what_kubernetes_cut_is_told_and_never_handed_on() {
    let Some(space) = space("cut") else { return };
    // `{"rows": 42, "all": "xxx"}` of so many bytes in all.
    let says = |bytes: usize| {
        let filler = bytes - r#"{"rows": 42, "all": ""}"#.len();
        format!(
            r#"(printf '{{"rows": 42, "all": "'; head -c {filler} /dev/zero | tr '\0' x; printf '"}}') > /dev/termination-log"#
        )
    };
    let sleeps = |name: &str| json!({"name": name, "image": IMAGE, "command": ["true"]});
    let four = {
        let mut step = json!({"name": "main", "image": IMAGE, "command": ["sh", "-c", says(3_923)]});
        step["resources"] = json!({});
        json!({"containers": [step, sleeps("b"), sleeps("c"), sleeps("d")]})
    };
    let prose = "head -c 5000 /dev/zero | tr '\\0' x > /dev/termination-log";
    let run = space.run(
        flow("cut")
            .step(job("alone", &says(5_022)).output("rows", "$.output.rows").continue_on_failure())
            .step(pass("shared").pod_spec(four).output("rows", "$.output.rows").continue_on_failure())
            .step(job("prose", prose).output("all", "$.output").continue_on_failure())
            .step(job("whole", &says(4_096)).output("rows", "$.output.rows"))
            .step(job("lines", "printf 'two\\n\\n' > /dev/termination-log").output("all", "$.output")),
    );
    let end = run.ends_as(
        "Succeeded",
        &[
            "alone Failed OutputInvalid",
            "shared Failed OutputInvalid",
            "prose Failed OutputInvalid",
            "whole Succeeded",
            "lines Succeeded",
        ],
    );
    for (step, kept) in [("alone", "last 4096"), ("shared", "first 3072"), ("prose", "last 4096")] {
        let words = format!(
            "$.output was cut: of this container's termination message Kubernetes keeps the {kept} bytes"
        );
        assert!(end.step_message(step).contains(&words), "{step}: {}", end.step_message(step));
    }
    assert_eq!(end.output("whole", "rows"), Some("42"));
    assert_eq!(end.output("lines", "all"), Some("two\n"));
}

/// Have every new object of a kind in the space changed, from now on.
fn policy(
    space: &Space,
    resource: &str,
    patch: &str,
    probe: &Value,
    is_done: impl Fn(&Value) -> bool,
) -> Policy {
    let name = &space.name;
    let policy = json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "MutatingAdmissionPolicy", "metadata": {"name": name},
        "spec": {
            "failurePolicy": "Fail", "reinvocationPolicy": "Never",
            "matchConstraints": {
                "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": name}},
                "resourceRules": [{
                    "apiGroups": ["", "batch"], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": [resource]
                }]
            },
            "mutations": [{"patchType": "JSONPatch", "jsonPatch": {"expression": patch}}]
        }
    });
    let binding = json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "MutatingAdmissionPolicyBinding",
        "metadata": {"name": name}, "spec": {"policyName": name}
    });
    for object in [policy, binding] {
        kubectl(&["create", "-f", "-"], &object.to_string());
    }
    let dry = ["-n", name, "create", "--dry-run=server", "-o", "json", "-f", "-"];
    eventually("the policy to be in force", || {
        let made: Value = serde_json::from_str(&kubectl(&dry, &probe.to_string())).unwrap();
        is_done(&made).then_some(())
    });
    Policy(name.clone())
}

/// A policy that goes with the test.
struct Policy(String);

impl Drop for Policy {
    fn drop(&mut self) {
        for kind in ["mutatingadmissionpolicybinding", "mutatingadmissionpolicy"] {
            kubectl(&["delete", kind, &self.0], "");
        }
    }
}

#[test]
fn a_container_that_a_policy_puts_first_does_not_speak_for_the_step() {
    let Some(space) = space("injected") else { return };
    let patch = format!(
        r#"[JSONPatch{{op: "add", path: "/spec/containers/0", value: Object.spec.containers{{name: "mesh-proxy", image: "{IMAGE}",
        command: ["sh", "-c", "echo from the mesh > /dev/termination-log; sleep 2; exit 0"]}}}}]"#
    );
    let probe = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "probe"},
        "spec": {"containers": [{"name": "main", "image": IMAGE}]}});
    let _policy =
        policy(&space, "pods", &patch, &probe, |pod| pod["spec"]["containers"][0]["name"] == "mesh-proxy");
    let run = space.run(
        flow("injected")
            .step(job("work", "echo from the step > /dev/termination-log").output("said", "$.output"))
            .step(job("fails", "exit 7").continue_on_failure())
            .step(
                pass("check")
                    .after(&["work", "fails"])
                    .when(r#"steps.work.outputs.said == "from the step" && steps.fails.exitCode == 7"#),
            ),
    );
    let end = run.ends_as(
        "Succeeded",
        &["work Succeeded", "fails Failed BackoffLimitExceeded exit 7", "check Succeeded"],
    );
    assert_eq!(end.output("work", "said"), Some("from the step"));
    for pod in run.pods(None) {
        assert_eq!(pod["spec"]["containers"][0]["name"], "mesh-proxy");
    }
}

#[test]
fn a_step_whose_job_is_deleted_as_soon_as_it_has_ended_has_ended_so() {
    let Some(space) = space("swept") else { return };
    let patch = r#"[JSONPatch{op: "add", path: "/spec/ttlSecondsAfterFinished", value: 0}]"#;
    let probe = json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "probe"}, "spec": {"template": {
        "spec": {"restartPolicy": "Never", "containers": [{"name": "main", "image": IMAGE}]}}}});
    let _policy = policy(&space, "jobs", patch, &probe, |job| job["spec"]["ttlSecondsAfterFinished"] == 0);
    let backoff = || json!({"type": "Fixed", "duration": "1s"});
    let names: Vec<String> = (0..8).map(|n| format!("s{n}")).collect();
    let steps = names.iter().map(|name| {
        // The Job's own status is read as well: its condition is waited for, and comes with its deletion.
        job(name, "echo 1 > /dev/termination-log")
            .output("count", "$.output")
            .output("succeeded", "$.status.succeeded")
            .retry(2, backoff())
    });
    let run = space.run(flow("swept").policy(json!({"onStepFailure": "RunIndependent"})).steps(steps));
    let wanted: Vec<String> = names.iter().map(|name| format!("{name} Succeeded")).collect();
    let end = run.ends_as("Succeeded", &wanted.iter().map(String::as_str).collect::<Vec<_>>());
    for name in &names {
        assert_eq!(
            (end.output(name, "count"), end.output(name, "succeeded")),
            (Some("1"), Some("1")),
            "{name}"
        );
        assert_eq!(end.step(name)["attempt"], 1, "{name}");
    }
}
