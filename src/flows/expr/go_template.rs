//! Go template syntax: zen-flow's few forms have a modern spelling, the rest is refused with the CEL that says the
//! same.

use super::Scope;
use super::fault::Fault;
use super::names::show;
use super::walk;
use crate::problem::code;
use crate::problem::suggest::did_you_mean;

/// Words with which a Go template action starts.
const KEYWORDS: [&str; 27] = [
    "if", "else", "end", "range", "with", "define", "template", "block", "index", "eq", "ne", "lt", "le",
    "gt", "ge", "and", "or", "not", "print", "printf", "println", "len", "slice", "include", "default",
    "quote", "toYaml",
];

pub(super) fn fault(offset: usize, what: impl Into<String>) -> Fault {
    Fault { code: code::GO_TEMPLATE, offset, what: what.into(), hint: None }
}

/// A fault if `text` is an action of a Go template.
pub(super) fn refuse(text: &str) -> Option<Fault> {
    let trimmed = text.trim_start();
    let start = text.len() - trimmed.len();
    let length = trimmed.bytes().take_while(u8::is_ascii_alphanumeric).count();
    let (word, rest) = trimmed.split_at(length);
    if word.is_empty() {
        // `{{- x }}`; a minus of CEL has its operand beside it.
        if trimmed.strip_prefix('-').is_some_and(|rest| rest.starts_with(char::is_whitespace)) {
            return Some(fault(start, "`{{-` is Go template syntax").hint("remove the `-` at the braces"));
        }
        let comment = trimmed.starts_with("/*");
        return comment.then(|| fault(start, "Go template comments are not supported").hint("remove it"));
    }
    if !KEYWORDS.contains(&word) {
        return None;
    }
    let argument = rest.trim_start();
    let action = if argument.is_empty() {
        matches!(word, "end" | "else" | "if" | "range" | "with")
    } else {
        let operand = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '"' | '\'' | '`' | '$' | '(');
        // `in` is an operator of CEL; `size (x)` would be a call of CEL, but none of these words is a function.
        argument.len() < rest.len() && argument.starts_with(operand) && !argument.starts_with("in ")
    };
    if !action {
        return None;
    }
    Some(
        fault(start, format!("`{word}` is Go template syntax, and expressions are CEL"))
            .hint(instead(word, argument)),
    )
}

/// The CEL that says what a Go template action says.
fn instead(word: &str, argument: &str) -> String {
    let words: Vec<&str> = argument.split_whitespace().take(8).collect();
    if let Some(condition) = condition(word, &words) {
        return format!("write `{condition}`");
    }
    match (word, words.as_slice()) {
        ("index", [map, key]) => format!("write `{}[{key}]`", operand(map)),
        ("len", [value]) => format!("write `size({})`", operand(value)),
        ("if", [inner, rest @ ..]) => {
            let condition = condition(inner, rest).unwrap_or_else(|| "CONDITION".to_owned());
            format!("write `{condition} ? \"then\" : \"else\"`")
        }
        ("if" | "else" | "end" | "with", _) => "write `CONDITION ? \"then\" : \"else\"`".to_owned(),
        ("range", _) => "write `LIST.map(x, x)`".to_owned(),
        ("print" | "printf" | "println", _) => "join texts with `+`".to_owned(),
        ("default", _) => "give the parameter a `default`".to_owned(),
        ("and", _) => "write `A && B`".to_owned(),
        ("or", _) => "write `A || B`".to_owned(),
        ("index", _) => "write `MAP[\"key\"]`".to_owned(),
        _ => "write it in CEL, such as parameters.NAME or steps.NAME.phase".to_owned(),
    }
}

fn condition(word: &str, arguments: &[&str]) -> Option<String> {
    let operator = match word {
        "eq" => "==",
        "ne" => "!=",
        "lt" => "<",
        "le" => "<=",
        "gt" => ">",
        "ge" => ">=",
        "and" => "&&",
        "or" => "||",
        "not" => return (arguments.len() == 1).then(|| format!("!{}", operand(arguments[0]))),
        _ => return None,
    };
    match arguments {
        [a, b] => Some(format!("{} {operator} {}", operand(a), operand(b))),
        _ => None,
    }
}

/// An operand of a Go template, in CEL.
fn operand(text: &str) -> String {
    let Some(path) = text.strip_prefix('.') else { return text.to_owned() };
    let names: Vec<&str> = path.split('.').collect();
    match names.as_slice() {
        ["JobFlow", name] => format!("flow.{}", lower_first(name)),
        ["StepStatus", step, property] => format!("{}.{}", show("steps", step), lower_first(property)),
        ["Values" | "Params" | "Parameters" | "parameters", name] => show("parameters", name),
        [name] if !name.is_empty() => show("parameters", name),
        _ => path.to_owned(),
    }
}

/// The modern spelling of one of zen-flow's: `.parameters.N`, `.StepStatus.X.Phase`, `.JobFlow.Name`.
pub(super) fn modern(old: &str) -> Option<String> {
    let names: Vec<&str> = old.strip_prefix('.')?.split('.').collect();
    match names.as_slice() {
        ["parameters", name] => Some(show("parameters", name)),
        ["StepStatus", step, "Phase"] => Some(show("steps", step) + ".phase"),
        ["JobFlow", "Name"] => Some("flow.name".to_owned()),
        ["JobFlow", "Namespace"] => Some("flow.namespace".to_owned()),
        ["JobFlow", "UID"] => Some("flow.uid".to_owned()),
        _ => None,
    }
}

/// Explains why a path with a leading dot is refused.
pub(super) fn dotted(old: &str, offset: usize, scope: &dyn Scope) -> Fault {
    let fault = fault(offset, format!("`{old}` is Go template syntax, and expressions are CEL"));
    let names: Vec<&str> = old.trim_start_matches('.').split('.').collect();
    match names.as_slice() {
        ["JobFlow", name] => match walk::nearest_flow_property(&lower_first(name)) {
            Some(near) => fault.hint(format!("write `flow.{near}`")),
            None => fault.hint("write `flow.name`, `flow.namespace` or `flow.uid`"),
        },
        [.., name] if scope.parameter(name).is_some() => {
            fault.hint(format!("write `{}`", show("parameters", name)))
        }
        [.., name] if !name.is_empty() => {
            let near = did_you_mean(name, scope.parameters());
            let hint = match operand(old) {
                modern if modern.starts_with("parameters") || modern.starts_with("steps") => {
                    format!("write `{modern}`")
                }
                _ => "write parameters.NAME, steps.NAME.phase or flow.name".to_owned(),
            };
            fault.hint(near.map_or(hint, |near| format!("write parameters.NAME; {near}")))
        }
        _ => fault.hint("write parameters.NAME, steps.NAME.phase or flow.name"),
    }
}

/// Explains why a single `|` is refused.
pub(super) fn pipe(text: &str, offset: usize) -> Fault {
    let name: String =
        text[offset + 1..].trim_start().chars().take_while(char::is_ascii_alphanumeric).take(32).collect();
    let fault = fault(offset, "`|` is a pipe of Go templates, and expressions are CEL");
    match name.as_str() {
        "" => fault.hint("write || for \"or\""),
        "len" => fault.hint("write `size(VALUE)`"),
        "default" => fault.hint("give the parameter a `default`"),
        "quote" | "squote" | "toString" => fault.hint("write `string(VALUE)`"),
        "int" | "atoi" => fault.hint("write `int(VALUE)`"),
        _ => fault.hint(format!("CEL calls functions as f(VALUE), and has no `{name}`; for \"or\" write ||")),
    }
}

fn lower_first(name: &str) -> String {
    if name.bytes().all(|c| c.is_ascii_uppercase()) {
        return name.to_ascii_lowercase();
    }
    let mut chars = name.chars();
    chars.next().map_or_else(String::new, |first| first.to_ascii_lowercase().to_string() + chars.as_str())
}
