use serde_json::{Value, json};

use crate::flows::rules::{Options, flow};

fn step(restart: &str) -> Value {
    json!({"name": restart.to_lowercase(), "template": {"spec": {"backoffLimit": 0, "template": {"spec": {
        "restartPolicy": restart,
        "containers": [{"name": "main", "image": "a:1", "resources": {"limits": {"cpu": 1}}}]
    }}}}})
}

fn codes(policy: &Value, steps: &[Value]) -> Vec<String> {
    let object = json!({
        "apiVersion": "workflow.kube-zen.io/v1alpha1", "kind": "JobFlow", "metadata": {"name": "f"},
        "spec": {"executionPolicy": policy, "steps": steps}
    });
    let line = |problem: &crate::problem::Problem| {
        let field = problem.field.to_string();
        format!("{} {}", problem.code, field.strip_prefix("spec.executionPolicy.").unwrap_or(&field))
    };
    flow(&object, &Options::default()).problems.iter().map(line).collect()
}

fn rule(rule: &Value) -> Vec<String> {
    codes(&json!({"podFailurePolicy": {"rules": [rule]}}), &[step("Never")])
}

#[test]
fn a_rule_matches_on_exactly_one_thing() {
    let codes = json!({"operator": "In", "values": [1]});
    let conditions = json!([{"type": "DisruptionTarget"}]);
    assert_eq!(rule(&json!({"action": "FailJob", "onExitCodes": codes})), [] as [&str; 0]);
    assert_eq!(rule(&json!({"action": "FailJob"})), ["HW603 podFailurePolicy.rules[0]"]);
    assert_eq!(
        rule(&json!({"action": "FailJob", "onExitCodes": codes, "onPodConditions": conditions})),
        ["HW603 podFailurePolicy.rules[0]"]
    );
    assert_eq!(
        rule(&json!({"action": "FailJob", "onPodConditions": [{"type": "A", "status": "true"}]})),
        ["HW603 podFailurePolicy.rules[0].onPodConditions[0].status"]
    );
}

#[test]
fn exit_codes_are_from_0_to_255_and_0_is_no_failure() {
    let codes = |operator: &str, values: Value| {
        rule(&json!({"action": "FailJob", "onExitCodes": {"operator": operator, "values": values}}))
    };
    let place = "HW604 podFailurePolicy.rules[0].onExitCodes.values";
    assert_eq!(codes("In", json!([1, 0])), [format!("{place}[1]")]);
    assert_eq!(codes("NotIn", json!([0])), [] as [&str; 0]);
    assert_eq!(codes("In", json!([256])), [format!("{place}[0]")]);
    assert_eq!(codes("In", json!([])), [place]);
    assert_eq!(codes("In", json!([3, 1, 3])), [] as [&str; 0], "put in order when the Job is built");
}

#[test]
fn a_container_has_to_be_in_some_step() {
    let told = rule(&json!({"action": "FailJob", "onExitCodes":
        {"containerName": "mian", "operator": "In", "values": [1]}}));
    assert_eq!(told, ["HW605 podFailurePolicy.rules[0].onExitCodes.containerName"]);
}

#[test]
fn ignoring_for_ever_is_warned_of_unless_something_ends_it() {
    let ignore = json!({"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget"}]});
    assert_eq!(rule(&ignore), ["HW918 podFailurePolicy.rules[0].action"]);
    let bounded = json!({"activeDeadlineSeconds": 60, "podFailurePolicy": {"rules": [ignore]}});
    assert_eq!(codes(&bounded, &[step("Never")]), [] as [&str; 0]);
}

#[test]
fn rules_that_reach_no_step_are_an_error_and_some_steps_a_warning() {
    let policy = json!({"podFailurePolicy": {"rules": [
        {"action": "FailJob", "onExitCodes": {"operator": "In", "values": [1]}}]}});
    assert!(codes(&policy, &[step("OnFailure")]).contains(&"HW606 podFailurePolicy".to_owned()));
    let told = codes(&policy, &[step("Never"), step("OnFailure")]);
    assert!(told.iter().any(|line| line.starts_with("HW919 spec.steps[1]")), "{told:?}");
    assert!(!told.iter().any(|line| line.starts_with("HW606")), "{told:?}");
}

#[test]
fn waits_are_go_durations_in_order() {
    let retry = |backoff: Value| {
        let mut step = step("Never");
        step["retryPolicy"] = json!({"backoff": backoff});
        codes(&json!({}), &[step])
    };
    let place = "spec.steps[0].retryPolicy.backoff";
    assert_eq!(retry(json!({"duration": "500ms", "maxDuration": "1h"})), [] as [&str; 0]);
    assert_eq!(retry(json!({"duration": "10"})), [format!("HW110 {place}.duration")]);
    assert_eq!(retry(json!({"duration": "0s"})), [format!("HW110 {place}.duration")]);
    assert_eq!(retry(json!({"duration": "721h"})), [format!("HW110 {place}.duration")]);
    assert_eq!(retry(json!({"duration": "2m", "maxDuration": "1m"})), [format!("HW110 {place}.maxDuration")]);
    assert_eq!(retry(json!({"factor": 0.5})), [format!("HW105 {place}.factor")]);
}

#[test]
fn a_blank_key_is_refused_and_a_short_ttl_told_where_there_are_outputs() {
    assert_eq!(codes(&json!({"concurrencyKey": " a"}), &[step("Never")]), ["HW601 concurrencyKey"]);
    let mut step = step("Never");
    assert_eq!(codes(&json!({"ttlSecondsAfterFinished": 0}), std::slice::from_ref(&step)), [] as [&str; 0]);
    step["outputs"] = json!({"parameters": [{"name": "x", "valueFrom": {"jsonPath": "$.a"}}]});
    let told = codes(&json!({"ttlSecondsAfterFinished": 0}), &[step]);
    assert!(told.contains(&"HW905 ttlSecondsAfterFinished".to_owned()), "{told:?}");
}

#[test]
fn what_admission_writes_is_judged_as_what_the_user_wrote() {
    let mut object = json!({
        "apiVersion": "workflow.kube-zen.io/v1alpha1", "kind": "JobFlow", "metadata": {"name": "f"},
        "spec": {"steps": [{"name": "a", "type": "Manual", "retryPolicy": {"backoff": {"duration": "20m"}}}]}
    });
    let before = flow(&object, &Options::default()).problems;
    crate::flows::api::defaults::apply(&mut object);
    assert_eq!(flow(&object, &Options::default()).problems, before);
    assert_eq!(before, []);
}

#[test]
fn a_hostile_number_of_rules_is_told_once() {
    let rules = vec![json!({"action": "FailJob"}); 50_000];
    let found = codes(&json!({"podFailurePolicy": {"rules": rules}}), &[step("Never")]);
    assert_eq!(found[0], "HW109 podFailurePolicy.rules");
    assert_eq!(found.len(), 21);
}
