//! HW1xx: names and shape of steps.

use std::collections::HashMap;

use super::Subject;
use super::labels;
use super::template::selects_itself;
use crate::flows::api::{JobTemplate, Step};
use crate::k8s::name_rules as rules;
use crate::problem::code;
use crate::problem::field_path::Place;
use crate::problem::{Problem, Problems};

/// Checks names, types, metadata and durations of every step.
pub fn check(subject: &Subject<'_>, spec: &Place<'_>, out: &mut Problems) {
    let list = spec.field("steps");
    let steps = subject.steps();
    if steps.is_empty() && !out.has(&list) {
        out.push(Problem::required(code::NO_STEPS, &list, "a flow needs at least one step"));
    }
    let mut first: HashMap<&str, usize> = HashMap::with_capacity(steps.len());
    for (i, step) in steps.iter().enumerate() {
        let here = list.index(i);
        // A step that is no object lacks every field; the schema has reported it already.
        if step.name.is_empty() && out.has(&here) {
            continue;
        }
        name(step, &here, out);
        if !step.name.is_empty() {
            match first.entry(&step.name) {
                std::collections::hash_map::Entry::Vacant(slot) => {
                    slot.insert(i);
                }
                std::collections::hash_map::Entry::Occupied(slot) => out.push(
                    Problem::duplicate(
                        code::DUPLICATE_STEP,
                        &here.field("name"),
                        step.name.as_str(),
                        format!("spec.steps[{}] has this name already", slot.get()),
                    )
                    .hint("rename one of the two"),
                ),
            }
        }
        kind(step, &here, out);
        metadata(step, &here, out);
    }
}

fn name(step: &Step, here: &Place<'_>, out: &mut Problems) {
    let place = here.field("name");
    if step.name.is_empty() {
        if !out.has(&place) {
            out.push(Problem::required(code::MISSING_FIELD, &place, "a step needs a name"));
        }
    } else if let Some(wrong) = rules::dns_label(&step.name) {
        let near = rules::dns_label_near(&step.name).map(|near| format!("write \"{near}\""));
        out.push(Problem::invalid(code::INVALID_NAME, &place, step.name.as_str(), wrong).maybe_hint(near));
    }
}

fn kind(step: &Step, here: &Place<'_>, out: &mut Problems) {
    let place = here.field("template");
    if step.is_manual() {
        if step.template.is_some() {
            out.push(
                Problem::warning(
                    code::UNUSED_TEMPLATE,
                    &place,
                    "a Manual step runs nothing, its template is not used",
                )
                .hint("remove it"),
            );
        }
    } else if step.template.is_none() && !out.has(&place) && !out.has(&here.field("type")) {
        out.push(
            Problem::required(code::MISSING_TEMPLATE, &place, "a step of type Job needs a template")
                .hint("add one, or write type: Manual"),
        );
    }
}

fn metadata(step: &Step, here: &Place<'_>, out: &mut Problems) {
    let Some(metadata) = &step.metadata else { return };
    let place = here.field("metadata");
    // They become labels of the pods as well, and those that a Job selects its pods by are not anybody's to write.
    let template = step.template.as_ref().map(JobTemplate::value).unwrap_or_default();
    if template["spec"].as_object().is_some_and(selects_itself) && !step.is_manual() {
        let place = place.field("labels");
        for key in metadata.labels.keys().filter(|key| rules::is_generated_label(key)) {
            let what = "the API server writes this label of a Job's pods itself";
            out.push(Problem::forbidden(code::RESERVED_METADATA, &place.key(key), what).hint("remove it"));
        }
    }
    labels::check(
        &metadata.labels,
        &place.field("labels"),
        code::INVALID_METADATA,
        code::RESERVED_METADATA,
        true,
        out,
    );
    labels::check(
        &metadata.annotations,
        &place.field("annotations"),
        code::INVALID_METADATA,
        code::RESERVED_METADATA,
        false,
        out,
    );
}
