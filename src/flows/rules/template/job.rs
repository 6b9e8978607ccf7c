//! The Job's own fields (`validateJobSpec`, `validateSuccessPolicy`, `validatePodReplacementPolicy`).

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::scope::{MAX_INT32, Scope, conflict, is_expression, objects, one_of, text, whole, within};
use super::{metadata, pod};
use crate::flows::api::defaults;
use crate::flows::rules::failure;
use crate::flows::rules::failure::Rule;
use crate::k8s::name_rules::is_generated_label;
use crate::problem::Problem;
use crate::problem::code;
use crate::problem::field_path::Place;

/// The most that the API server takes as `parallelism` and `maxFailedIndexes` of an Indexed Job.
const MOST_INDEXED: i64 = 100_000;

pub(super) fn check(spec: &Map<String, Value>, here: &Place<'_>, scope: &mut Scope<'_, '_>) {
    let mut template = None;
    let mut selector = None;
    for (key, value) in spec {
        let place = here.field(key);
        match key.as_str() {
            "activeDeadlineSeconds" => within(value, 0, i64::MAX, &place, scope),
            "parallelism" | "completions" | "backoffLimit" | "backoffLimitPerIndex" | "maxFailedIndexes" => {
                within(value, 0, MAX_INT32, &place, scope);
            }
            "completionMode" => one_of(value, &["NonIndexed", "Indexed"], &place, scope),
            "podReplacementPolicy" => {
                one_of(value, &["TerminatingOrFailed", "Failed"], &place, scope);
            }
            "suspend" if *value == Value::Bool(true) => scope.push(
                conflict(&place, "the step would never run, since nobody resumes its Job")
                    .hint("remove it, or suspend the flow with spec.suspend"),
            ),
            "managedBy" => managed_by(value, &place, scope),
            "selector" if value.is_object() => selector = Some(place),
            "template" => template = value.as_object(),
            _ => {}
        }
    }
    if let Some(place) = selector
        && selects_itself(spec)
    {
        scope.push(conflict(&place, "the API server makes a Job's selector itself").hint("remove it"));
    }
    indexed(spec, here, scope);
    if template.is_some() {
        retries(spec, here, scope);
    }
    let place = here.field("template");
    let pod_place = place.field("spec");
    let pod = template.and_then(|template| template.get("spec")).and_then(Value::as_object);
    if let Some(Value::Object(metadata)) = template.and_then(|template| template.get("metadata")) {
        let place = place.field("metadata");
        metadata::check(metadata, &place, scope);
        if let Some(Value::Object(labels)) = metadata.get("labels").filter(|_| selects_itself(spec)) {
            let place = place.field("labels");
            for key in labels.keys().filter(|key| is_generated_label(key)) {
                scope.push(
                    conflict(&place.key(key), "the API server writes this label itself").hint("remove it"),
                );
            }
        }
    }
    match pod {
        Some(pod) => {
            pod::check(pod, &pod_place, scope);
            failure_policy(spec, pod, here, scope);
        }
        None => scope.push(Problem::required(
            code::TEMPLATE_REQUIRED,
            &pod_place,
            "a Job needs the spec of a pod with at least one container",
        )),
    }
}

/// Tests whether the API server makes the Job's selector, and the labels that it selects by (`manualSelector`).
pub(in crate::flows::rules) fn selects_itself(spec: &Map<String, Value>) -> bool {
    matches!(spec.get("manualSelector"), None | Some(Value::Null | Value::Bool(false)))
}

fn managed_by(value: &Value, place: &Place<'_>, scope: &mut Scope<'_, '_>) {
    let Some(manager) = value.as_str().filter(|text| !is_expression(text)) else { return };
    let sound = manager.len() <= 63
        && manager.split_once('/').is_some_and(|(domain, path)| {
            crate::k8s::name_rules::dns_subdomain(domain).is_none() && !path.is_empty()
        });
    if !sound {
        scope.push(Problem::invalid(
            code::TEMPLATE_VALUE,
            place,
            manager,
            "must be a DNS domain, `/` and a path, at most 63 characters together",
        ));
    }
}

/// Checks the fields that only an Indexed Job can have, and those that it needs.
fn indexed(spec: &Map<String, Value>, here: &Place<'_>, scope: &mut Scope<'_, '_>) {
    let mode = text(spec, "completionMode").unwrap_or_default();
    if is_expression(mode) {
        return;
    }
    let number = |field: &str| spec.get(field).and_then(whole);
    let given = |field: &str| spec.get(field).is_some_and(|value| !value.is_null());
    if given("maxFailedIndexes") && !given("backoffLimitPerIndex") {
        scope.push(Problem::required(
            code::TEMPLATE_REQUIRED,
            &here.field("backoffLimitPerIndex"),
            "maxFailedIndexes needs it",
        ));
    }
    if mode != "Indexed" {
        for field in ["backoffLimitPerIndex", "maxFailedIndexes", "successPolicy"] {
            if given(field) {
                scope.push(
                    conflict(&here.field(field), "only an Indexed Job can have it")
                        .hint("write completionMode: Indexed"),
                );
            }
        }
        return;
    }
    if !given("completions") {
        scope.push(
            Problem::required(
                code::TEMPLATE_REQUIRED,
                &here.field("completions"),
                "an Indexed Job needs completions",
            )
            .hint("say how many indices there are"),
        );
    }
    let mut at_most = |field: &str, most: i64, why: &str| {
        if let Some(value) = number(field).filter(|value| *value > most) {
            scope.push(Problem::invalid(
                code::TEMPLATE_NUMBER,
                &here.field(field),
                value,
                format!("must be at most {most} {why}"),
            ));
        }
    };
    at_most("parallelism", MOST_INDEXED, "in an Indexed Job");
    match number("completions") {
        Some(completions) => {
            at_most("maxFailedIndexes", completions.min(MOST_INDEXED), "here, as completions says");
        }
        None => at_most("maxFailedIndexes", MOST_INDEXED, "in an Indexed Job"),
    }
    if let Some(Value::Object(policy)) = spec.get("successPolicy") {
        let rules = here.field("successPolicy");
        let rules = rules.field("rules");
        if policy.get("rules").and_then(Value::as_array).is_none_or(Vec::is_empty) {
            scope.push(Problem::required(
                code::TEMPLATE_REQUIRED,
                &rules,
                "a successPolicy needs at least one rule",
            ));
        }
        for (i, rule) in objects(policy.get("rules")) {
            if !rule.contains_key("succeededCount") && !rule.contains_key("succeededIndexes") {
                scope.push(Problem::required(
                    code::TEMPLATE_REQUIRED,
                    &rules.index(i),
                    "a rule needs succeededCount or succeededIndexes",
                ));
            }
            if let Some(count) = rule.get("succeededCount") {
                let most = number("completions").unwrap_or(MAX_INT32);
                within(count, 0, most, &rules.index(i).field("succeededCount"), scope);
            }
        }
    }
}

/// HW903 and HW914: how often a failing step is really tried.
fn retries(spec: &Map<String, Value>, here: &Place<'_>, scope: &mut Scope<'_, '_>) {
    let place = here.field("backoffLimit");
    let said = spec.get("backoffLimit").filter(|value| !value.is_null());
    match (&scope.step.retry_policy, said) {
        (Some(policy), Some(value)) => {
            let steps = policy.limit.unwrap_or(defaults::RETRY_LIMIT);
            let Some(jobs) = whole(value).filter(|jobs| *jobs > 0 && steps > 0) else { return };
            let pods = (i128::from(jobs) + 1) * (i128::from(steps) + 1);
            scope.push(
                Problem::warning(
                    code::MULTIPLIED_RETRIES,
                    &place,
                    format!("up to ({jobs}+1) x ({steps}+1) = {pods} pods"),
                )
                .hint("leave it to retryPolicy"),
            );
        }
        // With backoffLimitPerIndex Kubernetes' default is no limit of the whole.
        (None, None) if !spec.contains_key("backoffLimitPerIndex") => {
            scope.push(
                Problem::warning(code::DEFAULT_BACKOFF, &place, "a failing step is tried seven times")
                    .hint("set it, or a retryPolicy"),
            );
        }
        _ => {}
    }
}

/// The template's own podFailurePolicy (`validatePodFailurePolicy`).
fn failure_policy(
    spec: &Map<String, Value>,
    pod: &Map<String, Value>,
    here: &Place<'_>,
    scope: &mut Scope<'_, '_>,
) {
    let Some(Value::Object(policy)) = spec.get("podFailurePolicy") else { return };
    let place = here.field("podFailurePolicy");
    if text(pod, "restartPolicy") == Some("OnFailure") {
        scope.push(
            conflict(&place, "it works with restartPolicy Never only")
                .hint("write restartPolicy: Never, or remove it"),
        );
    }
    if text(spec, "podReplacementPolicy") == Some("TerminatingOrFailed") {
        scope.push(
            conflict(&here.field("podReplacementPolicy"), "a podFailurePolicy allows only Failed")
                .hint("write Failed or remove it"),
        );
    }
    let rules = place.field("rules");
    let containers: BTreeSet<&str> = ["containers", "initContainers"]
        .into_iter()
        .flat_map(|list| objects(pod.get(list)))
        .filter_map(|(_, container)| text(container, "name"))
        .collect();
    let list = policy.get("rules").and_then(Value::as_array).map_or(0, Vec::len);
    if list > failure::MOST_RULES {
        scope.push(Problem::too_many(
            code::TEMPLATE_NUMBER,
            &rules,
            list,
            format!("must have at most {} rules", failure::MOST_RULES),
        ));
    }
    for (i, raw) in objects(policy.get("rules")) {
        let here = rules.index(i);
        if let Some(action) = raw.get("action") {
            one_of(action, &["FailJob", "FailIndex", "Ignore", "Count"], &here.field("action"), scope);
        }
        if text(raw, "action") == Some("FailIndex") && !spec.contains_key("backoffLimitPerIndex") {
            scope.push(conflict(&here.field("action"), "FailIndex needs backoffLimitPerIndex"));
        }
        let codes = raw.get("onExitCodes").and_then(Value::as_object);
        if let Some(operator) = codes.and_then(|codes| codes.get("operator")) {
            let place = here.field("onExitCodes");
            one_of(operator, &["In", "NotIn"], &place.field("operator"), scope);
        }
        for (j, condition) in objects(raw.get("onPodConditions")) {
            if let Some(status) = condition.get("status") {
                let place = here.field("onPodConditions");
                let place = place.index(j);
                one_of(status, &["True", "False", "Unknown"], &place.field("status"), scope);
            }
        }
        let rule = Rule {
            exit_codes: codes.map(|codes| failure::Codes {
                container: text(codes, "containerName"),
                in_: text(codes, "operator") == Some("In"),
                values: codes
                    .get("values")
                    .and_then(Value::as_array)
                    .map(|values| values.iter().map(|value| whole(value).unwrap_or(1)).collect())
                    .unwrap_or_default(),
            }),
            conditions: objects(raw.get("onPodConditions"))
                .map(|(_, condition)| text(condition, "type").unwrap_or_default())
                .collect(),
        };
        failure::rule(&rule, &here, &failure::TEMPLATE, &mut |problem| scope.push(problem));
        if let Some(name) = rule.exit_codes.and_then(|codes| codes.container)
            && !is_expression(name)
            && !containers.contains(name)
        {
            let place = here.field("onExitCodes");
            let near = scope.did_you_mean(name, containers.iter().copied());
            scope.push(
                Problem::not_found(
                    code::UNKNOWN_TEMPLATE_CONTAINER,
                    &place.field("containerName"),
                    name,
                    "the template has no container of this name",
                )
                .maybe_hint(near),
            );
        }
    }
}
