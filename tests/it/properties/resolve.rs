//! A second opinion on references: slow, obvious, and written without looking at the rules.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use regex::Regex;
use serde_json::Value;

/// `steps.NAME.outputs.OUT`, `steps["NAME"].phase`, `.StepStatus.NAME.Phase`.
static STEP: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(
        r#"(?:steps\.|steps\["|\.StepStatus\.)([a-z0-9-]+)(?:"\])?\.(?:(?:outputs\.([a-z]+))|[pP]hase)"#,
    )
    .unwrap()
});
static PARAMETER: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"parameters\.([a-z-]+)").unwrap());

/// Every reference of a flow that leads nowhere.
pub(super) fn dangling(flow: &Value) -> Vec<String> {
    let steps = list(&flow["spec"]["steps"]);
    let mut before: BTreeMap<&str, BTreeSet<&str>> =
        steps.iter().map(|step| (name(step), direct(step))).collect();
    // Whoever comes before somebody before me comes before me, until nothing is new.
    loop {
        let mut grown = before.clone();
        for ancestors in grown.values_mut() {
            for ancestor in ancestors.clone() {
                ancestors.extend(before.get(ancestor).into_iter().flatten());
            }
        }
        if grown == before {
            break;
        }
        before = grown;
    }
    let mut wrong = Vec::new();
    for step in steps {
        let me = name(step);
        let mut refuse = |what: String| wrong.push(format!("{me}: {what}"));
        if before[me].contains(me) {
            refuse("waits for itself".to_owned());
        }
        let dependencies = list(&step["dependencies"]);
        if dependencies.len() != direct(step).len() {
            refuse("waits twice".to_owned());
        }
        for dependency in direct(step).into_iter().filter(|dependency| !before.contains_key(dependency)) {
            refuse(format!("waits for {dependency}, which is no step"));
        }
        let is_before = |other: &str| before.contains_key(other) && before[me].contains(other);
        let is_manual =
            |other: &str| steps.iter().any(|step| name(step) == other && step["type"] == "Manual");
        let outputs = |other: &str, kind: &str| -> Vec<&str> {
            let other = steps.iter().find(|step| name(step) == other);
            other.map(|other| list(&other["outputs"][kind]).iter().map(name).collect()).unwrap_or_default()
        };
        let mut texts = Vec::new();
        for part in ["when", "template", "metadata", "inputs"] {
            collect(&step[part], &mut texts);
        }
        for text in texts {
            for found in STEP.captures_iter(text) {
                if !is_before(&found[1]) {
                    refuse(format!("{} does not come before", &found[1]));
                } else if let Some(output) = found.get(2)
                    && !outputs(&found[1], "parameters").contains(&output.as_str())
                {
                    refuse(format!("{} has no output {}", &found[1], output.as_str()));
                }
            }
            for found in PARAMETER.captures_iter(text) {
                let declared = [&step["inputs"]["parameters"], &flow["spec"]["parameters"]];
                if !declared.into_iter().flat_map(list).any(|parameter| name(parameter) == &found[1]) {
                    refuse(format!("there is no parameter {}", &found[1]));
                }
            }
        }
        for parameter in list(&step["inputs"]["parameters"]) {
            match parameter["valueFrom"]["jsonPath"].as_str().map(|path| path.split_once(':')) {
                Some(Some((source, _))) if !is_before(source) => {
                    refuse(format!("{source} does not come before"));
                }
                Some(path)
                    if is_manual(
                        path.map_or_else(|| name_of(dependencies.first()), |(source, _)| source),
                    ) =>
                {
                    refuse("a Manual step has no result".to_owned());
                }
                Some(None) if dependencies.len() != 1 => refuse("the path could be of any step".to_owned()),
                _ => {}
            }
        }
        for artifact in list(&step["inputs"]["artifacts"]) {
            let (source, artifact) = artifact["from"].as_str().unwrap().split_once('/').unwrap();
            if !is_before(source) || !outputs(source, "artifacts").contains(&artifact) {
                refuse(format!("{source} does not come before with artifact {artifact}"));
            }
        }
    }
    wrong
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn name(value: &Value) -> &str {
    value["name"].as_str().unwrap()
}

fn name_of(dependency: Option<&Value>) -> &str {
    dependency.and_then(Value::as_str).unwrap_or_default()
}

fn direct(step: &Value) -> BTreeSet<&str> {
    list(&step["dependencies"]).iter().map(|name| name.as_str().unwrap()).collect()
}

/// Every text in a value.
fn collect<'a>(value: &'a Value, texts: &mut Vec<&'a str>) {
    match value {
        Value::String(text) => texts.push(text),
        Value::Array(list) => list.iter().for_each(|value| collect(value, texts)),
        Value::Object(map) => map.values().for_each(|value| collect(value, texts)),
        _ => {}
    }
}
