//! HW6xx: the execution policy, the flow's own podFailurePolicy, and retries. Numbers and enums are checked by
//! [`fields`](super::fields).

use std::borrow::Cow;
use std::collections::BTreeSet;

use serde_json::Value;

use super::Subject;
use super::failure;
use super::failure::{Codes, Rule};
use crate::flows::api::{ExitCodeOperator, PodFailureAction, PodFailurePolicy, RetryPolicy, defaults};
use crate::k8s::duration;
use crate::k8s::duration::THIRTY_DAYS;
use crate::k8s::name_rules;
use crate::problem::code;
use crate::problem::field_path::Place;
use crate::problem::suggest::did_you_mean;
use crate::problem::{Problem, Problems};

/// Below this, in seconds, whoever wants to read a finished flow's outputs has hardly a chance.
const SHORT_TTL: i64 = 60;

/// Checks the policies of the flow and of its steps.
pub fn check(subject: &Subject<'_>, spec: &Place<'_>, out: &mut Problems) {
    if let Some(policy) = &subject.flow.spec.execution_policy {
        let here = spec.field("executionPolicy");
        if let Some(key) = &policy.concurrency_key
            && (key.trim() != key || key.is_empty() || key.contains(char::is_control))
        {
            let what = match key.as_str() {
                "" => "must not be empty",
                _ => "must not start or end with a blank, or hold control characters",
            };
            out.push(Problem::invalid(code::POLICY_VALUE, &here.field("concurrencyKey"), key.as_str(), what));
        }
        if let Some(ttl) = policy.ttl_seconds_after_finished
            && (0..SHORT_TTL).contains(&ttl)
            && subject.steps().iter().any(|step| step.outputs.is_some())
        {
            out.push(
                Problem::warning(
                    code::SHORT_TTL,
                    &here.field("ttlSecondsAfterFinished"),
                    format!("outputs are deleted with the flow after {ttl} s"),
                )
                .hint("allow a minute or more"),
            );
        }
        if let Some(policy) = &policy.pod_failure_policy {
            pod_failure_policy(subject, policy, &here.field("podFailurePolicy"), out);
        }
    }
    let list = spec.field("steps");
    for (i, step) in subject.steps().iter().enumerate() {
        if let Some(retry) = &step.retry_policy {
            let here = list.index(i);
            backoff(retry, &here.field("retryPolicy"), out);
        }
    }
}

fn backoff(retry: &RetryPolicy, here: &Place<'_>, out: &mut Problems) {
    let Some(backoff) = &retry.backoff else { return };
    let here = here.field("backoff");
    let first = wait(backoff.duration.as_deref(), &here.field("duration"), out);
    let longest = wait(backoff.max_duration.as_deref(), &here.field("maxDuration"), out);
    let longest_text = backoff.max_duration.as_deref();
    if let (Some(first), Some(longest)) = (first, longest)
        && longest < first
        // The default is written by admission, and the verdict on what it wrote is the verdict on what the user wrote.
        && longest_text != Some(defaults::BACKOFF_MAX_DURATION)
    {
        out.push(
            Problem::invalid(
                code::INVALID_DURATION,
                &here.field("maxDuration"),
                longest_text.unwrap_or_default(),
                format!("is shorter than duration, {}", duration::format(first)),
            )
            .hint("raise it or lower duration"),
        );
    }
}

/// A wait: more than nothing, at most 30 days.
fn wait(text: Option<&str>, place: &Place<'_>, out: &mut Problems) -> Option<i64> {
    let text = text?;
    let problem = match duration::parse(text) {
        Ok(nanoseconds) if nanoseconds <= 0 => {
            Problem::invalid(code::INVALID_DURATION, place, text, "must be more than 0")
        }
        Ok(nanoseconds) if nanoseconds > THIRTY_DAYS => {
            Problem::invalid(code::INVALID_DURATION, place, text, "must be at most 30 days (720h)")
        }
        Ok(nanoseconds) => return Some(nanoseconds),
        Err(error) => Problem::invalid(code::INVALID_DURATION, place, text, error.to_string()),
    };
    out.push(problem);
    None
}

fn pod_failure_policy(
    subject: &Subject<'_>,
    policy: &PodFailurePolicy,
    here: &Place<'_>,
    out: &mut Problems,
) {
    let containers = containers(subject);
    let list = here.field("rules");
    for (i, rule) in policy.rules.iter().enumerate() {
        let here = list.index(i);
        let facts = Rule {
            exit_codes: rule.on_exit_codes.as_ref().map(|codes| Codes {
                container: codes.container_name.as_deref(),
                in_: codes.operator == ExitCodeOperator::In,
                values: codes.values.clone(),
            }),
            conditions: rule.on_pod_conditions.iter().map(|condition| condition.type_.as_str()).collect(),
        };
        let mut found = Vec::new();
        failure::rule(&facts, &here, &failure::FLOW, &mut |problem| found.push(problem));
        // The schema may have spoken already, of a list that is too long or an operator that is none.
        found.retain(|problem| !out.has_path(&problem.field));
        out.extend(found);
        conditions(rule, &here, out);
        if let Some(name) = facts.exit_codes.and_then(|codes| codes.container)
            && !containers.contains(name)
        {
            let place = here.field("onExitCodes");
            let near = out.did_you_mean(name, containers.iter().map(String::as_str));
            out.push(
                Problem::not_found(
                    code::FAILURE_RULE_CONTAINER,
                    &place.field("containerName"),
                    name,
                    "no step has a container of this name",
                )
                .maybe_hint(near),
            );
        }
        if rule.action == PodFailureAction::Ignore && !is_bounded(subject) {
            out.push(
                Problem::warning(
                    code::UNBOUNDED_IGNORE,
                    &here.field("action"),
                    "failed pods may be replaced for ever",
                )
                .hint("set a timeout or deadline"),
            );
        }
    }
    applies(subject, here, out);
}

fn conditions(rule: &crate::flows::api::PodFailureRule, here: &Place<'_>, out: &mut Problems) {
    let list = here.field("onPodConditions");
    for (i, condition) in rule.on_pod_conditions.iter().enumerate() {
        if let Some(status) = &condition.status
            && !["True", "False", "Unknown"].contains(&status.as_str())
        {
            let place = list.index(i);
            out.push(
                Problem::not_supported(
                    code::FAILURE_RULE,
                    &place.field("status"),
                    status.as_str(),
                    "must be \"True\", \"False\" or \"Unknown\"",
                )
                .maybe_hint(did_you_mean(status, ["True", "False", "Unknown"])),
            );
        }
    }
}

/// The template of each step that runs a Job, with the index of the step; only those that have a pod.
fn templates<'a>(subject: &Subject<'a>) -> impl Iterator<Item = (usize, Cow<'a, Value>)> {
    subject.steps().iter().enumerate().filter(|(_, step)| !step.is_manual()).filter_map(|(i, step)| {
        let template = step.template.as_ref()?.value();
        template.pointer("/spec/template/spec")?;
        Some((i, template))
    })
}

fn has_own_policy(template: &Value) -> bool {
    template.pointer("/spec/podFailurePolicy").is_some()
}

fn restarts(template: &Value) -> bool {
    template.pointer("/spec/template/spec/restartPolicy").and_then(Value::as_str) == Some("OnFailure")
}

fn containers(subject: &Subject<'_>) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for (_, template) in templates(subject) {
        let pod = &template["spec"]["template"]["spec"];
        let lists = [&pod["containers"], &pod["initContainers"]].into_iter().filter_map(Value::as_array);
        let found = lists.flatten().filter_map(|container| container.get("name")?.as_str());
        names.extend(found.filter(|name| name_rules::dns_label(name).is_none()).map(str::to_owned));
    }
    names
}

/// Tests whether something ends every step whose pods are replaced again and again.
fn is_bounded(subject: &Subject<'_>) -> bool {
    let policy = subject.flow.spec.execution_policy.as_ref();
    policy.is_some_and(|policy| policy.active_deadline_seconds.is_some())
        || templates(subject).all(|(i, template)| {
            subject.steps()[i].timeout_seconds.is_some()
                || template.pointer("/spec/activeDeadlineSeconds").is_some()
                || has_own_policy(&template)
                || restarts(&template)
        })
}

/// HW606 and HW919: the rules reach only steps whose pods never restart.
fn applies(subject: &Subject<'_>, here: &Place<'_>, out: &mut Problems) {
    let mut reached = 0;
    let mut missed = Vec::new();
    for (i, template) in templates(subject) {
        // A template's own policy wins.
        if restarts(&template) && !has_own_policy(&template) {
            missed.push(i);
        } else {
            reached += 1;
        }
    }
    if missed.is_empty() {
        return;
    }
    if reached == 0 {
        out.push(
            Problem::forbidden(
                code::FAILURE_POLICY_RESTART,
                here,
                "it needs restartPolicy Never, and every step has OnFailure",
            )
            .hint("write restartPolicy: Never, or remove the policy"),
        );
        return;
    }
    let steps = Place::ROOT.field("spec");
    let steps = steps.field("steps");
    for i in missed {
        let mut place = steps.index(i).path();
        for field in ["template", "spec", "template", "spec", "restartPolicy"] {
            place.0.push(crate::problem::field_path::Segment::Field(field.to_owned()));
        }
        let mut problem = Problem::warning(
            code::RULE_NOT_APPLIED,
            &Place::ROOT,
            "the flow's podFailurePolicy needs Never, and does not apply here",
        );
        problem.field = place;
        out.push(problem);
    }
}

#[cfg(test)]
mod tests;
