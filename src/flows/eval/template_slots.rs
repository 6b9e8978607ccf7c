//! The texts of a template that hold expressions, and what may stand in their place.

use std::sync::LazyLock;

use serde_json::{Number, Value};

use super::convert;
use crate::flows::expr::{Expression, Part, Template, has_expression};
use crate::flows::rules::fields;
use crate::problem::field_path::{FieldPath, Segment};
use crate::problem::schema::Shape;

/// The schema of a step's template.
static TEMPLATE: LazyLock<Option<&'static Shape>> = LazyLock::new(|| {
    fields::job_flow().at(&FieldPath::default().field("spec").field("steps").index(0).field("template").0)
});

/// Finds the texts with expressions in a template, in the order of its keys.
pub(super) fn find(template: &Value) -> Vec<(FieldPath, &str)> {
    let mut found = Vec::new();
    collect(template, *TEMPLATE, &mut Vec::new(), &mut found);
    found
}

fn collect<'t>(
    value: &'t Value,
    shape: Option<&Shape>,
    path: &mut Vec<Segment>,
    found: &mut Vec<(FieldPath, &'t str)>,
) {
    match value {
        Value::String(text) if has_expression(text) => found.push((FieldPath(path.clone()), text)),
        Value::Array(list) => {
            for (i, entry) in list.iter().enumerate() {
                path.push(Segment::Index(i));
                collect(entry, shape.and_then(|shape| shape.at(&path[path.len() - 1..])), path, found);
                path.pop();
            }
        }
        Value::Object(map) => {
            for (key, entry) in map {
                // As messages write it: what the user chose in brackets.
                path.push(match shape {
                    Some(Shape::Map(_)) => Segment::Key(key.clone()),
                    _ => Segment::Field(key.clone()),
                });
                collect(entry, shape.and_then(|shape| shape.at(&path[path.len() - 1..])), path, found);
                path.pop();
            }
        }
        _ => {}
    }
}

/// The part of a value that a path leads to.
pub(super) fn at_mut<'v>(value: &'v mut Value, path: &[Segment]) -> Option<&'v mut Value> {
    path.iter().try_fold(value, |value, segment| match segment {
        Segment::Field(name) | Segment::Key(name) => value.as_object_mut()?.get_mut(name),
        Segment::Index(index) => value.as_array_mut()?.get_mut(*index),
    })
}

/// The only expression of a text, if there is nothing else but blanks.
pub(super) fn only(template: &Template) -> Option<&Expression> {
    let mut parts =
        template.parts.iter().filter(|part| !matches!(part, Part::Text(text) if text.trim().is_empty()));
    match (parts.next(), parts.next()) {
        (Some(Part::Expression(expression)), None) => Some(expression),
        _ => None,
    }
}

/// Tests whether the value of an env variable stands at a path of a template.
pub(super) fn is_env_value(path: &FieldPath) -> bool {
    matches!(path.0.as_slice(), [.., Segment::Field(env), Segment::Index(_), Segment::Field(value)]
        if env == "env" && value == "value")
}

/// Returns the shape that the Job schema wants at a path of a template, if it is no text.
pub(super) fn wanted(path: &FieldPath) -> Option<&'static Shape> {
    let shape = TEMPLATE.as_ref()?.at(&path.0)?;
    let text = matches!(shape, Shape::Any | Shape::Text { .. } | Shape::Quantity);
    (!text).then_some(shape)
}

/// A value as it fits where the Job schema wants `shape`; what is wanted if it does not fit.
pub(super) fn fit(value: &Value, shape: &Shape) -> Result<Value, &'static str> {
    let fitting = match shape {
        Shape::Integer { min, max } => whole(value)
            .filter(|n| min.is_none_or(|min| *n >= min) && max.is_none_or(|max| *n <= max))
            .map(Value::from),
        Shape::IntOrText => {
            whole(value).map(Value::from).or_else(|| value.is_string().then(|| value.clone()))
        }
        Shape::Number { .. } => number(value).map(Value::Number),
        Shape::Boolean => truth(value).map(Value::from),
        _ => None,
    };
    fitting.ok_or(shape.wanted())
}

/// A whole number, or a text that is exactly one.
fn whole(value: &Value) -> Option<i64> {
    match value {
        // 3.0 is whole; its text says so.
        Value::Number(_) => convert::to_text(value)?.parse().ok(),
        Value::String(text) => text.parse().ok(),
        _ => None,
    }
}

fn number(value: &Value) -> Option<Number> {
    match value {
        Value::Number(number) => Some(number.clone()),
        Value::String(text) => serde_json::from_str(text).ok(),
        _ => None,
    }
}

fn truth(value: &Value) -> Option<bool> {
    match value {
        Value::Bool(value) => Some(*value),
        Value::String(text) => text.parse().ok(),
        _ => None,
    }
}
