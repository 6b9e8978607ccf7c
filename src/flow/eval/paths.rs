//! Reads result documents, and says why a path finds nothing in one.

use std::cell::Cell;

use serde_json::Value;

use crate::flow::jsonpath::{JsonPath, Step};
use crate::flow::path::one_line;
use crate::flow::typed;

/// The most bytes of a termination message that the kubelet keeps.
const MESSAGE: usize = 4096;
/// The most keys that a message lists.
const KEYS: usize = 10;

/// Why a path gives no value.
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
    match found.as_slice() {
        [] => Err(nothing(path, document)),
        [one] => {
            let text = typed::text(one).ok_or_else(|| Broken::Nothing(format!("{} is null", path.text)))?;
            // As `$( )` does with what a program says.
            let cut = is_output(one, document).then(|| text.strip_suffix('\n')).flatten().map(str::to_owned);
            Ok(cut.unwrap_or(text))
        }
        many => serde_json::to_string(many).map_err(|_| Broken::Wrong("is no JSON".to_owned())),
    }
}

/// The members of a result document that do not come from the Job's status.
pub(super) const OWN: [&str; 5] = ["metadata", "spec", "output", "containers", "pods"];

/// Where the path starts: at the document, or at its `status` if only that has what the path starts with.
fn root<'d>(path: &JsonPath, document: &'d Value) -> &'d Value {
    let Some(Step::Name(name)) = path.first().filter(|first| !OWN.map(Step::Name).contains(first)) else {
        return document;
    };
    match document.get("status") {
        Some(status) if document.get(name).is_none() && status.get(name).is_some() => status,
        _ => document,
    }
}

/// Whether a value is all that a container said, as text.
fn is_output(value: &Value, document: &Value) -> bool {
    let said = |container: &Value| container.get("output").is_some_and(|output| std::ptr::eq(output, value));
    let containers = |holder: &Value| {
        let containers = holder.get("containers").and_then(Value::as_object);
        containers.is_some_and(|containers| containers.values().any(said))
    };
    let pods = document.get("pods").and_then(Value::as_array);
    value.is_string()
        && (said(document) || containers(document) || pods.is_some_and(|pods| pods.iter().any(containers)))
}

/// Where the path breaks, and what is there.
fn nothing(path: &JsonPath, document: &Value) -> Broken {
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
        return match here {
            Value::String(text) if is_cut(text) => Broken::Wrong(format!(
                "{at} is no JSON, because it was cut: a termination message has at most {MESSAGE} bytes; say less, \
                 or hand it on as an artifact"
            )),
            Value::Object(map) if map.is_empty() => Broken::Nothing(format!("{missing}; it is empty")),
            Value::Object(map) => Broken::Nothing(format!("{missing}; it has {}", keys(map.keys()))),
            Value::Array(list) => Broken::Nothing(format!("{missing}; it is a list of {}", list.len())),
            other => Broken::Nothing(format!("{missing}; it is {}", typed::kind(other))),
        };
    }
    Broken::Nothing(format!("{} selects nothing", path.text))
}

/// Whether a text looks like JSON that the kubelet has cut.
fn is_cut(text: &str) -> bool {
    text.len() >= MESSAGE && text.trim_start().starts_with(['{', '['])
}

fn keys<'k>(keys: impl ExactSizeIterator<Item = &'k String>) -> String {
    let more = keys.len().saturating_sub(KEYS);
    let cut = |key: &String| one_line(&key.chars().take(63).collect::<String>()).into_owned();
    let shown: Vec<String> = keys.take(KEYS).map(cut).collect();
    let list = shown.join(", ");
    if more > 0 { format!("{list} and {more} more") } else { list }
}
