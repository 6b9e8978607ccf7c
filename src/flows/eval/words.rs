//! Error messages without values: a value may be a Secret's, and these messages end in a status.

use cel::common::ast::{Expr, IdedExpr, LiteralValue, operators};
use cel::{ExecutionError, Value};

use crate::flows::expr::parts;
use crate::problem::field_path::one_line;

/// The most characters of an expression that a message shows.
const SHOWN: usize = 120;

/// An expression as messages show it: quoted, on one line, cut.
pub(super) fn quote(text: &str) -> String {
    let text = text.trim();
    let cut = text.char_indices().nth(SHOWN).map_or(text.len(), |(end, _)| end);
    let dots = if cut < text.len() { "..." } else { "" };
    format!("\"{}{dots}\"", one_line(&text[..cut]))
}

/// Explains an error of the evaluator.
pub(super) fn explain(error: &ExecutionError, tree: &IdedExpr) -> String {
    match error {
        ExecutionError::NoSuchKey(key) if selects(tree, key) => format!("there is no key `{key}`"),
        ExecutionError::NoSuchKey(_) => "there is no such key".to_owned(),
        ExecutionError::UndeclaredReference(name) if !name.starts_with('@') => {
            format!("`{name}` is no value by itself")
        }
        ExecutionError::DivisionByZero(_) | ExecutionError::RemainderByZero(_) => {
            "division by zero".to_owned()
        }
        ExecutionError::Overflow(operator, ..) => {
            format!("the result of `{}` is too large", sign(operator))
        }
        ExecutionError::UnsupportedBinaryOperator(operator, a, b) => {
            format!("`{}` does not take {} and {}", sign(operator), kind(a), kind(b))
        }
        ExecutionError::NoSuchOverload(error) => match (error.function(), error.argument_types()) {
            ("_._", [from, _]) => format!("nothing can be selected from {from}"),
            ("_[_]", [from, key]) => format!("nothing can be selected from {from} by {key}"),
            (function, types) => format!("`{}` does not take ({})", sign(function), types.join(", ")),
        },
        ExecutionError::IndexOutOfBounds(_) => "there is no entry of this index".to_owned(),
        ExecutionError::UnsupportedIndex(..) => "this is no index".to_owned(),
        ExecutionError::DuplicateKey(_) => "a map has one key twice".to_owned(),
        ExecutionError::UnsupportedKeyType(_) => "this cannot be a key".to_owned(),
        ExecutionError::ValuesNotComparable(a, b) => {
            format!("{} and {} have no order", kind(a), kind(b))
        }
        ExecutionError::UnexpectedType { want, .. } if want == "bool" => {
            "true or false is wanted here".to_owned()
        }
        ExecutionError::UnexpectedType { want, .. } if want == "iterable" => {
            "a list or map is wanted here".to_owned()
        }
        // Ours, without values.
        ExecutionError::FunctionError { function, message } if function == "matches" => message.clone(),
        ExecutionError::FunctionError { function, .. } => {
            format!("`{function}` cannot convert this value")
        }
        _ => "a value of another type is wanted".to_owned(),
    }
}

/// Tests whether a key stands in the expression itself, and is no value.
fn selects(tree: &IdedExpr, key: &str) -> bool {
    let here = match &tree.expr {
        Expr::Select(select) => select.field == key,
        Expr::Call(call) if call.func_name == operators::INDEX => call
            .args
            .iter()
            .any(|arg| matches!(&arg.expr, Expr::Literal(LiteralValue::String(text)) if text.inner() == key)),
        _ => false,
    };
    here || parts(&tree.expr).into_iter().any(|part| selects(part, key))
}

/// An operator as it is written.
fn sign(operator: &str) -> &str {
    match operator {
        "add" => "+",
        "sub" | "negate" => "-",
        "mul" => "*",
        "div" => "/",
        "rem" => "%",
        other => other.trim_matches(['_', '@']),
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::List(_) => "a list",
        Value::Map(_) | Value::Struct(_) => "a map",
        Value::Int(_) | Value::UInt(_) => "a whole number",
        Value::Float(_) => "a number",
        Value::String(_) => "text",
        Value::Bytes(_) => "bytes",
        Value::Bool(_) => "true or false",
        Value::Null => "null",
        _ => "a value",
    }
}
