//! Turns problems into an answer that the API server and kubectl understand.

use headworks_webhook::{Cause, Denial, Details, Review, Verdict};
use serde_json::Value;

use crate::problem::Problem;

/// The most causes in one answer.
pub const MOST_CAUSES: usize = 50;
/// The most warnings in one answer.
pub const MOST_WARNINGS: usize = 10;

/// The problems of one object, sorted by how the user hears of them.
#[derive(Debug, Default)]
pub struct Findings {
    /// The object is refused for these.
    pub errors: Vec<Problem>,
    /// The user is warned of these.
    pub warnings: Vec<Problem>,
    /// Warnings as well: errors that the stored object has already.
    pub ratcheted: Vec<Problem>,
}

impl Findings {
    /// Sorts problems by severity.
    pub fn of(problems: impl IntoIterator<Item = Problem>) -> Self {
        let (errors, warnings) = problems.into_iter().partition(Problem::is_error);
        Self { errors, warnings, ratcheted: Vec::new() }
    }

    /// Adds the audit annotations to a verdict, and the warnings if asked.
    pub fn annotate(&self, mut verdict: Verdict, with_warnings: bool) -> Verdict {
        if with_warnings {
            for line in self.warning_lines() {
                verdict = verdict.warn(line);
            }
        }
        let codes = codes(self.errors.iter().chain(&self.warnings));
        let decision = if verdict.is_allowed() { "allowed" } else { "denied" };
        verdict = verdict.audit("decision", decision);
        if !codes.is_empty() {
            verdict = verdict.audit("codes", codes);
        }
        if !self.ratcheted.is_empty() {
            verdict = verdict.audit("ratcheted", self.ratcheted.len().to_string());
        }
        verdict
    }

    /// Refuses the object if there are errors, with its warnings beside them.
    pub fn refusal(&self, details: Details) -> Option<Verdict> {
        if self.errors.is_empty() {
            return None;
        }
        Some(self.annotate(Verdict::deny(denial(details, &self.errors)), true))
    }

    fn warning_lines(&self) -> Vec<String> {
        let all: Vec<&Problem> = self.ratcheted.iter().chain(&self.warnings).collect();
        let more = all.len().saturating_sub(MOST_WARNINGS);
        let mut lines: Vec<String> = all.into_iter().take(MOST_WARNINGS).map(Problem::warning_line).collect();
        if more > 0 {
            lines.push(format!("and {more} more; `headworks validate` shows all"));
        }
        lines
    }
}

/// Identifies the refused object: its group, kind, and name or `generateName`.
pub fn details(review: &Review, object: &Value) -> Details {
    let metadata = object.get("metadata");
    let field =
        |key: &str| metadata.and_then(|m| m.get(key)).and_then(Value::as_str).filter(|name| !name.is_empty());
    let name = review.name.as_deref().or_else(|| field("name")).or_else(|| field("generateName"));
    Details {
        group: review.kind.group.clone(),
        kind: review.kind.kind.clone(),
        name: name.unwrap_or("unnamed").to_owned(),
        causes: Vec::new(),
    }
}

/// The refusal of an object: every problem a cause, so that kubectl prints one bullet each.
pub fn denial(details: Details, errors: &[Problem]) -> Denial {
    let more = errors.len().saturating_sub(MOST_CAUSES);
    let mut causes: Vec<Cause> = errors
        .iter()
        .take(MOST_CAUSES)
        .map(|problem| Cause {
            reason: problem.reason.cause_type().to_owned(),
            message: problem.message(),
            field: problem.field.to_string(),
        })
        .collect();
    if more > 0 {
        causes.push(Cause {
            reason: "FieldValueTooMany".to_owned(),
            message: format!("and {more} more; `headworks validate` shows all"),
            field: "spec".to_owned(),
        });
    }
    let lines: Vec<String> =
        causes.iter().map(|cause| format!("{}: {}", cause.field, cause.message)).collect();
    Denial::invalid(lines.join("\n")).with_details(Details { causes, ..details })
}

fn codes<'a>(problems: impl Iterator<Item = &'a Problem>) -> String {
    let mut codes: Vec<_> = problems.map(|problem| problem.code).collect();
    codes.sort_unstable();
    codes.dedup();
    codes.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}
