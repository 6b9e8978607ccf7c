//! Problems for people, as rustc shows them.

use std::io::{self, Write};

use headworks::flows::outline::{Outline, count};
use headworks::manifest::{Position, Unreadable};
use headworks::problem::Problem;

use super::{Report, Verdict};
use crate::cmd::input::{Failure, Source};
use crate::cmd::style::Style;

/// A line of the file is cut to this many characters around what is meant.
const EXCERPT: usize = 120;

/// The format, and what was counted.
pub(crate) struct Text {
    style: Style,
    quiet: bool,
    objects: usize,
    invalid: usize,
    unreadable: usize,
    errors: usize,
    warnings: usize,
}

impl Text {
    pub(crate) fn new(style: Style, quiet: bool) -> Self {
        Self { style, quiet, objects: 0, invalid: 0, unreadable: 0, errors: 0, warnings: 0 }
    }

    /// One problem with the line that is meant.
    pub(crate) fn problem(
        &self,
        source: &Source,
        problem: &Problem,
        position: Option<Position>,
        out: &mut dyn Write,
    ) -> io::Result<()> {
        let label = if problem.is_error() {
            self.style.error(&format!("error[{}]", problem.code))
        } else {
            self.style.warning(&format!("warning[{}]", problem.code))
        };
        let value = problem.value_text().filter(|_| problem.is_error());
        let value = value.map(|value| format!(": {value}")).unwrap_or_default();
        writeln!(out, "{label}{}", self.style.bold(&format!(": {}{value}", problem.what)))?;
        let place = position.map(|position| (position.line, position.column, position.end_column));
        self.excerpt(source, place, &problem.field.to_string(), problem.hint.as_deref(), out)
    }

    fn excerpt(
        &self,
        source: &Source,
        place: Option<(usize, usize, Option<usize>)>,
        label: &str,
        hint: Option<&str>,
        out: &mut dyn Write,
    ) -> io::Result<()> {
        let arrow = self.style.frame("-->");
        let Some((line, column, end)) = place else {
            writeln!(out, " {arrow} {}: {label}", source.name)?;
            return writeln!(out);
        };
        let margin = " ".repeat(line.to_string().len());
        let bar = self.style.frame("|");
        writeln!(out, "{margin}{arrow} {}:{line}:{column}", source.name)?;
        if let Some(content) = source.text.split('\n').nth(line - 1) {
            let (content, before) = window(content, column - 1);
            let carets = "^".repeat(end.map_or(1, |end| end - column).clamp(1, EXCERPT));
            let mark = self.style.error(&format!("{carets} {label}"));
            writeln!(out, "{margin} {bar}")?;
            writeln!(out, "{} {bar} {content}", self.style.frame(&line.to_string()))?;
            writeln!(out, "{margin} {bar} {}{}", " ".repeat(before), mark.trim_end())?;
        }
        if let Some(hint) = hint {
            writeln!(out, "{margin} {} help: {hint}", self.style.frame("="))?;
        }
        writeln!(out)
    }
}

/// The part of a line around a column (from 0), control characters as blanks, and the column's place in it.
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

impl Report for Text {
    fn failure(&mut self, failure: &Failure, out: &mut dyn Write) -> io::Result<()> {
        self.unreadable += 1;
        writeln!(out, "{}: {}: {}\n", self.style.error("error"), failure.name, failure.message)
    }

    fn unreadable(&mut self, source: &Source, error: &Unreadable, out: &mut dyn Write) -> io::Result<()> {
        self.unreadable += 1;
        writeln!(out, "{}{}", self.style.error("error"), self.style.bold(&format!(": {}", error.message)))?;
        self.excerpt(source, Some((error.line, error.column, None)), "", None, out)
    }

    fn verdict(&mut self, source: &Source, verdict: &Verdict, out: &mut dyn Write) -> io::Result<()> {
        let (errors, warnings) = (verdict.errors(), verdict.warnings());
        self.objects += 1;
        self.invalid += usize::from(errors > 0);
        self.errors += errors;
        self.warnings += warnings;
        for (problem, position) in &verdict.problems {
            self.problem(source, problem, *position, out)?;
        }
        if self.quiet {
            return Ok(());
        }
        let subject = format!("{}: {} {}", source.name, verdict.kind, verdict.name);
        if errors > 0 {
            return writeln!(out, "{subject}: {}", self.style.error(&counts(errors, warnings)));
        }
        let plan = verdict.flow.as_ref().and_then(|flow| Outline::of(&flow.spec));
        let plan = plan.map(|plan| format!("; {plan}")).unwrap_or_default();
        if warnings > 0 {
            return writeln!(out, "{subject}: {}{plan}", self.style.warning(&counts(0, warnings)));
        }
        writeln!(out, "{subject}: {}{plan}", self.style.good("ok"))
    }

    fn finish(&mut self, out: &mut dyn Write) -> io::Result<()> {
        if self.quiet {
            return Ok(());
        }
        if self.objects == 0 && self.unreadable == 0 {
            return writeln!(out, "nothing to check: no JobFlow and no Service in what was read");
        }
        if self.objects + self.unreadable > 1 {
            let objects = count(self.objects as u64, "object");
            write!(out, "{objects} checked, {} refused", self.invalid)?;
            if self.unreadable > 0 {
                write!(out, ", {} not readable", self.unreadable)?;
            }
            writeln!(out, ": {}", counts(self.errors, self.warnings))?;
        }
        Ok(())
    }
}

fn counts(errors: usize, warnings: usize) -> String {
    let warnings_text = count(warnings as u64, "warning");
    match (errors, warnings) {
        (0, 0) => "no problems".to_owned(),
        (0, _) => warnings_text,
        (_, 0) => count(errors as u64, "error"),
        _ => format!("{}, {warnings_text}", count(errors as u64, "error")),
    }
}
