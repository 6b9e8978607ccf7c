//! Checks that parameters and artifacts share.

use std::cell::OnceCell;
use std::collections::HashMap;

use crate::flows::api::KeyRef;
use crate::flows::rules::Subject;
use crate::k8s::name_rules;
use crate::problem::code;
use crate::problem::field_path::Place;
use crate::problem::{Problem, Problems};

/// The step that a rule looks at.
#[derive(Clone, Copy)]
pub(super) struct Here<'s, 'f> {
    pub(super) subject: &'s Subject<'f>,
    pub(super) index: usize,
    pub(super) acyclic: &'s OnceCell<bool>,
}

impl Here<'_, '_> {
    /// The step of this name, if data may be taken from it; what is wrong otherwise.
    pub(super) fn source(
        self,
        step: &str,
        unknown: code::Code,
        place: &Place<'_>,
        out: &mut Problems,
    ) -> Option<usize> {
        let dag = self.subject.dag;
        let Some(source) = dag.find(step) else {
            // An unknown dependency is reported at its own field.
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

/// Checks the names of one list: their form, and that each stands once.
pub(super) fn names<'a>(
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
            // An absent name is reported by the schema.
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

/// Checks that a reference to a key of a ConfigMap or Secret is complete.
pub(super) fn key_ref(reference: &KeyRef, place: &Place<'_>, out: &mut Problems) {
    for (field, value) in [("name", &reference.name), ("key", &reference.key)] {
        let here = place.field(field);
        if value.is_empty() && !out.has(&here) {
            out.push(Problem::required(code::INCOMPLETE_KEY_REF, &here, format!("`{field}` is needed")));
        }
    }
}
