//! kubectl's spellings (`k8s.io/client-go/util/jsonpath`), translated to RFC 9535.

use super::error::PathError;

/// A path as RFC 9535 has it.
#[derive(Debug)]
pub(super) struct Translated {
    pub(super) query: String,
    /// Origins of the pieces, ascending: (offset in `query`, offset in the user's text).
    origins: Vec<(usize, usize)>,
}

impl Translated {
    /// The offset in the user's text of an offset in `query`.
    pub(super) fn origin(&self, offset: usize) -> usize {
        match self.origins.iter().rev().find(|(at, _)| *at <= offset) {
            Some((at, origin)) => origin + (offset - at),
            None => 0,
        }
    }
}

/// Translates `text`; a path that starts with `$` and has no `\.` stays as it is.
pub(super) fn translate(text: &str) -> Result<Translated, PathError> {
    let start = text.len() - text.trim_start().len();
    let path = text.trim();
    let (path, start) = match path.strip_prefix('{') {
        Some(inner) => (unbrace(text, inner, start)?, start + 1),
        None => (path, start),
    };
    let indent = path.len() - path.trim_start().len();
    let (path, start) = (path.trim(), start + indent);
    if path.split_whitespace().next().is_some_and(|word| matches!(word, "range" | "end")) {
        return Err(PathError::at(text, start, "`range` and `end` make a text, and a path gives a value")
            .hint("write [*], which gives a list"));
    }
    if path.starts_with('$') && !path.contains("\\.") {
        return Ok(Translated { query: path.to_owned(), origins: vec![(0, start)] });
    }
    let mut query = String::with_capacity(path.len() + 8);
    query.push('$');
    let mut origins = vec![(0, start)];
    let body = path.strip_prefix(['$', '@']).unwrap_or(path);
    let mut at = path.len() - body.len();
    // `a.b` and `['a']` without a dot are kubectl's, too.
    if !body.is_empty() && !body.starts_with(['.', '[']) {
        if path.len() != body.len() {
            let message = format!("unexpected `{}`", body.chars().next().unwrap_or(' '));
            return Err(PathError::at(text, start + at, message).hint("write $.name"));
        }
        query.push('.');
        origins.push((query.len(), start + at));
        at = name(path, at, &mut query, &mut origins, start);
    }
    while at < path.len() {
        let rest = &path[at..];
        origins.push((query.len(), start + at));
        if rest.starts_with('.') {
            let dots = rest.bytes().take_while(|c| *c == b'.').count();
            query.push_str(&rest[..dots]);
            at = name(path, at + dots, &mut query, &mut origins, start);
        } else {
            let end = at + bracket(rest);
            query.push_str(&path[at..end]);
            at = end;
        }
    }
    Ok(Translated { query, origins })
}

/// The path in braces; `inner` is what follows the opening one.
fn unbrace<'a>(text: &str, inner: &'a str, start: usize) -> Result<&'a str, PathError> {
    if inner.trim_start().starts_with("range") || inner.trim_start().starts_with("end}") {
        return Ok(inner);
    }
    let Some(path) = inner.strip_suffix('}') else {
        let end = start + 1 + inner.find('}').map_or(inner.len(), |at| at + 1);
        let error = if inner.contains('}') {
            PathError::at(text, end, "there is text after the path")
        } else {
            PathError::at(text, start, "`{` is not closed")
        };
        return Err(error.hint("write one path, with or without braces around it"));
    };
    match path.find("}{") {
        Some(at) => Err(PathError::at(text, start + 2 + at, "there is a second path")
            .hint("write one path; take the other as another parameter")),
        None => Ok(path),
    }
}

/// Translates the name at `at`, which ends before the next `.` or `[` that is not escaped.
fn name(path: &str, at: usize, query: &mut String, origins: &mut Vec<(usize, usize)>, start: usize) -> usize {
    let (mut name, mut escaped, mut end) = (String::new(), false, path.len());
    for (i, c) in path[at..].char_indices() {
        match c {
            _ if escaped => {
                escaped = false;
                name.push(c);
            }
            '\\' => escaped = true,
            '.' | '[' => {
                end = at + i;
                break;
            }
            _ => name.push(c),
        }
    }
    if name.is_empty() || name == "*" || is_plain(&name) || name.contains(is_odd) {
        query.push_str(&path[at..end]);
        return end;
    }
    // `.name` becomes `['name']`; after `..` the dots stay.
    if query.ends_with('.') && !query.ends_with("..") {
        query.pop();
    }
    origins.push((query.len(), start + at));
    query.push_str("['");
    query.push_str(&name.replace('\\', "\\\\").replace('\'', "\\'"));
    query.push_str("']");
    end
}

/// Characters that no key has by accident: left alone, so that the parser reports them.
fn is_odd(c: char) -> bool {
    c.is_whitespace()
        || c.is_control()
        || matches!(c, ']' | '(' | ')' | '{' | '}' | ',' | '*' | '?' | '"' | '\'' | '@' | '$' | '=')
}

fn is_plain(name: &str) -> bool {
    let first = |c: char| c.is_ascii_alphabetic() || c == '_' || !c.is_ascii();
    name.starts_with(first) && name.chars().all(|c| first(c) || c.is_ascii_digit())
}

/// The length of the bracket at the start of `text`, strings and inner brackets included. Never 0.
fn bracket(text: &str) -> usize {
    let (mut depth, mut quote, mut escaped) = (0_usize, None, false);
    for (at, c) in text.char_indices() {
        match (quote, c) {
            (Some(_), _) if escaped => escaped = false,
            (Some(_), '\\') => escaped = true,
            (Some(open), c) if c == open => quote = None,
            (None, '"' | '\'') => quote = Some(c),
            (None, '[') => depth += 1,
            (None, ']') => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return at + 1;
                }
            }
            (None, '.') if depth == 0 && at > 0 => return at,
            _ => {}
        }
    }
    text.len()
}
