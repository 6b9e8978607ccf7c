//! HW5xx: what a cluster would refuse in a step's Job, and what a person may not have meant.
//!
//! Reads the raw value, never a typed copy: what the user wrote is what becomes the Job. Types and unknown fields
//! have been reported by [`fields`](super::fields); a value of another type is skipped here. A text with `{{` in it
//! is checked by the API server, when its value is known.
//!
//! The rules are those of `k8s.io/kubernetes/pkg/apis/batch/validation` and `.../core/validation` (1.37), each named
//! where it is kept; beyond them, only names and keys that belong to headworks are refused.

use serde_json::{Map, Value};

use super::Subject;
use crate::flows::api::JobTemplate;
use crate::problem::code;
use crate::problem::field_path::Place;
use crate::problem::{Problem, Problems};

mod container;
mod env;
mod image;
mod job;
mod metadata;
mod mounts;
mod pod;
mod resources;
mod risk;
mod scope;
mod volumes;

use scope::{Scope, Sink};

pub(super) use env::config_key;
pub(super) use job::selects_itself;
pub(super) use resources::{fix, read};

/// Checks the template of every step that runs one.
pub fn check(subject: &Subject<'_>, spec: &Place<'_>, out: &mut Problems) {
    let list = spec.field("steps");
    let bare = subject.resource_names();
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

/// The Job itself.
fn object(template: &Map<String, Value>, here: &Place<'_>, scope: &mut Scope<'_, '_>) {
    let mut spec = None;
    for (key, value) in template {
        match (key.as_str(), value) {
            ("apiVersion", Value::String(text)) => fixed(text, "batch/v1", &here.field("apiVersion"), scope),
            ("kind", Value::String(text)) => fixed(text, "Job", &here.field("kind"), scope),
            ("metadata", Value::Object(map)) => metadata::check(map, &here.field("metadata"), scope),
            ("spec", Value::Object(map)) => spec = Some(map),
            _ => {}
        }
    }
    let place = here.field("spec");
    match spec {
        Some(spec) => job::check(spec, &place, scope),
        // `raw` has been reported, and stands for the whole Job.
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

#[cfg(test)]
mod tests;
