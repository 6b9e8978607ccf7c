//! `HW315`: inputs of a step that need each other.

use crate::flows::api::InputParameter;
use crate::flows::dag::Dag;
use crate::flows::rules::{Subject, graph};
use crate::problem::code;
use crate::problem::field_path::Place;
use crate::problem::{Problem, Problems};

/// `reads` is what each of the `inputs` reads of other parameters, `list` their place.
pub(super) fn check(
    subject: &Subject<'_>,
    inputs: &[InputParameter],
    reads: &[Vec<String>],
    list: &Place<'_>,
    out: &mut Problems,
) {
    let mut report = |at: usize, what: String, hint: &str| {
        let place = list.index(at);
        let from = place.field("valueFrom");
        let text = expression(&inputs[at]).unwrap_or_default();
        let problem = Problem::invalid(code::PARAMETER_CYCLE, &from.field("expression"), text, what);
        out.push(problem.hint(hint));
    };
    for (at, (input, reads)) in inputs.iter().zip(reads).enumerate() {
        if reads.contains(&input.name) {
            let hidden = subject.flow.spec.parameters.iter().any(|parameter| parameter.name == input.name);
            let hint = if hidden {
                "the input hides the flow's parameter of this name: give it another"
            } else {
                "take the value from somewhere else"
            };
            report(at, format!("parameter \"{}\" needs itself", input.name), hint);
        }
    }
    let names = inputs.iter().map(|input| input.name.as_str());
    let dag = Dag::of(names.zip(reads.iter().map(Vec::as_slice)));
    for cycle in dag.cycles() {
        let what = format!("these parameters need each other: {}", graph::path(&dag, &cycle.steps));
        report(cycle.edge.0, what, "take one of the values from somewhere else");
    }
}

/// The expression that an input parameter is computed by.
pub(super) fn expression(parameter: &InputParameter) -> Option<&str> {
    parameter.value_from.as_ref()?.expression.as_deref()
}
