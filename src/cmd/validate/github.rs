//! Problems as GitHub workflow commands.

use std::io::{self, Write};

use headworks::manifest::Unreadable;

use super::report::Report;
use crate::cmd::input::{Failure, Source};
use crate::cmd::verdict::Verdict;

/// `::error file=...,line=...,col=...,title=HW201::field: message`.
pub(super) struct Github;

impl Report for Github {
    fn failure(&mut self, failure: &Failure, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "::error file={}::{}", property(&failure.name), data(&failure.message))
    }

    fn unreadable(&mut self, source: &Source, error: &Unreadable, out: &mut dyn Write) -> io::Result<()> {
        let (file, message) = (property(&source.name), data(&error.message));
        writeln!(out, "::error file={file},line={},col={}::{message}", error.line, error.column)
    }

    fn verdict(&mut self, source: &Source, verdict: &Verdict, out: &mut dyn Write) -> io::Result<()> {
        let file = property(&source.name);
        for (problem, position) in &verdict.problems {
            let level = if problem.is_error() { "error" } else { "warning" };
            write!(out, "::{level} file={file}")?;
            if let Some(position) = position {
                write!(out, ",line={},col={}", position.line, position.column)?;
                if let Some(end) = position.end_column {
                    // GitHub's last column is one that is marked.
                    write!(out, ",endColumn={}", end - 1)?;
                }
            }
            let title = property(&problem.code.to_string());
            writeln!(out, ",title={title}::{}", data(&problem.to_string()))?;
        }
        Ok(())
    }

    fn finish(&mut self, _: &mut dyn Write) -> io::Result<()> {
        Ok(())
    }
}

fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_end_a_command_is_escaped() {
        assert_eq!(data("50 %\n::error::x"), "50 %25%0A::error::x");
        assert_eq!(property("a:b,c%"), "a%3Ab%2Cc%25");
    }
}
