//! The result document of a Job, from which later steps read parameters.
//!
//! ```json
//! {"metadata": {"name": "nightly-extract-0vvfhh1xdz", "namespace": "default", "uid": "...", "labels": {}, "annotations": {}},
//!  "spec": {"completions": 1, "parallelism": 1, "backoffLimit": 0},
//!  "status": {"succeeded": 1, "startTime": "2026-11-24T10:00:00Z", "conditions": []},
//!  "output": {"rows": 42},
//!  "containers": {"main": {"output": {"rows": 42}, "exitCode": 0, "reason": "Completed",
//!                          "startedAt": "2026-11-24T10:00:01Z", "finishedAt": "2026-11-24T10:00:03Z"}},
//!  "pods": [{"name": "nightly-extract-0vvfhh1xdz-x2x4z", "phase": "Succeeded", "node": "a", "containers": {}}]}
//! ```

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::flows::observed::{Container, Ended, Job, Pod, PodPhase};
use crate::names::RESERVED_NAME_PREFIX;

/// The most bytes that the kubelet keeps of one container's termination message, and of all of a pod's together
/// (`MaxContainerTerminationMessageLength`, `MaxPodTerminationMessageLogLength`). It keeps the end of a message that is
/// longer than the former. The latter is shared out evenly among the containers, used or not, and it keeps the
/// beginning of a message that is longer than its share.
pub const MOST_OF_CONTAINER: usize = 4096;
const MOST_OF_POD: usize = 12 * 1024;

/// The most bytes that the kubelet keeps of the termination message of each container of a pod.
pub(super) fn limit(pod: &Pod) -> usize {
    MOST_OF_CONTAINER.min(MOST_OF_POD / (pod.containers.len() + pod.ephemeral).max(1))
}

/// Builds the result document of a finished Job. `container` is the one whose output is the document's `output`;
/// absent: the first container of the step's template, by its name, since a mesh or a policy may have put another one
/// before it in the pod. If the pod does not have it, there is no output, and it is listed with `"missing": true`.
///
/// With several pods, `output` and `containers` are those of the first in `pods`. In an Indexed Job that is the pod of
/// the lowest index, and `pods` has one for each index: the one that succeeded. Else it is the pod that succeeded
/// first; the other succeeded ones follow in the order in which they ended, and then those that failed.
///
/// Unknown fields are absent: a container that wrote no termination message has no `output`. One whose message was cut
/// by the kubelet has `"cut": true` and the `limit`, and its output is the text that is left; so has the document
/// itself where that is its output. A text of exactly the limit may have been whole, and counts as cut all the same.
pub fn document(job: &Job, pods: &[&Pod], container: Option<&str>) -> Value {
    let mut document = match serde_json::from_str(&job.document) {
        Ok(Value::Object(document)) => document,
        _ => Map::new(),
    };
    let pods = in_order(job, pods);
    if let Some(first) = pods.first() {
        let speaker = container.or_else(|| job.speaker());
        let found =
            speaker.and_then(|name| first.containers.iter().find(|container| &*container.name == name));
        let mut containers = containers(first);
        if let (Some(speaker), None, Some(containers)) = (speaker, found, containers.as_object_mut()) {
            containers.insert(speaker.to_owned(), json!({"missing": true}));
        }
        document.extend(
            found
                .and_then(|container| container.ended.as_ref())
                .map(|ended| termination_message(ended, limit(first)))
                .into_iter()
                .flatten(),
        );
        document.insert("containers".to_owned(), containers);
    }
    document.insert("pods".to_owned(), pods.into_iter().map(described).collect());
    Value::Object(document)
}

fn in_order<'a>(job: &Job, pods: &[&'a Pod]) -> Vec<&'a Pod> {
    let mut pods: Vec<&Pod> = pods.iter().copied().filter(|pod| pod.is_of(job)).collect();
    pods.sort_by_key(|pod| {
        let succeeded = pod.phase == PodPhase::Succeeded;
        let index = if job.shape.indexed { pod.index.unwrap_or(i64::MAX) } else { 0 };
        (index, !succeeded, pod.ended().is_none(), pod.ended(), pod.created, &pod.name)
    });
    if job.shape.indexed {
        pods.dedup_by_key(|pod| pod.index);
    }
    pods
}

fn described(pod: &Pod) -> Value {
    let mut described = Map::new();
    described.insert("name".to_owned(), (&*pod.name).into());
    described.extend(pod.index.map(|index| ("index".to_owned(), index.into())));
    described.insert("phase".to_owned(), format!("{:?}", pod.phase).into());
    described.extend(pod.node.as_deref().map(|node| ("node".to_owned(), node.into())));
    described.insert("containers".to_owned(), containers(pod));
    Value::Object(described)
}

/// The containers of a pod by name; those that headworks added are left out.
fn containers(pod: &Pod) -> Value {
    let theirs = pod.containers.iter().filter(|container| !container.name.starts_with(RESERVED_NAME_PREFIX));
    let described: BTreeMap<&str, Value> =
        theirs.map(|container| (&*container.name, ending(container, limit(pod)))).collect();
    json!(described)
}

fn ending(container: &Container, limit: usize) -> Value {
    let Some(ended) = &container.ended else { return json!({}) };
    let time = |time: Option<jiff::Timestamp>| time.map(|time| Value::from(time.to_string()));
    let fields = [
        ("exitCode", Some(ended.exit_code.into())),
        ("reason", Some((&*ended.reason).into()).filter(|_| !ended.reason.is_empty())),
        ("startedAt", time(ended.started)),
        ("finishedAt", time(ended.finished)),
    ];
    let fields = fields.into_iter().filter_map(|(field, value)| Some((field.to_owned(), value?)));
    fields.chain(termination_message(ended, limit)).collect()
}

/// The fields for a container's termination message, and whether the kubelet cut it.
fn termination_message(ended: &Ended, limit: usize) -> impl Iterator<Item = (String, Value)> + use<> {
    let limit = is_cut(&ended.message, limit).then_some(limit);
    let fields =
        [("output", output(ended)), ("cut", limit.map(|_| true.into())), ("limit", limit.map(Value::from))];
    fields.into_iter().filter_map(|(field, value)| Some((field.to_owned(), value?)))
}

/// The value of a termination message: JSON if it is JSON, else text, less one newline at its end, as `$( )` has it.
fn output(ended: &Ended) -> Option<Value> {
    let message = &*ended.message;
    if message.is_empty() {
        return None;
    }
    let text = message.strip_suffix('\n').unwrap_or(message);
    match serde_json::from_str(message) {
        // A number that JSON would change, such as an identifier of thirty digits, is kept as it was written.
        Ok(Value::Number(number)) if number.to_string() != text.trim() => Some(text.into()),
        Ok(value) => Some(value),
        Err(_) => Some(text.into()),
    }
}

/// Tells whether the kubelet cut a message, as far as can be known: it has as many bytes as the limit, or more if half
/// a character was replaced, and is no complete JSON value.
pub(super) fn is_cut(message: &str, limit: usize) -> bool {
    message.len() >= limit
        && !(message.trim_start().starts_with(['{', '[', '"'])
            && serde_json::from_str::<serde::de::IgnoredAny>(message).is_ok())
}

#[cfg(test)]
mod tests;
