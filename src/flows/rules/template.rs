//! HW5xx: what a cluster would refuse in a step's Job, and what a person may not have meant.
//!
//! Reads the raw value, never a typed copy: what the user wrote is what becomes the Job. Types and unknown fields
//! were told by [`shape`](super::shape) before; a value of another type is passed over here. A text with `{{` in it
//! is judged when its value is known, by the API server.
//!
//! The rules are those of `k8s.io/kubernetes/pkg/apis/batch/validation` and `.../core/validation` (1.37), each named
//! where it is kept; beyond them, only names and keys that belong to headworks are refused.

use std::collections::HashSet;

use serde_json::{Map, Value};

use super::Subject;
use super::steps::labels;
use crate::flows::api::{JobTemplate, Step};
use crate::flows::expr;
use crate::k8s::name_rules;
use crate::problem::code;
use crate::problem::code::Code;
use crate::problem::field_path::{Path, Place};
use crate::problem::{Problem, Problems};

mod container;
mod env;
mod image;
mod job;
mod mounts;
mod pod;
mod resources;
mod risk;
mod volumes;

pub(super) use env::config_key;
pub(super) use job::selects_itself;
pub(super) use resources::{cure, read};

/// Check the template of every step that runs one.
pub fn check(subject: &Subject<'_>, spec: &Place<'_>, out: &mut Problems) {
    let list = spec.field("steps");
    let bare = super::resources::names(subject);
    let mut sink = Sink::new(out);
    for (i, step) in subject.steps().iter().enumerate() {
        // The template of a Manual step is never used, and HW916 says so.
        let template = step.template.as_ref().filter(|_| !step.is_manual()).map(JobTemplate::value);
        let Some(template) = template.as_ref().and_then(|template| template.as_object()) else { continue };
        let here = list.index(i);
        let mut scope = Scope { step, resources: &bare, out: &mut sink };
        object(template, &here.field("template"), &mut scope);
    }
}

/// What the rules of one template know.
struct Scope<'a, 'o> {
    step: &'a Step,
    /// Names of resource templates.
    resources: &'a HashSet<&'a str>,
    out: &'a mut Sink<'o>,
}

impl Scope<'_, '_> {
    fn push(&mut self, problem: Problem) {
        self.out.push(problem);
    }

    /// A hint naming the nearest of `known`.
    fn did_you_mean<'k>(&self, name: &str, known: impl IntoIterator<Item = &'k str>) -> Option<String> {
        self.out.out.did_you_mean(name, known)
    }
}

/// Takes problems, less those at or inside a place that was found wrong before, and warnings around one.
struct Sink<'a> {
    out: &'a mut Problems,
    reported: HashSet<Path>,
    /// The places around those, themselves included.
    around: HashSet<Path>,
}

/// `spec.steps[i].template`: what is reported further out does not hide what is wrong inside.
const TEMPLATE_DEPTH: usize = 4;

impl<'a> Sink<'a> {
    fn new(out: &'a mut Problems) -> Self {
        let inside = |problem: &&Problem| problem.is_error() && problem.field.0.len() >= TEMPLATE_DEPTH;
        let reported: HashSet<Path> =
            out.iter().filter(inside).map(|problem| problem.field.clone()).collect();
        let mut around = HashSet::new();
        for path in &reported {
            let mut path = path.clone();
            while path.0.len() >= TEMPLATE_DEPTH && around.insert(path.clone()) {
                path.0.pop();
            }
        }
        Self { out, reported, around }
    }

    fn push(&mut self, problem: Problem) {
        let told = problem.field.is_inside(&self.reported);
        if !(told || !problem.is_error() && self.around.contains(&problem.field)) {
            self.out.push(problem);
        }
    }
}

/// The Job itself.
fn object(template: &Map<String, Value>, here: &Place<'_>, scope: &mut Scope<'_, '_>) {
    let mut spec = None;
    for (key, value) in template {
        match (key.as_str(), value) {
            ("apiVersion", Value::String(text)) => fixed(text, "batch/v1", &here.field("apiVersion"), scope),
            ("kind", Value::String(text)) => fixed(text, "Job", &here.field("kind"), scope),
            ("metadata", Value::Object(map)) => metadata(map, &here.field("metadata"), scope),
            ("spec", Value::Object(map)) => spec = Some(map),
            _ => {}
        }
    }
    let place = here.field("spec");
    match spec {
        Some(spec) => job::check(spec, &place, scope),
        // `raw` was told, and stands for the whole Job.
        None if template.contains_key("raw") => {}
        None => scope.push(Problem::required(code::TEMPLATE_REQUIRED, &place, "a Job needs a spec")),
    }
}

fn fixed(text: &str, wanted: &str, place: &Place<'_>, scope: &mut Scope<'_, '_>) {
    if text != wanted {
        scope.push(
            Problem::not_supported(code::TEMPLATE_KIND, place, text, "a step runs a Job of batch/v1")
                .hint(format!("write \"{wanted}\" or leave it out")),
        );
    }
}

/// Labels and annotations of the Job or its pod. Name, namespace and owners are set by headworks, whatever stands
/// there (`ValidateObjectMeta`).
fn metadata(map: &Map<String, Value>, here: &Place<'_>, scope: &mut Scope<'_, '_>) {
    for (field, values) in [("labels", true), ("annotations", false)] {
        let Some(Value::Object(entries)) = map.get(field) else { continue };
        if entries.is_empty() {
            continue;
        }
        let place = here.field(field);
        let texts: Vec<(&String, String)> =
            entries.iter().filter_map(|(key, value)| Some((key, value.as_str()?.to_owned()))).collect();
        let mut found = Problems::new();
        let pairs = texts.iter().map(|(key, value)| (*key, value));
        labels(pairs, &place, code::TEMPLATE_METADATA, code::RESERVED_LABEL, values, &mut found);
        found.into_vec().into_iter().for_each(|problem| scope.push(problem));
    }
}

/// Whether a value is filled in later.
fn is_expression(text: &str) -> bool {
    expr::has_expression(text)
}

/// The objects of a list with their indices; what is no object was told as such.
fn objects(list: Option<&Value>) -> impl Iterator<Item = (usize, &Map<String, Value>)> {
    let list = list.and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    list.iter().enumerate().filter_map(|(i, entry)| Some((i, entry.as_object()?)))
}

/// A text of an object.
fn text<'a>(map: &'a Map<String, Value>, field: &str) -> Option<&'a str> {
    map.get(field)?.as_str()
}

/// A whole number, in either spelling (`3`, `3.0`).
fn whole(value: &Value) -> Option<i64> {
    value.as_i64().or_else(|| {
        let float = value.as_f64()?;
        #[expect(
            clippy::cast_possible_truncation,
            reason = "checked: whole and within the exact range of f64"
        )]
        (float.fract() == 0.0 && float.abs() < 9.0e15).then_some(float as i64)
    })
}

/// A number that has to lie within bounds.
fn within(value: &Value, min: i64, max: i64, place: &Place<'_>, scope: &mut Scope<'_, '_>) {
    let Some(number) = whole(value).filter(|number| *number < min || *number > max) else { return };
    let what = match (min, max) {
        (min, MAX_INT32 | i64::MAX) => format!("must be at least {min}"),
        _ => format!("must be from {min} to {max}"),
    };
    let what = if number > MAX_INT32 && max == MAX_INT32 { format!("must be at most {max}") } else { what };
    let octal = (max == MODES && number > 0 && number.to_string().bytes().all(|digit| digit < b'8'))
        .then(|| format!("write 0{number}, an octal number"));
    scope.push(Problem::invalid(code::TEMPLATE_NUMBER, place, value.clone(), what).maybe_hint(octal));
}

/// The greatest permission bits of a file.
const MODES: i64 = 0o777;

/// Kubernetes keeps such numbers in 32 bits.
const MAX_INT32: i64 = 2_147_483_647;

/// A text that has to be one of a few.
fn one_of(value: &Value, allowed: &[&str], place: &Place<'_>, scope: &mut Scope<'_, '_>) {
    let Some(text) = value.as_str() else { return };
    // An empty text is an absent one: the API server fills in the default.
    if text.is_empty() || allowed.contains(&text) || is_expression(text) {
        return;
    }
    let words: Vec<String> = allowed.iter().map(|word| format!("\"{word}\"")).collect();
    let what = match words.as_slice() {
        [one] => format!("must be {one}"),
        [start @ .., last] => format!("must be {} or {last}", start.join(", ")),
        [] => return,
    };
    let hint = scope.did_you_mean(text, allowed.iter().copied());
    scope.push(Problem::not_supported(code::TEMPLATE_VALUE, place, text, what).maybe_hint(hint));
}

/// A DNS label: the name of a container or volume.
fn label(name: &str, place: &Place<'_>, scope: &mut Scope<'_, '_>) {
    if name.is_empty() {
        scope.push(Problem::required(code::TEMPLATE_REQUIRED, place, "a name is needed"));
    } else if is_expression(name) {
    } else if let Some(wrong) = name_rules::dns_label(name) {
        let near = name_rules::dns_label_near(name).map(|near| format!("write \"{near}\""));
        scope.push(Problem::invalid(code::TEMPLATE_NAME, place, name, wrong).maybe_hint(near));
    } else if name.starts_with(crate::names::RESERVED_NAME_PREFIX) {
        scope.push(
            Problem::forbidden(code::RESERVED_NAME, place, "names that start with `headworks-` are reserved")
                .hint("choose another name"),
        );
    }
}

/// Something that is needed and absent or empty.
fn needed(map: &Map<String, Value>, field: &str, here: &Place<'_>, what: &str, scope: &mut Scope<'_, '_>) {
    if map.get(field).is_none_or(|value| value.is_null() || value.as_str() == Some("")) {
        scope.push(Problem::required(code::TEMPLATE_REQUIRED, &here.field(field), what));
    }
}

/// Two values that exclude each other, or a value that makes no sense beside another.
fn conflict(place: &Place<'_>, what: impl Into<String>) -> Problem {
    Problem::forbidden(code::TEMPLATE_CONFLICT, place, what)
}

/// A name that stands twice.
fn twice(code: Code, place: &Place<'_>, name: &str, what: &str) -> Problem {
    Problem::duplicate(code, place, name, what)
}

#[cfg(test)]
mod tests;
