//! A problem with the line of the file that it is about, as rustc shows it.

use std::io::{self, Write};

use headworks::manifest::Position;
use headworks::problem::Problem;

use super::input::Source;
use super::style::Style;

/// A line of the file is cut to this many characters around what is meant.
const EXCERPT: usize = 120;

/// Prints one problem with the line that is meant.
pub(crate) fn problem(
    style: Style,
    source: &Source,
    problem: &Problem,
    position: Option<Position>,
    out: &mut dyn Write,
) -> io::Result<()> {
    let label = if problem.is_error() {
        style.error(&format!("error[{}]", problem.code))
    } else {
        style.warning(&format!("warning[{}]", problem.code))
    };
    let value = problem.value_text().filter(|_| problem.is_error());
    let value = value.map(|value| format!(": {value}")).unwrap_or_default();
    writeln!(out, "{label}{}", style.bold(&format!(": {}{value}", problem.what)))?;
    let place = position.map(|position| (position.line, position.column, position.end_column));
    excerpt(style, source, place, &problem.field.to_string(), problem.hint.as_deref(), out)
}

/// Prints the line of the file at `place`, marked, with a label and a hint.
pub(crate) fn excerpt(
    style: Style,
    source: &Source,
    place: Option<(usize, usize, Option<usize>)>,
    label: &str,
    hint: Option<&str>,
    out: &mut dyn Write,
) -> io::Result<()> {
    let arrow = style.frame("-->");
    let Some((line, column, end)) = place else {
        writeln!(out, " {arrow} {}: {label}", source.name)?;
        return writeln!(out);
    };
    let margin = " ".repeat(line.to_string().len());
    let bar = style.frame("|");
    writeln!(out, "{margin}{arrow} {}:{line}:{column}", source.name)?;
    if let Some(content) = source.text.split('\n').nth(line - 1) {
        let (content, before) = window(content, column - 1);
        let carets = "^".repeat(end.map_or(1, |end| end - column).clamp(1, EXCERPT));
        let mark = style.error(&format!("{carets} {label}"));
        writeln!(out, "{margin} {bar}")?;
        writeln!(out, "{} {bar} {content}", style.frame(&line.to_string()))?;
        writeln!(out, "{margin} {bar} {}{}", " ".repeat(before), mark.trim_end())?;
    }
    if let Some(hint) = hint {
        writeln!(out, "{margin} {} help: {hint}", style.frame("="))?;
    }
    writeln!(out)
}

/// The part of a line around a column (from 0), control characters as blanks, and the column within that part.
fn window(line: &str, column: usize) -> (String, usize) {
    let clean = |c: char| if c.is_control() { ' ' } else { c };
    let line = line.trim_end();
    if line.chars().count() <= EXCERPT {
        return (line.chars().map(clean).collect(), column);
    }
    let start = column.saturating_sub(EXCERPT / 2);
    let part: String = line.chars().skip(start).take(EXCERPT).map(clean).collect();
    if start == 0 { (part + "...", column) } else { (format!("...{part}"), column - start + 3) }
}
