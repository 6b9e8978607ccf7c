//! Values at run time: what an expression, a parameter or an output comes to. Pure; what has to be read is asked for.
//!
//! Everything fails closed: what cannot be evaluated fails its step with words that say why, and never counts as true,
//! empty or zero. No value stands in those words, since it may be a Secret's.
//!
//! Expressions go through the front end that admission uses ([`expr`](super::expr)), so a name means the same to both;
//! what they read is then looked up in the flow and its status, and the crate `cel` computes with it, metered.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde_json::Value;

use self::reader::Reader;
use super::api::{JobFlow, OutputValue, Step, StepStatus};
use super::expr;
use super::typed::MAX_VALUES;
use crate::problem::field_path::{Path, one_line};

mod cel;
mod convert;
mod kubelet_escape;
mod meter;
mod needs;
mod outputs;
mod parameters;
mod paths;
mod reader;
mod reads;
mod render;
mod scope;
mod template_slots;
mod words;

pub use reads::{Reads, reads, sources};

/// Where a step stands when something of it is evaluated.
#[derive(Clone, Copy)]
pub struct Scene<'a> {
    /// The flow.
    pub flow: &'a JobFlow,
    /// What is known of its steps, in document order; the place of a step is its place in `flow.spec.steps`.
    pub steps: &'a [StepStatus],
    /// The step, by its place.
    pub step: usize,
    /// The attempt that is about to start, counted from 1.
    pub attempt: i64,
    /// What was read of ConfigMaps and Secrets.
    pub sources: &'a Sources,
    /// The result document of a step that is done, if its Job is still there.
    pub document: &'a dyn Fn(&str) -> Option<Value>,
}

/// ConfigMaps and Secrets that were read for one decision. They are never kept.
#[derive(Clone, Default)]
pub struct Sources {
    /// Their data, or that there is no such object.
    pub read: BTreeMap<Source, Option<BTreeMap<String, Vec<u8>>>>,
    /// Those that could not be read.
    pub unread: BTreeMap<Source, Unread>,
}

/// Why a ConfigMap or Secret could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unread {
    /// An error that may pass by itself, and is not worth telling of yet.
    Passing,
    /// For people: what is wrong, and the cure.
    Told(String),
}

/// A ConfigMap or Secret in the flow's namespace.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// A ConfigMap, by name.
    ConfigMap(String),
    /// A Secret, by name.
    Secret(String),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ConfigMap(name) => write!(f, "ConfigMap \"{name}\""),
            Self::Secret(name) => write!(f, "Secret \"{name}\""),
        }
    }
}

/// Why something cannot be evaluated.
#[derive(Clone, Debug, PartialEq)]
pub enum Unready {
    /// These have to be read first.
    Needs(BTreeSet<Source>),
    /// Something that is read does not exist yet, or cannot be read: the step waits. The text says what.
    Missing(String),
    /// Something could not be read just now, and is read again soon.
    Unread,
    /// The step fails.
    Failed(Failure),
}

/// Why a step fails.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// One word: ExpressionFailed, OutputMissing, OutputInvalid, ParameterInvalid, DataTooLarge.
    pub reason: &'static str,
    /// What and where, for people. Never a Secret's value.
    pub message: String,
}

impl Failure {
    /// A message is one line, whatever a user's names hold.
    fn new(reason: &'static str, message: &str) -> Self {
        Self { reason, message: one_line(message).into_owned() }
    }

    fn too_large(place: &Path, bytes: usize) -> Self {
        let what = format!("the values have {bytes} bytes, and may have {MAX_VALUES}");
        Self::new("DataTooLarge", &format!("{place}: {what}; hand large data on as an artifact"))
    }
}

/// What a step's Job is made from, every expression replaced by its value.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rendered {
    /// The template, as a Job; null for a Manual step.
    pub template: Value,
    /// `steps[].metadata.labels`.
    pub labels: BTreeMap<String, String>,
    /// `steps[].metadata.annotations`.
    pub annotations: BTreeMap<String, String>,
}

/// Whether the step's `when` lets it run; true without one.
pub fn when(scene: &Scene<'_>) -> Result<bool, Unready> {
    let reader = reader(scene)?;
    let Some(text) = &reader.step.when else { return Ok(true) };
    let place = Path::default().field("spec").field("steps").index(scene.step).field("when");
    let Some(expression) = reader.parse(text, &place, expr::parse_when)? else { return Ok(true) };
    reader.ask(&expression.bind().reads)?;
    match reader.evaluate(&expression) {
        Ok(Value::Bool(value)) => Ok(value),
        Ok(other) => {
            let why = format!("must be true or false, and is {}", super::typed::kind(&other));
            Err(Lack::wrong(why).at(&place, text).into())
        }
        Err(lack) => Err(lack.at(&place, text).into()),
    }
}

/// The step's template and metadata with every expression replaced.
///
/// Every declared input is found out, used or not, except that a Secret is read only where its value is written into
/// the Job. An env value that is one Secret parameter and nothing else becomes a `secretKeyRef`.
pub fn render(scene: &Scene<'_>) -> Result<Rendered, Unready> {
    render::render(&reader(scene)?)
}

/// What a step hands on, from its result document.
pub fn outputs(step: &Step, document: &Value) -> Result<Vec<OutputValue>, Failure> {
    outputs::of(step, document)
}

fn reader<'a>(scene: &Scene<'a>) -> Result<Reader<'a>, Unready> {
    Reader::new(scene).ok_or_else(|| Lack::wrong("there is no such step").into())
}

/// Why there is no value, told so that a default can stand in where one may.
#[derive(Clone, Debug, PartialEq)]
enum Lack {
    /// Nothing has produced it.
    Absent(String),
    /// The object that it is read from does not exist yet.
    Missing(String),
    /// The object that it is read from was not read.
    Needs(Source),
    /// The object that it is read from cannot be read. Unlike an absent one it is never passed over: a default, or
    /// nothing, in place of a value that is there would be another flow.
    Unread(Unread),
    /// It cannot be computed; where, is told by whoever asked.
    Wrong(String),
    /// The step fails.
    Failed(Failure),
}

impl Lack {
    fn wrong(why: impl Into<String>) -> Self {
        Self::Wrong(why.into())
    }

    /// Say where it was asked for: the place, and the expression if there is one.
    fn at(self, place: &Path, text: &str) -> Self {
        let (why, hint) = match self {
            Self::Absent(why) => (why, "; give it a `default`"),
            Self::Wrong(why) => (why, ""),
            other => return other,
        };
        let text = if text.is_empty() { String::new() } else { format!(": {}", words::quote(text)) };
        Self::Failed(Failure::new("ExpressionFailed", &format!("{place}{text}: {why}{hint}")))
    }
}

impl From<Lack> for Unready {
    fn from(lack: Lack) -> Self {
        match lack {
            Lack::Missing(what) | Lack::Unread(Unread::Told(what)) => Self::Missing(what),
            Lack::Needs(source) => Self::Needs(BTreeSet::from([source])),
            Lack::Unread(Unread::Passing) => Self::Unread,
            Lack::Failed(failure) => Self::Failed(failure),
            Lack::Absent(message) | Lack::Wrong(message) => {
                Self::Failed(Failure::new("ExpressionFailed", &message))
            }
        }
    }
}

#[cfg(test)]
mod tests;
