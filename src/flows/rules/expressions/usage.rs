//! `HW907` and `HW908`: outputs that nobody reads, parameters that nobody uses.

use std::collections::HashSet;

use crate::flows::expr::References;
use crate::flows::rules::Subject;
use crate::problem::code;
use crate::problem::field_path::Place;
use crate::problem::{Problem, Problems};

/// `read` is what each step's expressions read.
pub(super) fn check(subject: &Subject<'_>, spec: &Place<'_>, read: &[References], out: &mut Problems) {
    let outputs: HashSet<(&str, &str)> = read
        .iter()
        .flat_map(|references| &references.outputs)
        .map(|(step, name)| (step.as_str(), name.as_str()))
        .collect();
    let artifacts: HashSet<&str> = subject
        .steps()
        .iter()
        .flat_map(|step| &step.inputs)
        .flat_map(|inputs| &inputs.artifacts)
        .filter_map(|artifact| artifact.from.as_deref())
        .collect();
    let mut of_flow: HashSet<&str> = HashSet::new();
    let list = spec.field("steps");
    for (i, (step, read)) in subject.steps().iter().zip(read).enumerate() {
        let here = list.index(i);
        let inputs = step.inputs.as_ref().map_or(&[][..], |inputs| &inputs.parameters);
        let own = |name: &str| inputs.iter().any(|parameter| parameter.name == name);
        of_flow.extend(read.parameters.iter().map(String::as_str).filter(|name| !own(name)));
        let (place, field) = (here.field("inputs"), "parameters");
        let place = place.field(field);
        for (at, parameter) in inputs.iter().enumerate() {
            if !parameter.name.is_empty() && !read.parameters.contains(&parameter.name) {
                let what = format!("nothing in this step uses parameter \"{}\"", parameter.name);
                out.push(
                    Problem::warning(code::UNUSED_PARAMETER, &place.index(at), what)
                        .hint("use it or remove it"),
                );
            }
        }
        let Some(declared) = &step.outputs else { continue };
        let place = here.field("outputs");
        let parameters = place.field("parameters");
        for (at, output) in declared.parameters.iter().enumerate() {
            if !output.name.is_empty() && !outputs.contains(&(step.name.as_str(), output.name.as_str())) {
                let what = format!("no step reads output \"{}\"", output.name);
                out.push(Problem::warning(code::UNREAD_OUTPUT, &parameters.index(at), what));
            }
        }
        let kept = place.field("artifacts");
        for (at, artifact) in
            declared.artifacts.iter().enumerate().filter(|(_, artifact)| artifact.s3.is_none())
        {
            if !artifact.name.is_empty()
                && !artifacts.contains(format!("{}/{}", step.name, artifact.name).as_str())
            {
                let what = format!("no step reads artifact \"{}\"", artifact.name);
                out.push(Problem::warning(code::UNREAD_OUTPUT, &kept.index(at), what));
            }
        }
    }
    let parameters = spec.field("parameters");
    for (at, parameter) in subject.flow.spec.parameters.iter().enumerate() {
        if !parameter.name.is_empty() && !of_flow.contains(parameter.name.as_str()) {
            let what = format!("no step uses parameter \"{}\"", parameter.name);
            out.push(
                Problem::warning(code::UNUSED_PARAMETER, &parameters.index(at), what)
                    .hint("use it or remove it"),
            );
        }
    }
}
