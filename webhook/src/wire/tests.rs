use serde_json::{Value, json};

use super::*;
use crate::verdict::{Cause, PatchOperation};

fn answer(phase: Phase, verdict: &Verdict) -> Value {
    serde_json::from_slice(&encode(Version::V1, "u", phase, verdict)).unwrap()
}

#[test]
fn a_patch_is_base64_of_its_operations_and_named_a_json_patch() {
    let verdict = Verdict::patch(vec![
        PatchOperation::Add { path: "/a~1b".into(), value: json!({"x": [1]}) },
        PatchOperation::Remove { path: "/c".into() },
    ]);
    let response = &answer(Phase::Mutate, &verdict)["response"];
    assert_eq!(response["patchType"], "JSONPatch");
    let patch = STANDARD.decode(response["patch"].as_str().unwrap()).unwrap();
    assert_eq!(
        serde_json::from_slice::<Value>(&patch).unwrap(),
        json!([{"op": "add", "path": "/a~1b", "value": {"x": [1]}}, {"op": "remove", "path": "/c"}])
    );
}

#[test]
fn an_empty_patch_and_a_validating_answer_carry_none() {
    let patch = Verdict::patch(vec![PatchOperation::Remove { path: "/c".into() }]);
    let bare = json!({"uid": "u", "allowed": true});
    assert_eq!(answer(Phase::Validate, &patch)["response"], bare);
    assert_eq!(answer(Phase::Mutate, &Verdict::allow())["response"], bare);
}

#[test]
fn a_denial_is_a_status_with_its_causes() {
    let cause =
        Cause { reason: "FieldValueRequired".into(), message: "m".into(), field: "spec.steps".into() };
    let details =
        Details { group: "g".into(), kind: "JobFlow".into(), name: "nightly".into(), causes: vec![cause] };
    let verdict = Verdict::deny(Denial::invalid("all of it").with_details(details));
    assert_eq!(
        answer(Phase::Validate, &verdict)["response"],
        json!({"uid": "u", "allowed": false, "status": {
            "status": "Failure", "message": "all of it", "reason": "Invalid", "code": 422,
            "details": {"group": "g", "kind": "JobFlow", "name": "nightly",
                "causes": [{"reason": "FieldValueRequired", "message": "m", "field": "spec.steps"}]},
        }})
    );
}

#[test]
fn a_code_that_is_no_refusal_becomes_400() {
    let verdict = Verdict::deny(Denial { code: 200, ..Denial::invalid("no") });
    assert_eq!(answer(Phase::Validate, &verdict)["response"]["status"]["code"], 400);
}

#[test]
fn an_audit_key_has_no_slash() {
    let verdict = Verdict::allow().audit("a/b", "v/w");
    assert_eq!(answer(Phase::Validate, &verdict)["response"]["auditAnnotations"], json!({"a.b": "v/w"}));
}

#[test]
fn a_warning_keeps_its_words_and_loses_its_control_characters() {
    let warnings = ["two\nlines\u{7f}".to_owned(), "\t".into(), "twice".into(), "twice".into()];
    assert_eq!(clean_warnings(&warnings), ["two lines", "twice"]);
    let long = "é".repeat(4096);
    assert_eq!(clean_warnings(std::slice::from_ref(&long)), [long], "within the total nothing is cut");
}

#[test]
fn beyond_4096_characters_warnings_are_cut_to_256() {
    let cleaned = clean_warnings(&["a".repeat(4096), "b".into()]);
    assert_eq!(cleaned, [format!("{}...", "a".repeat(253)), "b".into()]);
}

#[test]
fn warnings_that_do_not_fit_are_counted() {
    let warnings: Vec<String> = (0..100).map(|n| format!("{n:03}{}", "é".repeat(300))).collect();
    let cleaned = clean_warnings(&warnings);
    assert_eq!(cleaned.last().unwrap(), "and 85 more warnings");
    assert_eq!(cleaned.len(), 16);
    assert!(cleaned.iter().map(|text| text.chars().count()).sum::<usize>() <= 4096);
}
