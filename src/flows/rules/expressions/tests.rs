use serde_json::{Value, json};

use crate::flows::rules::{Options, flow};

/// The lines of the families HW3, HW906 to HW909 and HW913 for a flow with these steps.
fn lines(spec: &Value) -> Vec<String> {
    let mut spec = spec.clone();
    for step in spec["steps"].as_array_mut().unwrap() {
        if step.get("template").is_none() {
            step["template"] = json!({"spec": {"template": {"spec": {
                "restartPolicy": "Never", "containers": [{"name": "main", "image": "busybox:1.36"}]
            }}}});
        }
    }
    let object = json!({
        "apiVersion": "workflow.kube-zen.io/v1alpha1", "kind": "JobFlow", "metadata": {"name": "x"}, "spec": spec
    });
    let ours = ["(HW3", "(HW2", "(HW906)", "(HW907)", "(HW908)", "(HW909)", "(HW913)"];
    let checked = flow(&object, &Options::default());
    let lines = checked.problems.iter().map(ToString::to_string);
    lines.filter(|line| ours.iter().any(|code| line.contains(code))).collect()
}

fn template(env: &Value) -> Value {
    json!({"metadata": {"labels": {"team": "{{ parameters.team }}"}}, "spec": {"template": {"spec": {
        "restartPolicy": "Never", "containers": [{"name": "main", "image": "busybox:1.36", "env": env}]
    }}}})
}

#[test]
fn every_place_of_an_expression_is_checked() {
    let found = lines(&json!({"steps": [
        {"name": "a", "when": "steps.b.phase == \"Failed\"",
         "metadata": {"annotations": {"note": "{{ flow.nam }}"}},
         "inputs": {"parameters": [{"name": "p", "valueFrom": {"expression": "1 +"}}]},
         "template": template(&json!([{"name": "X", "value": "{{ resources.none }}"}]))},
        {"name": "b"}
    ]}));
    let mut fields: Vec<&str> = found.iter().map(|line| line.split(": ").next().unwrap()).collect();
    fields.sort_unstable();
    assert_eq!(
        fields,
        [
            "spec.steps[0].inputs.parameters[0].valueFrom.expression",
            "spec.steps[0].metadata.annotations[note]",
            "spec.steps[0].template.metadata.labels[team]",
            "spec.steps[0].template.spec.template.spec.containers[0].env[0].value",
            "spec.steps[0].when",
        ],
        "{found:#?}"
    );
}

#[test]
fn an_unknown_or_cyclic_dependency_does_not_cascade() {
    let found = lines(&json!({"steps": [
        {"name": "extract"},
        {"name": "b", "dependencies": ["extrct"], "when": "steps.extract.phase == \"Failed\" || steps.extrct.exitCode == 1"}
    ]}));
    assert_eq!(found.len(), 1, "{found:#?}");
    let found = lines(&json!({"steps": [
        {"name": "a", "dependencies": ["c"], "when": "steps.b.exitCode == 1"},
        {"name": "b", "dependencies": ["a"]},
        {"name": "c", "dependencies": ["b"]}
    ]}));
    assert_eq!(found.len(), 1, "{found:#?}");
}

#[test]
fn unused_and_unread_things_are_warnings() {
    let found = lines(&json!({
        "parameters": [{"name": "team", "value": "x"}, {"name": "idle", "value": "x"}],
        "steps": [{"name": "a",
            "inputs": {"parameters": [{"name": "p", "value": "1"}]},
            "outputs": {"parameters": [{"name": "rows", "valueFrom": {"jsonPath": "$.output"}}]},
            "template": template(&json!([]))}]
    }));
    let expected = [
        "spec.parameters[1]: no step uses parameter \"idle\"; use it or remove it (HW908)",
        "spec.steps[0].inputs.parameters[0]: nothing in this step uses parameter \"p\"; use it or remove it (HW908)",
        "spec.steps[0].outputs.parameters[0]: no step reads output \"rows\" (HW907)",
    ];
    assert_eq!(found, expected);
}

#[test]
fn a_secret_is_only_a_whole_env_value() {
    let secret = json!({"secretKeyRef": {"name": "s", "key": "k"}});
    let spec = |value: &str| {
        json!({
            "parameters": [{"name": "team", "value": "x"}],
            "steps": [{"name": "a", "inputs": {"parameters": [{"name": "key", "valueFrom": secret}]},
                "template": template(&json!([{"name": "KEY", "value": value}]))}]
        })
    };
    assert_eq!(lines(&spec("{{ parameters.key }}")), Vec::<String>::new());
    let found = lines(&spec("Bearer {{ parameters.key }}"));
    assert!(found.len() == 1 && found[0].contains("(HW906)"), "{found:?}");
}

#[test]
fn a_step_that_can_never_run_is_a_warning() {
    let spec = |when: &str, go_on: bool| json!({"steps": [{"name": "a", "continueOnFailure": go_on}, {"name": "b", "dependencies": ["a"], "when": when}]});
    let found = lines(&spec("steps.a.phase == \"Failed\"", false));
    assert!(
        found.len() == 1 && found[0].contains("\"a\" is Succeeded; ") && found[0].contains("(HW909)"),
        "{found:?}"
    );
    assert_eq!(lines(&spec("steps.a.phase == \"Failed\"", true)), Vec::<String>::new());
    assert!(lines(&spec("1 > 2", true))[0].contains("always false"));
}
