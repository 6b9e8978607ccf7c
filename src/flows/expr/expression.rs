//! A parsed expression, and the names that expressions refer to.

use cel::common::ast::IdedExpr;

/// The longest expression, in bytes.
pub const MAX_BYTES: usize = 4096;

/// The names that a text reads; each once, in the order of reading.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct References {
    /// Parameters of the step or the flow.
    pub parameters: Vec<String>,
    /// Outputs, as (step, output).
    pub outputs: Vec<(String, String)>,
    /// Steps that exist, whatever of them is read.
    pub steps: Vec<String>,
    /// Resource templates.
    pub resources: Vec<String>,
}

impl References {
    /// Adds the names that another text reads.
    pub fn merge(&mut self, other: Self) {
        other.parameters.into_iter().for_each(|name| add(&mut self.parameters, name));
        other.outputs.into_iter().for_each(|name| add(&mut self.outputs, name));
        other.steps.into_iter().for_each(|name| add(&mut self.steps, name));
        other.resources.into_iter().for_each(|name| add(&mut self.resources, name));
    }
}

pub(super) fn add<T: PartialEq>(list: &mut Vec<T>, entry: T) {
    if !list.contains(&entry) {
        list.push(entry);
    }
}

/// An expression that was parsed, ready to be evaluated.
#[derive(Clone, Debug, PartialEq)]
pub struct Expression {
    /// The user's text, without braces.
    pub text: String,
    /// The same in plain CEL.
    pub cel: String,
    /// The syntax tree of `cel`.
    pub tree: IdedExpr,
}
