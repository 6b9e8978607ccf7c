//! Expressions: CEL in `when`, in `valueFrom.expression`, and between `{{` and `}}` in texts.
//!
//! An expression is brought into plain CEL (deprecated spellings, names with `-` in them), parsed once, and its syntax
//! tree held against a [`Scope`]: what may be looked at from where the expression stands. Nothing is evaluated here;
//! [`Expression::bind`] makes it ready for that.
//!
//! Hostile texts are bounded before the parser sees them: [`MAX_BYTES`] of text, [`scan::MAX_DEPTH`] levels of syntax.

use cel::common::ast::IdedExpr;

use crate::problem::code;
use crate::problem::field_path::Place;
use crate::problem::{Problem, Problems};

mod bind;
mod fold;
mod functions;
mod go_template;
mod names;
mod scan;
mod scope;
mod syntax;
mod template;
mod types;
mod walk;

pub use bind::{Bound, Read, place, slot};
pub(super) use bind::{each_part, parts};
pub use fold::{constant, never_runs};
pub use functions::NAMES as FUNCTIONS;
pub use scope::{NoScope, Scope};
pub use template::{Part, Template, has_expression, parse as parse_text};

/// The longest expression, in bytes.
pub const MAX_BYTES: usize = 4096;

/// What a text reads; each name once, in the order of reading.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct References {
    /// Parameters of the step or the flow.
    pub parameters: Vec<String>,
    /// Outputs, as (step, output).
    pub outputs: Vec<(String, String)>,
    /// Steps that exist, whatever of them is read.
    pub steps: Vec<String>,
    /// Resource templates.
    pub resources: Vec<String>,
}

impl References {
    /// Add what another text reads.
    pub fn merge(&mut self, other: Self) {
        other.parameters.into_iter().for_each(|name| add(&mut self.parameters, name));
        other.outputs.into_iter().for_each(|name| add(&mut self.outputs, name));
        other.steps.into_iter().for_each(|name| add(&mut self.steps, name));
        other.resources.into_iter().for_each(|name| add(&mut self.resources, name));
    }
}

fn add<T: PartialEq>(list: &mut Vec<T>, entry: T) {
    if !list.contains(&entry) {
        list.push(entry);
    }
}

/// An expression that was parsed, ready to be evaluated.
#[derive(Clone, Debug, PartialEq)]
pub struct Expression {
    /// What the user wrote, without braces.
    pub text: String,
    /// The same in plain CEL.
    pub cel: String,
    /// The syntax tree of `cel`.
    pub tree: IdedExpr,
}

/// Check a `when`: an expression that is true or false. An empty one is as if absent.
pub fn check_when(text: &str, place: &Place<'_>, scope: &dyn Scope, out: &mut Problems) -> References {
    let mut references = References::default();
    if let Some(expression) = parse_when(text, place, scope, out) {
        let mut walk = walk::Walk::new(place, scope, out, &mut references);
        let found = walk.visit(&expression.tree);
        walk.must_be_bool(found, &expression.tree, text);
    }
    references
}

/// Read a `when`: `always`, `never`, an expression, or an expression in braces. `None` if it is empty or wrong.
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
        out.push(deprecated(place, word, modern));
        return syntax::parse(syntax::Source::whole(modern), place, scope, out);
    }
    if let Some((start, end)) = template::braced(text) {
        let inner = &text[start..end];
        let mut found = Problems::new();
        let source = syntax::Source { text: inner, whole: text, start, braces: true };
        let expression = syntax::parse(source, place, scope, &mut found);
        match &expression {
            // One modern form for the whole: without braces, and with nothing deprecated inside.
            Some(expression) => out.push(deprecated(place, word, expression.cel.trim())),
            None => out.extend(found.into_vec()),
        }
        return expression;
    }
    syntax::parse(syntax::Source::whole(text), place, scope, out)
}

/// Read an expression of any result type, such as `valueFrom.expression`. `None` if it is wrong.
pub fn parse_expression(
    text: &str,
    place: &Place<'_>,
    scope: &dyn Scope,
    out: &mut Problems,
) -> Option<Expression> {
    syntax::parse(syntax::Source::whole(text), place, scope, out)
}

/// Check an expression of any result type, such as `valueFrom.expression`.
pub fn check_expression(text: &str, place: &Place<'_>, scope: &dyn Scope, out: &mut Problems) -> References {
    let mut references = References::default();
    if let Some(expression) = parse_expression(text, place, scope, out) {
        walk::Walk::new(place, scope, out, &mut references).visit(&expression.tree);
    }
    references
}

/// Check a text with any number of expressions in braces.
pub fn check_text(text: &str, place: &Place<'_>, scope: &dyn Scope, out: &mut Problems) -> References {
    let mut references = References::default();
    for part in parse_text(text, place, scope, out).parts {
        if let Part::Expression(expression) = part {
            walk::Walk::new(place, scope, out, &mut references).visit(&expression.tree);
        }
    }
    references
}

fn deprecated(place: &Place<'_>, old: &str, modern: &str) -> Problem {
    Problem::warning(code::DEPRECATED, place, format!("`{old}` is deprecated"))
        .hint(format!("write `{modern}`"))
}

#[cfg(test)]
mod tests;
