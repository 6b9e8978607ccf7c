//! Fuzzes admission reviews: any bytes; and valid objects with a few mistakes in them, through both phases.
#![no_main]

use std::sync::LazyLock;

use headworks::admission::{JobFlows, Services};
use headworks::flows::rules;
use headworks::flows::rules::Options;
use headworks::manifest;
use headworks::problem::code::CODES;
use headworks_fuzz::mutate::{Choices, change, shuffled};
use headworks_fuzz::reviews::{admit, ask};
use headworks_webhook::{Admit, Phase, respond};
use libfuzzer_sys::fuzz_target;
use serde_json::{Value, json};

/// Objects to start from: valid ones, and every example of the catalogue, which already has its own mistake.
static OBJECTS: LazyLock<Vec<Value>> = LazyLock::new(|| {
    let sound = [
        include_str!("../seeds/manifest/everything.yaml"),
        include_str!("../seeds/manifest/service.yaml"),
        include_str!("../../../examples/nightly.yaml"),
    ];
    let refused = [include_str!("../seeds/manifest/artifacts.yaml")];
    let examples = CODES.iter().flat_map(|entry| entry.examples()).map(|(_, text)| text);
    let texts = sound.into_iter().chain(refused).chain(examples);
    texts.flat_map(manifest::read).map(|document| document.expect("an example can be read").value).collect()
});

fuzz_target!(|data: &[u8]| {
    let Some((mode, rest)) = data.split_first() else { return };
    match mode {
        // No JSON starts with this byte.
        b'A'..=b'Z' => changed(rest),
        _ => bytes(data),
    }
});

fn bytes(body: &[u8]) {
    let rules: [&dyn Admit; 2] = [&JobFlows::default(), &Services::default()];
    for rules in rules {
        for phase in [Phase::Mutate, Phase::Validate] {
            ask(rules, phase, body);
            // Re-encoded, it has no duplicate keys, and its uid can be found.
            if let Ok(value) = serde_json::from_slice::<Value>(body)
                && let Some(uid) = value.pointer("/request/uid").and_then(Value::as_str)
            {
                let body = serde_json::to_vec(&value).expect("a value is JSON");
                let answer: Value = serde_json::from_slice(&respond(rules, phase, &body)).expect("JSON");
                assert_eq!(answer["response"]["uid"], uid);
            }
        }
    }
}

fn changed(choices: &[u8]) {
    let mut choices = Choices(choices);
    // Every second time one of the valid objects, which are the largest.
    let first = if choices.below(2) == 0 { choices.below(3) } else { choices.below(OBJECTS.len()) };
    let mut object = OBJECTS[first].clone();
    let flow = object["kind"] == "JobFlow";
    let (kind, rules): (&str, &dyn Admit) = if flow {
        ("JobFlow", &JobFlows { options: Options::default() })
    } else {
        ("Service", &Services::default())
    };
    for _ in 0..choices.below(6) {
        change(&mut object, &mut choices);
    }
    if !could_be_sent(&object) {
        return;
    }
    if flow {
        let list = |object: &Value| {
            let problems = rules::flow(object, &Options::default()).problems;
            problems.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(list(&object), list(&shuffled(&object)), "the order of keys says nothing");
    }
    let stored = admit(rules, kind, &object, None).unwrap_or(object);
    // An object that was stored before there was a rule, or by hand: an update of another field is admitted.
    let mut touched = stored.clone();
    touched["metadata"]["finalizers"] = json!(["example.com/keep"]);
    if let Err(why) = admit(rules, kind, &touched, Some(&stored)) {
        panic!("a change of metadata is refused: {why:?}\n{stored}");
    }
    let mut updated = stored.clone();
    for _ in 0..choices.below(4) {
        change(&mut updated, &mut choices);
    }
    if !could_be_sent(&updated) {
        return;
    }
    // No API server admits an update of these.
    for field in ["apiVersion", "kind"] {
        updated[field] = stored[field].clone();
    }
    let _ = admit(rules, kind, &updated, Some(&stored));
}

/// Tells whether an API server could send this object: it has decoded the metadata itself, so annotations are strings.
fn could_be_sent(object: &Value) -> bool {
    object.get("metadata").is_some_and(Value::is_object)
        && match &object["metadata"]["annotations"] {
            Value::Null => true,
            Value::Object(map) => map.values().all(Value::is_string),
            _ => false,
        }
}
