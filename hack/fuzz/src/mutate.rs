//! Changes a JSON value in ways that people and programs get it wrong: the input's bytes choose where and how.

use serde_json::{Map, Value, json};

/// Bytes that make choices; once they are used up, every choice is the first one.
pub struct Choices<'a>(pub &'a [u8]);

impl Choices<'_> {
    pub fn byte(&mut self) -> u8 {
        match self.0.split_first() {
            Some((first, rest)) => {
                self.0 = rest;
                *first
            }
            None => 0,
        }
    }

    /// A number below `count`, or 0.
    pub fn below(&mut self, count: usize) -> usize {
        if count < 2 {
            return 0;
        }
        let choice = usize::from(self.byte());
        if count <= 256 { choice % count } else { (choice << 8 | usize::from(self.byte())) % count }
    }

    /// A few characters of the input.
    fn text(&mut self) -> String {
        let length = self.below(24).min(self.0.len());
        let (text, rest) = self.0.split_at(length);
        self.0 = rest;
        String::from_utf8_lossy(text).into_owned()
    }
}

/// Makes one change somewhere in `value`.
pub fn change(value: &mut Value, choices: &mut Choices<'_>) {
    let mut here = value;
    // Descend into the value until a choice says stop.
    loop {
        let stop = choices.below(6) == 0;
        let inside = match here {
            Value::Object(map) => map.len(),
            Value::Array(list) => list.len(),
            _ => 0,
        };
        if stop || inside == 0 {
            break;
        }
        let at = choices.below(inside);
        let next = match here {
            Value::Object(map) => map.values_mut().nth(at),
            Value::Array(list) => list.get_mut(at),
            _ => None,
        };
        match next {
            Some(next) => here = next,
            None => return,
        }
    }
    let other = replacement(choices);
    match (choices.below(5), here) {
        (1, Value::Object(map)) => {
            let at = choices.below(map.len());
            if let Some(key) = map.keys().nth(at).cloned() {
                map.remove(&key);
            }
        }
        (2, Value::Object(map)) => {
            map.insert(key(choices), other);
        }
        (3, Value::Object(map)) => {
            // Move a value to another key.
            let at = choices.below(map.len());
            if let Some(old) = map.keys().nth(at).cloned()
                && let Some(value) = map.remove(&old)
            {
                map.insert(key(choices), value);
            }
        }
        (1, Value::Array(list)) if !list.is_empty() => {
            list.remove(choices.below(list.len()));
        }
        (2, Value::Array(list)) if !list.is_empty() => {
            let copy = list[choices.below(list.len())].clone();
            list.insert(choices.below(list.len()), copy);
        }
        (3, Value::Array(list)) if !list.is_empty() => {
            let at = choices.below(list.len());
            list.swap(0, at);
        }
        (1 | 2, Value::String(text)) => {
            let at = text.char_indices().map(|(at, _)| at).nth(choices.below(text.len())).unwrap_or(0);
            text.insert_str(at, &choices.text());
        }
        (3, Value::String(text)) => *text = format!("{{{{ {text} }}}}"),
        (_, here) => *here = other,
    }
}

fn replacement(choices: &mut Choices<'_>) -> Value {
    match choices.below(16) {
        0 => Value::Null,
        1 => json!(true),
        2 => json!(0),
        3 => json!(-1),
        4 => json!(i64::MAX),
        5 => json!(u64::MAX),
        6 => json!(1.5),
        7 => json!(3.0),
        8 => json!(1e300),
        9 => json!([]),
        10 => json!({}),
        11 => json!(""),
        12 => json!([{}]),
        13 => json!(WORDS[choices.below(WORDS.len())]),
        14 => json!({key(choices): WORDS[choices.below(WORDS.len())]}),
        _ => json!(choices.text()),
    }
}

fn key(choices: &mut Choices<'_>) -> String {
    match choices.below(4) {
        0 => choices.text(),
        _ => KEYS[choices.below(KEYS.len())].to_owned(),
    }
}

/// `value` with the keys of every object in another order.
pub fn shuffled(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            let mut entries: Vec<_> = map.iter().map(|(key, value)| (key.clone(), shuffled(value))).collect();
            entries.reverse();
            Value::Object(Map::from_iter(entries))
        }
        Value::Array(list) => list.iter().map(shuffled).collect(),
        other => other.clone(),
    }
}

const KEYS: [&str; 64] = [
    "name",
    "type",
    "value",
    "valueFrom",
    "default",
    "dependencies",
    "template",
    "spec",
    "metadata",
    "labels",
    "annotations",
    "when",
    "steps",
    "parameters",
    "inputs",
    "outputs",
    "artifacts",
    "from",
    "path",
    "jsonPath",
    "expression",
    "configMapKeyRef",
    "secretKeyRef",
    "retryPolicy",
    "limit",
    "backoff",
    "duration",
    "maxDuration",
    "factor",
    "executionPolicy",
    "concurrencyPolicy",
    "concurrencyKey",
    "podFailurePolicy",
    "rules",
    "action",
    "onExitCodes",
    "operator",
    "values",
    "onPodConditions",
    "status",
    "containers",
    "initContainers",
    "image",
    "command",
    "args",
    "env",
    "envFrom",
    "volumeMounts",
    "volumes",
    "emptyDir",
    "configMap",
    "secret",
    "resources",
    "requests",
    "restartPolicy",
    "activeDeadlineSeconds",
    "generateName",
    "suspend",
    "artifactStore",
    "resourceTemplates",
    "timeoutSeconds",
    "continueOnFailure",
    "selector",
    "ports",
];

const WORDS: [&str; 40] = [
    "a",
    "b",
    "Job",
    "Manual",
    "Never",
    "Always",
    "OnFailure",
    "Forbid",
    "Replace",
    "Allow",
    "Exponential",
    "Fixed",
    "Linear",
    "10s",
    "1h",
    "720h",
    "500m",
    "1Gi",
    "5",
    "true",
    "false",
    "$.output",
    "extract:$.output.rows",
    "extract/data",
    "{{ parameters.day }}",
    "{{ steps.extract.outputs.rows }}",
    "steps.extract.phase == \"Failed\"",
    "{{",
    "}}",
    "${parameters.day}",
    ".StepStatus.extract.Phase",
    "/data",
    "int",
    "json",
    "app=db",
    "In",
    "NotIn",
    "FailJob",
    "Ignore",
    "x\ny",
];
