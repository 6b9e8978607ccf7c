//! Names as they stand in expressions: the same at run time as at admission.

use std::cell::OnceCell;

use crate::flows::api::{JobFlow, Step, ValueType};
use crate::flows::declared;
use crate::flows::declared::Parameter;
use crate::flows::expr::Scope;

/// The names that an expression of a step may read. Whether it may was found out at admission.
pub(super) struct Names<'a> {
    pub(super) flow: &'a JobFlow,
    pub(super) step: &'a Step,
    steps: OnceCell<Vec<&'a str>>,
}

impl<'a> Names<'a> {
    pub(super) fn new(flow: &'a JobFlow, step: &'a Step) -> Self {
        Self { flow, step, steps: OnceCell::new() }
    }

    /// The index of a step in the flow.
    pub(super) fn find(&self, step: &str) -> Option<usize> {
        self.flow.spec.steps.iter().position(|known| known.name == step)
    }
}

impl Scope for Names<'_> {
    fn parameter(&self, name: &str) -> Option<Option<ValueType>> {
        Parameter::find(self.flow, self.step, name).map(|parameter| Some(parameter.value_type()))
    }

    fn parameters(&self) -> Vec<&str> {
        declared::parameters(self.flow, self.step).collect()
    }

    fn steps(&self) -> &[&str] {
        self.steps.get_or_init(|| self.flow.spec.steps.iter().map(|step| step.name.as_str()).collect())
    }

    fn is_ancestor(&self, _: &str) -> bool {
        true
    }

    fn current(&self) -> Option<&str> {
        Some(&self.step.name)
    }

    fn output(&self, step: &str, name: &str) -> Option<Option<ValueType>> {
        let outputs = declared::outputs(&self.flow.spec.steps[self.find(step)?]);
        let output = outputs.iter().find(|output| output.name == name)?;
        Some(Some(output.type_.unwrap_or(ValueType::String)))
    }

    fn outputs(&self, step: &str) -> Vec<&str> {
        let step = self.find(step).map(|index| &self.flow.spec.steps[index]);
        step.map_or(&[][..], declared::outputs).iter().map(|output| output.name.as_str()).collect()
    }

    fn resources(&self) -> Vec<&str> {
        declared::resources(self.flow)
    }
}
