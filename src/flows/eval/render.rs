//! Replaces the expressions of a template and of `steps[].metadata` by their values.
//!
//! Only strings are looked at, never keys, and each once: a value that holds braces is not looked at again.

use std::cell::Cell;
use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::reader::Reader;
use super::{Failure, Lack, Unready, convert, kubelet_escape, template_slots};
use crate::flows::api::JobTemplate;
use crate::flows::declared;
use crate::flows::declared::Parameter;
use crate::flows::expr;
use crate::flows::expr::{Part, Read, Template};
use crate::flows::typed;
use crate::flows::typed::MAX_VALUES;
use crate::problem::field_path::FieldPath;

/// The most bytes that values may add to a template: no API server takes a larger Job.
const MAX_ADDED: usize = 1024 * 1024;

/// The template of a step's Job, every expression replaced by its value.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rendered {
    /// The template, as a Job; null for a Manual step.
    pub template: Value,
    /// `steps[].metadata.labels`.
    pub labels: BTreeMap<String, String>,
    /// `steps[].metadata.annotations`.
    pub annotations: BTreeMap<String, String>,
}

/// Renders the reader's step.
pub(super) fn render(reader: &Reader<'_>) -> Result<Rendered, Unready> {
    let step = reader.step;
    let here = FieldPath::default().field("spec").field("steps").index(reader.scene.step);
    // A Manual step makes no Job; its template is not used.
    let template = step.template.as_ref().filter(|_| !step.is_manual()).map(JobTemplate::value);
    let mut rendered = Rendered::default();
    let mut writer = Writer { reader, added: Cell::new(0), leaves: Vec::new() };
    if let Some(template) = &template {
        rendered.template = template.clone().into_owned();
        let root = here.clone().field("template");
        for (path, text) in template_slots::find(template) {
            writer.take(text, Home::Template(path.clone()), root.join(&path))?;
        }
    }
    if let Some(metadata) = &step.metadata {
        let place = here.field("metadata");
        rendered.labels.clone_from(&metadata.labels);
        rendered.annotations.clone_from(&metadata.annotations);
        for (key, text) in &metadata.labels {
            writer.take(text, Home::Label(key), place.clone().field("labels").key(key))?;
        }
        for (key, text) in &metadata.annotations {
            writer.take(text, Home::Annotation(key), place.clone().field("annotations").key(key))?;
        }
    }
    writer.ask()?;
    writer.inputs()?;
    writer.write(&mut rendered)?;
    match reader.bytes.get() {
        bytes if bytes > MAX_VALUES => {
            let place = FieldPath::default().field("spec").field("steps").index(reader.scene.step);
            Err(Unready::Failed(Failure::too_large(&place, bytes)))
        }
        _ => Ok(rendered),
    }
}

/// The place of a text with expressions.
enum Home<'t> {
    Template(FieldPath),
    Label(&'t str),
    Annotation(&'t str),
}

struct Leaf<'t, 'a> {
    home: Home<'t>,
    place: FieldPath,
    text: &'t str,
    template: Template,
    /// The parameter, if the text is an env variable's value and nothing but a parameter from a Secret.
    secret: Option<Parameter<'a>>,
}

struct Writer<'r, 't, 'a> {
    reader: &'r Reader<'a>,
    /// Bytes that values have added.
    added: Cell<usize>,
    leaves: Vec<Leaf<'t, 'a>>,
}

impl<'t, 'a> Writer<'_, 't, 'a> {
    fn take(&mut self, text: &'t str, home: Home<'t>, place: FieldPath) -> Result<(), Unready> {
        if expr::has_expression(text) {
            let template = self.reader.parse(text, &place, expr::parse_text)?;
            let secret = match &home {
                Home::Template(path) if template_slots::is_env_value(path) => self.secret(&template),
                _ => None,
            };
            self.leaves.push(Leaf { home, place, text, template, secret });
        }
        Ok(())
    }

    fn secret(&self, template: &Template) -> Option<Parameter<'a>> {
        let bound = template_slots::only(template)?.bind();
        let Some(Read::Parameter(name)) = bound.only() else { return None };
        let found = Parameter::find(self.reader.scene.flow, self.reader.step, name)?;
        (found.value().is_none() && found.secret_key().is_some()).then_some(found)
    }

    /// Asks for every ConfigMap and Secret that is needed, all together.
    fn ask(&self) -> Result<(), Unready> {
        let mut reads: Vec<Read> = self.promised().map(|name| Read::Parameter(name.to_owned())).collect();
        for leaf in &self.leaves {
            // With a default, whether the key is there has to be known.
            if leaf.secret.is_some_and(|parameter| parameter.default().is_none()) {
                continue;
            }
            for part in &leaf.template.parts {
                if let Part::Expression(expression) = part {
                    reads.extend(expression.bind().reads);
                }
            }
        }
        self.reader.ask(&reads)
    }

    /// The declared inputs: promises, used or not. A Secret is read only where it is used in clear.
    fn promised(&self) -> impl Iterator<Item = &'a str> {
        let inputs = declared::inputs(self.reader.step).iter();
        inputs.filter(|input| Parameter::Input(input).secret_key().is_none()).map(|input| input.name.as_str())
    }

    fn inputs(&self) -> Result<(), Unready> {
        let mut missing = None;
        for name in self.promised() {
            match self.reader.parameter(name) {
                // A value from an `optional` source may be absent: it matters only where it is used.
                Ok(_) => {}
                Err(Lack::Absent(_)) if self.is_optional(name) => {}
                Err(Lack::Missing(what)) => missing = missing.or(Some(what)),
                Err(lack) => {
                    let place = Parameter::find(self.reader.scene.flow, self.reader.step, name)
                        .map(|parameter| self.reader.place(parameter));
                    return Err(lack.at(&place.unwrap_or_default(), "").into());
                }
            }
        }
        missing.map_or(Ok(()), |what| Err(Unready::Missing(what)))
    }

    fn is_optional(&self, name: &str) -> bool {
        let parameter = Parameter::find(self.reader.scene.flow, self.reader.step, name);
        let key = parameter.and_then(Parameter::config_map_key);
        key.is_some_and(|key| key.optional == Some(true))
    }

    fn write(&self, rendered: &mut Rendered) -> Result<(), Unready> {
        let mut missing = None;
        for leaf in &self.leaves {
            match self.value(leaf) {
                Ok(value) => put(rendered, leaf, value),
                Err(Unready::Missing(what)) => missing = missing.or(Some(what)),
                Err(other) => return Err(other),
            }
        }
        missing.map_or(Ok(()), |what| Err(Unready::Missing(what)))
    }

    fn value(&self, leaf: &Leaf<'_, '_>) -> Result<Written, Unready> {
        if let Some(reference) = leaf.secret.and_then(Parameter::secret_key) {
            let has_default = leaf.secret.is_some_and(|parameter| parameter.default().is_some());
            if !has_default || self.reader.has_key(reference) {
                let mut source = json!({"name": reference.name, "key": reference.key});
                if let Some(optional) = reference.optional {
                    source["optional"] = Value::from(optional);
                }
                return Ok(Written::SecretKey(source));
            }
        }
        let wanted = match &leaf.home {
            Home::Template(path) => template_slots::wanted(path),
            _ => None,
        };
        let Some(shape) = wanted else { return self.text(leaf).map(Written::Value) };
        let Some(expression) = template_slots::only(&leaf.template) else {
            let why = format!("must be {}, and this is a text with an expression in it", shape.wanted());
            return Err(Lack::wrong(why).at(&leaf.place, leaf.text).into());
        };
        let fail = |lack: Lack| Unready::from(lack.at(&leaf.place, &expression.text));
        let value = self.reader.evaluate(expression).map_err(fail)?;
        self.count(convert::to_text(&value).map_or(0, |text| text.len()), leaf)?;
        let kind = typed::kind(&value);
        template_slots::fit(&value, shape)
            .map(Written::Value)
            .map_err(|wanted| fail(Lack::wrong(format!("must be {wanted}, and the value is {kind}"))))
    }

    fn text(&self, leaf: &Leaf<'_, '_>) -> Result<Value, Unready> {
        let mut text = String::new();
        let expanded = matches!(&leaf.home, Home::Template(path) if kubelet_escape::is_expanded(path));
        for part in &leaf.template.parts {
            match part {
                Part::Text(part) => text.push_str(part),
                Part::Expression(expression) => {
                    let value = self.reader.evaluate(expression);
                    let part = value.and_then(|value| {
                        convert::to_text(&value)
                            .ok_or_else(|| Lack::wrong("the value is null, which has no text"))
                    });
                    let part = part.map_err(|lack| Unready::from(lack.at(&leaf.place, &expression.text)))?;
                    self.count(part.len(), leaf)?;
                    if expanded { kubelet_escape::push(&mut text, &part) } else { text.push_str(&part) }
                }
            }
        }
        Ok(Value::from(text))
    }

    /// Counts the bytes that a value adds.
    fn count(&self, bytes: usize, leaf: &Leaf<'_, '_>) -> Result<(), Unready> {
        self.added.set(self.added.get().saturating_add(bytes));
        if bytes > MAX_VALUES {
            return Err(Unready::Failed(Failure::too_large(&leaf.place, bytes)));
        }
        if self.added.get() > MAX_ADDED {
            let message = format!("{}: the values come to more than {MAX_ADDED} bytes here", leaf.place);
            return Err(Unready::Failed(Failure::new("DataTooLarge", &message)));
        }
        Ok(())
    }
}

/// The replacement of a text.
enum Written {
    Value(Value),
    /// `valueFrom.secretKeyRef`, beside the text.
    SecretKey(Value),
}

fn put(rendered: &mut Rendered, leaf: &Leaf<'_, '_>, written: Written) {
    let insert = |map: &mut BTreeMap<String, String>, key: &str, value: Value| {
        if let Value::String(text) = value {
            map.insert(key.to_owned(), text);
        }
    };
    match (&leaf.home, written) {
        (Home::Label(key), Written::Value(value)) => insert(&mut rendered.labels, key, value),
        (Home::Annotation(key), Written::Value(value)) => insert(&mut rendered.annotations, key, value),
        (Home::Template(path), Written::Value(value)) => {
            if let Some(place) = template_slots::at_mut(&mut rendered.template, &path.0) {
                *place = value;
            }
        }
        (Home::Template(path), Written::SecretKey(source)) => {
            let entry = path
                .0
                .split_last()
                .and_then(|(_, entry)| template_slots::at_mut(&mut rendered.template, entry));
            if let Some(entry) = entry.and_then(Value::as_object_mut) {
                entry.remove("value");
                entry.insert("valueFrom".to_owned(), json!({"secretKeyRef": source}));
            }
        }
        (Home::Label(_) | Home::Annotation(_), Written::SecretKey(_)) => {}
    }
}
