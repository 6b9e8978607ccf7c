//! Steps where somebody decides, and who it was.

use serde_json::json;

use super::space::{Run, Space, space};
use super::status::{near, seconds};
use super::write::{Flow, flow, job, manual, pass};

/// The right to do what the cluster's own role `edit` may do here, for a user.
fn may_edit(space: &Space, user: &str) {
    space.create(&json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": user},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "edit"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user}]
    }));
}

/// Decide as that user does: with kubectl.
fn decide(run: &Run<'_>, user: &str, step: &str, word: &str) {
    let annotation = format!("approved.workflow.kube-zen.io/{step}={word}");
    let said = run.space.kubectl(&["annotate", "jobflow", &run.name, &annotation, "--as", user]);
    assert!(said.ok, "{}", said.err);
}

fn with_gate(name: &str) -> Flow {
    flow(name)
        .step(pass("build"))
        .step(manual("gate").after(&["build"]).with(json!({"message": "Ship it?"})))
        .step(pass("ship").after(&["gate"]))
}

#[test]
fn an_approved_step_goes_on_and_tells_who_approved() {
    let Some(space) = space("approved") else { return };
    may_edit(&space, "alice");
    let run = space.run(with_gate("approved"));
    let waits = run.until("the gate", |seen| seen.phase() == "Paused");
    assert_eq!(waits.step_phase("gate"), "PendingApproval");
    assert_eq!(waits.waiting("gate"), "Approval");
    assert_eq!(waits.message(), "waits for approval of step \"gate\": Ship it?");
    assert_eq!(waits.condition("Ready").unwrap(), "False FlowPaused");
    decide(&run, "alice", "gate", "true");
    let end = run.ends_as("Succeeded", &["build Succeeded", "gate Succeeded", "ship Succeeded"]);
    assert_eq!(end.step("gate")["approvedBy"], "alice");
    assert!(end.step("gate")["jobRef"].is_null());
}

#[test]
fn a_rejected_step_fails_and_tells_who_rejected() {
    let Some(space) = space("rejected") else { return };
    may_edit(&space, "bob");
    let run = space.run(with_gate("rejected"));
    run.until("the gate", |seen| seen.phase() == "Paused");
    decide(&run, "bob", "gate", "false");
    let end =
        run.ends_as("Failed", &["build Succeeded", "gate Failed Rejected", "ship Skipped UpstreamFailed"]);
    assert_eq!(end.step("gate")["approvedBy"], "bob");
    assert_eq!(end.message(), "step \"gate\" failed: Rejected: rejected by bob");
}

#[test]
fn nobody_decides_without_the_right_to_and_nobody_in_anothers_name() {
    let Some(space) = space("rights") else { return };
    may_edit(&space, "alice");
    let run = space.run(with_gate("rights"));
    run.until("the gate", |seen| seen.phase() == "Paused");
    let annotate = |user: &str, annotations: &[&str]| {
        let said = [&["annotate", "jobflow", "rights", "--as", user], annotations].concat();
        space.kubectl(&said)
    };
    let approve = "approved.workflow.kube-zen.io/gate=true";
    let stranger = annotate("mallory", &[approve]);
    assert!(!stranger.ok && stranger.err.contains("Forbidden"), "{}", stranger.err);
    let forged = annotate("alice", &[approve, "approved-by.workflow.kube-zen.io/gate=bob"]);
    assert!(!forged.ok && forged.err.contains("HW705"), "{}", forged.err);
    decide(&run, "alice", "gate", "true");
    let end = run.ends_as("Succeeded", &["build Succeeded", "gate Succeeded", "ship Succeeded"]);
    assert_eq!(end.step("gate")["approvedBy"], "alice");
}

#[test]
fn an_approval_may_come_before_its_step_is_reached() {
    let Some(space) = space("early") else { return };
    may_edit(&space, "alice");
    let run = space.run(with_gate("early").suspended());
    decide(&run, "alice", "gate", "true");
    run.patch(&json!({"spec": {"suspend": false}}));
    let end = run.ends_as("Succeeded", &["build Succeeded", "gate Succeeded", "ship Succeeded"]);
    assert_eq!(end.step("gate")["approvedBy"], "alice");
    assert_eq!(end.step_started("gate"), end.step_completed("gate"));
    assert!(!run.versions().iter().any(|version| version.phase() == "Paused"));
}

#[test]
fn an_approval_that_does_not_come_in_time_fails_the_step() {
    let Some(space) = space("tired") else { return };
    let run = space.run(
        flow("tired")
            .step(manual("gate").timeout(3).continue_on_failure())
            .step(pass("next").after(&["gate"])),
    );
    let end = run.ends_as("Succeeded", &["gate Failed StepTimeout", "next Succeeded"]);
    assert_eq!(end.step_message("gate"), "nobody approved within 3 s");
    near("the timeout", seconds(end.step_started("gate"), end.step_completed("gate")), 3.0, 0.5);
}

#[test]
fn a_flow_is_paused_only_while_nothing_else_runs() {
    let Some(space) = space("paused") else { return };
    let run = space.run(flow("paused").step(manual("gate")).step(job("other", "sleep 2; exit 8")));
    let waits = run.until("the gate", |seen| seen.step_phase("gate") == "PendingApproval");
    assert_eq!((waits.phase(), waits.step_phase("other")), ("Running", "Running"));
    // What waits for somebody when the flow has failed waits for nothing any more.
    run.ends_as("Failed", &["gate Cancelled FlowFailed", "other Failed BackoffLimitExceeded exit 8"]);
}
