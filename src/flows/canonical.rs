//! The canonical form of a spec: specs that mean the same have the same form. This form is compared and hashed, never
//! the text.
//!
//! A manifest is not stored as it was written. The API server keeps `2.0` as `2`, admission writes the policy's
//! defaults, older versions wrote defaults into steps as well, and tools put steps in another order.

use serde_json::{Number, Value};

use super::api::defaults;

/// Computes the canonical form of a flow's `spec`: defaults filled in, numbers by value, no `null`s. The order of steps
/// is kept, since messages name steps by their index; [`same_spec`] ignores it.
pub fn spec(flow: &Value) -> Value {
    let mut whole = serde_json::json!({
        // The name decides one of the defaults.
        "metadata": {"generateName": flow.pointer("/metadata/generateName")},
        "spec": flow.get("spec"),
    });
    defaults::apply(&mut whole);
    let mut spec = whole["spec"].take();
    numbers(&mut spec);
    without_nulls(&mut spec);
    spec
}

/// Tells whether two flows have specs that mean the same. The order of the steps makes no difference: it decides which
/// of several ready steps starts first, not what runs.
pub fn same_spec(one: &Value, other: &Value) -> bool {
    one.get("spec") == other.get("spec") || ordered(one) == ordered(other)
}

/// Computes the canonical form with steps in the order of their names.
pub fn ordered(flow: &Value) -> Value {
    let mut spec = spec(flow);
    if let Some(steps) = spec.get_mut("steps").and_then(Value::as_array_mut) {
        steps.sort_by(|a, b| name(a).cmp(&name(b)));
    }
    spec
}

fn name(step: &Value) -> Option<&str> {
    step.get("name").and_then(Value::as_str)
}

/// Writes a canonical value as text for hashing, with its keys in order.
pub fn write(value: &Value, out: &mut String) {
    match value {
        Value::Object(map) => {
            let mut entries: Vec<_> = map.iter().collect();
            entries.sort_by_key(|(key, _)| *key);
            out.push('{');
            for (key, value) in entries {
                *out += &Value::from(key.as_str()).to_string();
                out.push(':');
                write(value, out);
                out.push(',');
            }
            out.push('}');
        }
        Value::Array(list) => {
            out.push('[');
            for value in list {
                write(value, out);
                out.push(',');
            }
            out.push(']');
        }
        other => *out += &other.to_string(),
    }
}

/// Removes every `null`: some ways to apply a manifest keep them, others leave them out.
fn without_nulls(value: &mut Value) {
    match value {
        Value::Array(list) => list.iter_mut().for_each(without_nulls),
        Value::Object(map) => {
            map.retain(|_, value| !value.is_null());
            map.values_mut().for_each(without_nulls);
        }
        _ => {}
    }
}

/// Finds the `null`s of a flow's `spec` that the schema would refuse, as JSON pointers (RFC 6901). Templates of cluster
/// objects are not covered by that schema and are left as they are.
///
/// The API server drops them where an object is created, and refuses them where it is applied on its side (1.37.2).
pub fn nulls(flow: &Value) -> Vec<String> {
    fn find(value: &Value, pointer: &mut String, out: &mut Vec<String>) {
        let mut visit = |key: &str, value: &Value| {
            let length = pointer.len();
            pointer.push('/');
            pointer.push_str(&key.replace('~', "~0").replace('/', "~1"));
            find(value, pointer, out);
            pointer.truncate(length);
        };
        match value {
            Value::Object(map) => {
                for (key, value) in map {
                    let is_free = key == "template" || (key == "resourceTemplates" && value.is_object());
                    if !is_free {
                        visit(key, value);
                    }
                }
            }
            Value::Array(list) => {
                // Removing an entry would renumber the others; a `null` in a list is a mistake anyway.
                for (i, value) in list.iter().enumerate().filter(|(_, value)| !value.is_null()) {
                    visit(&i.to_string(), value);
                }
            }
            Value::Null => out.push(pointer.clone()),
            _ => {}
        }
    }
    let mut out = Vec::new();
    if let Some(spec @ Value::Object(_)) = flow.get("spec") {
        find(spec, &mut "/spec".to_owned(), &mut out);
    }
    out
}

/// Rewrites every number as the API server does (`k8s.io/apimachinery/pkg/util/json`): a whole one as an integer if it
/// fits 64 bits with a sign, any other as a floating-point number.
pub fn numbers(value: &mut Value) {
    match value {
        Value::Number(number) => *number = canonical(number),
        Value::Array(list) => list.iter_mut().for_each(numbers),
        Value::Object(map) => map.values_mut().for_each(numbers),
        _ => {}
    }
}

fn canonical(number: &Number) -> Number {
    /// 2^63: the first float that no `i64` holds.
    const BOUND: f64 = 9_223_372_036_854_775_808.0;
    if number.is_i64() {
        return number.clone();
    }
    let Some(float) = number.as_f64() else { return number.clone() };
    #[expect(clippy::cast_possible_truncation, reason = "it is whole, and within the bounds")]
    if float.fract() == 0.0 && (-BOUND..BOUND).contains(&float) {
        return (float as i64).into();
    }
    Number::from_f64(float).unwrap_or_else(|| number.clone())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn flow(steps: &Value) -> Value {
        json!({"metadata": {"name": "a"}, "spec": {"steps": steps}})
    }

    #[test]
    fn numbers_are_compared_by_value() {
        let factor =
            |factor: Value| flow(&json!([{"name": "a", "retryPolicy": {"backoff": {"factor": factor}}}]));
        assert!(same_spec(&factor(json!(2)), &factor(json!(2.0))));
        assert!(same_spec(&factor(json!(2.0)), &flow(&json!([{"name": "a", "retryPolicy": {}}]))));
        assert!(!same_spec(&factor(json!(2)), &factor(json!(2.5))));
        assert!(!same_spec(
            &factor(json!(9_007_199_254_740_993_i64)),
            &factor(json!(9_007_199_254_740_992_i64))
        ));
        assert!(same_spec(&factor(json!(-0.0)), &factor(json!(0))));
        assert!(same_spec(&factor(json!(u64::MAX)), &factor(json!(18_446_744_073_709_551_615.0))));
    }

    #[test]
    fn defaults_and_order_are_no_difference() {
        let old = flow(&json!([{"name": "a"}, {"name": "b"}]));
        let mut new = flow(&json!([{"name": "b", "type": "Job"}, {"name": "a"}]));
        defaults::apply(&mut new);
        assert!(same_spec(&new, &old));
        new["spec"]["steps"][0]["type"] = json!("Manual");
        assert!(!same_spec(&new, &old));
        assert!(!same_spec(&flow(&json!([{"name": "a"}, {"name": "a"}])), &flow(&json!([{"name": "a"}]))));
        let labels =
            |labels: Value| flow(&json!([{"name": "a", "template": {"metadata": {"labels": labels}}}]));
        assert!(same_spec(&labels(json!({"team": null, "a": "b"})), &labels(json!({"a": "b"}))));
        for odd in [json!({}), json!({"spec": 1}), json!({"spec": {"steps": [1, null]}})] {
            assert!(same_spec(&odd, &odd) && !same_spec(&odd, &old));
        }
    }

    #[test]
    fn nulls_are_found_where_the_schema_would_refuse_them() {
        let flow = json!({"metadata": {"labels": {"a": null}}, "spec": {
            "parameters": null,
            "resourceTemplates": {"volume": {"spec": null}},
            "steps": [null, {"name": "a", "metadata": {"labels": {"example.com/a~b": null}},
                "template": {"spec": null}, "when": null}, {"template": null, "message": null}]
        }});
        let mut found = nulls(&flow);
        found.sort();
        assert_eq!(
            found,
            [
                "/spec/parameters",
                "/spec/steps/1/metadata/labels/example.com~1a~0b",
                "/spec/steps/1/when",
                "/spec/steps/2/message"
            ]
        );
        assert_eq!(nulls(&json!({"spec": null})), [] as [String; 0]);
    }

    proptest! {
        #[test]
        fn a_number_is_what_the_api_server_makes_of_it(float in any::<f64>().prop_filter("JSON", |f| f.is_finite())) {
            let mut value = json!(float);
            numbers(&mut value);
            prop_assert_eq!(value.as_f64(), Some(float));
            let once = value.clone();
            numbers(&mut value);
            prop_assert_eq!(value, once);
        }
    }
}
