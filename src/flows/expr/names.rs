//! Names in expressions: where they end, and how they are written.

use std::fmt::Write as _;

/// Letters, digits, `_` and `-` at the start of `text`; a `-` only before one of the others.
pub(super) fn run(text: &str) -> &str {
    let bytes = text.as_bytes();
    let word = |c: u8| c.is_ascii_alphanumeric() || c == b'_';
    let inner = |i: usize| {
        bytes[i] == b'-' && i > 0 && bytes.get(i + 1).copied().is_some_and(|c| word(c) || c == b'-')
    };
    let end = (0..bytes.len()).find(|&i| !word(bytes[i]) && !inner(i)).unwrap_or(bytes.len());
    &text[..end]
}

/// The path at the start of `text`: names and dots.
pub(super) fn path(text: &str) -> &str {
    let end = text.find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.')));
    text[..end.unwrap_or(text.len())].trim_end_matches(['.', '-'])
}

/// The longest of `names` that `run` starts with and that ends where a word ends. If there is none: the whole run if
/// letters follow its first `-` (a name that nobody knows), else what stands before it (a subtraction).
pub(super) fn longest<'a>(run: &'a str, names: &[&str]) -> &'a str {
    let ends = |len: usize| matches!(run.as_bytes().get(len), None | Some(b'-'));
    let known = names.iter().filter(|name| run.starts_with(**name) && ends(name.len()));
    if let Some(name) = known.max_by_key(|name| name.len()) {
        return &run[..name.len()];
    }
    match run.split_once('-') {
        Some((name, rest)) if !rest.starts_with(|c: char| c.is_ascii_alphabetic()) => name,
        _ => run,
    }
}

/// CEL's words that cannot be names (cel-spec, "Reserved").
pub(super) fn is_reserved(name: &str) -> bool {
    matches!(
        name,
        "as" | "break"
            | "const"
            | "continue"
            | "else"
            | "false"
            | "for"
            | "function"
            | "if"
            | "import"
            | "in"
            | "let"
            | "loop"
            | "namespace"
            | "null"
            | "package"
            | "return"
            | "true"
            | "var"
            | "void"
            | "while"
    )
}

/// `root.name`, or in brackets where CEL wants them.
pub(super) fn show(root: &str, name: &str) -> String {
    let mut text = root.to_owned();
    // Writing to a string cannot fail.
    let _ = if is_plain(name) { write!(text, ".{name}") } else { write!(text, "[\"{name}\"]") };
    text
}

fn is_plain(name: &str) -> bool {
    !is_reserved(name)
        && name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'_')
}
