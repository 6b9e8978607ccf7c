use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

/// Allows every object but the one it panics on.
struct Rules;

impl Admit for Rules {
    fn kinds(&self) -> &[&'static str] {
        &["JobFlow"]
    }

    fn mutate(&self, review: Review) -> Verdict {
        self.validate(review)
    }

    fn validate(&self, review: Review) -> Verdict {
        assert_ne!(review.name.as_deref(), Some("panic"));
        Verdict::allow()
    }
}

fn review(name: &str) -> Value {
    json!({
        "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
        "request": {
            "uid": "705ab4f5", "name": name, "namespace": "", "operation": "CREATE", "dryRun": null, "options": null,
            "kind": {"group": "workflow.kube-zen.io", "version": "v1alpha1", "kind": "JobFlow"},
            "resource": {"group": "workflow.kube-zen.io", "version": "v1alpha1", "resource": "jobflows"},
            "userInfo": {"username": "jane", "groups": null}, "object": {"spec": {}}, "oldObject": null,
        },
    })
}

fn answer(body: &[u8]) -> Value {
    let answer: Value = serde_json::from_slice(&respond(&Rules, Phase::Validate, body)).unwrap();
    assert_eq!(answer["kind"], "AdmissionReview");
    answer
}

/// The uid and the message of the refusal of a body that is no review.
fn refusal(body: impl AsRef<[u8]>) -> (String, String) {
    let answer = answer(body.as_ref());
    let response = &answer["response"];
    assert_eq!(response["allowed"], false);
    assert_eq!(response["status"]["code"], 400);
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    (text(&response["uid"]), text(&response["status"]["message"]))
}

#[test]
fn a_review_is_answered_in_the_version_it_was_asked_in() {
    let mut body = review("nightly");
    for version in ["admission.k8s.io/v1", "admission.k8s.io/v1beta1"] {
        body["apiVersion"] = version.into();
        assert_eq!(
            answer(body.to_string().as_bytes()),
            json!({"apiVersion": version, "kind": "AdmissionReview", "response": {"uid": "705ab4f5", "allowed": true}})
        );
    }
}

#[test]
fn an_absent_name_is_none_however_go_writes_it() {
    for name in [json!(null), json!("")] {
        let mut body = review("")["request"].take();
        body["name"] = name;
        let review: Review = serde_json::from_value(body).unwrap();
        assert_eq!((review.name, review.namespace, review.old_object), (None, None, None));
    }
}

#[test]
fn a_panic_is_an_answer_with_the_uid_and_code_500() {
    let response = &answer(review("panic").to_string().as_bytes())["response"];
    assert_eq!((&response["uid"], &response["allowed"]), (&json!("705ab4f5"), &json!(false)));
    assert_eq!(response["status"]["code"], 500);
    assert_eq!(response["status"]["reason"], "InternalError");
}

#[test]
fn a_truncated_body_is_refused_with_its_uid() {
    let body =
        r#"{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{"uid":"7","object":{"a":"#;
    let (uid, message) = refusal(body);
    assert_eq!(uid, "7");
    assert!(
        message.starts_with("the body is no AdmissionReview that can be read: EOF while parsing"),
        "{message}"
    );
}

#[test]
fn nesting_without_end_is_refused_with_its_uid() {
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        let nested = format!("{}1{}", open.repeat(100_000), close.repeat(100_000));
        let body =
            review("deep").to_string().replace(r#""object":{"spec":{}}"#, &format!(r#""object":{nested}"#));
        let (uid, message) = refusal(body);
        assert_eq!(uid, "705ab4f5");
        assert!(message.contains("recursion limit exceeded"), "{message}");
    }
}

#[test]
fn a_number_beyond_all_numbers_is_refused_with_its_uid() {
    let body =
        review("big").to_string().replace(r#"{"spec":{}}"#, &format!("1{}e999999999", "0".repeat(10_000)));
    let (uid, message) = refusal(body);
    assert_eq!(uid, "705ab4f5");
    assert!(message.contains("number out of range"), "{message}");
}

#[test]
fn a_key_given_twice_is_refused_with_the_first_uid() {
    let body = review("twice").to_string().replace(r#""uid":"#, r#""uid":"first","uid":"#);
    let (uid, message) = refusal(body);
    assert_eq!(uid, "first");
    assert!(message.contains("duplicate field `uid`"), "{message}");
}

#[test]
fn what_is_no_review_is_told_what_was_expected() {
    let mut body = review("x");
    body["kind"] = "Pod".into();
    assert_eq!(refusal(body.to_string()).1, r#"expected kind "AdmissionReview", got "Pod""#);
    let mut body = review("x");
    body["apiVersion"] = "v2".into();
    let (uid, message) = refusal(body.to_string());
    assert_eq!(uid, "705ab4f5");
    assert_eq!(
        message,
        r#"expected apiVersion "admission.k8s.io/v1" or "admission.k8s.io/v1beta1", got "v2""#
    );
    let mut body = review("x");
    body["request"] = Value::Null;
    assert_eq!(refusal(body.to_string()).1, "the AdmissionReview has no request");
    assert_eq!(refusal("").0, "");
    assert_eq!(refusal(b"\xff\xfe").0, "");
    let (uid, message) = refusal([br#"{"request":{"uid":"7","name":""#.as_slice(), b"\xff\"}}"].concat());
    assert_eq!(uid, "7");
    assert!(message.contains("invalid utf-8 sequence"), "{message}");
}

#[test]
fn a_review_is_never_printed_with_its_object() {
    let mut body = review("nightly")["request"].take();
    body["object"] = json!({"secret": "canary"});
    body["userInfo"]["extra"] = json!({"token": ["canary"]});
    let review: Review = serde_json::from_value(body).unwrap();
    assert!(!format!("{review:?}").contains("canary"));
}

proptest! {
    #[test]
    fn any_bytes_are_answered(body in proptest::collection::vec(any::<u8>(), 0..512)) {
        refusal(body);
    }

    #[test]
    fn a_review_cut_anywhere_after_its_uid_is_answered_with_it(cut in 0_usize..400, noise in proptest::collection::vec(any::<u8>(), 0..64)) {
        let whole = r#"{"apiVersion":"admission.k8s.io/v1beta1","request":{"uid":"705ab4f5","#.len();
        let mut body = format!(r#"{{"apiVersion":"admission.k8s.io/v1beta1","request":{{"uid":"705ab4f5",{}"#, &review("n").to_string()[1..]).into_bytes();
        body.truncate(whole + cut);
        body.extend(noise);
        let answer = answer(&body);
        prop_assert_eq!(&answer["response"]["uid"], "705ab4f5");
        prop_assert_eq!(&answer["apiVersion"], "admission.k8s.io/v1beta1");
    }
}
