use super::*;

fn flow(annotations: &serde_json::Value, status: &serde_json::Value) -> JobFlow {
    let steps = json!([
        {"name": "extract", "template": {"spec": {}}},
        {"name": "sign-off", "type": "Manual", "dependencies": ["extract"]},
        {"name": "optional", "type": "Manual", "continueOnFailure": true},
    ]);
    serde_json::from_value(json!({
        "apiVersion": "workflow.kube-zen.io/v1alpha1", "kind": "JobFlow",
        "metadata": {"name": "nightly", "namespace": "batch", "annotations": annotations},
        "spec": {"steps": steps}, "status": status,
    }))
    .unwrap()
}

fn at(phase: &str) -> JobFlow {
    flow(&json!({}), &json!({"steps": [{"name": "sign-off", "phase": phase}]}))
}

fn refusal(flow: &JobFlow, step: &str, decision: Decision) -> String {
    judge(flow, step, decision).unwrap_err().to_string()
}

#[test]
fn a_step_may_be_decided_on_before_it_is_reached_and_while_it_waits() {
    for phase in ["Pending", "PendingApproval"] {
        assert_eq!(judge(&at(phase), "sign-off", Decision::Approve).unwrap(), Some(Before::Nothing));
    }
    assert_eq!(
        judge(&flow(&json!({}), &json!(null)), "sign-off", Decision::Reject).unwrap(),
        Some(Before::Nothing)
    );
}

#[test]
fn what_cannot_be_decided_is_told_with_what_can() {
    let fresh = at("Pending");
    assert_eq!(
        refusal(&fresh, "sign-of", Decision::Approve),
        "nightly has no step \"sign-of\"; did you mean \"sign-off\"?"
    );
    assert_eq!(
        refusal(&fresh, "deploy", Decision::Approve),
        "nightly has no step \"deploy\"; its Manual steps: sign-off, optional"
    );
    assert_eq!(
        refusal(&fresh, "extract", Decision::Approve),
        "the step \"extract\" of nightly runs a Job, nobody has to approve it; its Manual steps: sign-off, optional"
    );
}

#[test]
fn a_decision_is_final_once_the_step_is() {
    let decided = flow(
        &json!({"approved.workflow.kube-zen.io/sign-off": "true"}),
        &json!({"steps": [{"name": "sign-off", "phase": "Succeeded", "approvedBy": "joe"}]}),
    );
    assert_eq!(
        refusal(&decided, "sign-off", Decision::Reject),
        "the step \"sign-off\" of nightly is Succeeded already (decided by joe); that is final"
    );
    // Saying the same again harms nobody.
    assert_eq!(judge(&decided, "sign-off", Decision::Approve).unwrap(), None);
    assert!(
        refusal(&at("Skipped"), "sign-off", Decision::Approve).contains("is Skipped already; that is final")
    );
    // It failed by its timeout, not by a decision.
    assert!(refusal(&at("Failed"), "sign-off", Decision::Reject).contains("is Failed already"));
}

#[test]
fn a_flow_that_is_over_takes_no_decision() {
    let over = flow(&json!({}), &json!({"phase": "Failed"}));
    assert_eq!(
        refusal(&over, "sign-off", Decision::Approve),
        "nightly is Failed already; there is nothing left to decide"
    );
}

#[test]
fn it_is_told_what_follows_and_who_was_recorded() {
    let approved = json!({
        "approved.workflow.kube-zen.io/sign-off": "true",
        "approved-by.workflow.kube-zen.io/sign-off": "jane",
    });
    let waits = flow(&approved, &json!({"steps": [{"name": "sign-off", "phase": "PendingApproval"}]}));
    assert_eq!(
        done(&waits, "sign-off", Decision::Approve, &Before::Nothing),
        "approved sign-off of nightly (recorded as jane); the flow goes on"
    );
    assert_eq!(
        already(&waits, "sign-off", Decision::Approve),
        "sign-off of nightly is approved already, by jane"
    );
    assert_eq!(
        done(&at("Pending"), "sign-off", Decision::Reject, &Before::Otherwise),
        "rejected sign-off of nightly, which was approved before (nobody recorded who: the webhook of headworks is not \
         installed); the step fails when the flow gets there, and the flow with it"
    );
    assert!(
        done(&waits, "optional", Decision::Reject, &Before::Nothing)
            .ends_with("which continueOnFailure forgives")
    );
}
