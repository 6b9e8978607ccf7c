//! The names that an expression may use where it stands.

use crate::flows::api::ValueType;

/// The names that an expression may use. A type of `None` is not known, and is not checked.
pub trait Scope {
    /// The type of a parameter; `None` if there is no such parameter. A step's inputs shadow the flow's parameters.
    fn parameter(&self, name: &str) -> Option<Option<ValueType>>;
    /// The names of the parameters, for suggestions.
    fn parameters(&self) -> Vec<&str>;
    /// Every step's name, in document order.
    fn steps(&self) -> &[&str];
    /// Tests whether there is such a step.
    fn has_step(&self, name: &str) -> bool {
        self.steps().contains(&name)
    }
    /// Tests whether `step` is done before the step where the expression stands.
    fn is_ancestor(&self, step: &str) -> bool;
    /// Tests whether `step` runs after the step where the expression stands.
    fn is_descendant(&self, _step: &str) -> bool {
        false
    }
    /// Tests whether a parameter that is unknown is the consequence of a problem that is reported elsewhere.
    fn excuses_parameter(&self) -> bool {
        false
    }
    /// Tests whether an output of `step` that is unknown is the consequence of a problem that is reported elsewhere.
    fn excuses_output(&self, _step: &str) -> bool {
        false
    }
    /// Tests whether a step that is unknown, or no ancestor, is the consequence of a problem that is reported
    /// elsewhere.
    fn excuses(&self, _step: &str) -> bool {
        false
    }
    /// The step where the expression stands.
    fn current(&self) -> Option<&str>;
    /// The type of a step's output; `None` if there is no such output.
    fn output(&self, step: &str, name: &str) -> Option<Option<ValueType>>;
    /// The names of a step's outputs, for suggestions.
    fn outputs(&self, step: &str) -> Vec<&str>;
    /// The names of the resource templates.
    fn resources(&self) -> Vec<&str>;
}

/// Nothing to look at: for what can be said of an expression's form alone.
#[derive(Debug)]
pub struct NoScope;

impl Scope for NoScope {
    fn parameter(&self, _: &str) -> Option<Option<ValueType>> {
        None
    }
    fn parameters(&self) -> Vec<&str> {
        Vec::new()
    }
    fn steps(&self) -> &[&str] {
        &[]
    }
    fn is_ancestor(&self, _: &str) -> bool {
        false
    }
    fn current(&self) -> Option<&str> {
        None
    }
    fn output(&self, _: &str, _: &str) -> Option<Option<ValueType>> {
        None
    }
    fn outputs(&self, _: &str) -> Vec<&str> {
        Vec::new()
    }
    fn resources(&self) -> Vec<&str> {
        Vec::new()
    }
}
