//! Generates flows: most references lead somewhere, some do not; and flows with any mistake at all.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::mutate::{Choices, change};

/// Names that are easy to confuse: one is the start of another, one is a word of CEL.
const STEPS: [&str; 8] = ["load", "load-a", "a", "in", "extract", "x9", "load-a-b", "sign-off"];

/// How one step refers to another.
#[derive(Clone, Debug)]
enum Reference {
    Phase,
    Output,
    Leaf,
    Label,
    Input,
    JsonPath,
    ShortJsonPath,
    Artifact,
    Parameter,
    Deprecated,
}

/// One reference: how, and to which step. Mostly a dependency, sometimes any step, seldom none.
type Read = (Reference, usize, u8);

#[derive(Clone, Debug)]
struct Plan {
    dependencies: Vec<(usize, u8)>,
    reads: Vec<Read>,
    manual: bool,
    outputs: bool,
}

/// `luck` is a bound on the luck of each reference: the less, the more of them are wrong.
fn plan(luck: u8) -> impl Strategy<Value = Plan> {
    let reference = prop_oneof![
        Just(Reference::Phase),
        Just(Reference::Output),
        Just(Reference::Leaf),
        Just(Reference::Label),
        Just(Reference::Input),
        Just(Reference::JsonPath),
        Just(Reference::ShortJsonPath),
        Just(Reference::Artifact),
        Just(Reference::Parameter),
        Just(Reference::Deprecated),
    ];
    (
        prop::collection::vec((0..8_usize, 0..luck), 0..3),
        prop::collection::vec((reference, 0..8_usize, 0..luck), 0..3),
        prop::bool::weighted(0.2),
        prop::bool::weighted(0.9),
    )
        .prop_map(|(dependencies, reads, manual, outputs)| Plan { dependencies, reads, manual, outputs })
}

/// A flow in which at most references are wrong.
pub(super) fn flow() -> impl Strategy<Value = Value> {
    prop::collection::vec(plan(100), 1..=STEPS.len()).prop_map(|plans| build(&plans))
}

/// A flow with up to five mistakes of any kind; the object itself stays one that an API server would send.
pub(super) fn mistaken() -> impl Strategy<Value = Value> {
    let plans = prop::collection::vec(plan(20), 1..=STEPS.len());
    let bytes = prop::collection::vec(any::<u8>(), 0..120);
    (plans, any::<bool>(), bytes).prop_map(|(plans, generated, bytes)| {
        let mut flow = build(&plans);
        if generated {
            flow["metadata"] = json!({"generateName": "nightly-"});
        }
        let mut choices = Choices(&bytes);
        for _ in 0..choices.below(6) {
            change(&mut flow["spec"], &mut choices);
        }
        flow
    })
}

/// Any JSON, with keys that flows have.
pub(super) fn json_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "[a-z{}$.\\n\u{263a}-]{0,12}".prop_map(Value::from),
    ];
    let key = prop_oneof![
        Just("spec"),
        Just("metadata"),
        Just("steps"),
        Just("executionPolicy"),
        Just("retryPolicy"),
        Just("backoff"),
        Just("annotations"),
        Just("name"),
        Just("generateName"),
        Just("template"),
        Just("kind"),
    ];
    leaf.prop_recursive(5, 40, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((key.clone(), inner), 0..5).prop_map(|entries| entries
                .into_iter()
                .map(|(key, value)| (key.to_owned(), value))
                .collect()),
        ]
    })
}

fn build(plans: &[Plan]) -> Value {
    // With an artifact in it a flow is refused (HW425): only where some step reads one are there any.
    let reads = |plan: &Plan| plan.reads.iter().any(|(how, ..)| matches!(how, Reference::Artifact));
    let artifacts = plans.iter().any(reads);
    let steps: Vec<Value> =
        plans.iter().enumerate().map(|(i, plan)| step(plan, i, plans.len(), artifacts)).collect();
    json!({
        "apiVersion": "workflow.kube-zen.io/v1alpha1", "kind": "JobFlow",
        "metadata": {"name": "generated", "labels": {"team": "data"}},
        "spec": {"parameters": [{"name": "day", "value": "x"}, {"name": "max-rows", "default": "3"}], "steps": steps}
    })
}

fn step(plan: &Plan, i: usize, count: usize, artifacts: bool) -> Value {
    // 96 of 100 dependencies are earlier steps, two any, one the step itself, one nobody.
    let mut dependencies: Vec<&str> = Vec::new();
    for &(which, luck) in &plan.dependencies {
        let name = match luck {
            0 => "nobody",
            1 => STEPS[i],
            2 | 3 => STEPS[which % count],
            _ if i == 0 => continue,
            _ => STEPS[which % i],
        };
        if luck < 4 || !dependencies.contains(&name) {
            dependencies.push(name);
        }
    }
    let mut step = json!({
        "name": STEPS[i],
        "metadata": {"labels": {}},
        "inputs": {"parameters": [{"name": "own", "value": "1"}], "artifacts": []},
        "dependencies": dependencies,
    });
    if plan.manual {
        step["type"] = json!("Manual");
    } else {
        step["template"] = json!({"spec": {"template": {"spec": {
            "restartPolicy": "Never",
            "containers": [{"name": "main", "image": "busybox:1.36", "args": ["{{ parameters.own }}"]}]
        }}}});
    }
    if plan.outputs {
        step["outputs"] = json!({
            "parameters": [{"name": "rows", "type": "int", "valueFrom": {"jsonPath": "$.output.rows"}}],
        });
        if artifacts {
            step["outputs"]["artifacts"] = json!([{"name": "data", "path": "/out/data"}]);
        }
    }
    for (n, read) in plan.reads.iter().enumerate() {
        refer(&mut step, n, read, &dependencies, count);
    }
    step
}

/// Add a reference to a step.
fn refer(step: &mut Value, n: usize, (how, which, luck): &Read, dependencies: &[&str], count: usize) {
    let target = match luck {
        0 | 1 => "nobody",
        2..=6 => STEPS[which % count],
        _ => match dependencies {
            [] => return,
            list => list[which % list.len()],
        },
    };
    let output = if *luck == 99 { "missing" } else { "rows" };
    // A word of CEL has to stand in brackets.
    let path = if target == "in" || luck % 2 == 0 {
        format!("steps[\"{target}\"]")
    } else {
        format!("steps.{target}")
    };
    let runs = step.get("template").is_some();
    let leaf = |step: &mut Value, text: String| {
        if let Some(args) = step.pointer_mut("/template/spec/template/spec/containers/0/args") {
            args.as_array_mut().unwrap().push(text.into());
        }
    };
    match how {
        Reference::Phase => step["when"] = json!(format!("{path}.phase == \"Succeeded\"")),
        Reference::Output => step["when"] = json!(format!("{path}.outputs.{output} > 3 && true")),
        Reference::Leaf => {
            leaf(step, format!("a {{{{ {path}.outputs.{output} }}}} b {{{{parameters.day}}}}"));
        }
        Reference::Label => step["metadata"]["labels"]["x"] = json!(format!("{{{{ {path}.phase }}}}")),
        Reference::Input => add(
            step,
            "parameters",
            json!({
                "name": format!("p{n}"), "valueFrom": {"expression": format!("{path}.outputs.{output} + 1")}
            }),
        ),
        Reference::JsonPath => add(
            step,
            "parameters",
            json!({
                "name": format!("p{n}"), "valueFrom": {"jsonPath": format!("{target}:$.output.rows")}
            }),
        ),
        Reference::ShortJsonPath => add(
            step,
            "parameters",
            json!({
                "name": format!("p{n}"), "valueFrom": {"jsonPath": "{.output.rows}"}
            }),
        ),
        Reference::Artifact => {
            let artifact = if *luck == 99 { "missing" } else { "data" };
            add(step, "artifacts", json!({"name": format!("a{n}"), "from": format!("{target}/{artifact}")}));
        }
        Reference::Parameter => {
            let name = ["day", "max-rows", "own"][which % 3];
            let name = if *luck < 2 { "nobody" } else { name };
            leaf(step, format!("{{{{ parameters.{name} }}}}"));
        }
        Reference::Deprecated if runs => {
            leaf(step, format!("${{parameters.day}} {{{{ .StepStatus.{target}.Phase }}}}"));
        }
        Reference::Deprecated => {}
    }
}

fn add(step: &mut Value, list: &str, entry: Value) {
    step["inputs"][list].as_array_mut().unwrap().push(entry);
}
