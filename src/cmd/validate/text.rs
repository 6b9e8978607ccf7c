//! Problems for people, as rustc shows them.

use std::io::{self, Write};

use headworks::flows::outline::{Outline, count};
use headworks::manifest::Unreadable;

use super::report::Report;
use crate::cmd::excerpt::{excerpt, problem};
use crate::cmd::input::{Failure, Source};
use crate::cmd::style::Style;
use crate::cmd::verdict::Verdict;

/// The format, and what was counted.
pub(super) struct Text {
    style: Style,
    quiet: bool,
    objects: usize,
    invalid: usize,
    unreadable: usize,
    errors: usize,
    warnings: usize,
}

impl Text {
    pub(super) fn new(style: Style, quiet: bool) -> Self {
        Self { style, quiet, objects: 0, invalid: 0, unreadable: 0, errors: 0, warnings: 0 }
    }
}

impl Report for Text {
    fn failure(&mut self, failure: &Failure, out: &mut dyn Write) -> io::Result<()> {
        self.unreadable += 1;
        writeln!(out, "{}: {}: {}\n", self.style.error("error"), failure.name, failure.message)
    }

    fn unreadable(&mut self, source: &Source, error: &Unreadable, out: &mut dyn Write) -> io::Result<()> {
        self.unreadable += 1;
        writeln!(out, "{}{}", self.style.error("error"), self.style.bold(&format!(": {}", error.message)))?;
        excerpt(self.style, source, Some((error.line, error.column, None)), "", None, out)
    }

    fn verdict(&mut self, source: &Source, verdict: &Verdict, out: &mut dyn Write) -> io::Result<()> {
        let (errors, warnings) = (verdict.errors(), verdict.warnings());
        self.objects += 1;
        self.invalid += usize::from(errors > 0);
        self.errors += errors;
        self.warnings += warnings;
        for (one, position) in &verdict.problems {
            problem(self.style, source, one, *position, out)?;
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
