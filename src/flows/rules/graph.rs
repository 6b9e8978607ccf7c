//! HW2xx: dependencies that lead nowhere, or in a circle.

use std::collections::HashSet;

use super::Subject;
use crate::flows::dag::Dag;
use crate::problem::code;
use crate::problem::field_path::Place;
use crate::problem::{Problem, Problems};

/// A cycle longer than this is shown by its two ends.
const LONGEST_PATH: usize = 12;

/// Checks the dependencies of every step.
pub fn check(subject: &Subject<'_>, spec: &Place<'_>, out: &mut Problems) {
    let list = spec.field("steps");
    // For every step the last one that lists it.
    let mut listed_by = vec![usize::MAX; subject.steps().len()];
    for (i, step) in subject.steps().iter().enumerate() {
        let here = list.index(i);
        let dependencies = here.field("dependencies");
        let mut edges = subject.dag.edges(i).iter().peekable();
        let mut others = HashSet::new();
        for (at, name) in step.dependencies.iter().enumerate() {
            let place = dependencies.index(at);
            // A value of another type: the schema has reported it.
            if name.is_empty() && out.has(&place) {
                continue;
            }
            let target = edges.next_if(|edge| edge.0 == at).map(|&(_, target)| target);
            let twice = match target {
                Some(target) => std::mem::replace(&mut listed_by[target], i) == i,
                None => !others.insert(name.as_str()),
            };
            if twice {
                out.push(
                    Problem::duplicate(
                        code::DUPLICATE_DEPENDENCY,
                        &place,
                        name.as_str(),
                        "this step is listed already",
                    )
                    .hint("remove one of the two"),
                );
            } else if *name == step.name && !name.is_empty() {
                out.push(
                    Problem::invalid(
                        code::SELF_DEPENDENCY,
                        &place,
                        name.as_str(),
                        "a step cannot wait for itself",
                    )
                    .hint("remove this dependency"),
                );
            } else if target.is_none() {
                let near = out.did_you_mean(name, subject.dag.names().iter().copied());
                out.push(
                    Problem::not_found(
                        code::UNKNOWN_DEPENDENCY,
                        &place,
                        name.as_str(),
                        "no step has this name",
                    )
                    .hint(near.unwrap_or_else(|| "add the step or remove this dependency".to_owned())),
                );
            }
        }
    }
    for cycle in subject.dag.cycles() {
        let (step, at) = cycle.edge;
        let here = list.index(step);
        let dependencies = here.field("dependencies");
        let next = subject.dag.name(cycle.steps[1]);
        out.push(
            Problem::invalid(
                code::CYCLE,
                &dependencies.index(at),
                next,
                format!("cycle: {}", path(subject.dag, &cycle.steps)),
            )
            .hint("remove one of these dependencies"),
        );
    }
}

/// A cycle as messages show it; a long one is cut in the middle.
pub(super) fn path(dag: &Dag<'_>, steps: &[usize]) -> String {
    let mut names: Vec<&str> = steps.iter().map(|&step| dag.name(step)).collect();
    let more = names.len().saturating_sub(LONGEST_PATH);
    let gap = format!("... {more} more ...");
    if more > 0 {
        names.splice(LONGEST_PATH / 2..LONGEST_PATH / 2 + more, [gap.as_str()]);
    }
    names.push(dag.name(steps[0]));
    names.join(" -> ")
}
