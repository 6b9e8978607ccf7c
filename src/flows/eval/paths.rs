//! Reads result documents, and says why a path finds nothing in one.

use std::cell::Cell;
use std::collections::HashMap;

use serde_json::{Map, Value};

use crate::flows::jsonpath::{JsonPath, Step};
use crate::flows::outcome::MOST_OF_CONTAINER;
use crate::flows::typed;
use crate::problem::field_path::one_line;

/// The most keys that a message lists.
const KEYS: usize = 10;

/// Reasons for which a path gives no value.
#[derive(Debug, PartialEq)]
pub(super) enum Broken {
    /// There is nothing where it points to; a default may stand in.
    Nothing(String),
    /// There should be something, or nobody can know.
    Wrong(String),
}

/// The text of what a path selects: one value as it is, several as a JSON array. `left` is the account of places that
/// all paths of a step share.
pub(super) fn pick(path: &JsonPath, document: &Value, left: &Cell<usize>) -> Result<String, Broken> {
    let root = root(path, document);
    let found =
        path.select_within(root, left).map_err(|error| Broken::Wrong(format!("{}: {error}", path.text)))?;
    // Half of a text is a wrong value.
    let cuts = cuts(document);
    if let Some(limit) = found.iter().find_map(|value| cuts.get(&std::ptr::from_ref(*value))) {
        return Err(Broken::Wrong(cut(&path.text, *limit)));
    }
    match found.as_slice() {
        [] => Err(nothing(path, document, &cuts)),
        [one] => typed::text(one).ok_or_else(|| Broken::Nothing(format!("{} is null", path.text))),
        many => serde_json::to_string(many).map_err(|_| Broken::Wrong("is no JSON".to_owned())),
    }
}

/// The members of a result document that do not come from the Job's status.
pub(super) const OWN: [&str; 7] = ["metadata", "spec", "output", "cut", "limit", "containers", "pods"];

/// Returns the value where the path starts: at the document, or at its `status` if only that has what the path starts
/// with.
fn root<'d>(path: &JsonPath, document: &'d Value) -> &'d Value {
    let Some(Step::Name(name)) = path.first().filter(|first| !OWN.map(Step::Name).contains(first)) else {
        return document;
    };
    match document.get("status") {
        Some(status) if document.get(name).is_none() && status.get(name).is_some() => status,
        _ => document,
    }
}

/// Finds the messages of containers that the kubelet cut, with the number of bytes that it kept.
fn cuts(document: &Value) -> HashMap<*const Value, u64> {
    let of = |said: &Value| {
        said.get("cut")?;
        let limit = said.get("limit").and_then(Value::as_u64).unwrap_or_default();
        Some((std::ptr::from_ref(said.get("output")?), limit))
    };
    let pods = document.get("pods").and_then(Value::as_array).into_iter().flatten();
    let holders = std::iter::once(document).chain(pods);
    let containers = holders.filter_map(|holder| holder.get("containers")?.as_object()).flat_map(Map::values);
    std::iter::once(document).chain(containers).filter_map(of).collect()
}

/// Describes a text that was cut, with a fix. A text that was whole and has exactly so many bytes looks the same.
fn cut(at: &str, limit: u64) -> String {
    let kept = if usize::try_from(limit) == Ok(MOST_OF_CONTAINER) { "last" } else { "first" };
    format!(
        "{at} was cut: of this container's termination message Kubernetes keeps the {kept} {limit} bytes, and so many \
         there are; say less, or hand it on otherwise"
    )
}

/// Describes where the path breaks, and what is there.
fn nothing(path: &JsonPath, document: &Value, cuts: &HashMap<*const Value, u64>) -> Broken {
    let root = root(path, document);
    let (mut here, mut at) = (root, "$".to_owned());
    if !std::ptr::eq(root, document) {
        at.push_str(".status");
    }
    for step in path.steps() {
        let Some(step) = step else { break };
        if let Some(next) = step.of(here) {
            here = next;
            match step {
                Step::Name(name) => at = format!("{at}.{}", one_line(name)),
                Step::Index(index) => at = format!("{at}[{index}]"),
            }
            continue;
        }
        let missing = match step {
            Step::Name(name) => format!("{at} has no `{}`", one_line(name)),
            Step::Index(index) => format!("{at} has no entry {index}"),
        };
        if let Some(limit) = cuts.get(&std::ptr::from_ref(here)) {
            return Broken::Wrong(cut(&at, *limit));
        }
        if let (Step::Name("output"), Some(words)) = (step, speaks_not(here)) {
            return Broken::Wrong(format!("{missing}: {words}"));
        }
        return match here {
            Value::Object(map) if map.is_empty() => Broken::Nothing(format!("{missing}; it is empty")),
            Value::Object(map) => Broken::Nothing(format!("{missing}; it has {}", keys(map.keys()))),
            Value::Array(list) => Broken::Nothing(format!("{missing}; it is a list of {}", list.len())),
            other => Broken::Nothing(format!("{missing}; it is {}", typed::kind(other))),
        };
    }
    Broken::Nothing(format!("{} selects nothing", path.text))
}

/// Explains why a document has no output, where the container that should speak is not in the pod.
fn speaks_not(document: &Value) -> Option<String> {
    let containers = document.get("containers")?.as_object()?;
    let is_missing = |container: &Value| container.get("missing").is_some();
    let (name, _) = containers.iter().find(|(_, container)| is_missing(container))?;
    let others: Vec<&str> = containers.keys().filter(|other| *other != name).map(String::as_str).collect();
    let others = others.join(", ");
    Some(format!(
        "container \"{}\" of the step's template is not in its pod, which has {}; something changes pods on their way",
        one_line(name),
        one_line(&others)
    ))
}

fn keys<'k>(keys: impl ExactSizeIterator<Item = &'k String>) -> String {
    let more = keys.len().saturating_sub(KEYS);
    let cut = |key: &String| one_line(&key.chars().take(63).collect::<String>()).into_owned();
    let shown: Vec<String> = keys.take(KEYS).map(cut).collect();
    let list = shown.join(", ");
    if more > 0 { format!("{list} and {more} more") } else { list }
}
