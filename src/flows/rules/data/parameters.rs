//! Parameters: sources, types, sizes.

use super::shared::{Here, key_ref, names};
use crate::flows::api::{InputValueSource, OutputParameter, Step, ValueType};
use crate::flows::rules::Subject;
use crate::flows::typed;
use crate::flows::typed::MAX_VALUES;
use crate::flows::{expr, jsonpath};
use crate::problem::code;
use crate::problem::field_path::Place;
use crate::problem::{Problem, Problems};

pub(super) fn of_flow(subject: &Subject<'_>, spec: &Place<'_>, out: &mut Problems) {
    let list = spec.field("parameters");
    let parameters = &subject.flow.spec.parameters;
    names(parameters.iter().map(|p| p.name.as_str()), "a parameter", code::DUPLICATE_PARAMETER, &list, out);
    for (i, parameter) in parameters.iter().enumerate() {
        let here = list.index(i);
        let sources = parameter.value_from.as_ref().map(|from| {
            [
                ("configMapKeyRef", from.config_map_key_ref.is_some()),
                ("secretKeyRef", from.secret_key_ref.is_some()),
            ]
        });
        let sources = sources.as_ref().map(<[_; 2]>::as_slice);
        one_source(parameter.value.is_some(), sources, parameter.default.is_some(), &here, out);
        if let Some(from) = &parameter.value_from {
            let from_place = here.field("valueFrom");
            if let Some(reference) = &from.config_map_key_ref {
                key_ref(reference, &from_place.field("configMapKeyRef"), out);
            }
            if let Some(reference) = &from.secret_key_ref {
                key_ref(reference, &from_place.field("secretKeyRef"), out);
            }
        }
        literals(parameter.value.as_deref(), parameter.default.as_deref(), parameter.type_, &here, out);
    }
    let sizes = parameters.iter().map(|p| size(p.value.as_deref()).max(size(p.default.as_deref())));
    too_large(sizes.sum(), "the flow's parameters", &list, out);
}

pub(super) fn of_step(here: Here<'_, '_>, step: &Step, place: &Place<'_>, out: &mut Problems) {
    if let Some(inputs) = step.inputs.as_ref().filter(|inputs| !inputs.parameters.is_empty()) {
        let (parent, list) = (place.field("inputs"), &inputs.parameters);
        let place = parent.field("parameters");
        names(list.iter().map(|p| p.name.as_str()), "a parameter", code::DUPLICATE_PARAMETER, &place, out);
        for (i, parameter) in list.iter().enumerate() {
            let place = place.index(i);
            let sources = parameter.value_from.as_ref().map(|from| {
                [
                    ("jsonPath", from.json_path.is_some()),
                    ("configMapKeyRef", from.config_map_key_ref.is_some()),
                    ("secretKeyRef", from.secret_key_ref.is_some()),
                    ("expression", from.expression.is_some()),
                ]
            });
            let sources = sources.as_ref().map(<[_; 4]>::as_slice);
            one_source(parameter.value.is_some(), sources, parameter.default.is_some(), &place, out);
            if let Some(from) = &parameter.value_from {
                source(here, step, from, &place.field("valueFrom"), out);
            }
            literals(parameter.value.as_deref(), parameter.default.as_deref(), parameter.type_, &place, out);
        }
        let sizes = list.iter().map(|p| size(p.value.as_deref()).max(size(p.default.as_deref())));
        too_large(sizes.sum(), "the step's inputs", &place, out);
    }
    if let Some(outputs) = step.outputs.as_ref().filter(|outputs| !outputs.parameters.is_empty()) {
        let (parent, list) = (place.field("outputs"), &outputs.parameters);
        let place = parent.field("parameters");
        names(list.iter().map(|p| p.name.as_str()), "a parameter", code::DUPLICATE_PARAMETER, &place, out);
        for (i, parameter) in list.iter().enumerate() {
            output(step, parameter, &place.index(i), out);
        }
        too_large(list.iter().map(|p| size(p.default.as_deref())).sum(), "the step's outputs", &place, out);
    }
}

/// Exactly one of `value` and one entry of `valueFrom`, or a `default` alone.
fn one_source(
    value: bool,
    sources: Option<&[(&str, bool)]>,
    default: bool,
    place: &Place<'_>,
    out: &mut Problems,
) {
    let from = place.field("valueFrom");
    match (value, sources) {
        (true, Some(_)) => out.push(
            Problem::forbidden(code::PARAMETER_SOURCE, &from, "`value` is given already")
                .hint("remove one of the two"),
        ),
        // A value of the wrong type counts as one; the schema has reported it.
        (false, None) if !default && !out.has(&place.field("value")) && !out.has(&from) => {
            out.push(
                Problem::required(code::PARAMETER_SOURCE, place, "a parameter needs a source")
                    .hint("add value, valueFrom or default"),
            );
        }
        (_, Some(sources)) => {
            let names: Vec<&str> = sources.iter().map(|(name, _)| *name).collect();
            let mut given = sources.iter().filter(|(_, given)| *given).map(|(name, _)| *name);
            match (given.next(), given.next()) {
                (None, _) if !names.iter().any(|name| out.has(&from.field(name))) => out.push(
                    Problem::required(code::PARAMETER_SOURCE, &from, "valueFrom needs a source")
                        .hint(format!("add one of {}", names.join(", "))),
                ),
                (Some(first), Some(second)) => {
                    let what = format!("`{first}` is given already");
                    out.push(
                        Problem::forbidden(code::PARAMETER_SOURCE, &from.field(second), what)
                            .hint("keep one of the two"),
                    );
                }
                _ => {}
            }
        }
        _ => {}
    }
}

fn source(here: Here<'_, '_>, step: &Step, from: &InputValueSource, place: &Place<'_>, out: &mut Problems) {
    if let Some(reference) = &from.config_map_key_ref {
        key_ref(reference, &place.field("configMapKeyRef"), out);
    }
    if let Some(reference) = &from.secret_key_ref {
        key_ref(reference, &place.field("secretKeyRef"), out);
    }
    let Some(text) = &from.json_path else { return };
    let place = place.field("jsonPath");
    let (source, path) = jsonpath::split_step(text);
    match source {
        Some("") => out.push(
            Problem::invalid(
                code::JSONPATH_NEEDS_STEP,
                &place,
                text.as_str(),
                "there is no step before the colon",
            )
            .hint("write STEP:$.path"),
        ),
        Some(source) => {
            let before = out.len();
            here.source(source, code::JSONPATH_STEP, &place, out);
            if out.len() == before {
                has_result(here, source, &place, out);
            }
        }
        None if step.dependencies.len() != 1 => {
            let what = match step.dependencies.len() {
                0 => "this step has no dependency whose result could be read".to_owned(),
                n => format!("this step has {n} dependencies, and the path names none"),
            };
            let hint = match step.dependencies.as_slice() {
                [] => "write STEP:$.path and add STEP to dependencies".to_owned(),
                [first, ..] => format!("write the step before it, as in {first}:{path}"),
            };
            out.push(Problem::invalid(code::JSONPATH_NEEDS_STEP, &place, text.as_str(), what).hint(hint));
        }
        None => step.dependencies.iter().for_each(|only| has_result(here, only, &place, out)),
    }
    json_path(text, path, &place, out);
}

/// A step that waits for approval runs no Job whose result could be read.
fn has_result(here: Here<'_, '_>, source: &str, place: &Place<'_>, out: &mut Problems) {
    let found = here.subject.dag.find(source).map(|index| &here.subject.steps()[index]);
    if found.is_some_and(Step::is_manual) {
        let what = format!("step \"{source}\" waits for approval and has no result");
        out.push(
            Problem::invalid(code::DATA_NOT_AN_ANCESTOR, place, source, what)
                .hint("name a step that runs a Job"),
        );
    }
}

/// Checks a path, the end of `text`; the column is counted in the whole text.
fn json_path(text: &str, path: &str, place: &Place<'_>, out: &mut Problems) {
    if let Err(error) = jsonpath::parse(path) {
        let before = text[..text.len() - path.len()].chars().count();
        let what = format!("{} at column {}", error.message, before + error.column);
        out.push(Problem::invalid(code::JSONPATH_SYNTAX, place, text, what).maybe_hint(error.hint));
    }
}

fn output(step: &Step, parameter: &OutputParameter, place: &Place<'_>, out: &mut Problems) {
    let from = place.field("valueFrom");
    let path = from.field("jsonPath");
    if !(parameter.value_from.json_path.is_empty() && (out.has(&path) || out.has(&from))) {
        let text = &parameter.value_from.json_path;
        json_path(text, text, &path, out);
    }
    if let (Some(name), Some(known)) = (&parameter.value_from.container, containers(step))
        && !known.contains(name)
    {
        let hint = out
            .did_you_mean(name, known.iter().map(String::as_str))
            .unwrap_or_else(|| format!("the containers are {}", known.join(", ")));
        let what = "the template has no container of this name";
        out.push(
            Problem::not_found(code::UNKNOWN_CONTAINER, &from.field("container"), name.as_str(), what)
                .hint(hint),
        );
    }
    literals(None, parameter.default.as_deref(), parameter.type_, place, out);
}

/// The names of the template's containers; `None` where they cannot be known.
fn containers(step: &Step) -> Option<Vec<String>> {
    let template = step.template.as_ref()?.value();
    let spec = template.pointer("/spec/template/spec")?;
    let list = |field: &str| spec.get(field).and_then(serde_json::Value::as_array).into_iter().flatten();
    let names: Vec<String> = list("containers")
        .chain(list("initContainers"))
        .filter_map(|container| container.get("name").and_then(serde_json::Value::as_str))
        .map(str::to_owned)
        .collect();
    (!names.is_empty() && !names.iter().any(|name| expr::has_expression(name))).then_some(names)
}

/// Checks literal values against the declared type, and warns of braces that are taken literally.
fn literals(
    value: Option<&str>,
    default: Option<&str>,
    declared: Option<ValueType>,
    place: &Place<'_>,
    out: &mut Problems,
) {
    for (field, text) in [("value", value), ("default", default)] {
        let Some(text) = text else { continue };
        let here = place.field(field);
        if expr::has_expression(text) {
            out.push(
                Problem::warning(code::LITERAL_BRACES, &here, "is taken literally")
                    .hint("valueFrom.expression evaluates"),
            );
        } else if let Some(wanted) = declared.and_then(|declared| typed::read(text, declared).err()) {
            let what = format!("does not fit the declared type: {wanted}");
            out.push(
                Problem::invalid(code::VALUE_TYPE, &here, text, what).hint("change the value or the type"),
            );
        }
    }
}

fn size(text: Option<&str>) -> usize {
    text.map_or(0, str::len)
}

fn too_large(bytes: usize, whose: &str, place: &Place<'_>, out: &mut Problems) {
    if bytes > MAX_VALUES {
        let what = format!("{whose} have {bytes} bytes together, and may have {MAX_VALUES}");
        out.push(
            Problem::too_long(code::DATA_TOO_LARGE, place, bytes, what)
                .hint("put large data on a volume claim"),
        );
    }
}
