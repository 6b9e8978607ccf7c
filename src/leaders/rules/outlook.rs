//! HW925, HW926: what a changed selector means for the pods that are there now.

use serde_json::Value;

use super::annotation;
use crate::names::LEADER_PREFIX;
use crate::problem::Problem;
use crate::problem::code;
use crate::problem::field_path::Place;

/// What is known of a Service's pods, by whoever keeps an index of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sight {
    /// How many pods of the namespace the Service would select.
    pub selected: usize,
    /// The pod that leads now, if it would not be selected any more.
    pub loses: Option<String>,
}

/// Warn when an update changes who can lead, and `look` sees nobody left, or that the present leader goes.
///
/// A new Service is no such case: its pods usually come after it. `look` is asked only when the answer matters.
pub fn outlook(object: &Value, old: &Value, look: impl FnOnce(&Value) -> Option<Sight>) -> Vec<Problem> {
    let enabled = annotation(object, "enabled") == Some("true");
    let metadata = Place::ROOT.field("metadata");
    let (annotations, spec) = (metadata.field("annotations"), Place::ROOT.field("spec"));
    let candidates = format!("{LEADER_PREFIX}candidate-selector");
    let place = if object.pointer("/spec/selector") != old.pointer("/spec/selector") {
        spec.field("selector")
    } else if annotation(object, "candidate-selector") != annotation(old, "candidate-selector") {
        annotations.key(&candidates)
    } else {
        return Vec::new();
    };
    let Some(sight) = enabled.then(|| look(object)).flatten() else { return Vec::new() };
    let problem = match (sight.selected, sight.loses) {
        (0, None) => Problem::warning(
            code::SELECTS_NOBODY,
            &place,
            "no pod of the namespace that has not ended is matched now",
        ),
        (0, Some(pod)) => Problem::warning(
            code::SELECTS_NOBODY,
            &place,
            format!("no pod is matched now, nor {pod:?}, which leads"),
        ),
        (_, Some(pod)) => {
            let message = format!("pod {pod:?}, which leads now, is not matched: another one will lead");
            return vec![Problem::warning(code::LOSES_LEADER, &place, message)];
        }
        (_, None) => return Vec::new(),
    };
    vec![problem.hint("see kubectl get pods --show-labels")]
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn service(enabled: &str, app: &str, candidates: Option<&str>) -> Value {
        json!({
            "metadata": {"annotations": {
                "zen-lead.io/enabled": enabled, "zen-lead.io/candidate-selector": candidates,
            }},
            "spec": {"selector": {"app": app}},
        })
    }

    fn told(new: &Value, old: &Value, sight: Option<Sight>) -> Vec<String> {
        outlook(new, old, |_| sight).iter().map(Problem::warning_line).collect()
    }

    fn sight(selected: usize, loses: Option<&str>) -> Sight {
        Sight { selected, loses: loses.map(str::to_owned) }
    }

    #[test]
    fn a_changed_selector_that_matches_nobody_or_loses_the_leader_is_told() {
        let (old, new) = (service("true", "db", None), service("true", "dbs", None));
        let nobody = told(&new, &old, Some(sight(0, Some("db-0"))));
        assert!(
            nobody.len() == 1 && nobody[0].starts_with("spec.selector: no pod is matched now"),
            "{nobody:?}"
        );
        assert!(nobody[0].contains(r#""db-0", which leads"#) && nobody[0].contains("HW925"), "{nobody:?}");
        assert_eq!(
            told(&new, &old, Some(sight(2, Some("db-0")))),
            ["spec.selector: pod \"db-0\", which leads now, is not matched: another one will lead (HW926)"]
        );
        let narrowed = service("true", "db", Some("role=primary"));
        let told = outlook(&narrowed, &old, |_| Some(sight(0, None)));
        assert_eq!(told[0].field.to_string(), "metadata.annotations[zen-lead.io/candidate-selector]");
    }

    #[test]
    fn nothing_is_told_where_nothing_changes_or_nothing_is_known() {
        let (old, new) = (service("true", "db", None), service("true", "dbs", None));
        assert!(outlook(&old, &old, |_| unreachable!("not asked")).is_empty());
        assert!(outlook(&service("false", "dbs", None), &old, |_| unreachable!("not asked")).is_empty());
        assert!(told(&new, &old, None).is_empty());
        assert!(told(&new, &old, Some(sight(1, None))).is_empty());
    }
}
