//! Problems as JSON, with the very `reason`, `field` and `message` of the webhook's causes.

use std::io::{self, Write};

use headworks::manifest::{Position, Unreadable};
use headworks::problem::Problem;
use serde_json::{Value, json};

use super::report::Report;
use crate::cmd::input::{Failure, Source};
use crate::cmd::verdict::Verdict;

/// One array, printed at the end. What cannot be read is an element without a kind, with one problem without a code.
#[derive(Default)]
pub(super) struct Json {
    elements: Vec<Value>,
}

impl Report for Json {
    fn failure(&mut self, failure: &Failure, _: &mut dyn Write) -> io::Result<()> {
        self.elements.push(unreadable(&failure.name, None, &failure.message, None));
        Ok(())
    }

    fn unreadable(&mut self, source: &Source, error: &Unreadable, _: &mut dyn Write) -> io::Result<()> {
        let place = Some((error.line, error.column));
        self.elements.push(unreadable(&source.name, Some(error.number), &error.message, place));
        Ok(())
    }

    fn verdict(&mut self, source: &Source, verdict: &Verdict, _: &mut dyn Write) -> io::Result<()> {
        let problems: Vec<Value> =
            verdict.problems.iter().map(|(problem, position)| element(problem, *position)).collect();
        self.elements.push(json!({
            "file": source.name,
            "document": verdict.document,
            "kind": verdict.kind,
            "namespace": verdict.namespace,
            "name": verdict.name,
            "valid": verdict.errors() == 0,
            "problems": problems,
        }));
        Ok(())
    }

    fn finish(&mut self, out: &mut dyn Write) -> io::Result<()> {
        serde_json::to_writer_pretty(&mut *out, &self.elements)?;
        writeln!(out)
    }
}

fn element(problem: &Problem, position: Option<Position>) -> Value {
    json!({
        "severity": if problem.is_error() { "error" } else { "warning" },
        "code": problem.code.to_string(),
        "reason": problem.reason.cause_type(),
        "field": problem.field.to_string(),
        "value": problem.value,
        "message": problem.message(),
        "hint": problem.hint,
        "line": position.map(|position| position.line),
        "column": position.map(|position| position.column),
    })
}

fn unreadable(file: &str, document: Option<usize>, message: &str, place: Option<(usize, usize)>) -> Value {
    json!({
        "file": file,
        "document": document,
        "kind": null,
        "namespace": null,
        "name": null,
        "valid": false,
        "problems": [{
            "severity": "error",
            "code": null,
            "reason": null,
            "field": "",
            "value": null,
            "message": message,
            "hint": null,
            "line": place.map(|(line, _)| line),
            "column": place.map(|(_, column)| column),
        }],
    })
}
