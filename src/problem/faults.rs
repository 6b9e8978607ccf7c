//! Turns faults of shape into problems: the wording that every kind of object shares.

use schemars::JsonSchema;
use serde_json::Value;

use super::code::{self, Code};
use super::field_path::{FieldPath, Place, Segment};
use super::schema::{Fault, Report, Shape};
use super::{Problem, Problems};
use crate::k8s::duration;

/// The codes under which the faults of one part of an object are reported.
pub(crate) struct Codes {
    /// A value of another JSON type.
    pub(crate) wrong_type: Code,
    /// A required field that is absent.
    pub(crate) missing: Code,
    /// A text that is none of the allowed ones.
    pub(crate) enumeration: Code,
    /// A number that is out of range.
    pub(crate) range: Code,
}

/// The codes of everything that has no codes of its own.
pub(crate) const GENERAL: Codes = Codes {
    wrong_type: code::WRONG_TYPE,
    missing: code::MISSING_FIELD,
    enumeration: code::UNSUPPORTED_VALUE,
    range: code::OUT_OF_RANGE,
};

/// Reports every fault under the [`GENERAL`] codes.
pub(crate) struct Faults<'a> {
    /// Receives the problems.
    pub(crate) out: &'a mut Problems,
}

impl Report for Faults<'_> {
    fn fault(&mut self, place: &Place<'_>, shape: &Shape, fault: Fault<'_>) -> bool {
        let problem = problem(self.out, &GENERAL, place, shape, fault);
        self.out.push(problem);
        false
    }
}

/// The shape of a Kubernetes kind, from its published schema. At its top nothing is required, since users may leave
/// `metadata` out where the object is a template.
pub(crate) fn kubernetes<T: JsonSchema>() -> Shape {
    Shape::compile(&schemars::schema_for!(T).to_value(), |_| None).all_optional()
}

/// Sorts problems by the schema; two at the same field stay in the order in which they were found.
pub(crate) fn in_order(mut problems: Vec<Problem>, shape: &Shape) -> Vec<Problem> {
    problems.sort_by(|a, b| shape.order(&a.field, &b.field));
    problems
}

/// Describes a fault. `out` limits how many suggestions are looked for.
pub(crate) fn problem(
    out: &Problems,
    codes: &Codes,
    place: &Place<'_>,
    shape: &Shape,
    fault: Fault<'_>,
) -> Problem {
    let path = place.path();
    match fault {
        Fault::Type { found, wanted } => {
            let not = match (shape, found) {
                (Shape::Integer { .. }, Value::Number(_)) => "a fraction",
                _ => kind(found),
            };
            let what = format!("must be {wanted}, not {not}");
            let problem = Problem::wrong_type(codes.wrong_type, place, shown(found), what);
            problem.maybe_hint(fix(found, shape, &path))
        }
        Fault::Unknown { known } => {
            let name = path.0.last().map(segment_name).unwrap_or_default();
            let hint = out.did_you_mean(&name, known.names());
            Problem::invalid(code::UNKNOWN_FIELD, place, name, "there is no such field")
                .hint(hint.unwrap_or_else(|| "remove it".to_owned()))
        }
        Fault::Missing => Problem::required(codes.missing, place, missing(&path, shape)),
        Fault::NotOneOf { found, allowed } => {
            let hint = out.did_you_mean(found, allowed.iter().map(String::as_str));
            let list: Vec<String> = allowed.iter().map(|value| format!("\"{value}\"")).collect();
            Problem::not_supported(codes.enumeration, place, found, format!("must be {}", one_of(&list)))
                .maybe_hint(hint)
        }
        Fault::Range { found, wanted } => {
            let octal = path.0.last() == Some(&Segment::Field("mode".to_owned()))
                && found.as_u64().is_some_and(|mode| mode.to_string().bytes().all(|digit| digit < b'8'));
            Problem::invalid(codes.range, place, found.clone(), format!("must be {wanted}"))
                .maybe_hint(octal.then(|| format!("write 0{found}, an octal number")))
        }
        Fault::TooLong { found, max } => Problem::too_long(
            code::TEXT_TOO_LONG,
            place,
            found,
            format!("must have at most {max} characters"),
        ),
        Fault::TooMany { found, max } => {
            Problem::too_many(code::TOO_MANY_ITEMS, place, found, format!("must have at most {max} entries"))
        }
    }
}

/// The name, key or index of a segment.
pub(crate) fn segment_name(segment: &Segment) -> String {
    match segment {
        Segment::Field(name) | Segment::Key(name) => name.clone(),
        Segment::Index(i) => i.to_string(),
    }
}

/// The value as a problem shows it. Objects and lists are only named: they can be large, and may hold secrets.
fn shown(value: &Value) -> Value {
    match value {
        Value::Object(_) => Value::from("{...}"),
        Value::Array(_) => Value::from("[...]"),
        other => other.clone(),
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

/// A hint for a value of the wrong type, where the fix is plain.
fn fix(found: &Value, shape: &Shape, path: &FieldPath) -> Option<String> {
    let name = match path.0.last() {
        Some(Segment::Field(name)) => name.as_str(),
        _ => "",
    };
    match (shape, found) {
        (Shape::Text { .. }, Value::Number(_)) if matches!(name, "duration" | "maxDuration") => {
            Some(format!("write it with a unit, as in \"{found}s\""))
        }
        // The user's spelling is lost by now: 1.10 has become 1.1, and 0022 has become 18.
        (Shape::Text { .. }, Value::Number(_)) => Some("put it in quotes".to_owned()),
        (Shape::Text { .. }, Value::Bool(_)) if name == "when" => {
            Some(format!("write \"{found}\", in quotes"))
        }
        (Shape::Text { .. }, Value::Bool(_)) => {
            Some("put it in quotes: in YAML y, n, yes, no, on and off are true or false".to_owned())
        }
        (Shape::Integer { .. } | Shape::Number { .. }, Value::String(text))
            if text.trim().parse::<f64>().is_ok() =>
        {
            Some(format!("remove the quotes: {}", text.trim()))
        }
        (Shape::Integer { .. }, Value::String(text)) if name.ends_with("Seconds") => {
            let seconds = duration::parse(text).ok()? / duration::SECOND;
            (seconds > 0).then(|| format!("write the seconds: {seconds}"))
        }
        (Shape::Boolean, Value::String(text)) => match text.to_ascii_lowercase().as_str() {
            "true" | "yes" | "on" => Some("write true, without quotes".to_owned()),
            "false" | "no" | "off" => Some("write false, without quotes".to_owned()),
            _ => None,
        },
        (Shape::List { items, .. }, Value::Object(map))
            if !map.contains_key("name") && items.at(&[Segment::Field("name".to_owned())]).is_some() =>
        {
            Some("write each entry after `- `, with its key as `name`".to_owned())
        }
        (Shape::List { .. }, Value::String(_) | Value::Object(_)) => {
            Some("write it as a list entry, after `- `".to_owned())
        }
        _ => None,
    }
}

fn missing(path: &FieldPath, shape: &Shape) -> String {
    match path.0.last() {
        Some(Segment::Field(name)) if name == "template" => {
            "`template` is needed: the pod's own fields, such as containers, go into template.spec".to_owned()
        }
        Some(Segment::Field(name)) if name == "name" => "a name is needed".to_owned(),
        Some(Segment::Field(name)) => format!("`{name}` is needed: {}", shape.wanted()),
        _ => "a value is needed".to_owned(),
    }
}

fn one_of(words: &[String]) -> String {
    match words {
        [] => String::new(),
        [only] => only.clone(),
        [others @ .., last] => format!("{} or {last}", others.join(", ")),
    }
}
