//! Paths into a step's result document: RFC 9535, and kubectl's spellings of it.
//!
//! `{.status.succeeded}`, `.status.succeeded` and `.metadata.labels.app\.kubernetes\.io/name` are translated to RFC
//! 9535; `range` and `end` are refused, since a path gives values and no text. [`JsonPath::select`] evaluates.

use jsonpath_rust::parser::errors::JsonPathError;
use jsonpath_rust::parser::model::JpQuery;
use jsonpath_rust::parser::parse_json_path;

mod error;
mod kubectl;
mod reach;
mod select;
mod strict;
mod types;

pub use error::PathError;
pub use reach::Step;
pub use select::{MAX_PLACES, TooCostly};

/// The longest path, in bytes.
pub const MAX_BYTES: usize = 1024;
/// The deepest nesting of brackets; the parser is recursive.
pub const MAX_DEPTH: usize = 8;

/// A path that was parsed.
#[derive(Clone, Debug)]
pub struct JsonPath {
    /// The user's text.
    pub text: String,
    /// The same as RFC 9535 has it.
    pub query: String,
    /// The parsed query.
    pub tree: JpQuery,
}

/// Reads a path.
pub fn parse(text: &str) -> Result<JsonPath, PathError> {
    if text.len() > MAX_BYTES {
        let message = format!("a path has at most {MAX_BYTES} bytes, and this one has {}", text.len());
        return Err(PathError::at(text, 0, message));
    }
    if text.trim().is_empty() {
        return Err(PathError::at(text, 0, "the path is empty").hint("write one, such as $.output.rows"));
    }
    let translated = kubectl::translate(text)?;
    if let Some(offset) = too_deep(&translated.query) {
        let message = format!("brackets nest at most {MAX_DEPTH} deep");
        return Err(PathError::at(text, translated.origin(offset), message));
    }
    if let Some((offset, message, hint)) = malformed(&translated.query) {
        return Err(PathError::at(text, translated.origin(offset), message).hint(hint));
    }
    if let Some((offset, message, hint)) = strict::fault(&translated.query) {
        return Err(PathError::at(text, translated.origin(offset), message).hint(hint));
    }
    let tree = parse_json_path(&translated.query).map_err(|error| explain(text, &translated, &error))?;
    match types::fault(&tree) {
        Some(message) => Err(PathError::at(text, 0, message)),
        None => Ok(JsonPath { text: text.to_owned(), query: translated.query, tree }),
    }
}

/// Splits `STEP:PATH`. A path by itself starts with `$`, `.` or `{`, so what stands before a `:` is no part of one
/// if it looks like a name.
pub fn split_step(text: &str) -> (Option<&str>, &str) {
    match text.split_once(':') {
        Some((step, path)) if !step.contains(['$', '.', '{', '[', '@', '\'', '"']) => {
            (Some(step.trim()), path)
        }
        _ => (None, text),
    }
}

fn too_deep(query: &str) -> Option<usize> {
    let (mut depth, mut quote, mut escaped) = (0_usize, None, false);
    for (at, c) in query.char_indices() {
        match (quote, c) {
            (Some(_), _) if escaped => escaped = false,
            (Some(_), '\\') => escaped = true,
            (Some(open), c) if c == open => quote = None,
            (None, '"' | '\'') => quote = Some(c),
            (None, '[' | '(') => {
                depth += 1;
                if depth > MAX_DEPTH {
                    return Some(at);
                }
            }
            (None, ']' | ')') => depth = depth.saturating_sub(1),
            // A chain of `!` or `-` costs a frame each in a recursive parser, but none nests here.
            _ => {}
        }
    }
    None
}

/// Finds mistakes that the parser accepts or explains badly: blanks in a name, and what is opened and not closed.
/// (offset, what is wrong, what to do)
fn malformed(query: &str) -> Option<(usize, String, String)> {
    let unclosed = |at, open: char, close| {
        let what = if matches!(open, '[' | '(') { format!("`{open}`") } else { "a string".to_owned() };
        Some((at, format!("{what} is not closed"), format!("close it with `{close}`")))
    };
    let mut open: Vec<(usize, char)> = Vec::new();
    let mut quote: Option<(usize, char)> = None;
    let mut escaped = false;
    for (at, c) in query.char_indices() {
        if let Some((_, mark)) = quote {
            if c == mark && !escaped {
                quote = None;
            }
            escaped = c == '\\' && !escaped;
            continue;
        }
        match c {
            '"' | '\'' => quote = Some((at, c)),
            '[' | '(' => open.push((at, c)),
            ']' | ')' => match (open.pop(), c) {
                (Some((at, '(')), ']') => return unclosed(at, '(', ')'),
                (Some((at, '[')), ')') => return unclosed(at, '[', ']'),
                _ => {}
            },
            c if c.is_whitespace() && open.is_empty() => {
                let next = query[at..].trim_start();
                if !(next.is_empty() || next.starts_with(['.', '['])) {
                    let hint = "names with blanks are written as ['a name']";
                    return Some((at, "unexpected blank".to_owned(), hint.to_owned()));
                }
            }
            _ => {}
        }
    }
    match (quote, open.last()) {
        (Some((at, mark)), _) => unclosed(at, mark, mark),
        (None, Some(&(at, '['))) => unclosed(at, '[', ']'),
        (None, Some(&(at, bracket))) => unclosed(at, bracket, ')'),
        (None, None) => None,
    }
}

fn explain(text: &str, translated: &kubectl::Translated, error: &JsonPathError) -> PathError {
    let query = &translated.query;
    let JsonPathError::PestError(error) = error else {
        return PathError::at(text, 0, "is no JSONPath").hint("see RFC 9535");
    };
    let offset = match error.location {
        pest::error::InputLocation::Pos(at) | pest::error::InputLocation::Span((at, _)) => at,
    };
    let offset = offset.min(query.len());
    let at = |message: String| PathError::at(text, translated.origin(offset), message);
    let Some(found) = query.get(offset..).and_then(|rest| rest.chars().next()) else {
        return at("the path ends too soon".to_owned()).hint("something is missing after this");
    };
    let error = at(format!("unexpected `{found}`"));
    let name = query[..offset].rsplit(['.', '[', ']']).next().unwrap_or_default();
    match found {
        _ if offset == 0 => error.hint("a path starts with `$`, as in $.output.rows"),
        '-' | '/' if !name.is_empty() => {
            let rest = query[offset..].find(['.', '[']).map_or(query.len(), |end| offset + end);
            let whole = &query[offset - name.len()..rest];
            error.hint(format!("write a name with `{found}` in it as ['{whole}']"))
        }
        _ => error.hint("names with other characters are written as ['name']"),
    }
}

#[cfg(test)]
mod tests;
