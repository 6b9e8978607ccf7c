//! What is admitted can be evaluated: on the corpus's sound flows no name is unknown at run time.

use std::collections::BTreeMap;
use std::path::Path;

use headworks::flows::api::{JobFlow, OutputValue, Step, StepOutputs, StepPhase, StepStatus, ValueType};
use headworks::flows::eval;
use headworks::flows::eval::{Scene, Source, Sources, Unready};
use headworks::flows::rules;
use headworks::flows::rules::Options;
use serde_json::{Value, json};

use crate::cluster::root;

/// What is said of a name that nobody knows, or of a text that cannot be read.
const ABOUT_NAMES: [&str; 10] = [
    "there is no step",
    "there is no such step",
    "there is no parameter",
    "has no output",
    "no resource template",
    "no value by itself",
    "names no step",
    "a step has no",
    "cannot be evaluated",
    "cannot be read",
];

#[test]
fn what_is_admitted_fails_for_no_name() {
    let (mut flows, mut done) = (0, 0);
    for entry in std::fs::read_dir(root().join("tests/corpus/accept")).unwrap() {
        let file = entry.unwrap().path();
        if file.extension().is_none_or(|ending| ending != "yaml") {
            continue;
        }
        let text = std::fs::read_to_string(&file).unwrap();
        for document in headworks::manifest::read(&text).into_iter().flatten() {
            if document.value["kind"] == "JobFlow" {
                flows += 1;
                done += evaluate(&document.value, &file);
            }
        }
    }
    assert!(flows > 40 && done > flows, "{done} of the steps of {flows} flows");
}

/// Evaluate every step of a flow that is admitted, and count those of which everything could be.
fn evaluate(object: &Value, file: &Path) -> usize {
    let checked = rules::flow(object, &Options::default());
    assert!(checked.is_valid(), "{}", file.display());
    let flow = checked.flow;
    let steps: Vec<StepStatus> = flow.spec.steps.iter().map(succeeded).collect();
    let mut sources = Sources::default();
    let mut sound = 0;
    for place in 0..steps.len() {
        let said = |what: Result<(), String>| match what {
            Ok(()) => 1,
            Err(message) => {
                let about = ABOUT_NAMES.iter().find(|words| message.contains(**words));
                assert!(about.is_none(), "{}: step {place}: {message}", file.display());
                0
            }
        };
        sound +=
            said(with_sources(&flow, &steps, place, &mut sources, |scene| eval::when(scene).map(|_| ())));
        sound +=
            said(with_sources(&flow, &steps, place, &mut sources, |scene| eval::render(scene).map(|_| ())));
        sound += said(
            eval::outputs(&flow.spec.steps[place], &document())
                .map(|_| ())
                .map_err(|failure| failure.message),
        );
    }
    sound / 3
}

/// Evaluate, and read what is asked for.
fn with_sources(
    flow: &JobFlow,
    steps: &[StepStatus],
    step: usize,
    sources: &mut Sources,
    evaluate: impl Fn(&Scene<'_>) -> Result<(), Unready>,
) -> Result<(), String> {
    let document = |_: &str| Some(document());
    for _ in 0..2 {
        let scene = Scene { flow, steps, step, attempt: 1, sources: &*sources, document: &document };
        match evaluate(&scene) {
            Ok(()) => return Ok(()),
            Err(Unready::Failed(failure)) => return Err(failure.message),
            // A key of which the corpus knows no better.
            Err(Unready::Missing(what)) => return Err(what),
            Err(Unready::Unread) => return Err("nothing is unreadable here".to_owned()),
            Err(Unready::Needs(needs)) => {
                for source in needs {
                    let data = keys(flow, &source).map(|key| (key, b"1".to_vec())).collect();
                    sources.read.insert(source, Some(data));
                }
            }
        }
    }
    panic!("asked for something twice")
}

/// Every key of a ConfigMap or Secret that the flow names.
fn keys<'f>(flow: &'f JobFlow, source: &'f Source) -> impl Iterator<Item = String> {
    let (field, wanted) = match source {
        Source::ConfigMap(name) => ("configMapKeyRef", name),
        Source::Secret(name) => ("secretKeyRef", name),
    };
    let mut found = Vec::new();
    let mut open = vec![serde_json::to_value(&flow.spec).unwrap()];
    while let Some(value) = open.pop() {
        if let Some(reference) = value.get(field)
            && reference["name"] == wanted.as_str()
        {
            found.extend(reference["key"].as_str().map(str::to_owned));
        }
        match value {
            Value::Array(list) => open.extend(list),
            Value::Object(map) => open.extend(map.into_iter().map(|(_, entry)| entry)),
            _ => {}
        }
    }
    found.into_iter()
}

fn succeeded(step: &Step) -> StepStatus {
    let declared = step.outputs.iter().flat_map(|outputs| &outputs.parameters);
    let value = |declared: Option<ValueType>| match declared {
        Some(ValueType::Bool) => "true",
        Some(ValueType::Json) => "{\"rows\": 1}",
        _ => "1",
    };
    let parameters = declared
        .map(|output| OutputValue { name: output.name.clone(), value: value(output.type_).to_owned() })
        .collect();
    let at = |text: &str| Some(text.parse::<jiff::Timestamp>().unwrap().into());
    StepStatus {
        name: step.name.clone(),
        phase: Some(StepPhase::Succeeded),
        start_time: at("2026-11-24T10:00:00Z"),
        completion_time: at("2026-11-24T10:00:01Z"),
        attempt: Some(1),
        exit_code: Some(0),
        outputs: Some(Box::new(StepOutputs { parameters, artifacts: Vec::new() })),
        ..StepStatus::default()
    }
}

fn document() -> Value {
    let container = json!({"output": {"rows": 1}, "exitCode": 0, "reason": "Completed"});
    json!({
        "metadata": {"name": "job", "namespace": "ns", "uid": "u", "labels": BTreeMap::from([("app", "a")])},
        "spec": {"completions": 1, "parallelism": 1, "backoffLimit": 0},
        "status": {"succeeded": 1, "conditions": [{"type": "Complete", "status": "True"}]},
        "output": {"rows": 1, "count": 1},
        "containers": {"main": container, "side": container},
        "pods": [{"name": "job-x", "index": 0, "phase": "Succeeded", "node": "n", "containers": {"main": container}}]
    })
}
