//! The defaults that admission writes into a flow, as one pure function.
//!
//! They are written at CREATE and UPDATE alike, so that applying a manifest a second time changes nothing. The
//! values are zen-flow's.

use serde_json::{Map, Value, json};

/// The three policy defaults.
pub const CONCURRENCY_POLICY: &str = "Forbid";
/// Seconds; a day.
pub const TTL_SECONDS: i64 = 86_400;
/// Retries of all steps together.
pub const BACKOFF_LIMIT: i64 = 6;
/// Retries of one step.
pub const RETRY_LIMIT: i64 = 3;
/// The growth of the wait between attempts.
pub const BACKOFF_TYPE: &str = "Exponential";
/// The factor of that growth.
pub const BACKOFF_FACTOR: f64 = 2.0;
/// The first wait.
pub const BACKOFF_DURATION: &str = "1s";
/// The longest wait.
pub const BACKOFF_MAX_DURATION: &str = "10m";

/// Fill in every default of a flow that is otherwise sound. Applying it twice is applying it once.
///
/// A flow that says Forbid or Replace and has a `generateName` but no `concurrencyKey` gets the generated name's stem
/// as its key: flows made from one manifest are those that must not overlap. Where such a flow does not say its
/// policy, none is written either (the engine reads an absent one as Forbid): once written, it could not be told from
/// one that the user wrote, and the next update would add the key.
pub fn apply(flow: &mut Value) {
    let stem = generated_stem(flow);
    let Some(spec) = flow.get_mut("spec").and_then(Value::as_object_mut) else { return };
    if let Some(policy) = object(spec, "executionPolicy") {
        let said = policy.get("concurrencyPolicy").and_then(Value::as_str);
        match (said, stem) {
            (Some("Forbid" | "Replace"), Some(stem)) => fill(policy, "concurrencyKey", stem),
            (None, Some(_)) if !present(policy, "concurrencyKey") => {}
            _ => fill(policy, "concurrencyPolicy", CONCURRENCY_POLICY),
        }
        fill(policy, "ttlSecondsAfterFinished", TTL_SECONDS);
        fill(policy, "backoffLimit", BACKOFF_LIMIT);
    }
    let steps = spec.get_mut("steps").and_then(Value::as_array_mut);
    steps.into_iter().flatten().filter_map(Value::as_object_mut).for_each(step);
}

fn step(step: &mut Map<String, Value>) {
    fill(step, "type", "Job");
    let Some(retry) = step.get_mut("retryPolicy").and_then(Value::as_object_mut) else { return };
    fill(retry, "limit", RETRY_LIMIT);
    let Some(backoff) = object(retry, "backoff") else { return };
    fill(backoff, "type", BACKOFF_TYPE);
    if backoff.get("type").and_then(Value::as_str) == Some(BACKOFF_TYPE) {
        fill(backoff, "factor", BACKOFF_FACTOR);
    }
    fill(backoff, "duration", BACKOFF_DURATION);
    fill(backoff, "maxDuration", BACKOFF_MAX_DURATION);
}

/// The stem of `generateName`, if the flow has no name of its own in the manifest.
fn generated_stem(flow: &Value) -> Option<String> {
    let stem = flow.pointer("/metadata/generateName")?.as_str()?.trim_end_matches('-');
    (!stem.is_empty()).then(|| stem.to_owned())
}

fn present(map: &Map<String, Value>, key: &str) -> bool {
    map.get(key).is_some_and(|value| !value.is_null())
}

fn fill(map: &mut Map<String, Value>, key: &str, value: impl Into<Value>) {
    if !present(map, key) {
        map.insert(key.to_owned(), value.into());
    }
}

/// The object at `key`, made if it is absent; `None` if something else stands there.
fn object<'a>(map: &'a mut Map<String, Value>, key: &str) -> Option<&'a mut Map<String, Value>> {
    let slot = map.entry(key.to_owned()).or_insert_with(|| json!({}));
    if slot.is_null() {
        *slot = json!({});
    }
    slot.as_object_mut()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bare_flow_gets_the_three_policy_defaults_and_the_type() {
        let mut flow = json!({"spec": {"steps": [{"name": "a"}]}});
        apply(&mut flow);
        assert_eq!(
            flow,
            json!({"spec": {
                "steps": [{"name": "a", "type": "Job"}],
                "executionPolicy": {"concurrencyPolicy": "Forbid", "ttlSecondsAfterFinished": 86400, "backoffLimit": 6}
            }})
        );
    }

    #[test]
    fn what_the_user_wrote_stays() {
        let mut flow = json!({"spec": {
            "executionPolicy": {"concurrencyPolicy": "Allow", "ttlSecondsAfterFinished": 0, "backoffLimit": 0},
            "steps": [{"name": "a", "type": "Manual", "retryPolicy":
                {"limit": 0, "backoff": {"type": "Fixed", "duration": "5s", "maxDuration": "5s"}}}]
        }});
        let before = flow.clone();
        apply(&mut flow);
        assert_eq!(flow, before);
    }

    #[test]
    fn a_generated_name_becomes_the_key_of_flows_that_must_not_overlap() {
        let mut flow = json!({"metadata": {"generateName": "nightly-"},
            "spec": {"executionPolicy": {"concurrencyPolicy": "Replace"}, "steps": []}});
        apply(&mut flow);
        assert_eq!(flow["spec"]["executionPolicy"]["concurrencyKey"], "nightly");
    }

    #[test]
    fn applying_twice_is_applying_once() {
        for policy in [json!(null), json!({}), json!({"concurrencyPolicy": "Forbid"})] {
            let mut flow = json!({"metadata": {"generateName": "nightly-"},
                "spec": {"executionPolicy": policy, "steps": [{"name": "a", "retryPolicy": {}}]}});
            apply(&mut flow);
            let once = flow.clone();
            apply(&mut flow);
            assert_eq!(flow, once);
        }
    }
}
