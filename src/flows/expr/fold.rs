//! Constant folding: the value of an expression, as far as it is known before anything runs.

use cel::common::ast::{Expr, IdedExpr, LiteralValue, operators};

use super::scan::scan;
use super::{Scope, syntax, template, walk};

/// The value of a `when` that is the same in every run; `None` if it depends on the run, or cannot be read.
pub fn constant(text: &str, scope: &dyn Scope) -> Option<bool> {
    truth(&tree(text, scope)?, &|_| None)
}

/// Explains why a `when` can never be true, if that is known. `phases` gives the phases that an ancestor can be in when
/// the expression is evaluated; `None` if nothing is known of it.
pub fn never_runs(
    text: &str,
    scope: &dyn Scope,
    phases: &dyn Fn(&str) -> Option<Vec<&'static str>>,
) -> Option<String> {
    let tree = tree(text, scope)?;
    if truth(&tree, &|_| None) == Some(false) {
        return Some("`when` is always false".to_owned());
    }
    if truth(&tree, phases) != Some(false) {
        return None;
    }
    let step = first_phase(&tree)?;
    let known = phases(step)?;
    Some(format!("`when` is never true: when this step starts, \"{step}\" is {}", known.join(" or ")))
}

fn tree(text: &str, scope: &dyn Scope) -> Option<IdedExpr> {
    let text = template::braced(text).map_or(text, |(start, end)| &text[start..end]);
    let text = match text.trim() {
        "" => return None,
        "always" => "true",
        "never" => "false",
        text => text,
    };
    syntax::tree(&scan(text, scope).ok()?.cel).ok()
}

type Phases<'p> = dyn Fn(&str) -> Option<Vec<&'static str>> + 'p;

fn truth(tree: &IdedExpr, phases: &Phases<'_>) -> Option<bool> {
    match &tree.expr {
        Expr::Literal(LiteralValue::Boolean(value)) => Some(*value.inner()),
        Expr::Call(call) => match (call.func_name.as_str(), call.args.as_slice()) {
            (operators::LOGICAL_NOT, [value]) => truth(value, phases).map(|value| !value),
            (operators::LOGICAL_AND, sides) => fold(sides, phases, false),
            (operators::LOGICAL_OR, sides) => fold(sides, phases, true),
            (operators::CONDITIONAL, [condition, yes, no]) => match truth(condition, phases) {
                Some(true) => truth(yes, phases),
                Some(false) => truth(no, phases),
                None => truth(yes, phases).filter(|value| truth(no, phases) == Some(*value)),
            },
            (operators::EQUALS, [a, b]) => equal(a, b, phases),
            (operators::NOT_EQUALS, [a, b]) => equal(a, b, phases).map(|equal| !equal),
            (operators::IN, [a, b]) => {
                let Expr::List(list) = &b.expr else { return None };
                let mut all_known = true;
                for element in &list.elements {
                    match equal(a, element, phases) {
                        Some(true) => return Some(true),
                        Some(false) => {}
                        None => all_known = false,
                    }
                }
                all_known.then_some(false)
            }
            (operators::LESS, [a, b]) => order(a, b).map(std::cmp::Ordering::is_lt),
            (operators::LESS_EQUALS, [a, b]) => order(a, b).map(std::cmp::Ordering::is_le),
            (operators::GREATER, [a, b]) => order(a, b).map(std::cmp::Ordering::is_gt),
            (operators::GREATER_EQUALS, [a, b]) => order(a, b).map(std::cmp::Ordering::is_ge),
            _ => None,
        },
        _ => None,
    }
}

/// `&&` (decided by a false) or `||` (decided by a true).
fn fold(sides: &[IdedExpr], phases: &Phases<'_>, decides: bool) -> Option<bool> {
    let values: Vec<Option<bool>> = sides.iter().map(|side| truth(side, phases)).collect();
    if values.contains(&Some(decides)) {
        return Some(decides);
    }
    values.iter().all(Option::is_some).then_some(!decides)
}

fn equal(a: &IdedExpr, b: &IdedExpr, phases: &Phases<'_>) -> Option<bool> {
    if let (Expr::Literal(a), Expr::Literal(b)) = (&a.expr, &b.expr) {
        let same_kind = std::mem::discriminant(a) == std::mem::discriminant(b);
        return same_kind.then(|| a == b);
    }
    let (step, name) = match (walk::phase_of(a), walk::phase_of(b), &a.expr, &b.expr) {
        (Some(step), _, _, Expr::Literal(LiteralValue::String(name)))
        | (_, Some(step), Expr::Literal(LiteralValue::String(name)), _) => (step, name.inner()),
        _ => return None,
    };
    let known = phases(step)?;
    if !known.contains(&name) {
        return Some(false);
    }
    (known.len() == 1).then_some(true)
}

fn order(a: &IdedExpr, b: &IdedExpr) -> Option<std::cmp::Ordering> {
    match (&a.expr, &b.expr) {
        (Expr::Literal(LiteralValue::Int(a)), Expr::Literal(LiteralValue::Int(b))) => {
            Some(a.inner().cmp(b.inner()))
        }
        (Expr::Literal(LiteralValue::String(a)), Expr::Literal(LiteralValue::String(b))) => {
            Some(a.inner().cmp(b.inner()))
        }
        _ => None,
    }
}

/// The first step whose phase is looked at.
fn first_phase(tree: &IdedExpr) -> Option<&str> {
    if let Some(step) = walk::phase_of(tree) {
        return Some(step);
    }
    match &tree.expr {
        Expr::Call(call) => call.args.iter().find_map(first_phase),
        _ => None,
    }
}
