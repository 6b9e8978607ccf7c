//! The sink of problems of one template, and small checks that many rules share.

use std::collections::{BTreeSet, HashSet};

use serde_json::{Map, Value};

use crate::flows::api::Step;
use crate::flows::expr;
use crate::k8s::name_rules;
use crate::problem::code;
use crate::problem::code::Code;
use crate::problem::field_path::{FieldPath, Place};
use crate::problem::{Problem, Problems};

/// The context of the rules of one template.
pub(super) struct Scope<'a, 'o> {
    pub(super) step: &'a Step,
    /// Names of resource templates.
    pub(super) resources: &'a HashSet<&'a str>,
    pub(super) out: &'a mut Sink<'o>,
}

impl Scope<'_, '_> {
    pub(super) fn push(&mut self, problem: Problem) {
        self.out.push(problem);
    }

    /// A hint naming the nearest of `known`.
    pub(super) fn did_you_mean<'k>(
        &self,
        name: &str,
        known: impl IntoIterator<Item = &'k str>,
    ) -> Option<String> {
        self.out.out.did_you_mean(name, known)
    }
}

/// Takes problems, less those at or inside a place that was found wrong before, and warnings around one.
pub(super) struct Sink<'a> {
    pub(super) out: &'a mut Problems,
    reported: HashSet<FieldPath>,
    /// The places around those, themselves included.
    around: HashSet<FieldPath>,
}

/// `spec.steps[i].template`: what is reported further out does not hide what is wrong inside.
const TEMPLATE_DEPTH: usize = 4;

impl<'a> Sink<'a> {
    pub(super) fn new(out: &'a mut Problems) -> Self {
        let inside = |problem: &&Problem| problem.is_error() && problem.field.0.len() >= TEMPLATE_DEPTH;
        let reported: HashSet<FieldPath> =
            out.iter().filter(inside).map(|problem| problem.field.clone()).collect();
        let mut around = HashSet::new();
        for path in &reported {
            let mut path = path.clone();
            while path.0.len() >= TEMPLATE_DEPTH && around.insert(path.clone()) {
                path.0.pop();
            }
        }
        Self { out, reported, around }
    }

    pub(super) fn push(&mut self, problem: Problem) {
        let is_reported = problem.field.is_inside(&self.reported);
        if !(is_reported || !problem.is_error() && self.around.contains(&problem.field)) {
            self.out.push(problem);
        }
    }
}

/// The facts about a pod that the rules of its containers need.
pub(super) struct Pod<'a> {
    /// Volumes by name.
    pub(super) volumes: BTreeSet<&'a str>,
    /// True if a volume's name is only known later.
    pub(super) unknown_volumes: bool,
    /// True if the pod as a whole has `resources`.
    pub(super) has_resources: bool,
}

/// Tests whether a value is filled in later.
pub(super) fn is_expression(text: &str) -> bool {
    expr::has_expression(text)
}

/// The objects of a list with their indices; others have been reported by the schema.
pub(super) fn objects(list: Option<&Value>) -> impl Iterator<Item = (usize, &Map<String, Value>)> {
    let list = list.and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    list.iter().enumerate().filter_map(|(i, entry)| Some((i, entry.as_object()?)))
}

/// A text of an object.
pub(super) fn text<'a>(map: &'a Map<String, Value>, field: &str) -> Option<&'a str> {
    map.get(field)?.as_str()
}

/// A whole number, in either spelling (`3`, `3.0`).
pub(super) fn whole(value: &Value) -> Option<i64> {
    value.as_i64().or_else(|| {
        let float = value.as_f64()?;
        #[expect(
            clippy::cast_possible_truncation,
            reason = "checked: whole and within the exact range of f64"
        )]
        (float.fract() == 0.0 && float.abs() < 9.0e15).then_some(float as i64)
    })
}

/// A number that has to lie within bounds.
pub(super) fn within(value: &Value, min: i64, max: i64, place: &Place<'_>, scope: &mut Scope<'_, '_>) {
    let Some(number) = whole(value).filter(|number| *number < min || *number > max) else { return };
    let what = match (min, max) {
        (min, MAX_INT32 | i64::MAX) => format!("must be at least {min}"),
        _ => format!("must be from {min} to {max}"),
    };
    let what = if number > MAX_INT32 && max == MAX_INT32 { format!("must be at most {max}") } else { what };
    let octal = (max == MODES && number > 0 && number.to_string().bytes().all(|digit| digit < b'8'))
        .then(|| format!("write 0{number}, an octal number"));
    scope.push(Problem::invalid(code::TEMPLATE_NUMBER, place, value.clone(), what).maybe_hint(octal));
}

/// The greatest permission bits of a file.
pub(super) const MODES: i64 = 0o777;

/// Kubernetes keeps such numbers in 32 bits.
pub(super) const MAX_INT32: i64 = 2_147_483_647;

/// A text that has to be one of a few.
pub(super) fn one_of(value: &Value, allowed: &[&str], place: &Place<'_>, scope: &mut Scope<'_, '_>) {
    let Some(text) = value.as_str() else { return };
    // An empty text is an absent one: the API server fills in the default.
    if text.is_empty() || allowed.contains(&text) || is_expression(text) {
        return;
    }
    let words: Vec<String> = allowed.iter().map(|word| format!("\"{word}\"")).collect();
    let what = match words.as_slice() {
        [one] => format!("must be {one}"),
        [start @ .., last] => format!("must be {} or {last}", start.join(", ")),
        [] => return,
    };
    let hint = scope.did_you_mean(text, allowed.iter().copied());
    scope.push(Problem::not_supported(code::TEMPLATE_VALUE, place, text, what).maybe_hint(hint));
}

/// A DNS label: the name of a container or volume.
pub(super) fn label(name: &str, place: &Place<'_>, scope: &mut Scope<'_, '_>) {
    if name.is_empty() {
        scope.push(Problem::required(code::TEMPLATE_REQUIRED, place, "a name is needed"));
    } else if is_expression(name) {
    } else if let Some(wrong) = name_rules::dns_label(name) {
        let near = name_rules::dns_label_near(name).map(|near| format!("write \"{near}\""));
        scope.push(Problem::invalid(code::TEMPLATE_NAME, place, name, wrong).maybe_hint(near));
    } else if name.starts_with(crate::names::RESERVED_NAME_PREFIX) {
        scope.push(
            Problem::forbidden(code::RESERVED_NAME, place, "names that start with `headworks-` are reserved")
                .hint("choose another name"),
        );
    }
}

/// Something that is needed and absent or empty.
pub(super) fn needed(
    map: &Map<String, Value>,
    field: &str,
    here: &Place<'_>,
    what: &str,
    scope: &mut Scope<'_, '_>,
) {
    if map.get(field).is_none_or(|value| value.is_null() || value.as_str() == Some("")) {
        scope.push(Problem::required(code::TEMPLATE_REQUIRED, &here.field(field), what));
    }
}

/// Two values that exclude each other, or a value that makes no sense beside another.
pub(super) fn conflict(place: &Place<'_>, what: impl Into<String>) -> Problem {
    Problem::forbidden(code::TEMPLATE_CONFLICT, place, what)
}

/// A name that stands twice.
pub(super) fn twice(code: Code, place: &Place<'_>, name: &str, what: &str) -> Problem {
    Problem::duplicate(code, place, name, what)
}
