//! Large objects made to cost as much as possible. Each takes minutes, or all memory, where its bound is missing, and
//! then nobody overlooks it; what they cost as it should be is measured by `cargo bench`, not here.

use headworks::leaders::rules;
use rstest::rstest;
use serde_json::{Value, json};

use super::{admitted, problems};

const BYTES: usize = 128 << 10;

fn fill(part: &str) -> String {
    part.repeat(BYTES / part.len())
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "`json!` takes it by reference, and a caller has no other use for it"
)]
fn flow(steps: Vec<Value>) -> Value {
    json!({"apiVersion": "workflow.kube-zen.io/v1alpha1", "kind": "JobFlow", "metadata": {"name": "a"},
        "spec": {"steps": steps}})
}

fn manual(count: usize) -> Vec<Value> {
    (0..count).map(|i| json!({"name": format!("s{i}"), "type": "Manual"})).collect()
}

fn with_leaf(mut steps: Vec<Value>, text: &str) -> Value {
    steps.push(json!({"name": "last", "template": {"spec": {"template": {"spec": {
        "restartPolicy": "Never",
        "containers": [{"name": "main", "image": "busybox:1.36", "args": [text]}]
    }}}}}));
    flow(steps)
}

fn steps_without_end() -> Value {
    flow(vec![json!({}); BYTES / 3])
}

fn inputs_without_names() -> Value {
    let parameters = vec![json!({}); 256];
    let step = json!({"type": "Manual", "inputs": {"parameters": parameters, "artifacts": parameters}});
    flow(vec![step; BYTES / 2_000])
}

fn unknown_fields() -> Value {
    let mut flow = flow(manual(1));
    for i in 0..BYTES / 12 {
        flow["spec"][format!("f{i}")] = json!(1);
    }
    flow
}

fn unknown_dependencies() -> Value {
    let names: Vec<String> = (0..100).map(|i| format!("t{i}")).collect();
    let mut steps = manual(500);
    for step in &mut steps {
        step["dependencies"] = json!(names);
    }
    flow(steps)
}

fn empty_expressions() -> Value {
    with_leaf(manual(1), &fill("{{}}"))
}

fn unclosed_expressions() -> Value {
    with_leaf(manual(1), &fill("{{ '"))
}

fn expressions_that_read_unknown_steps() -> Value {
    let mut steps = manual(3_000);
    let args: Vec<String> = (0..10_000).map(|i| format!("{{{{ steps.t{i}.phase }}}}")).collect();
    let names: Vec<String> = (0..3_000).map(|i| format!("u{i}")).collect();
    steps.push(json!({"name": "last", "dependencies": names, "template": {"spec": {"template": {"spec": {
        "restartPolicy": "Never", "containers": [{"name": "main", "image": "busybox:1.36", "args": args}]
    }}}}}));
    flow(steps)
}

fn mounts_of_unknown_volumes() -> Value {
    let volumes: Vec<Value> = (0..5_000).map(|i| json!({"name": format!("v{i}"), "emptyDir": {}})).collect();
    let mounts: Vec<Value> =
        (0..5_000).map(|i| json!({"name": format!("w{i}"), "mountPath": format!("/{i}")})).collect();
    flow(vec![json!({"name": "a", "template": {"spec": {"template": {"spec": {
        "restartPolicy": "Never", "volumes": volumes,
        "containers": [{"name": "main", "image": "busybox:1.36", "volumeMounts": mounts}]
    }}}}})])
}

#[rstest]
#[case::steps(steps_without_end())]
#[case::inputs(inputs_without_names())]
#[case::fields(unknown_fields())]
#[case::dependencies(unknown_dependencies())]
#[case::empty(empty_expressions())]
#[case::unclosed(unclosed_expressions())]
#[case::unknown(expressions_that_read_unknown_steps())]
#[case::mounts(mounts_of_unknown_volumes())]
fn a_flow_made_to_be_dear_is_judged_to_its_end(#[case] flow: Value) {
    assert!(!problems(&flow).is_empty());
}

/// An update judges both objects, and compares what is wrong with each.
#[rstest]
#[case::steps(flow(vec![json!({}); 5_001]))]
#[case::empty(empty_expressions())]
fn an_update_of_such_a_flow_goes_through(#[case] stored: Value) {
    let mut updated = stored.clone();
    updated["spec"]["suspend"] = json!(true);
    let verdict = admitted(&updated, Some(&stored));
    assert!(verdict.is_ok(), "{:?}", verdict.err());
}

#[test]
fn a_service_with_many_unknown_fields_is_judged_to_its_end() {
    let mut object = json!({"apiVersion": "v1", "kind": "Service", "spec": {"selector": {"a": "b"}},
        "metadata": {"name": "a", "annotations": {"zen-lead.io/enabled": "true"}}});
    for i in 0..BYTES / 12 {
        object["spec"][format!("f{i}")] = json!(1);
    }
    assert!(rules::service(&object, None).is_empty());
}
