//! HW925, HW926: warnings for a changed selector that matches no pod, or not the one that leads.

use serde_json::Value;

use super::read::annotation;
use crate::names::leader;
use crate::problem::Problem;
use crate::problem::code;
use crate::problem::field_path::Place;

/// The pods that a Service would select, as a caller with an index of pods knows them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SelectedPods {
    /// The number of pods of the namespace that the Service would select.
    pub selected: usize,
    /// The pod that leads now, if it would not be selected any more.
    pub loses: Option<String>,
}

/// Warns when an update changes the candidates so that none is left, or so that the present leader is none of them.
///
/// A new Service gets no warning: its pods usually come after it. `select` is called only if the answer matters.
pub fn outlook(
    object: &Value,
    old: &Value,
    select: impl FnOnce(&Value) -> Option<SelectedPods>,
) -> Vec<Problem> {
    let enabled = annotation(object, leader::ENABLED) == Some("true");
    let metadata = Place::ROOT.field("metadata");
    let (annotations, spec) = (metadata.field("annotations"), Place::ROOT.field("spec"));
    let place = if object.pointer("/spec/selector") != old.pointer("/spec/selector") {
        spec.field("selector")
    } else if annotation(object, leader::CANDIDATE_SELECTOR) != annotation(old, leader::CANDIDATE_SELECTOR) {
        annotations.key(leader::CANDIDATE_SELECTOR)
    } else {
        return Vec::new();
    };
    let Some(pods) = enabled.then(|| select(object)).flatten() else { return Vec::new() };
    let problem = match (pods.selected, pods.loses) {
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

    fn warnings(new: &Value, old: &Value, pods: Option<SelectedPods>) -> Vec<String> {
        outlook(new, old, |_| pods).iter().map(Problem::warning_line).collect()
    }

    fn pods(selected: usize, loses: Option<&str>) -> SelectedPods {
        SelectedPods { selected, loses: loses.map(str::to_owned) }
    }

    #[test]
    fn a_changed_selector_that_matches_nobody_or_loses_the_leader_is_warned_of() {
        let (old, new) = (service("true", "db", None), service("true", "dbs", None));
        let nobody = warnings(&new, &old, Some(pods(0, Some("db-0"))));
        assert!(
            nobody.len() == 1 && nobody[0].starts_with("spec.selector: no pod is matched now"),
            "{nobody:?}"
        );
        assert!(nobody[0].contains(r#""db-0", which leads"#) && nobody[0].contains("HW925"), "{nobody:?}");
        assert_eq!(
            warnings(&new, &old, Some(pods(2, Some("db-0")))),
            ["spec.selector: pod \"db-0\", which leads now, is not matched: another one will lead (HW926)"]
        );
        let narrowed = service("true", "db", Some("role=primary"));
        let narrowed = outlook(&narrowed, &old, |_| Some(pods(0, None)));
        assert_eq!(narrowed[0].field.to_string(), "metadata.annotations[zen-lead.io/candidate-selector]");
    }

    #[test]
    fn there_is_no_warning_where_nothing_changes_or_nothing_is_known() {
        let (old, new) = (service("true", "db", None), service("true", "dbs", None));
        assert!(outlook(&old, &old, |_| unreachable!("not asked")).is_empty());
        assert!(outlook(&service("false", "dbs", None), &old, |_| unreachable!("not asked")).is_empty());
        assert!(warnings(&new, &old, None).is_empty());
        assert!(warnings(&new, &old, Some(pods(1, None))).is_empty());
    }
}
