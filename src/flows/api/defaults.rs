//! The defaults of a flow: those that admission writes, and those that are only read. The values are zen-flow's.
//!
//! They are written at CREATE and UPDATE alike, so that applying a manifest a second time changes nothing. Nothing is
//! written inside the list of steps: `kubectl apply` compares lists as a whole, and would send the list each time.

use serde_json::{Map, Value};

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

/// Fill in every default of a flow that is otherwise sound, as it is read. Applying it twice is applying it once.
pub fn apply(flow: &mut Value) {
    for (pointer, value) in missing(flow) {
        let Some((parent, field)) = pointer.rsplit_once('/') else { continue };
        if let Some(parent) = flow.pointer_mut(parent).and_then(Value::as_object_mut) {
            parent.insert(field.to_owned(), value);
        }
    }
}

/// The defaults that admission writes, as far as a flow lacks them: those of `executionPolicy`. Where, as a JSON
/// pointer (RFC 6901), and what; its parent is there.
///
/// A flow that says Forbid or Replace and has a `generateName` but no `concurrencyKey` gets the generated name's stem
/// as its key: flows made from one manifest are those that must not overlap. Where such a flow does not say its
/// policy, none is written either (the engine reads an absent one as Forbid): once written, it could not be
/// distinguished from one that the user wrote, and the next update would add the key.
pub fn written(flow: &Value) -> Vec<(String, Value)> {
    let mut out = Vec::new();
    let Some(spec) = flow.get("spec").and_then(Value::as_object) else { return out };
    if let Some(mut policy) = Filling::of(spec, "executionPolicy") {
        match (policy.text("concurrencyPolicy"), generated_stem(flow)) {
            (Some("Forbid" | "Replace"), Some(stem)) => policy.fill("concurrencyKey", stem),
            (None, Some(_)) if policy.lacks("concurrencyKey") => {}
            _ => policy.fill("concurrencyPolicy", CONCURRENCY_POLICY),
        }
        policy.fill("ttlSecondsAfterFinished", TTL_SECONDS);
        policy.fill("backoffLimit", BACKOFF_LIMIT);
        policy.write("/spec/executionPolicy", &mut out);
    }
    out
}

/// Every default that a flow lacks: those of [`written`], and those of its steps.
fn missing(flow: &Value) -> Vec<(String, Value)> {
    let mut out = written(flow);
    let steps = flow.pointer("/spec/steps").and_then(Value::as_array).into_iter().flatten();
    for (i, step) in steps.enumerate() {
        let Some(step) = step.as_object() else { continue };
        if step.get("type").is_none_or(Value::is_null) {
            out.push((format!("/spec/steps/{i}/type"), Value::from("Job")));
        }
        if let Some(Value::Object(retry)) = step.get("retryPolicy") {
            retry_policy(retry, &format!("/spec/steps/{i}/retryPolicy"), &mut out);
        }
    }
    out
}

fn retry_policy(retry: &Map<String, Value>, at: &str, out: &mut Vec<(String, Value)>) {
    let mut policy = Filling::new(Some(retry));
    policy.fill("limit", RETRY_LIMIT);
    policy.write(at, out);
    let Some(mut backoff) = Filling::of(retry, "backoff") else { return };
    if backoff.lacks("type") || backoff.text("type") == Some(BACKOFF_TYPE) {
        backoff.fill("type", BACKOFF_TYPE);
        backoff.fill("factor", BACKOFF_FACTOR);
    }
    backoff.fill("duration", BACKOFF_DURATION);
    backoff.fill("maxDuration", BACKOFF_MAX_DURATION);
    backoff.write(&format!("{at}/backoff"), out);
}

/// The stem of `generateName`, if the flow has no name of its own in the manifest.
fn generated_stem(flow: &Value) -> Option<String> {
    let stem = flow.pointer("/metadata/generateName")?.as_str()?.trim_end_matches('-');
    (!stem.is_empty()).then(|| stem.to_owned())
}

/// The fields that one object lacks; the object itself may be absent.
struct Filling<'a> {
    there: Option<&'a Map<String, Value>>,
    new: Vec<(&'static str, Value)>,
}

impl<'a> Filling<'a> {
    fn new(there: Option<&'a Map<String, Value>>) -> Self {
        Self { there, new: Vec::new() }
    }

    /// Starts with the object at `key`; `None` if something else stands there.
    fn of(map: &'a Map<String, Value>, key: &str) -> Option<Self> {
        match map.get(key) {
            None | Some(Value::Null) => Some(Self::new(None)),
            Some(value) => value.as_object().map(|there| Self::new(Some(there))),
        }
    }

    fn text(&self, key: &str) -> Option<&'a str> {
        self.there?.get(key)?.as_str()
    }

    fn lacks(&self, key: &str) -> bool {
        self.there.and_then(|there| there.get(key)).is_none_or(Value::is_null)
    }

    fn fill(&mut self, key: &'static str, value: impl Into<Value>) {
        if self.lacks(key) {
            self.new.push((key, value.into()));
        }
    }

    /// Each value by itself, or the whole object where there is none.
    fn write(self, at: &str, out: &mut Vec<(String, Value)>) {
        if self.there.is_some() {
            out.extend(self.new.into_iter().map(|(key, value)| (format!("{at}/{key}"), value)));
        } else {
            let object: Map<String, Value> =
                self.new.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
            out.push((at.to_owned(), Value::Object(object)));
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

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
    fn what_is_missing_is_named_by_its_place() {
        let flow = json!({"spec": {
            "executionPolicy": null,
            "steps": [{"name": "a", "type": "Job"}, {"name": "b", "retryPolicy": {"limit": 1, "backoff": {"type": "Fixed"}}}]
        }});
        let backoff = "/spec/steps/1/retryPolicy/backoff";
        assert_eq!(
            missing(&flow),
            [
                (
                    "/spec/executionPolicy".to_owned(),
                    json!({"concurrencyPolicy": "Forbid", "ttlSecondsAfterFinished": 86400, "backoffLimit": 6})
                ),
                ("/spec/steps/1/type".to_owned(), json!("Job")),
                (format!("{backoff}/duration"), json!("1s")),
                (format!("{backoff}/maxDuration"), json!("10m")),
            ]
        );
        for odd in [
            json!(null),
            json!({"spec": []}),
            json!({"spec": {"executionPolicy": 1, "steps": [1, {"type": 2, "retryPolicy": []}]}}),
        ] {
            assert_eq!(missing(&odd), []);
        }
    }

    #[test]
    fn nothing_is_written_inside_the_list_of_steps() {
        let flow = json!({"spec": {"steps": [{"name": "a", "retryPolicy": {"backoff": {}}}]}});
        let written: Vec<String> = written(&flow).into_iter().map(|(path, _)| path).collect();
        assert_eq!(written, ["/spec/executionPolicy"]);
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
