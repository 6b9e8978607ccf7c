//! Ratcheting: an update is not refused for mistakes that the stored object has already.
//!
//! A rule that is stricter than the one an object was stored under must not lock that object: a problem that the
//! stored object has already, at the same value, becomes a warning. Steps are matched by name, so moving a step makes
//! no new problem. A cycle is reported at its first step, which changes when steps are reordered. It counts as old if
//! the reported dependency was already part of a cycle.

use std::cell::LazyCell;
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use serde_json::Value;

use super::findings::Findings;
use crate::flows::canonical;
use crate::flows::dag::Dag;
use crate::flows::rules;
use crate::problem::code;
use crate::problem::field_path::{FieldPath, Segment};
use crate::problem::{Problem, Problems, Reason};

/// Sorts `problems` of `new` against those of the stored object.
pub fn sort(problems: Vec<Problem>, new: &Value, old_problems: &[Problem], old: &Value) -> Findings {
    let mut findings = Findings::of(problems);
    let mut known: HashMap<Key, usize> = HashMap::new();
    let mut values = Values::default();
    for problem in old_problems.iter().filter(|problem| problem.is_error()) {
        *known.entry(Key::of(problem, old, &mut values)).or_default() += 1;
    }
    let mut values = Values::default();
    let stored = LazyCell::new(|| rules::fields::read(old.clone(), &mut Problems::new()));
    let circles = LazyCell::new(|| Dag::new(&stored.spec.steps).circular());
    let (ratcheted, errors) = findings.errors.into_iter().partition(|problem| {
        if problem.code == code::CYCLE {
            return dependency(&problem.field, new).is_some_and(|dependency| circles.contains(&dependency));
        }
        // Counted, so that a second mistake of the same kind at one place is new.
        known.get_mut(&Key::of(problem, new, &mut values)).is_some_and(|count| {
            let had = *count > 0;
            *count = count.saturating_sub(1);
            had
        })
    });
    findings.errors = errors;
    findings.ratcheted = ratcheted;
    findings
}

/// The dependency at a place, as (step, the step that it waits for).
fn dependency<'a>(path: &FieldPath, object: &'a Value) -> Option<(&'a str, &'a str)> {
    let [spec, steps, index, ..] = path.0.as_slice() else { return None };
    let step = at(object, &FieldPath(vec![spec.clone(), steps.clone(), index.clone()]))?;
    Some((step.get("name")?.as_str()?, at(object, path)?.as_str()?))
}

/// The identity of a problem: the rule, the place with steps by name, and the value that is there.
#[derive(PartialEq, Eq, Hash)]
struct Key {
    code: crate::problem::code::Code,
    place: String,
    value: u64,
}

/// The hashes of the values at places: a large value with thousands of problems is read once.
type Values = HashMap<FieldPath, u64>;

impl Key {
    fn of(problem: &Problem, object: &Value, values: &mut Values) -> Self {
        let hash = |value: &Value| {
            let mut value = value.clone();
            canonical::numbers(&mut value);
            let mut hasher = DefaultHasher::new();
            value.to_string().hash(&mut hasher);
            hasher.finish()
        };
        let value = match (values.get(&problem.field), at(object, &problem.field)) {
            // The length is what is wrong, not the entries: older versions have written defaults into them.
            _ if problem.reason == Reason::TooMany => problem.value.as_ref().map_or(0, hash),
            (Some(known), _) => *known,
            (None, Some(there)) => *values.entry(problem.field.clone()).or_insert(hash(there)),
            (None, None) => problem.value.as_ref().map_or(0, hash),
        };
        Self { code: problem.code, place: by_name(&problem.field, object), value }
    }
}

/// The path with the index of a step replaced by its name.
fn by_name(path: &FieldPath, object: &Value) -> String {
    if let [Segment::Field(spec), Segment::Field(steps), Segment::Index(i), rest @ ..] = path.0.as_slice()
        && spec == "spec"
        && steps == "steps"
        && let Some(name) = object["spec"]["steps"][*i]["name"].as_str()
    {
        return format!("{name}: {}", FieldPath(rest.to_vec()));
    }
    path.to_string()
}

/// The value at `path`, if it is there.
pub fn at<'a>(object: &'a Value, path: &FieldPath) -> Option<&'a Value> {
    path.0.iter().try_fold(object, |value, segment| match segment {
        Segment::Field(name) | Segment::Key(name) => value.get(name),
        Segment::Index(i) => value.get(i),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::flows::rules::{Options, flow};

    /// Counts the problems of an update, as (new, old).
    fn sorted(new: &Value, old: &Value) -> (usize, usize) {
        let problems = |object: &Value| flow(object, &Options::default()).problems;
        let findings = sort(problems(new), new, &problems(old), old);
        (findings.errors.len(), findings.ratcheted.len())
    }

    fn manual(steps: &[(&str, &[&str])]) -> Value {
        let step = |(name, dependencies): &(&str, &[&str])| json!({"name": name, "type": "Manual", "dependencies": dependencies});
        json!({"apiVersion": "workflow.kube-zen.io/v1alpha1", "kind": "JobFlow", "metadata": {"name": "a"},
            "spec": {"steps": steps.iter().map(step).collect::<Vec<_>>()}})
    }

    #[test]
    fn a_circle_stays_an_old_one_when_its_steps_are_moved() {
        let old = manual(&[("a", &["b"]), ("b", &["a"]), ("c", &[]), ("d", &["c"])]);
        let moved = manual(&[("d", &["c"]), ("b", &["a"]), ("a", &["b"]), ("c", &[])]);
        assert_eq!(sorted(&moved, &old), (0, 1));
        let second = manual(&[("b", &["a"]), ("a", &["b"]), ("c", &["d"]), ("d", &["c"])]);
        assert_eq!(sorted(&second, &old), (1, 1), "another circle is a new one");
    }
}
