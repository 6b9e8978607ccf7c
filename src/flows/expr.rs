//! Expressions: CEL in `when`, in `valueFrom.expression`, and between `{{` and `}}` in texts.
//!
//! An expression is brought into plain CEL (deprecated spellings, names with `-` in them), parsed once, and its syntax
//! tree held against a [`Scope`]: what may be looked at from where the expression stands. Nothing is evaluated here;
//! [`Expression::bind`] makes it ready for that.
//!
//! Hostile texts are bounded before the parser sees them: [`MAX_BYTES`] of text, [`scan::MAX_DEPTH`] levels of syntax.

use crate::problem::Problems;
use crate::problem::field_path::Place;

mod bind;
mod expression;
mod fault;
mod fold;
mod functions;
mod go_template;
mod names;
mod read;
mod scan;
mod scope;
mod syntax;
mod template;
mod types;
mod walk;

pub use bind::{Bound, slot, slot_index};
pub(super) use bind::{each_part, parts};
pub use expression::{Expression, MAX_BYTES, References};
pub use fold::{constant, never_runs};
pub use functions::NAMES as FUNCTIONS;
pub use read::Read;
pub use scope::{NoScope, Scope};
pub use template::{Part, Template, has_expression, parse as parse_text};

/// Checks a `when`: an expression that is true or false. An empty one is as if absent.
pub fn check_when(text: &str, place: &Place<'_>, scope: &dyn Scope, out: &mut Problems) -> References {
    let mut references = References::default();
    if let Some(expression) = parse_when(text, place, scope, out) {
        let mut walk = walk::Walk::new(place, scope, out, &mut references);
        let found = walk.visit(&expression.tree);
        walk.must_be_bool(found, &expression.tree, text);
    }
    references
}

/// Reads a `when`: `always`, `never`, an expression, or an expression in braces. `None` if it is empty or wrong.
pub fn parse_when(
    text: &str,
    place: &Place<'_>,
    scope: &dyn Scope,
    out: &mut Problems,
) -> Option<Expression> {
    let word = text.trim();
    if word.is_empty() {
        return None;
    }
    let modern = match word {
        "always" => Some("true"),
        "never" => Some("false"),
        _ => None,
    };
    if let Some(modern) = modern {
        out.push(syntax::deprecated(place, word, modern));
        return syntax::parse(syntax::Source::whole(modern), place, scope, out);
    }
    if let Some((start, end)) = template::braced(text) {
        let inner = &text[start..end];
        let mut found = Problems::new();
        let source = syntax::Source { text: inner, whole: text, start, braces: true };
        let expression = syntax::parse(source, place, scope, &mut found);
        match &expression {
            // One modern form for the whole: without braces, and with nothing deprecated inside.
            Some(expression) => out.push(syntax::deprecated(place, word, expression.cel.trim())),
            None => out.extend(found.into_vec()),
        }
        return expression;
    }
    syntax::parse(syntax::Source::whole(text), place, scope, out)
}

/// Reads an expression of any result type, such as `valueFrom.expression`. `None` if it is wrong.
pub fn parse_expression(
    text: &str,
    place: &Place<'_>,
    scope: &dyn Scope,
    out: &mut Problems,
) -> Option<Expression> {
    syntax::parse(syntax::Source::whole(text), place, scope, out)
}

/// Checks an expression of any result type, such as `valueFrom.expression`.
pub fn check_expression(text: &str, place: &Place<'_>, scope: &dyn Scope, out: &mut Problems) -> References {
    let mut references = References::default();
    if let Some(expression) = parse_expression(text, place, scope, out) {
        walk::Walk::new(place, scope, out, &mut references).visit(&expression.tree);
    }
    references
}

/// Checks a text with any number of expressions in braces.
pub fn check_text(text: &str, place: &Place<'_>, scope: &dyn Scope, out: &mut Problems) -> References {
    let mut references = References::default();
    for part in parse_text(text, place, scope, out).parts {
        if let Part::Expression(expression) = part {
            walk::Walk::new(place, scope, out, &mut references).visit(&expression.tree);
        }
    }
    references
}

#[cfg(test)]
mod tests;
