//! Parses texts into syntax trees, and turns the parser's errors into messages for the user.

use cel::common::ast::IdedExpr;
use cel::parser::{ParseErrors, PrattParser};

use super::fault::Fault;
use super::scan;
use super::scan::Scanned;
use super::{Expression, Scope};
use crate::problem::code;
use crate::problem::field_path::Place;
use crate::problem::{Problem, Problems};

/// An expression inside what the user wrote.
#[derive(Clone, Copy, Debug)]
pub(super) struct Source<'a> {
    /// The expression.
    pub(super) text: &'a str,
    /// The whole value of the field: what is shown, and what columns are counted in.
    pub(super) whole: &'a str,
    /// Offset in `whole` at which the expression starts.
    pub(super) start: usize,
    /// True if it stands in braces.
    pub(super) braces: bool,
}

impl<'a> Source<'a> {
    pub(super) fn whole(text: &'a str) -> Self {
        Self { text, whole: text, start: 0, braces: false }
    }

    fn problem(&self, place: &Place<'_>, fault: Fault) -> Problem {
        let at = position(self.whole, self.start + fault.offset);
        let what = match fault.code {
            crate::problem::code::EXPRESSION_TOO_LARGE => {
                return Problem::too_long(fault.code, place, self.whole, fault.what).maybe_hint(fault.hint);
            }
            _ => format!("{} at {at}", fault.what),
        };
        Problem::invalid(fault.code, place, self.whole, what).maybe_hint(fault.hint)
    }
}

/// Parses an expression, or reports what is wrong with it.
pub(super) fn parse(
    source: Source<'_>,
    place: &Place<'_>,
    scope: &dyn Scope,
    out: &mut Problems,
) -> Option<Expression> {
    let scanned = match scan::scan(source.text, scope) {
        Ok(scanned) => scanned,
        Err(fault) => {
            out.push(source.problem(place, fault));
            return None;
        }
    };
    match tree(&scanned.cel) {
        Ok(tree) => {
            if let Some((old, modern)) = &scanned.legacy {
                let (old, modern) = match (source.braces, old.starts_with('$')) {
                    (true, false) => (format!("{{{{ {old} }}}}"), format!("{{{{ {modern} }}}}")),
                    // `${parameters.x}` in a text stands by itself, in an expression it is a part.
                    (true, true) if old == source.text => (old.clone(), format!("{{{{ {modern} }}}}")),
                    _ => (old.clone(), modern.clone()),
                };
                out.push(deprecated(place, &old, &modern));
            }
            Some(Expression { text: source.text.to_owned(), cel: scanned.cel.into_owned(), tree })
        }
        Err(errors) => {
            out.push(source.problem(place, explain(&errors, &scanned, source)));
            None
        }
    }
}

/// Parses plain CEL that [`scan::scan`] let through.
pub(super) fn tree(cel: &str) -> Result<IdedExpr, ParseErrors> {
    PrattParser::default().error_recovery_limit(0).parse(cel)
}

fn explain(errors: &ParseErrors, scanned: &Scanned<'_>, source: Source<'_>) -> Fault {
    let first = errors.errors.iter().find(|error| error.pos.0 > 0);
    let Some(error) = first else { return Fault::syntax(0, "cannot be read") };
    if let Some(at) = source.text.find("{{").filter(|_| !source.braces) {
        return Fault::syntax(at, "unexpected `{{`")
            .hint("write the expression without braces around its parts");
    }
    let offset = offset(&scanned.cel, error.pos);
    let rest = &scanned.cel[offset..];
    let fault = |what: String| Fault::syntax(scanned.origin(offset), what);
    if rest.trim().is_empty() {
        if scanned.cel.trim().is_empty() {
            return fault("the expression is empty".to_owned()).hint("write an expression or remove it");
        }
        let missing = ["')'", "']'", "'}'", "':'"].iter().find(|close| error.msg.contains(**close));
        let fault = fault("expression ends too soon".to_owned());
        return match missing {
            Some(close) => fault.hint(format!("`{}` is missing", close.trim_matches('\''))),
            None => fault.hint("something is missing after this"),
        };
    }
    let found = first_token(rest);
    if let Some(word) = error.msg.strip_prefix("reserved identifier: ") {
        return fault(format!("`{word}` is a reserved word of CEL"))
            .hint(format!("for a key or name write it in brackets, as in steps[\"{word}\"]"));
    }
    if error.msg.starts_with("Syntax error") || error.msg.starts_with("unexpected token") {
        let hint = match found {
            "=" | "eq" => Some("write == to compare"),
            "and" | "AND" => Some("write && for \"and\""),
            "or" | "OR" => Some("write || for \"or\""),
            "-" if source.braces => Some("remove the `-` at the braces: it is Go template syntax"),
            _ => None,
        };
        let fault = fault(format!("unexpected `{found}`"));
        return match hint {
            Some(hint) => fault.hint(hint),
            None => fault,
        };
    }
    fault(error.msg.to_lowercase().replace('\'', "`"))
}

/// The byte offset of a (line, column) of the parser, both from 1, the column in bytes.
fn offset(text: &str, (line, column): (isize, isize)) -> usize {
    let line = usize::try_from(line).unwrap_or(1).max(1);
    let before: usize = text.split_inclusive('\n').take(line - 1).map(str::len).sum();
    let mut offset = (before + usize::try_from(column).unwrap_or(1).max(1) - 1).min(text.len());
    while !text.is_char_boundary(offset) {
        offset -= 1;
    }
    offset
}

/// `column 4`, or `line 2, column 4` where there are several lines; characters, from 1.
pub(super) fn position(text: &str, offset: usize) -> String {
    let mut offset = offset.min(text.len());
    while !text.is_char_boundary(offset) {
        offset -= 1;
    }
    let before = &text[..offset];
    let start = before.rfind('\n').map_or(0, |at| at + 1);
    let column = before[start..].chars().count() + 1;
    if text.trim_end().contains('\n') {
        format!("line {}, column {column}", before.matches('\n').count() + 1)
    } else {
        format!("column {column}")
    }
}

fn first_token(text: &str) -> &str {
    let word = text.bytes().take_while(|c| c.is_ascii_alphanumeric() || *c == b'_').count();
    let length = match word {
        0 => text.chars().next().map_or(0, char::len_utf8),
        word => word,
    };
    &text[..length.min(32)]
}

/// The warning that a spelling is deprecated, with its modern form.
pub(super) fn deprecated(place: &Place<'_>, old: &str, modern: &str) -> Problem {
    Problem::warning(code::DEPRECATED, place, format!("`{old}` is deprecated"))
        .hint(format!("write `{modern}`"))
}
