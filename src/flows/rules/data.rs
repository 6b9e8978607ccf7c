//! `HW4xx`: parameters and artifacts, what they are called, where they come from, where they go.

use std::cell::OnceCell;

use super::Subject;
use crate::problem::Problems;
use crate::problem::field_path::Place;

mod artifacts;
mod location;
mod parameters;
mod shared;
mod store;

use shared::Here;

/// Checks the parameters and artifacts of the flow and of every step.
pub fn check(subject: &Subject<'_>, spec: &Place<'_>, out: &mut Problems) {
    artifacts::unavailable(subject, spec, out);
    parameters::of_flow(subject, spec, out);
    let acyclic = OnceCell::new();
    let list = spec.field("steps");
    for (i, step) in subject.steps().iter().enumerate() {
        if step.inputs.is_none() && step.outputs.is_none() {
            continue;
        }
        let here = Here { subject, index: i, acyclic: &acyclic };
        let place = list.index(i);
        parameters::of_step(here, step, &place, out);
        artifacts::of_step(here, step, &place, out);
    }
    store::check(subject, spec, out);
}

#[cfg(test)]
mod tests;
