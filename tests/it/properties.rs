//! What holds of every flow, tried on generated ones: proptest prints the seed of one that it does not hold of.

use headworks::admission::JobFlows;
use headworks::flows::api::defaults;
use headworks::flows::rules;
use headworks::flows::rules::{Options, fields};
use headworks::problem::Problem;
use headworks::problem::code;
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use self::flows::{flow, json_value, mistaken};
use self::mutate::shuffled;

mod flows;
mod hostile;
mod resolve;

// What the fuzz targets use, so that a finding there is a test here.
#[path = "../../hack/fuzz/src/mutate.rs"]
#[expect(unreachable_pub, reason = "public for the fuzz targets")]
mod mutate;
#[path = "../../hack/fuzz/src/reviews.rs"]
#[expect(unreachable_pub, reason = "public for the fuzz targets")]
mod reviews;

fn problems(flow: &Value) -> Vec<Problem> {
    rules::flow(flow, &Options::default()).problems
}

fn lines(flow: &Value) -> Vec<String> {
    problems(flow).iter().map(ToString::to_string).collect()
}

/// What is stored, or why it is refused; both phases asked, as an API server does.
fn admitted(object: &Value, old: Option<&Value>) -> Result<Value, Vec<String>> {
    reviews::admit(&JobFlows::default(), "JobFlow", object, old)
}

fn allowed(object: &Value, old: &Value) -> Result<(), TestCaseError> {
    let verdict = admitted(object, Some(old));
    prop_assert!(verdict.is_ok(), "refused: {:?}\nold: {old}\nnew: {object}", verdict);
    Ok(())
}

/// The codes that say of a reference that it leads nowhere, or in a circle.
const REFERENCES: [&str; 12] = [
    "HW201", "HW202", "HW203", "HW204", "HW304", "HW305", "HW306", "HW308", "HW405", "HW406", "HW407",
    "HW410",
];

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_flow_is_accepted_if_and_only_if_every_reference_resolves(flow in flow()) {
        let found = problems(&flow);
        let wrong: Vec<String> = found
            .iter()
            .filter(|problem| REFERENCES.contains(&problem.code.to_string().as_str()))
            .map(ToString::to_string)
            .collect();
        let dangling = resolve::dangling(&flow);
        prop_assert_eq!(wrong.is_empty(), dangling.is_empty(), "{:?}\n{:?}\n{}", wrong, dangling, flow);
        // Nothing else is wrong with what is generated: otherwise this would say nothing.
        let refused = found.iter().any(|problem| problem.is_error() && problem.code != code::ARTIFACTS_UNAVAILABLE);
        prop_assert_eq!(refused, !wrong.is_empty(), "{:?}\n{}", lines(&flow), flow);
    }

    #[test]
    fn defaults_applied_twice_are_defaults_applied_once(mut flow in prop_oneof![flow(), mistaken(), json_value()]) {
        defaults::apply(&mut flow);
        let once = flow.clone();
        defaults::apply(&mut flow);
        prop_assert_eq!(once, flow);
    }

    #[test]
    fn no_json_is_too_odd_to_be_judged(value in json_value()) {
        let told = lines(&value);
        prop_assert!(!told.is_empty() || value["kind"] == "JobFlow");
        let _ = admitted(&value, None);
        let _ = admitted(&value, Some(&value));
    }

    #[test]
    fn what_was_patched_is_accepted_and_not_patched_again(flow in prop_oneof![flow(), mistaken()]) {
        // `reviews::admit` asks again, and looks for templates in the patch.
        if let Ok(stored) = admitted(&flow, None) {
            prop_assert_eq!(admitted(&stored, Some(&stored)), Ok(stored));
        }
    }

    #[test]
    fn a_change_of_metadata_is_never_refused_for_what_is_stored(stored in mistaken()) {
        let mut touched = stored.clone();
        touched["metadata"]["labels"]["team"] = json!("other");
        allowed(&touched, &stored)?;
        let mut touched = stored.clone();
        touched["metadata"]["annotations"] = json!({"example.com/note": "seen"});
        allowed(&touched, &stored)?;
        let mut touched = stored.clone();
        touched["metadata"]["finalizers"] = json!(["example.com/keep"]);
        touched["metadata"]["ownerReferences"] =
            json!([{"apiVersion": "v1", "kind": "ConfigMap", "name": "a", "uid": "b"}]);
        allowed(&touched, &stored)?;
    }

    #[test]
    fn an_update_that_changes_nothing_is_never_refused(stored in mistaken()) {
        allowed(&stored, &stored)?;
    }

    #[test]
    fn steps_may_be_reordered_whatever_is_wrong_with_them(stored in mistaken(), by in 1_usize..5, turn: bool) {
        let mut moved = stored.clone();
        if let Some(steps) = moved.pointer_mut("/spec/steps").and_then(Value::as_array_mut)
            && distinct_names(steps)
        {
            let by = by.min(steps.len());
            steps.rotate_left(by);
            if turn {
                steps.reverse();
            }
            allowed(&moved, &stored)?;
        }
    }

    #[test]
    fn a_new_mistake_is_refused_alone(stored in mistaken()) {
        let mut updated = stored.clone();
        let Some(steps) = updated.pointer_mut("/spec/steps").and_then(Value::as_array_mut) else { return Ok(()) };
        let at = steps.len();
        steps.push(json!({"name": "brand-new", "type": "Manual", "dependencies": ["nobody-has-this-name"]}));
        let refused = admitted(&updated, Some(&stored)).err();
        let wanted = format!("spec.steps[{at}].dependencies[0]: Not found: \"nobody-has-this-name\": no step has \
            this name; add the step or remove this dependency (HW201)");
        prop_assert_eq!(refused, Some(vec![wanted]), "old: {}\nnew: {}", stored, updated);
    }

    #[test]
    fn problems_come_in_the_order_of_the_schema_on_one_line_each(flow in mistaken()) {
        let found = problems(&flow);
        for pair in found.windows(2) {
            prop_assert!(
                fields::job_flow().order(&pair[0].field, &pair[1].field).is_le(), "{} before {}", pair[0], pair[1]
            );
        }
        for line in lines(&flow) {
            prop_assert!(!line.contains(char::is_control), "{:?}", line);
        }
    }

    #[test]
    fn the_order_of_keys_says_nothing(flow in mistaken()) {
        // An API server gives keys in the alphabet's order, a file in its author's.
        prop_assert_eq!(lines(&flow), lines(&shuffled(&flow)));
        prop_assert_eq!(lines(&flow), lines(&sorted(&flow)));
    }
}

/// Steps are told apart by their names: where two share one, or one has none, moving them says something else.
fn distinct_names(steps: &[Value]) -> bool {
    let mut names: Vec<&str> = steps.iter().filter_map(|step| step.get("name")?.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    names.len() == steps.len()
}

fn sorted(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            let mut entries: Vec<_> = map.iter().map(|(key, value)| (key.clone(), sorted(value))).collect();
            entries.sort_by(|a, b| a.0.cmp(&b.0));
            Value::Object(Map::from_iter(entries))
        }
        Value::Array(list) => list.iter().map(sorted).collect(),
        other => other.clone(),
    }
}
