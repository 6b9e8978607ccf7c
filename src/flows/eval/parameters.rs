//! Parameters: where their values come from, and what they are read as.

use std::rc::Rc;

use serde_json::Value;

use super::reader::Reader;
use super::{Failure, Lack, Source, convert, paths};
use crate::flows::api::{KeyRef, StepPhase, ValueType};
use crate::flows::declared;
use crate::flows::declared::Parameter;
use crate::flows::typed;
use crate::flows::typed::MAX_VALUES;
use crate::flows::{expr, jsonpath};
use crate::problem::field_path::FieldPath;

impl Reader<'_> {
    /// The value of a parameter as expressions see it.
    pub(super) fn parameter(&self, name: &str) -> Result<Value, Lack> {
        match self.parameters.borrow().get(name) {
            Some(Some(known)) => return known.clone(),
            Some(None) => return Err(Lack::wrong(format!("parameter \"{name}\" needs itself"))),
            None => {}
        }
        self.parameters.borrow_mut().insert(name.to_owned(), None);
        let found = self.find_out(name);
        self.parameters.borrow_mut().insert(name.to_owned(), Some(found.clone()));
        found
    }

    fn find_out(&self, name: &str) -> Result<Value, Lack> {
        let parameter = Parameter::find(self.scene.flow, self.step, name)
            .ok_or_else(|| Lack::wrong(format!("there is no parameter \"{name}\"")))?;
        let place = self.place(parameter);
        let value = match (self.source(parameter, &place), parameter.default()) {
            (Ok(value), _) => value,
            (Err(Lack::Absent(_) | Lack::Missing(_)), Some(default)) => Value::from(default),
            (Err(lack), _) => return Err(lack),
        };
        let declared = parameter.value_type();
        // Otherwise a value that is JSON already would be parsed as the text of JSON.
        if declared == ValueType::Json && parameter.expression().is_some() && !value.is_string() {
            self.count(value.to_string().len(), &place)?;
            return Ok(value);
        }
        let text = convert::to_text(&value).unwrap_or_default();
        self.count(text.len(), &place)?;
        typed::read(&text, declared).map_err(|wanted| {
            let message = format!("{place}: the value does not fit the declared type: {wanted}");
            Lack::Failed(Failure::new("ParameterInvalid", &message))
        })
    }

    /// Returns the field in which a parameter is declared.
    pub(super) fn place(&self, parameter: Parameter<'_>) -> FieldPath {
        let spec = FieldPath::default().field("spec");
        let (list, at) = match parameter {
            Parameter::Input(input) => (
                spec.field("steps").index(self.scene.step).field("inputs"),
                declared::inputs(self.step).iter().position(|known| known.name == input.name),
            ),
            Parameter::Flow(parameter) => {
                (spec, self.scene.flow.spec.parameters.iter().position(|known| known.name == parameter.name))
            }
        };
        list.field("parameters").index(at.unwrap_or_default())
    }

    /// Counts the bytes of a value.
    fn count(&self, bytes: usize, place: &FieldPath) -> Result<(), Lack> {
        self.bytes.set(self.bytes.get().saturating_add(bytes));
        if bytes > MAX_VALUES { Err(Lack::Failed(Failure::too_large(place, bytes))) } else { Ok(()) }
    }

    /// Reads the parameter's source; the error tells absent and missing values from wrong ones.
    fn source(&self, parameter: Parameter<'_>, place: &FieldPath) -> Result<Value, Lack> {
        if let Some(value) = parameter.value() {
            return Ok(Value::from(value));
        }
        if let Some(text) = parameter.expression() {
            return self.expression(text, place);
        }
        if let Some(text) = parameter.json_path() {
            return self.json_path(text, place).map(Value::from);
        }
        if let Some(reference) = parameter.config_map_key() {
            return self.key(&Source::ConfigMap(reference.name.clone()), reference, place);
        }
        if let Some(reference) = parameter.secret_key() {
            return self.key(&Source::Secret(reference.name.clone()), reference, place);
        }
        Err(Lack::Absent(format!("{place} has no source")))
    }

    fn expression(&self, text: &str, place: &FieldPath) -> Result<Value, Lack> {
        let place = place.clone().field("valueFrom").field("expression");
        let Some(expression) = self.parse(text, &place, expr::parse_expression)? else {
            return Err(Lack::wrong("cannot be read").at(&place, text));
        };
        match self.evaluate(&expression) {
            Ok(Value::Null) => Err(Lack::Absent("the expression gives null".to_owned())),
            Err(lack @ Lack::Absent(_)) => Err(lack),
            other => other.map_err(|lack| lack.at(&place, text)),
        }
    }

    /// `STEP:PATH`, or `PATH` in the result of the only dependency.
    fn json_path(&self, text: &str, place: &FieldPath) -> Result<String, Lack> {
        let place = place.clone().field("valueFrom").field("jsonPath");
        let (step, path) = jsonpath::split_step(text);
        let step = match (step, self.step.dependencies.as_slice()) {
            (Some(step), _) => step,
            (None, [only]) => only,
            (None, _) => return Err(Lack::wrong("names no step").at(&place, text)),
        };
        let path = jsonpath::parse(path).map_err(|error| Lack::wrong(error.message).at(&place, text))?;
        let document = self.document(step)?;
        paths::pick(&path, &document, &self.places).map_err(|broken| match broken {
            paths::Broken::Nothing(why) => Lack::Absent(format!("the result of step \"{step}\": {why}")),
            paths::Broken::Wrong(why) => {
                Lack::wrong(format!("the result of step \"{step}\": {why}")).at(&place, text)
            }
        })
    }

    fn document(&self, step: &str) -> Result<Rc<Value>, Lack> {
        let mut documents = self.documents.borrow_mut();
        let document =
            documents.entry(step.to_owned()).or_insert_with(|| (self.scene.document)(step).map(Rc::new));
        document.clone().ok_or_else(|| {
            let status = self.names.find(step).and_then(|place| self.scene.steps.get(place));
            let phase = status.and_then(|status| status.phase).unwrap_or(StepPhase::Pending);
            let why = if phase == StepPhase::Succeeded { "its Job is gone" } else { phase.as_str() };
            Lack::Absent(format!("step \"{step}\" has no result: {why}"))
        })
    }

    fn key(&self, source: &Source, reference: &KeyRef, place: &FieldPath) -> Result<Value, Lack> {
        let missing = |what: String| {
            if reference.optional == Some(true) { Lack::Absent(what) } else { Lack::Missing(what) }
        };
        if let Some(unread) = self.scene.sources.unread.get(source) {
            return Err(Lack::Unread(unread.clone()));
        }
        let object = match self.scene.sources.read.get(source) {
            None => return Err(Lack::Needs(source.clone())),
            Some(None) => return Err(missing(format!("{source} does not exist"))),
            Some(Some(object)) => object,
        };
        let bytes = object
            .get(&reference.key)
            .ok_or_else(|| missing(format!("{source} has no key \"{}\"", reference.key)))?;
        let text = std::str::from_utf8(bytes).map_err(|_| {
            let message = format!("{place}: {source}, key \"{}\": is no UTF-8 text", reference.key);
            Lack::Failed(Failure::new("ParameterInvalid", &message))
        })?;
        Ok(Value::from(text))
    }
}
