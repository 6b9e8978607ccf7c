#![expect(clippy::needless_pass_by_value, reason = "`json!` at a call reads better without a `&`")]

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;

use super::*;
use crate::flows::api::{JobFlow, StepOutputs, StepPhase, StepStatus};
use crate::flows::rules;

mod bounds;
mod outputs;
mod parameters;
mod properties;
mod render;
mod when;

/// A flow `f` whose last step is about to start; the others are done.
struct World {
    flow: JobFlow,
    steps: Vec<StepStatus>,
    sources: Sources,
    documents: BTreeMap<String, Value>,
}

/// A template of one container with these fields beside its image.
fn template(fields: Value) -> Value {
    let mut container = json!({"name": "main", "image": "busybox:1.37"});
    container.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    json!({"spec": {"template": {"spec": {"restartPolicy": "Never", "containers": [container]}}}})
}

/// A step that runs after `load`, with these fields.
fn step(fields: Value) -> Value {
    let mut step = json!({"name": "here", "dependencies": ["load"], "template": template(json!({}))});
    step.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    step
}

impl World {
    /// Steps `load` (outputs `rows`: int, `text`, `data`: json, and `maybe` with a default; the same of no value in
    /// `lack`), `load-a`, and the step of these fields.
    fn of(fields: Value) -> Self {
        Self::with(json!({}), fields)
    }

    /// The same with fields of the flow's spec.
    fn with(spec: Value, fields: Value) -> Self {
        let output = |name: &str, kind: &str| json!({"name": name, "type": kind, "valueFrom": {"jsonPath": "$.output"}});
        let load = json!({"name": "load", "template": template(json!({})), "outputs": {"parameters": [
            output("rows", "int"), output("text", "string"), output("data", "json"), output("lack", "string"),
            {"name": "maybe", "valueFrom": {"jsonPath": "$.output.x"}, "default": "its default"}
        ]}});
        let load_a = json!({"name": "load-a", "template": template(json!({}))});
        let mut flow = json!({
            "apiVersion": "workflow.kube-zen.io/v1alpha1", "kind": "JobFlow",
            "metadata": {"name": "f", "namespace": "ns", "uid": "u-1", "labels": {"team": "blue"},
                         "creationTimestamp": "2026-11-24T10:00:00Z"},
            "spec": {"steps": [load, load_a, fields]}
        });
        flow["spec"].as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
        let checked = rules::flow(&flow, &rules::Options::default());
        let errors: Vec<String> = checked.errors().map(ToString::to_string).collect();
        assert!(errors.is_empty(), "{errors:#?}");
        let mut steps: Vec<StepStatus> = checked.flow.spec.steps.iter().map(done).collect();
        let value = |name: &str, value: &str| OutputValue { name: name.to_owned(), value: value.to_owned() };
        steps[0].outputs = Some(Box::new(StepOutputs {
            parameters: vec![
                value("rows", "42"),
                value("text", "a \"b\"\n{{ step.name }}"),
                value("data", "{\"list\": [1, 2.5, \"x\"], \"on\": true, \"none\": null}"),
            ],
            artifacts: Vec::new(),
        }));
        let documents = BTreeMap::from([(
            "load".to_owned(),
            json!({
                "metadata": {"name": "f-load"}, "spec": {}, "status": {"succeeded": 1},
                "output": {"rows": 42, "name": "x\n", "list": [1, 2], "none": null, "half": 0.5},
                "containers": {"main": {"output": "said\n", "exitCode": 0}}
            }),
        )]);
        Self { flow: checked.flow, steps, sources: Sources::default(), documents }
    }

    fn scene<T>(&self, look: impl FnOnce(&Scene<'_>) -> T) -> T {
        let document = |step: &str| self.documents.get(step).cloned();
        look(&Scene {
            flow: &self.flow,
            steps: &self.steps,
            step: self.steps.len() - 1,
            attempt: 2,
            sources: &self.sources,
            document: &document,
        })
    }

    fn when(&self) -> Result<bool, Unready> {
        self.scene(when)
    }

    fn render(&self) -> Result<Rendered, Unready> {
        self.scene(render)
    }

    fn source(mut self, source: Source, data: Option<&[(&str, &str)]>) -> Self {
        let owned = |data: &[(&str, &str)]| {
            data.iter().map(|(key, value)| ((*key).to_owned(), value.as_bytes().to_vec())).collect()
        };
        self.sources.read.insert(source, data.map(owned));
        self
    }

    fn config(self, name: &str, data: Option<&[(&str, &str)]>) -> Self {
        self.source(Source::ConfigMap(name.to_owned()), data)
    }

    fn secret(self, name: &str, data: Option<&[(&str, &str)]>) -> Self {
        self.source(Source::Secret(name.to_owned()), data)
    }

    fn phase(mut self, step: &str, phase: StepPhase) -> Self {
        let found = self.steps.iter_mut().find(|status| status.name == step).unwrap();
        found.phase = Some(phase);
        if phase != StepPhase::Succeeded {
            found.outputs = None;
            self.documents.remove(step);
        }
        self
    }
}

fn done(step: &Step) -> StepStatus {
    StepStatus {
        name: step.name.clone(),
        phase: Some(StepPhase::Succeeded),
        start_time: Some("2026-11-24T10:00:01Z".parse::<jiff::Timestamp>().unwrap().into()),
        completion_time: Some("2026-11-24T10:00:02.5Z".parse::<jiff::Timestamp>().unwrap().into()),
        attempt: Some(1),
        exit_code: Some(0),
        ..StepStatus::default()
    }
}

/// Returns the message of a failed evaluation.
#[track_caller]
fn failed<T: std::fmt::Debug>(outcome: Result<T, Unready>) -> Failure {
    match outcome {
        Err(Unready::Failed(failure)) => failure,
        other => panic!("{other:?}"),
    }
}

/// A step whose only input is `p`.
fn input(parameter: Value) -> Value {
    let mut parameter = parameter;
    parameter["name"] = json!("p");
    json!({"inputs": {"parameters": [parameter]}})
}
