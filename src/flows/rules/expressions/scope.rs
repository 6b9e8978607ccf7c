//! The names that an expression of a step may use.

use std::cell::OnceCell;

use crate::flows::api::{OutputParameter, Step, ValueType};
use crate::flows::declared;
use crate::flows::declared::Parameter;
use crate::flows::expr::Scope;
use crate::flows::rules::Subject;
use crate::problem::suggest::nearest;

/// The scope of one step.
pub(in crate::flows::rules) struct StepScope<'s, 'f> {
    pub(super) subject: &'s Subject<'f>,
    index: usize,
    resources: &'s [&'s str],
    /// True if the graph has no cycle, computed once for all steps.
    acyclic: &'s OnceCell<bool>,
    /// The first dependencies that name no step.
    unknown: OnceCell<Vec<&'f str>>,
}

/// With more unknown dependencies than this, a problem too many is cheaper than comparing each with each name.
const MOST_EXCUSES: usize = 50;

impl<'s, 'f> StepScope<'s, 'f> {
    pub(in crate::flows::rules) fn new(
        subject: &'s Subject<'f>,
        index: usize,
        resources: &'s [&'s str],
        acyclic: &'s OnceCell<bool>,
    ) -> Self {
        Self { subject, index, resources, acyclic, unknown: OnceCell::new() }
    }

    fn step(&self) -> &'f Step {
        &self.subject.steps()[self.index]
    }

    fn find(&self, step: &str) -> Option<&'f Step> {
        self.subject.dag.find(step).and_then(|index| self.subject.steps().get(index))
    }

    fn output_parameters(&self, step: &str) -> &'f [OutputParameter] {
        self.find(step).map_or(&[], declared::outputs)
    }

    /// Tests whether a parameter's value is read from a Secret.
    pub(super) fn is_secret(&self, name: &str) -> bool {
        self.parameter_named(name).is_some_and(|parameter| parameter.secret_key().is_some())
    }

    fn parameter_named(&self, name: &str) -> Option<Parameter<'f>> {
        Parameter::find(self.subject.flow, self.step(), name)
    }

    /// The phases in which an ancestor can be when this step's `when` is evaluated. A failure that is not continued
    /// skips every step after it, so it is never seen; only a step with a `when` is ever Skipped and seen as that.
    pub(super) fn final_phases(&self, step: &str) -> Option<Vec<&'static str>> {
        let found = self.find(step).filter(|_| self.is_ancestor(step))?;
        let mut phases = vec!["Succeeded"];
        if found.continue_on_failure == Some(true) {
            phases.push("Failed");
        }
        if found.when.is_some() {
            phases.push("Skipped");
        }
        Some(phases)
    }
}

impl Scope for StepScope<'_, '_> {
    fn parameter(&self, name: &str) -> Option<Option<ValueType>> {
        self.parameter_named(name).map(|parameter| Some(parameter.value_type()))
    }

    fn parameters(&self) -> Vec<&str> {
        declared::parameters(self.subject.flow, self.step()).collect()
    }

    fn steps(&self) -> &[&str] {
        self.subject.dag.names()
    }

    fn has_step(&self, name: &str) -> bool {
        self.subject.dag.find(name).is_some()
    }

    fn is_ancestor(&self, step: &str) -> bool {
        self.subject.dag.find(step).is_some_and(|ancestor| self.subject.is_ancestor(self.index, ancestor))
    }

    fn is_descendant(&self, step: &str) -> bool {
        self.subject.dag.find(step).is_some_and(|after| self.subject.is_ancestor(after, self.index))
    }

    /// A name of another type than text is reported at its own field, and is empty here.
    fn excuses_parameter(&self) -> bool {
        declared::parameters(self.subject.flow, self.step()).any(str::is_empty)
    }

    fn excuses_output(&self, step: &str) -> bool {
        self.output_parameters(step).iter().any(|output| output.name.is_empty())
    }

    /// A cyclic graph has no order; an unknown dependency is reported at its own field, and so
    /// was the one that should have been `step`.
    fn excuses(&self, step: &str) -> bool {
        let dependencies = &self.step().dependencies;
        let unknown = self.unknown.get_or_init(|| {
            let unknown = dependencies.iter().map(String::as_str).filter(|name| !self.has_step(name));
            unknown.take(MOST_EXCUSES).collect()
        });
        (!self.has_step(step) && dependencies.iter().any(|name| name == step))
            || unknown.iter().any(|name| nearest(name, [step]).is_some())
            || (self.has_step(step) && !self.acyclic.get_or_init(|| self.subject.dag.topological().is_some()))
    }

    fn current(&self) -> Option<&str> {
        Some(&self.step().name)
    }

    fn output(&self, step: &str, name: &str) -> Option<Option<ValueType>> {
        let output = self.output_parameters(step).iter().find(|output| output.name == name)?;
        Some(Some(output.type_.unwrap_or(ValueType::String)))
    }

    fn outputs(&self, step: &str) -> Vec<&str> {
        self.output_parameters(step).iter().map(|output| output.name.as_str()).collect()
    }

    fn resources(&self) -> Vec<&str> {
        self.resources.to_vec()
    }
}
