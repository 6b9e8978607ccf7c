//! The flow that the rules check, with its graph and what the caller knows.

use std::collections::HashSet;
use std::sync::LazyLock;

use crate::flows::api::{JobFlow, Step};
use crate::flows::dag::{Ancestors, Dag};

/// Facts that the caller knows and the object does not say.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// True if there is a default artifact store: `None` where nobody can know (offline).
    pub artifact_store: Option<bool>,
}

/// The subject of the rules: a flow and its context.
pub struct Subject<'a> {
    /// The flow, typed.
    pub flow: &'a JobFlow,
    /// Its graph.
    pub dag: &'a Dag<'a>,
    ancestors: LazyLock<Ancestors, Box<dyn FnOnce() -> Ancestors + 'a>>,
    /// Facts that the caller knows.
    pub options: &'a Options,
}

impl<'a> Subject<'a> {
    pub(super) fn new(flow: &'a JobFlow, dag: &'a Dag<'a>, options: &'a Options) -> Self {
        Self { flow, dag, ancestors: LazyLock::new(Box::new(|| dag.ancestors())), options }
    }

    /// The steps, in document order.
    pub fn steps(&self) -> &'a [Step] {
        &self.flow.spec.steps
    }

    /// Tests whether `ancestor` is done before `step` starts.
    pub fn is_ancestor(&self, step: usize, ancestor: usize) -> bool {
        self.ancestors.contains(step, ancestor)
    }

    /// The names of all resource templates.
    pub fn resource_names(&self) -> HashSet<&'a str> {
        let templates = self.flow.spec.resource_templates.iter();
        templates
            .flat_map(|templates| {
                templates.volume_claim_templates.iter().chain(&templates.config_map_templates)
            })
            .filter_map(|template| template.get("metadata")?.get("name")?.as_str())
            .collect()
    }
}
