//! `HW3xx`: every expression of a flow, and the warnings that follow from what expressions read.

use std::cell::OnceCell;

use serde_json::Value;

use super::Subject;
use crate::flows::api::Step;
use crate::flows::declared;
use crate::flows::expr;
use crate::flows::expr::References;
use crate::problem::code;
use crate::problem::field_path::{FieldPath, Place, Segment};
use crate::problem::{Problem, Problems};

mod circles;
mod scope;
mod usage;

pub(super) use scope::StepScope;

/// Fields of a Job template whose keys the user chooses.
const MAPS: [&str; 6] = ["labels", "annotations", "matchLabels", "nodeSelector", "limits", "requests"];

/// Checks every expression; then warns of names that nobody reads, and of steps that can never run.
pub fn check(subject: &Subject<'_>, spec: &Place<'_>, out: &mut Problems) {
    let resources = declared::resources(subject.flow);
    let acyclic = OnceCell::new();
    let list = spec.field("steps");
    let mut read = Vec::with_capacity(subject.steps().len());
    for (i, step) in subject.steps().iter().enumerate() {
        let scope = StepScope::new(subject, i, &resources, &acyclic);
        let mut checker = Checker { scope: &scope, step, references: References::default(), out: &mut *out };
        checker.step(&list.index(i));
        read.push(checker.references);
    }
    // An expression that could not be read may read anything, and so may its correction: while there is an error,
    // nothing is reported as unused.
    if !out.iter().any(Problem::is_error) {
        usage::check(subject, spec, &read, out);
    }
}

struct Checker<'c, 's, 'f> {
    scope: &'c StepScope<'s, 'f>,
    step: &'c Step,
    references: References,
    out: &'c mut Problems,
}

impl Checker<'_, '_, '_> {
    fn step(&mut self, here: &Place<'_>) {
        if let Some(when) = &self.step.when {
            let place = here.field("when");
            let errors = self.out.len();
            let found = expr::check_when(when, &place, self.scope, self.out);
            self.references.merge(found);
            if self.out.iter().skip(errors).all(|problem| !problem.is_error()) {
                self.never_runs(when, &place);
            }
        }
        if self.step.message.as_deref().is_some_and(expr::has_expression) {
            let what = "is taken literally";
            let problem = Problem::warning(code::LITERAL_BRACES, &here.field("message"), what);
            self.out.push(problem.hint("say it without an expression"));
        }
        self.inputs(here);
        if let Some(metadata) = &self.step.metadata {
            let place = here.field("metadata");
            for (name, map) in [("labels", &metadata.labels), ("annotations", &metadata.annotations)] {
                let place = place.field(name);
                for (key, text) in map {
                    self.text(text, &place.key(key));
                }
            }
        }
        // A Manual step's template is not used; HW916 warns of it.
        if let Some(template) = self.step.template.as_ref().filter(|_| !self.step.is_manual()) {
            self.leaves(&template.value(), &here.field("template"), false);
        }
    }

    fn inputs(&mut self, here: &Place<'_>) {
        let Some(inputs) = &self.step.inputs else { return };
        let place = here.field("inputs");
        let list = place.field("parameters");
        let mut reads = vec![Vec::new(); inputs.parameters.len()];
        for (i, parameter) in inputs.parameters.iter().enumerate() {
            if let Some(text) = circles::expression(parameter) {
                let here = list.index(i);
                let place = here.field("valueFrom");
                let found = expr::check_expression(text, &place.field("expression"), self.scope, self.out);
                reads[i].clone_from(&found.parameters);
                self.references.merge(found);
            }
        }
        circles::check(self.scope.subject, &inputs.parameters, &reads, &list, self.out);
    }

    fn leaves(&mut self, value: &Value, place: &Place<'_>, keys: bool) {
        match value {
            Value::String(text) => self.text(text, place),
            Value::Array(list) => {
                for (i, entry) in list.iter().enumerate() {
                    self.leaves(entry, &place.index(i), false);
                }
            }
            Value::Object(map) => {
                for (key, entry) in map {
                    let here = if keys { place.key(key) } else { place.field(key) };
                    self.leaves(entry, &here, !keys && MAPS.contains(&key.as_str()));
                }
            }
            _ => {}
        }
    }

    fn text(&mut self, text: &str, place: &Place<'_>) {
        if !expr::has_expression(text) || self.out.is_full() {
            return;
        }
        let found = expr::check_text(text, place, self.scope, self.out);
        for name in &found.parameters {
            if self.scope.is_secret(name) && !is_whole_env_value(text, &place.path()) {
                let what = format!("Secret parameter \"{name}\" ends in the Job in clear");
                let hint = "make it a whole env value";
                self.out.push(Problem::warning(code::SECRET_IN_CLEAR, place, what).hint(hint));
            }
        }
        self.references.merge(found);
    }

    fn never_runs(&mut self, when: &str, place: &Place<'_>) {
        if let Some(why) = expr::never_runs(when, self.scope, &|step| self.scope.final_phases(step)) {
            let hint = "change it or remove the step";
            self.out.push(Problem::warning(code::NEVER_RUNS, place, why).hint(hint));
        }
    }
}

/// Tests whether a leaf is the `value` of an env variable and one expression that is a parameter and nothing else: such
/// a Secret value becomes a secretKeyRef of the container.
fn is_whole_env_value(text: &str, path: &FieldPath) -> bool {
    let env = matches!(path.0.as_slice(), [.., Segment::Field(env), Segment::Index(_), Segment::Field(value)]
        if env == "env" && value == "value");
    let inner = text.trim().strip_prefix("{{").and_then(|text| text.strip_suffix("}}"));
    let inner = inner.or_else(|| text.strip_prefix("${").and_then(|text| text.strip_suffix('}')));
    let name = inner.map(|inner| inner.trim().trim_start_matches('.'));
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '[' | ']' | '"');
    env && name.is_some_and(|name| name.starts_with("parameters") && name.chars().all(plain))
}

#[cfg(test)]
mod tests;
