//! Builds the objects that the controller creates, as JSON. Pure.
//!
//! A user's template is copied as it is: fields that are not named here are not touched, so that those of a newer
//! cluster arrive there.

use serde_json::{Map, Value, json};

use crate::flows::api::{JobFlow, PodFailurePolicy};
use crate::flows::eval::Rendered;
use crate::k8s::hash::hash;
use crate::names;

/// Builds the Job of an attempt.
pub(super) fn job(flow: &JobFlow, step: usize, attempt: i64, name: &str, rendered: &Rendered) -> Value {
    let step = &flow.spec.steps[step];
    let mut spec = object(rendered.template.get("spec"));
    // A Job that deletes itself could be gone before its results are read. Jobs are deleted with their flow.
    spec.remove("ttlSecondsAfterFinished");
    if step.retry_policy.is_some() && !is_set(&spec, "backoffLimit") {
        // The flow retries, not the Job.
        spec.insert("backoffLimit".to_owned(), json!(0));
    }
    let mut template = object(spec.get("template"));
    let pod_spec = object(template.get("spec"));
    if let Some(policy) =
        flow.spec.execution_policy.as_ref().and_then(|policy| policy.pod_failure_policy.as_ref())
        && !is_set(&spec, "podFailurePolicy")
        && pod_spec.get("restartPolicy").and_then(Value::as_str) == Some("Never")
        && let Some(policy) = pod_failure_policy(policy, &pod_spec)
    {
        spec.insert("podFailurePolicy".to_owned(), policy);
    }
    let mut pod_metadata = object(template.get("metadata"));
    let mut metadata = Map::new();
    let given = object(rendered.template.get("metadata"));
    for (field, ours, of_step) in [
        ("labels", labels(flow, &step.name), &rendered.labels),
        ("annotations", annotations(attempt), &rendered.annotations),
    ] {
        for (target, given) in [(&mut metadata, given.get(field)), (&mut pod_metadata, None)] {
            let mut entries = given.map_or_else(|| object(target.get(field)), |given| object(Some(given)));
            entries.extend(of_step.iter().map(|(key, value)| (key.clone(), json!(value))));
            entries.extend(ours.clone());
            target.insert(field.to_owned(), Value::Object(entries));
        }
    }
    if let Some(Value::Object(annotations)) = metadata.get_mut("annotations") {
        annotations.insert(names::CONTAINERS_ANNOTATION.to_owned(), json!(containers(&pod_spec)));
        annotations.insert(names::RENDERED_ANNOTATION.to_owned(), json!(rendered_hash(rendered)));
    }
    metadata.insert("name".to_owned(), json!(name));
    metadata.insert("namespace".to_owned(), json!(flow.metadata.namespace));
    metadata.insert("ownerReferences".to_owned(), owner(flow));
    template.insert("metadata".to_owned(), Value::Object(pod_metadata));
    spec.insert("template".to_owned(), Value::Object(template));
    json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": spec})
}

/// Hashes what a Job is made from into ten characters, the same at every try.
pub(super) fn rendered_hash(rendered: &Rendered) -> String {
    let Rendered { template, labels, annotations } = rendered;
    hash(&json!([template, labels, annotations]).to_string())
}

/// Lists the names of a pod's containers, init containers last.
fn containers(pod_spec: &Map<String, Value>) -> String {
    let lists =
        ["containers", "initContainers"].into_iter().filter_map(|list| pod_spec.get(list)?.as_array());
    let names: Vec<&str> = lists.flatten().filter_map(|container| container.get("name")?.as_str()).collect();
    names.join(",")
}

/// Builds the objects of the resource templates, each with its kind.
pub(super) fn resources(flow: &JobFlow) -> Vec<(&'static str, Value)> {
    let Some(templates) = &flow.spec.resource_templates else { return Vec::new() };
    let claims = templates.volume_claim_templates.iter().map(|template| ("PersistentVolumeClaim", template));
    let maps = templates.config_map_templates.iter().map(|template| ("ConfigMap", template));
    claims.chain(maps).map(|(kind, template)| (kind, resource(flow, kind, template))).collect()
}

fn resource(flow: &JobFlow, kind: &str, template: &Value) -> Value {
    let mut built = object(Some(template));
    let given = object(built.get("metadata"));
    let name = given.get("name").and_then(Value::as_str).unwrap_or_default();
    let flow_name = flow.metadata.name.as_deref().unwrap_or_default();
    let mut labels = object(given.get("labels"));
    labels.extend(common_labels(flow));
    let mut metadata = Map::new();
    metadata.insert("name".to_owned(), json!(format!("{flow_name}-{name}")));
    metadata.insert("namespace".to_owned(), json!(flow.metadata.namespace));
    metadata.insert("labels".to_owned(), Value::Object(labels));
    if let Some(annotations) = given.get("annotations") {
        metadata.insert("annotations".to_owned(), annotations.clone());
    }
    metadata.insert("ownerReferences".to_owned(), owner(flow));
    built.insert("apiVersion".to_owned(), json!("v1"));
    built.insert("kind".to_owned(), json!(kind));
    built.insert("metadata".to_owned(), Value::Object(metadata));
    built.remove("status");
    Value::Object(built)
}

/// Returns the ownerReference to the flow, as the controller. It does not block the flow's deletion: that would need
/// rights on its finalizers.
fn owner(flow: &JobFlow) -> Value {
    json!([{
        "apiVersion": names::API_VERSION, "kind": names::KIND,
        "name": flow.metadata.name, "uid": flow.metadata.uid,
        "controller": true
    }])
}

fn common_labels(flow: &JobFlow) -> Map<String, Value> {
    let flow_name = flow.metadata.name.as_deref().unwrap_or_default();
    let mut labels = Map::new();
    labels.insert(names::FLOW_LABEL.to_owned(), json!(crate::flows::job_name::label_value(flow_name)));
    labels.insert(names::MANAGED_BY_LABEL.to_owned(), json!(names::MANAGED_BY));
    labels.insert(names::APP_MANAGED_BY_LABEL.to_owned(), json!(names::HEADWORKS));
    labels
}

fn labels(flow: &JobFlow, step: &str) -> Map<String, Value> {
    let mut labels = common_labels(flow);
    labels.insert(names::STEP_LABEL.to_owned(), json!(step));
    labels
}

fn annotations(attempt: i64) -> Map<String, Value> {
    Map::from_iter([(names::ATTEMPT_ANNOTATION.to_owned(), json!(attempt.to_string()))])
}

/// Adapts the flow's podFailurePolicy to this Job: a rule about a container that it lacks is left out, exit codes are
/// sorted and unique. `None` if no rule is left.
fn pod_failure_policy(policy: &PodFailurePolicy, pod_spec: &Map<String, Value>) -> Option<Value> {
    let mut names = ["containers", "initContainers"]
        .into_iter()
        .filter_map(|list| pod_spec.get(list)?.as_array())
        .flatten()
        .filter_map(|container| container.get("name")?.as_str())
        .collect::<Vec<_>>();
    names.sort_unstable();
    let mut rules = Vec::new();
    for rule in &policy.rules {
        let mut rule = rule.clone();
        if let Some(codes) = &mut rule.on_exit_codes {
            if codes.container_name.as_deref().is_some_and(|name| names.binary_search(&name).is_err()) {
                continue;
            }
            codes.values.sort_unstable();
            codes.values.dedup();
        }
        for condition in &mut rule.on_pod_conditions {
            // The API server requires it.
            condition.status.get_or_insert_with(|| "True".to_owned());
        }
        rules.push(serde_json::to_value(rule).ok()?);
    }
    (!rules.is_empty()).then(|| json!({"rules": rules}))
}

fn object(value: Option<&Value>) -> Map<String, Value> {
    value.and_then(Value::as_object).cloned().unwrap_or_default()
}

fn is_set(map: &Map<String, Value>, field: &str) -> bool {
    map.get(field).is_some_and(|value| !value.is_null())
}
