//! Everything that can be said of a `JobFlow` before it runs: one file for each family of rules.
//!
//! [`flow`] reads a raw object, tells every problem at once in the order of the schema, and hands back what could be
//! read. Admission, the command line and the engine all call it, so what is admitted can be run and what cannot be
//! run is never admitted.

use std::sync::LazyLock;

use serde_json::Value;

use super::api::{JobFlow, Step};
use super::dag::{Ancestors, Dag};
use crate::problem::faults::in_order;
use crate::problem::field_path::Place;
use crate::problem::{Problem, Problems};

pub mod data;
pub mod expressions;
pub mod failure;
pub mod fields;
pub mod graph;
pub mod policy;
pub mod resources;
pub mod steps;
pub mod template;
pub mod update;

/// What the caller knows that the object does not say.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Whether there is a default artifact store: `None` where nobody can know (offline).
    pub artifact_store: Option<bool>,
}

/// An object that was looked at.
#[derive(Debug)]
pub struct Checked {
    /// What could be read. Where a part was wrong it is absent or empty.
    pub flow: JobFlow,
    /// What is wrong or doubtful, in the order of the schema.
    pub problems: Vec<Problem>,
}

impl Checked {
    /// Whether nothing is wrong; warnings do not count.
    pub fn is_valid(&self) -> bool {
        !self.problems.iter().any(Problem::is_error)
    }

    /// What the object is refused for.
    pub fn errors(&self) -> impl Iterator<Item = &Problem> {
        self.problems.iter().filter(|problem| problem.is_error())
    }

    /// What the user is only told.
    pub fn warnings(&self) -> impl Iterator<Item = &Problem> {
        self.problems.iter().filter(|problem| !problem.is_error())
    }
}

/// What the rules look at.
pub struct Subject<'a> {
    /// The flow, typed.
    pub flow: &'a JobFlow,
    /// Its graph.
    pub dag: &'a Dag<'a>,
    ancestors: LazyLock<Ancestors, Box<dyn FnOnce() -> Ancestors + 'a>>,
    /// What the caller knows.
    pub options: &'a Options,
}

impl<'a> Subject<'a> {
    fn new(flow: &'a JobFlow, dag: &'a Dag<'a>, options: &'a Options) -> Self {
        Self { flow, dag, ancestors: LazyLock::new(Box::new(|| dag.ancestors())), options }
    }

    /// The steps, in document order.
    pub fn steps(&self) -> &'a [Step] {
        &self.flow.spec.steps
    }

    /// Whether `ancestor` is done before `step` starts.
    pub fn is_ancestor(&self, step: usize, ancestor: usize) -> bool {
        self.ancestors.contains(step, ancestor)
    }
}

/// Tell every problem of a `JobFlow`.
pub fn flow(object: &Value, options: &Options) -> Checked {
    flow_owned(object.clone(), options)
}

/// The same for a caller that has no more use for the object: most of it is templates, which are then not copied.
pub fn flow_owned(object: Value, options: &Options) -> Checked {
    let mut problems = Problems::new();
    update::approvals(&object, &mut problems);
    let has_spec = object.get("spec").is_some_and(Value::is_object);
    let flow = fields::read(object, &mut problems);
    // Without a spec there is nothing to say but that.
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
    Checked { flow, problems: in_order(problems.into_vec(), fields::job_flow()) }
}
