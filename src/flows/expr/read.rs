//! A value outside of an expression that the expression reads.

use cel::common::ast::IdedExpr;

/// Something outside of an expression that it reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Read {
    /// `parameters.NAME`
    Parameter(String),
    /// `steps.STEP.PROPERTY`, but for the outputs.
    Step {
        /// The step.
        step: String,
        /// Such as `phase`.
        property: String,
    },
    /// `steps.STEP.outputs.NAME`
    Output {
        /// The step.
        step: String,
        /// The output.
        name: String,
    },
    /// `flow.PROPERTY`
    Flow(String),
    /// `step.PROPERTY`
    Own(String),
    /// `resources.NAME`
    Resource(String),
    /// `has(...)` around one of these: whether it has a value.
    Has(Box<Read>),
}

impl Read {
    /// Returns the value that a path from one of the variables reads, if it reads a whole one.
    pub(super) fn of(root: &str, segments: &[Segment<'_>]) -> Option<Self> {
        let names: Option<Vec<&str>> = segments
            .iter()
            .map(|segment| match segment {
                Segment::Name(name) => Some(*name),
                Segment::Index(_) => None,
            })
            .collect();
        Some(match (root, names?.as_slice()) {
            ("parameters", [name]) => Self::Parameter((*name).to_owned()),
            ("resources", [name]) => Self::Resource((*name).to_owned()),
            ("flow", [property]) => Self::Flow((*property).to_owned()),
            ("step", [property]) => Self::Own((*property).to_owned()),
            ("steps", [step, property]) if *property != "outputs" => {
                Self::Step { step: (*step).to_owned(), property: (*property).to_owned() }
            }
            ("steps", [step, "outputs", name]) => {
                Self::Output { step: (*step).to_owned(), name: (*name).to_owned() }
            }
            _ => return None,
        })
    }
}

/// One name or index of a path.
pub(super) enum Segment<'a> {
    Name(&'a str),
    Index(&'a IdedExpr),
}
