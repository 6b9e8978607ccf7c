//! Reads what expressions refer to: steps, outputs, the flow, objects made from resource templates.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::meter::{BUDGET, Meter};
use super::scope::Names;
use super::{Lack, Scene, Source, cel};
use crate::flows::api::{KeyRef, Step, StepPhase, StepStatus, ValueType};
use crate::flows::expr::{Expression, Read, Scope};
use crate::flows::typed;
use crate::flows::{declared, jsonpath};
use crate::problem::Problems;
use crate::problem::field_path::{FieldPath, Place};

/// Reads for one step, and remembers what was read.
pub(super) struct Reader<'a> {
    pub(super) scene: Scene<'a>,
    pub(super) step: &'a Step,
    pub(super) names: Names<'a>,
    /// Parameters; `None` while one is being found out.
    pub(super) parameters: RefCell<HashMap<String, Option<Result<Value, Lack>>>>,
    pub(super) documents: RefCell<HashMap<String, Option<Rc<Value>>>>,
    /// Bytes of the parameters that were read.
    pub(super) bytes: Cell<usize>,
    /// Places of documents that paths may still look at.
    pub(super) places: Cell<usize>,
    meter: Arc<Meter>,
}

impl<'a> Reader<'a> {
    /// A reader for the scene's step; `None` if there is no such step.
    pub(super) fn new(scene: &Scene<'a>) -> Option<Self> {
        let step = scene.flow.spec.steps.get(scene.step)?;
        Some(Self {
            scene: *scene,
            step,
            names: Names::new(scene.flow, step),
            parameters: RefCell::default(),
            documents: RefCell::default(),
            bytes: Cell::new(0),
            places: Cell::new(jsonpath::MAX_PLACES),
            meter: Meter::new(BUDGET),
        })
    }

    /// Parses a text with one of `expr`'s functions. Admission lets only texts through that can be parsed; others fail.
    pub(super) fn parse<T>(
        &self,
        text: &str,
        place: &FieldPath,
        parse: fn(&str, &Place<'_>, &dyn Scope, &mut Problems) -> T,
    ) -> Result<T, Lack> {
        let mut problems = Problems::new();
        let parsed = parse(text, &Place::ROOT, &self.names, &mut problems);
        match problems.iter().find(|problem| problem.is_error()) {
            Some(problem) => Err(Lack::wrong(problem.what.as_str()).at(place, text)),
            None => Ok(parsed),
        }
    }

    /// Tests whether a Secret was read and has a key.
    pub(super) fn has_key(&self, reference: &KeyRef) -> bool {
        let object = self.scene.sources.read.get(&Source::Secret(reference.name.clone()));
        object.and_then(Option::as_ref).is_some_and(|object| object.contains_key(&reference.key))
    }

    /// The value of an expression.
    pub(super) fn evaluate(&self, expression: &Expression) -> Result<Value, Lack> {
        let bound = expression.bind();
        let values: Vec<Result<Value, Lack>> = bound.reads.iter().map(|read| self.read(read)).collect();
        cel::evaluate(&bound, &values, &self.meter)
    }

    fn read(&self, read: &Read) -> Result<Value, Lack> {
        match read {
            Read::Parameter(name) => self.parameter(name),
            Read::Step { step, property } => self.property(step, property),
            Read::Output { step, name } => self.output(step, name),
            Read::Flow(property) => self.flow(property),
            Read::Own(property) => match property.as_str() {
                "name" => Ok(Value::from(self.step.name.as_str())),
                "attempt" => Ok(Value::from(self.scene.attempt)),
                _ => Err(Lack::wrong(format!("`step` has no `{property}`"))),
            },
            Read::Resource(name) => {
                if !declared::resources(self.scene.flow).contains(&name.as_str()) {
                    return Err(Lack::wrong(format!("no resource template is called \"{name}\"")));
                }
                let flow = self.scene.flow.metadata.name.as_deref().unwrap_or_default();
                Ok(Value::from(format!("{flow}-{name}")))
            }
            Read::Has(read) => match self.read(read) {
                Ok(_) => Ok(Value::from(true)),
                Err(Lack::Absent(_)) => Ok(Value::from(false)),
                Err(other) => Err(other),
            },
        }
    }

    /// Finds a step and its status.
    fn status(&self, step: &str) -> Result<(&'a Step, &'a StepStatus), Lack> {
        let index = self.names.find(step);
        let found = index
            .and_then(|index| Some((self.scene.flow.spec.steps.get(index)?, self.scene.steps.get(index)?)));
        found.ok_or_else(|| Lack::wrong(format!("there is no step \"{step}\"")))
    }

    fn property(&self, step: &str, property: &str) -> Result<Value, Lack> {
        let (_, status) = self.status(step)?;
        let phase = status.phase.unwrap_or(StepPhase::Pending);
        let absent = || Lack::Absent(format!("step \"{step}\" has no {property}: it is {}", phase.as_str()));
        let time = |time: &Option<_>| serde_json::to_value(time).ok().filter(Value::is_string);
        match property {
            "phase" => Ok(Value::from(phase.as_str())),
            "attempt" => Ok(Value::from(status.attempt.unwrap_or(1))),
            // A step that says nothing has an empty message.
            "message" => Ok(Value::from(status.message.as_deref().unwrap_or_default())),
            "exitCode" => match (status.exit_code, phase) {
                (Some(code), _) => Ok(Value::from(code)),
                (None, StepPhase::Succeeded) => Ok(Value::from(0)),
                _ => Err(absent()),
            },
            "startTime" => time(&status.start_time).ok_or_else(absent),
            "completionTime" => time(&status.completion_time).ok_or_else(absent),
            _ => Err(Lack::wrong(format!("a step has no `{property}`"))),
        }
    }

    /// A step's output, or the default that its declaration gives.
    fn output(&self, step: &str, name: &str) -> Result<Value, Lack> {
        let (declaration, status) = self.status(step)?;
        let declared = declared::outputs(declaration).iter().find(|output| output.name == name);
        let declared =
            declared.ok_or_else(|| Lack::wrong(format!("step \"{step}\" has no output \"{name}\"")))?;
        let kept = status.outputs.iter().flat_map(|outputs| &outputs.parameters);
        let kept = kept.filter(|output| output.name == name).map(|output| output.value.as_str()).next();
        let text = kept.or(declared.default.as_deref()).ok_or_else(|| {
            let phase = status.phase.unwrap_or(StepPhase::Pending).as_str();
            Lack::Absent(format!("output \"{name}\" of step \"{step}\" has no value: the step is {phase}"))
        })?;
        typed::read(text, declared.type_.unwrap_or(ValueType::String))
            .map_err(|wanted| Lack::wrong(format!("output \"{name}\" of step \"{step}\" {wanted}")))
    }

    fn flow(&self, property: &str) -> Result<Value, Lack> {
        let metadata = &self.scene.flow.metadata;
        let text = |text: &Option<String>| Ok(Value::from(text.as_deref().unwrap_or_default()));
        let map = |map: &Option<BTreeMap<String, String>>| {
            let entries = map.iter().flatten().map(|(key, value)| (key.clone(), Value::from(value.as_str())));
            Ok(Value::Object(entries.collect::<Map<_, _>>()))
        };
        match property {
            "name" => text(&metadata.name),
            "namespace" => text(&metadata.namespace),
            "uid" => text(&metadata.uid),
            "labels" => map(&metadata.labels),
            "annotations" => map(&metadata.annotations),
            "createdAt" => serde_json::to_value(&metadata.creation_timestamp)
                .ok()
                .filter(Value::is_string)
                .ok_or_else(|| Lack::Absent("the flow has no creation time".to_owned())),
            _ => Err(Lack::wrong(format!("`flow` has no `{property}`"))),
        }
    }
}
