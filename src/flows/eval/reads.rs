//! The parts of a step's result that are read: they decide whether its pods suffice, or the Job's own status has to be
//! waited for.

use std::collections::HashMap;

use super::paths::OWN;
use crate::flows::api::{JobFlow, Step};
use crate::flows::{declared, jsonpath};

/// The parts of a step's result document that are read, by its own outputs and by the inputs of other steps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reads {
    /// True if anything of the document is read.
    pub document: bool,
    /// True if anything of the Job's status is read.
    pub job_status: bool,
}

/// Lists the parts that are read of every step's result document, in document order.
pub fn reads(flow: &JobFlow) -> Vec<Reads> {
    let steps = &flow.spec.steps;
    let mut found: Vec<Reads> = steps.iter().map(own).collect();
    let indices: HashMap<&str, usize> =
        steps.iter().enumerate().map(|(index, step)| (step.name.as_str(), index)).collect();
    for step in steps {
        for (source, path) in sources(step) {
            if let Some(&index) = indices.get(source) {
                found[index].add(path);
            }
        }
    }
    found
}

/// Returns the parts that a step's outputs read of its own result.
fn own(step: &Step) -> Reads {
    let mut found = Reads::default();
    for output in declared::outputs(step) {
        found.add(&output.value_from.json_path);
    }
    found
}

/// The result documents that a step's inputs read, as (step, path).
pub fn sources(step: &Step) -> impl Iterator<Item = (&str, &str)> {
    declared::inputs(step).iter().filter_map(|input| {
        let (source, path) = jsonpath::split_step(input.value_from.as_ref()?.json_path.as_deref()?);
        match (source, step.dependencies.as_slice()) {
            (Some(source), _) => Some((source, path)),
            (None, [only]) => Some((only.as_str(), path)),
            (None, _) => None,
        }
    })
}

impl Reads {
    fn add(&mut self, path: &str) {
        self.document = true;
        // A name that is no member of the document is looked up in its status.
        let own = jsonpath::parse(path)
            .ok()
            .and_then(|path| path.members().map(|names| names.iter().all(|name| OWN.contains(name))));
        self.job_status |= own != Some(true);
    }
}
