//! Stamps of who started a flow and who approved a step, which nobody can write by hand.
//!
//! A stamp is an annotation that admission writes from the request's user. `initiated-by...` is set at creation and
//! stays; `approved-by.../<step>` follows `approved.../<step>` and names who set its present value. A stamp that is
//! missing in an update is restored; one that is altered is refused.

use headworks_webhook::PatchOperation;
use serde_json::{Map, Value};

use crate::names::{APPROVED_BY_PREFIX, APPROVED_PREFIX, INITIATED_BY};
use crate::problem::code;
use crate::problem::field_path::Place;
use crate::problem::{Problem, Problems};

/// The annotations of an object; `None` if there are none.
pub fn annotations(object: &Value) -> Option<&Map<String, Value>> {
    object.get("metadata")?.get("annotations")?.as_object()
}

fn get<'a>(object: &'a Value, key: &str) -> Option<&'a str> {
    annotations(object)?.get(key)?.as_str()
}

/// Tests whether a key is that of a stamp.
fn is_stamp(key: &str) -> bool {
    key == INITIATED_BY || key.starts_with(APPROVED_BY_PREFIX)
}

/// The stamps that `object` has to carry, written by `user`; `old` is the stored object.
pub fn stamps(object: &Value, old: Option<&Value>, user: &str) -> Vec<(String, String)> {
    let mut stamps = Vec::new();
    match old {
        None => stamps.push((INITIATED_BY.to_owned(), user.to_owned())),
        Some(old) => stamps.extend(get(old, INITIATED_BY).map(|by| (INITIATED_BY.to_owned(), by.to_owned()))),
    }
    for (key, value) in annotations(object).into_iter().flatten() {
        let Some(step) = key.strip_prefix(APPROVED_PREFIX) else { continue };
        let stamp = format!("{APPROVED_BY_PREFIX}{step}");
        let unchanged = old.is_some_and(|old| get(old, key) == value.as_str());
        match old.filter(|_| unchanged) {
            // An approval that was stored while the webhook was down keeps no name.
            Some(old) => stamps.extend(get(old, &stamp).map(|by| (stamp, by.to_owned()))),
            None => stamps.push((stamp, user.to_owned())),
        }
    }
    stamps
}

/// Refuses stamps that were written by hand.
///
/// Before stamping (`stamped` false) a stamp may be absent, as it was stored, or as it will be; afterwards it has to
/// be as it should be.
pub fn check(object: &Value, old: Option<&Value>, user: &str, stamped: bool, out: &mut Problems) {
    let expected = stamps(object, old, user);
    let metadata = Place::ROOT.field("metadata");
    let place = metadata.field("annotations");
    for (key, value) in annotations(object).into_iter().flatten().filter(|(key, _)| is_stamp(key)) {
        let given = value.as_str();
        let right = expected.iter().find(|(name, _)| name == key).map(|(_, by)| by.as_str());
        let stored = old.and_then(|old| get(old, key));
        let as_stored = !stamped && stored.is_some() && given == stored;
        if given != right && !as_stored {
            out.push(
                Problem::forbidden(
                    code::FORGED_STAMP,
                    &place.key(key),
                    "only headworks writes this, from the user it sees",
                )
                .hint("remove it"),
            );
        }
    }
    if stamped {
        for (key, _) in expected.iter().filter(|(key, _)| get(object, key).is_none()) {
            out.push(
                Problem::required(
                    code::FORGED_STAMP,
                    &place.key(key),
                    "this stamp was taken out after it was set",
                )
                .hint("another admission webhook removes it: let it keep these annotations"),
            );
        }
    }
}

/// Writes the stamps into an object, and takes out those of approvals that are gone.
pub fn stamp(object: &Value, old: Option<&Value>, user: &str) -> Vec<PatchOperation> {
    const PLACE: &str = "/metadata/annotations";
    let Some(metadata) = object.get("metadata").and_then(Value::as_object) else { return Vec::new() };
    let stamps = stamps(object, old, user);
    let there = match metadata.get("annotations") {
        None | Some(Value::Null) if stamps.is_empty() => return Vec::new(),
        None | Some(Value::Null) => {
            let all: Map<String, Value> =
                stamps.into_iter().map(|(key, by)| (key, Value::from(by))).collect();
            return vec![PatchOperation::Add { path: PLACE.to_owned(), value: Value::Object(all) }];
        }
        Some(Value::Object(there)) => there,
        Some(_) => return Vec::new(),
    };
    // JSON Pointer escapes: RFC 6901, section 3.
    let path = |key: &str| format!("{PLACE}/{}", key.replace('~', "~0").replace('/', "~1"));
    let stale = there.keys().filter(|key| is_stamp(key) && !stamps.iter().any(|(name, _)| name == *key));
    let mut changes: Vec<PatchOperation> =
        stale.map(|key| PatchOperation::Remove { path: path(key) }).collect();
    for (key, by) in stamps {
        if there.get(&key).and_then(Value::as_str) != Some(&by) {
            changes.push(PatchOperation::Add { path: path(&key), value: Value::from(by) });
        }
    }
    changes
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[expect(clippy::needless_pass_by_value, reason = "reads better with a literal")]
    fn flow(annotations: Value) -> Value {
        json!({"metadata": {"name": "f", "annotations": annotations}})
    }

    /// The object as it is once it is stamped.
    fn stamped(mut object: Value, old: Option<&Value>, user: &str) -> Value {
        let patch = serde_json::to_value(stamp(&object, old, user)).unwrap();
        json_patch::patch(&mut object, &serde_json::from_value::<json_patch::Patch>(patch).unwrap()).unwrap();
        object
    }

    fn forged(object: &Value, old: Option<&Value>, user: &str) -> usize {
        let mut out = Problems::new();
        check(object, old, user, false, &mut out);
        out.len()
    }

    #[test]
    fn a_new_flow_is_stamped_with_its_creator() {
        let by_jane = flow(json!({INITIATED_BY: "jane"}));
        for bare in [json!({"metadata": {"name": "f"}}), flow(json!(null)), flow(json!({}))] {
            assert_eq!(stamped(bare, None, "jane"), by_jane);
        }
        assert_eq!(stamp(&by_jane, None, "jane"), []);
        for odd in [json!({}), json!({"metadata": []}), flow(json!("a"))] {
            assert_eq!(stamp(&odd, None, "jane"), []);
        }
    }

    #[test]
    fn an_approval_is_stamped_with_who_set_its_present_value() {
        let old = flow(json!({INITIATED_BY: "jane"}));
        let approved = flow(json!({INITIATED_BY: "jane", "approved.workflow.kube-zen.io/deploy": "true"}));
        let approved = stamped(approved, Some(&old), "joe");
        assert_eq!(get(&approved, "approved-by.workflow.kube-zen.io/deploy"), Some("joe"));

        let mut object = approved.clone();
        object["metadata"]["annotations"]["approved.workflow.kube-zen.io/deploy"] = json!("false");
        assert_eq!(forged(&object, Some(&approved), "ann"), 0, "the stored stamp is no forgery");
        let object = stamped(object, Some(&approved), "ann");
        assert_eq!(get(&object, "approved-by.workflow.kube-zen.io/deploy"), Some("ann"));
        assert_eq!(get(&object, INITIATED_BY), Some("jane"));
    }

    #[test]
    fn a_stamp_that_is_missing_is_restored_and_one_without_approval_goes() {
        let old = flow(json!({
            INITIATED_BY: "jane",
            "approved.workflow.kube-zen.io/a": "true", "approved-by.workflow.kube-zen.io/a": "joe",
            "approved.workflow.kube-zen.io/b": "true", "approved-by.workflow.kube-zen.io/b": "joe",
        }));
        let object = flow(json!({
            "approved.workflow.kube-zen.io/a": "true",
            "approved-by.workflow.kube-zen.io/b": "joe",
        }));
        assert_eq!(forged(&object, Some(&old), "ann"), 0);
        let object = stamped(object, Some(&old), "ann");
        assert_eq!(
            annotations(&object)
                .unwrap()
                .iter()
                .map(|(k, v)| format!("{k}={}", v.as_str().unwrap()))
                .collect::<Vec<_>>(),
            [
                "approved-by.workflow.kube-zen.io/a=joe",
                "approved.workflow.kube-zen.io/a=true",
                "initiated-by.workflow.kube-zen.io=jane",
            ]
        );
    }

    #[test]
    fn forged_stamps_are_refused() {
        assert_eq!(forged(&flow(json!({INITIATED_BY: "root"})), None, "jane"), 1);
        assert_eq!(forged(&flow(json!({INITIATED_BY: "jane"})), None, "jane"), 0);
        let old = flow(json!({INITIATED_BY: "jane"}));
        assert_eq!(forged(&flow(json!({INITIATED_BY: "joe"})), Some(&old), "joe"), 1);
        assert_eq!(forged(&flow(json!({"approved-by.workflow.kube-zen.io/a": "joe"})), Some(&old), "joe"), 1);
    }

    #[test]
    fn after_stamping_every_stamp_has_to_be_there() {
        let mut out = Problems::new();
        check(&flow(json!({})), None, "jane", true, &mut out);
        assert_eq!(out.len(), 1);
    }
}
