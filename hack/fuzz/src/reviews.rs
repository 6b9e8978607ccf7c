//! Reviews, and checks that every answer has to pass.

use base64::Engine as _;
use headworks_webhook::{Admit, Phase, respond};
use serde_json::{Value, json};

/// The user of every review that is made here.
pub const USER: &str = "jane";

/// A review of an object; with `old`, of its update.
pub fn review(kind: &str, object: &Value, old: Option<&Value>) -> Value {
    let (group, version, resource) = match kind {
        "JobFlow" => ("workflow.kube-zen.io", "v1alpha1", "jobflows"),
        _ => ("", "v1", "services"),
    };
    json!({
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": {
            "uid": "705ab4f5",
            "kind": {"group": group, "version": version, "kind": kind},
            "resource": {"group": group, "version": version, "resource": resource},
            "operation": if old.is_some() { "UPDATE" } else { "CREATE" },
            "userInfo": {"username": USER},
            "object": object,
            "oldObject": old,
        },
    })
}

/// An answer whose form has been checked.
#[derive(Debug)]
pub struct Answer {
    pub allowed: bool,
    pub patch: Vec<Value>,
    pub causes: Vec<String>,
}

/// Asks, and checks the form of the answer.
pub fn ask(admit: &dyn Admit, phase: Phase, body: &[u8]) -> Answer {
    let bytes = respond(admit, phase, body);
    let answer: Value = serde_json::from_slice(&bytes).expect("an answer is JSON");
    assert_eq!(answer["kind"], "AdmissionReview");
    let response = &answer["response"];
    assert!(response["uid"].is_string(), "an answer has a uid");
    let allowed = response["allowed"].as_bool().expect("allowed or not");
    let status = &response["status"];
    assert_eq!(status.is_null(), allowed, "refused with a status, allowed without: {answer}");
    assert!(status["code"] != 500, "a rule panicked: {answer}");
    let causes: Vec<String> = status["details"]["causes"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|cause| {
            format!("{}: {}", cause["field"].as_str().unwrap_or(""), cause["message"].as_str().unwrap())
        })
        .collect();
    assert!(causes.len() <= 51, "{} causes", causes.len());
    for line in &causes {
        assert!(!line.contains(char::is_control), "a cause is one line: {line:?}");
    }
    for warning in response["warnings"].as_array().into_iter().flatten() {
        assert!(!warning.as_str().unwrap().contains(char::is_control), "a warning is one line");
    }
    let patch = response["patch"].as_str().map(|text| {
        assert_eq!(phase, Phase::Mutate, "the validating phase does not patch");
        let json = base64::engine::general_purpose::STANDARD.decode(text).expect("a patch is base64");
        serde_json::from_slice::<Vec<Value>>(&json).expect("a patch is a list")
    });
    Answer { allowed, patch: patch.unwrap_or_default(), causes }
}

/// Asks both phases, as an API server does: the validating one gets the object as patched by the mutating one. Returns the
/// object to be stored, or why it is refused.
pub fn admit(
    admit: &dyn Admit,
    kind: &str,
    object: &Value,
    old: Option<&Value>,
) -> Result<Value, Vec<String>> {
    let body = |object: &Value| serde_json::to_vec(&review(kind, object, old)).expect("a value is JSON");
    let mutated = ask(admit, Phase::Mutate, &body(object));
    let validated = ask(admit, Phase::Validate, &body(object));
    if !mutated.allowed {
        // Except for stamps, which only the mutating phase writes, the two phases agree.
        let rest = |list: &[String]| -> Vec<String> {
            list.iter().filter(|line| !line.ends_with("(HW705)")).cloned().collect()
        };
        if mutated.causes.len() < 50 && validated.causes.len() < 50 {
            assert_eq!(rest(&mutated.causes), rest(&validated.causes), "both phases refuse for the same");
        }
        return Err(mutated.causes);
    }
    let mut patched = object.clone();
    for operation in &mutated.patch {
        let path = operation["path"].as_str().expect("a path");
        assert!(
            !path.contains("/template/") && !path.ends_with("/template"),
            "a template is patched: {operation}"
        );
    }
    let patch: json_patch::Patch =
        serde_json::from_value(Value::from(mutated.patch.clone())).expect("a patch can be read");
    json_patch::patch(&mut patched, &patch).expect("a patch applies");
    let again = ask(admit, Phase::Mutate, &body(&patched));
    assert!(again.allowed, "what was patched is refused: {:?}\n{patched}", again.causes);
    assert!(again.patch.is_empty(), "what was patched is patched again: {:?}\n{patched}", again.patch);
    let validated = ask(admit, Phase::Validate, &body(&patched));
    assert!(validated.allowed, "what was patched is refused: {:?}\n{patched}", validated.causes);
    Ok(patched)
}
