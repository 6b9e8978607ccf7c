//! Cutting a text into documents, as kubectl does: by lines, before any YAML is parsed.

use serde::de::IgnoredAny;

/// One document's text.
#[derive(Debug)]
pub(super) struct Chunk<'a> {
    pub text: &'a str,
    /// The number of lines of the file before it.
    pub line: usize,
    /// The number of characters before it in its first line.
    pub column: usize,
    /// True if all of it is one JSON value.
    pub json: bool,
}

/// Cuts `text` at lines of `---` that hold nothing else but a comment; JSON values may follow each other.
pub(super) fn chunks(text: &str) -> Vec<Chunk<'_>> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut chunks = Vec::new();
    let (mut start, mut first_line, mut at) = (0, 0, 0);
    for (line, content) in text.split_inclusive('\n').enumerate() {
        if is_separator(content) {
            push(&text[start..at], first_line, &mut chunks);
            (start, first_line) = (at + content.len(), line + 1);
        }
        at += content.len();
    }
    push(&text[start..], first_line, &mut chunks);
    chunks
}

fn is_separator(line: &str) -> bool {
    line.strip_prefix("---").is_some_and(|rest| {
        let rest = rest.trim();
        rest.is_empty() || rest.starts_with('#')
    })
}

fn push<'a>(text: &'a str, line: usize, chunks: &mut Vec<Chunk<'a>>) {
    if text.trim().is_empty() {
        return;
    }
    match text.trim_start().starts_with('{').then(|| json_values(text)).flatten() {
        Some(ranges) => chunks.extend(ranges.into_iter().map(|range| {
            let before = &text[..range.start];
            Chunk {
                text: &text[range],
                line: line + before.matches('\n').count(),
                column: before.rsplit('\n').next().unwrap_or_default().chars().count(),
                json: true,
            }
        })),
        None => chunks.push(Chunk { text, line, column: 0, json: false }),
    }
}

/// The places of the JSON values in `text`, or `None` if it is anything else (YAML also starts with braces).
fn json_values(text: &str) -> Option<Vec<std::ops::Range<usize>>> {
    let mut stream = serde_json::Deserializer::from_str(text).into_iter::<IgnoredAny>();
    let (mut ranges, mut start) = (Vec::new(), 0);
    while let Some(value) = stream.next() {
        value.ok()?;
        let end = stream.byte_offset();
        start += text[start..end].len() - text[start..end].trim_start().len();
        ranges.push(start..end);
        start = end;
    }
    Some(ranges)
}

/// The lengths of a file's lines, in characters: no position lies outside of them.
#[derive(Debug)]
pub(super) struct Lines(Vec<usize>);

impl Lines {
    pub(super) fn new(text: &str) -> Self {
        Self(text.split('\n').map(|line| line.trim_end_matches('\r').chars().count()).collect())
    }

    /// The nearest place inside the file; one past the end of a line is inside.
    pub(super) fn clamp(&self, line: usize, column: usize) -> (usize, usize) {
        let line = line.clamp(1, self.0.len());
        (line, column.clamp(1, self.0[line - 1] + 1))
    }
}
