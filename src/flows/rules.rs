//! The rules that a `JobFlow` has to keep before it runs: one file for each family of rules.
//!
//! [`flow`] reads a raw object, reports every problem in the order of the schema, and returns the parts that could be
//! read. Admission, the command line and the engine all call it, so what is admitted can be run and what cannot be run
//! is never admitted.

use serde_json::Value;

use super::api::JobFlow;
use super::dag::Dag;
use crate::problem::faults::in_order;
use crate::problem::field_path::Place;
use crate::problem::{Problem, Problems};

pub mod approvals;
pub mod data;
pub mod expressions;
pub mod failure;
pub mod fields;
pub mod graph;
mod labels;
pub mod policy;
pub mod resources;
pub mod steps;
mod subject;
pub mod template;
pub mod update;

pub use subject::{Options, Subject};

/// An object that was looked at.
#[derive(Debug)]
pub struct Checked {
    /// The parts that could be read. A wrong part is absent or empty.
    pub flow: JobFlow,
    /// Errors and warnings, in the order of the schema.
    pub problems: Vec<Problem>,
}

impl Checked {
    /// Tests whether there are no errors; warnings do not count.
    pub fn is_valid(&self) -> bool {
        !self.problems.iter().any(Problem::is_error)
    }

    /// Returns the problems for which the object is refused.
    pub fn errors(&self) -> impl Iterator<Item = &Problem> {
        self.problems.iter().filter(|problem| problem.is_error())
    }

    /// Returns the problems that do not refuse the object.
    pub fn warnings(&self) -> impl Iterator<Item = &Problem> {
        self.problems.iter().filter(|problem| !problem.is_error())
    }
}

/// Finds every problem of a `JobFlow`.
pub fn flow(object: &Value, options: &Options) -> Checked {
    flow_owned(object.clone(), options)
}

/// The same for a caller that has no more use for the object: most of it is templates, which are then not copied.
pub fn flow_owned(object: Value, options: &Options) -> Checked {
    let Checked { flow, problems } = unsorted(object, options);
    Checked { flow, problems: in_order(problems, fields::job_flow()) }
}

/// Checks a flow, and leaves the problems in the order in which rules found them, for a caller that has more of them.
pub(crate) fn unsorted(object: Value, options: &Options) -> Checked {
    let mut problems = Problems::new();
    approvals::check(&object, &mut problems);
    let has_spec = object.get("spec").is_some_and(Value::is_object);
    let flow = fields::read(object, &mut problems);
    // Without a spec, its absence is the only problem.
    if has_spec {
        let dag = Dag::new(&flow.spec.steps);
        let subject = Subject::new(&flow, &dag, options);
        let spec = Place::ROOT.field("spec");
        steps::check(&subject, &spec, &mut problems);
        graph::check(&subject, &spec, &mut problems);
        policy::check(&subject, &spec, &mut problems);
        resources::check(&subject, &spec, &mut problems);
        template::check(&subject, &spec, &mut problems);
        data::check(&subject, &spec, &mut problems);
        expressions::check(&subject, &spec, &mut problems);
    }
    Checked { flow, problems: problems.into_vec() }
}
