//! Texts with expressions in braces: `s3://{{ parameters.bucket }}/in`.

use cel::parser::pratt_parser::{Lexer, TokenKind};

use super::syntax;
use super::syntax::{Source, position};
use super::{Expression, MAX_BYTES, Scope};
use crate::problem::code;
use crate::problem::field_path::Place;
use crate::problem::{Problem, Problems};

/// zen-flow's other spelling of a parameter. Any other `${` is the shell's.
const SHELL: &str = "${parameters.";

/// A text with more mistakes is not read to its end.
const MOST_PROBLEMS: usize = 50;

/// A text, taken apart.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Template {
    /// Its pieces, in order. No two texts stand side by side, and none is empty.
    pub parts: Vec<Part>,
}

/// A piece of a text.
#[derive(Clone, Debug, PartialEq)]
pub enum Part {
    /// Taken as it is; escapes are resolved.
    Text(String),
    /// Replaced by its value.
    Expression(Expression),
}

impl Template {
    /// The expression, if the text is one and nothing else: its value keeps its type.
    pub fn whole(&self) -> Option<&Expression> {
        match self.parts.as_slice() {
            [Part::Expression(expression)] => Some(expression),
            _ => None,
        }
    }

    fn text(&mut self, text: &str) {
        match self.parts.last_mut() {
            _ if text.is_empty() => {}
            Some(Part::Text(last)) => last.push_str(text),
            _ => self.parts.push(Part::Text(text.to_owned())),
        }
    }
}

/// Tests whether there may be an expression in `text`.
pub fn has_expression(text: &str) -> bool {
    // Most texts have no brace at all.
    text.as_bytes().contains(&b'{') && next_open(text, 0).is_some()
}

/// Splits a text into plain parts and expressions. Wrong expressions are reported and left out.
pub fn parse(text: &str, place: &Place<'_>, scope: &dyn Scope, out: &mut Problems) -> Template {
    let mut template = Template::default();
    let (mut at, before) = (0, out.len());
    while let Some(open) = next_open(text, at) {
        let plain = &text[at..open];
        // A backslash makes the braces literal; two are a backslash.
        let slashes = plain.len() - plain.trim_end_matches('\\').len();
        template.text(&plain[..plain.len() - slashes]);
        template.text(&plain[plain.len() - slashes..plain.len() - slashes + slashes / 2]);
        if slashes % 2 == 1 {
            template.text(&text[open..open + 2]);
            at = open + 2;
            continue;
        }
        let Some((source, after)) = expression(text, open) else {
            out.push(unclosed(text, open, place));
            return template;
        };
        if let Some(expression) = syntax::parse(source, place, scope, out) {
            template.parts.push(Part::Expression(expression));
        }
        at = after;
        if out.len() > before + MOST_PROBLEMS {
            break;
        }
    }
    template.text(&text[at..]);
    template
}

fn next_open(text: &str, from: usize) -> Option<usize> {
    let rest = &text[from..];
    rest.match_indices('{').find_map(|(at, _)| {
        if rest[..at].ends_with('$') && rest[at..].starts_with(&SHELL[1..]) {
            return Some(from + at - 1);
        }
        rest[at + 1..].starts_with('{').then_some(from + at)
    })
}

/// The expression that opens at `open`, and where the text goes on. `None` if it is not closed.
fn expression(text: &str, open: usize) -> Option<(Source<'_>, usize)> {
    if text[open..].starts_with('$') {
        // `${parameters.x}` is rewritten by the scanner, so it is handed over whole.
        let end = open + text[open..].find('}')? + 1;
        return Some((Source { text: &text[open..end], whole: text, start: open, braces: true }, end));
    }
    let start = open + 2;
    let end = close(&text[start..])? + start;
    Some((Source { text: &text[start..end], whole: text, start, braces: true }, end + 2))
}

/// Finds the `}}` that ends the expression at the start of `text`: the first one, unless strings, maps or
/// comments may hold braces. Then CEL's lexer finds it; where that fails because the expression is wrong, the first one
/// is taken.
fn close(text: &str) -> Option<usize> {
    let first = text.as_bytes().windows(2).position(|pair| pair == b"}}")?;
    if !text[..first].bytes().any(|c| matches!(c, b'"' | b'\'' | b'`' | b'{' | b'/')) {
        return Some(first);
    }
    // No expression is longer, and the search for its end must not become quadratic.
    let window = text.floor_char_boundary(MAX_BYTES + 2);
    let mut lexer = Lexer::new(&text[..window]);
    let (mut depth, mut last) = (0_usize, None);
    loop {
        let token = lexer.lex();
        match token.kind {
            TokenKind::TokEnd => return Some(first),
            TokenKind::TokLeftBrace => depth += 1,
            TokenKind::TokRightBrace if depth > 0 => depth -= 1,
            TokenKind::TokRightBrace => {
                if last == Some(token.start) {
                    return Some(token.start - 1);
                }
                last = Some(token.end);
            }
            // An unclosed string swallows the rest.
            TokenKind::TokError if token.end >= window => return Some(first),
            _ => {}
        }
    }
}

/// Finds the expression in a text that is one pair of braces and nothing else.
pub(super) fn braced(text: &str) -> Option<(usize, usize)> {
    let open = text.len() - text.trim_start().len();
    let start = open + 2;
    if !text[open..].starts_with("{{") {
        return None;
    }
    let end = start + close(&text[start..])?;
    text[end + 2..].trim().is_empty().then_some((start, end))
}

fn unclosed(text: &str, open: usize, place: &Place<'_>) -> Problem {
    let at = position(text, open);
    let (what, close) = if text[open..].starts_with('$') { ("${", "}") } else { ("{{", "}}") };
    Problem::invalid(code::UNCLOSED_EXPRESSION, place, text, format!("`{what}` at {at} is not closed"))
        .hint(format!("close it with `{close}`, or write `\\{what}` for the characters themselves"))
}
