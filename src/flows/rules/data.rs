//! `HW4xx`: parameters and artifacts, what they are called, where they come from, where they go.

use std::cell::OnceCell;
use std::collections::HashMap;

use super::Subject;
use crate::flows::api::KeyRef;
use crate::k8s::name_rules;
use crate::problem::code;
use crate::problem::field_path::Place;
use crate::problem::{Problem, Problems};

mod artifacts;
mod location;
mod parameters;
mod store;

/// Check the parameters and artifacts of the flow and of every step.
pub fn check(subject: &Subject<'_>, spec: &Place<'_>, out: &mut Problems) {
    artifacts::unavailable(subject, spec, out);
    parameters::of_flow(subject, spec, out);
    let acyclic = OnceCell::new();
    let list = spec.field("steps");
    for (i, step) in subject.steps().iter().enumerate() {
        if step.inputs.is_none() && step.outputs.is_none() {
            continue;
        }
        let here = Here { subject, index: i, acyclic: &acyclic };
        let place = list.index(i);
        parameters::of_step(here, step, &place, out);
        artifacts::of_step(here, step, &place, out);
    }
    store::check(subject, spec, out);
}

/// The step that a rule looks at.
#[derive(Clone, Copy)]
struct Here<'s, 'f> {
    subject: &'s Subject<'f>,
    index: usize,
    acyclic: &'s OnceCell<bool>,
}

impl Here<'_, '_> {
    /// The step of this name, if data may be taken from it; what is wrong otherwise.
    fn source(self, step: &str, unknown: code::Code, place: &Place<'_>, out: &mut Problems) -> Option<usize> {
        let dag = self.subject.dag;
        let Some(source) = dag.find(step) else {
            // A dependency that nobody knows was told where it stands.
            if !self.subject.steps()[self.index].dependencies.iter().any(|name| name == step) {
                let near = out.did_you_mean(step, dag.names().iter().copied());
                out.push(Problem::not_found(unknown, place, step, "no step has this name").maybe_hint(near));
            }
            return None;
        };
        if source == self.index {
            let what = "a step cannot read its own result";
            out.push(
                Problem::invalid(code::DATA_NOT_AN_ANCESTOR, place, step, what).hint("name an earlier step"),
            );
        } else if !self.subject.is_ancestor(self.index, source)
            && *self.acyclic.get_or_init(|| dag.topological().is_some())
        {
            let problem = if self.subject.is_ancestor(source, self.index) {
                let what = format!("step \"{step}\" runs after this step");
                Problem::invalid(code::DATA_NOT_AN_ANCESTOR, place, step, what)
                    .hint("name an earlier step, or turn the dependency round")
            } else {
                let what = format!("step \"{step}\" may not have run when this step starts");
                Problem::invalid(code::DATA_NOT_AN_ANCESTOR, place, step, what)
                    .hint(format!("add \"{step}\" to dependencies"))
            };
            out.push(problem);
        }
        Some(source)
    }
}

/// Check the names of one list: their form, and that each stands once.
fn names<'a>(
    list: impl Iterator<Item = &'a str>,
    kind: &str,
    duplicate: code::Code,
    place: &Place<'_>,
    out: &mut Problems,
) {
    let mut first: HashMap<&str, usize> = HashMap::new();
    for (i, name) in list.enumerate() {
        let here = place.index(i);
        let here = here.field("name");
        if name.is_empty() {
            // Absent: told by its shape.
            if !out.has(&here) {
                out.push(Problem::required(
                    code::INVALID_PARAMETER_NAME,
                    &here,
                    format!("{kind} needs a name"),
                ));
            }
            continue;
        }
        if let Some(wrong) = name_rules::parameter(name) {
            out.push(Problem::invalid(code::INVALID_PARAMETER_NAME, &here, name, wrong));
        }
        if let Some(earlier) = first.insert(name, i) {
            let what = format!("{}[{earlier}] has this name already", place.path());
            out.push(Problem::duplicate(duplicate, &here, name, what).hint("rename one of the two"));
            first.insert(name, earlier);
        }
    }
}

/// Check that a reference to a key of a ConfigMap or Secret is complete.
fn key_ref(reference: &KeyRef, place: &Place<'_>, out: &mut Problems) {
    for (field, value) in [("name", &reference.name), ("key", &reference.key)] {
        let here = place.field(field);
        if value.is_empty() && !out.has(&here) {
            out.push(Problem::required(code::INCOMPLETE_KEY_REF, &here, format!("`{field}` is needed")));
        }
    }
}

#[cfg(test)]
mod tests;
