//! Mistakes in what a user wrote: description, place and fix.
//!
//! A [`Problem`] is not an error of the program: rules collect all of them, and one rendering serves the
//! webhook, the command line, conditions and events:
//!
//! ```
//! use headworks::problem::{Problem, code, field_path::Place};
//! let place = Place::ROOT.field("spec");
//! let problem = Problem::not_found(code::UNKNOWN_DEPENDENCY, &place, "extrct", "no step has this name")
//!     .hint("did you mean \"extract\"?");
//! assert_eq!(problem.field.to_string(), "spec");
//! assert_eq!(
//!     problem.message(),
//!     "Not found: \"extrct\": no step has this name; did you mean \"extract\"? (HW201)"
//! );
//! ```

#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

pub mod code;
pub(crate) mod faults;
pub mod field_path;
pub mod pattern;
pub mod schema;
pub mod suggest;

use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::fmt;

use serde_json::Value;

use code::Code;
use field_path::{FieldPath, Place, one_line};
use suggest::did_you_mean;

/// The consequence of a problem.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The object is refused.
    Error,
    /// The object is admitted and the user is warned.
    Warning,
}

/// The kind of mistake, as the Kubernetes API names it (`field.ErrorType` and `metav1.CauseType`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// A value is missing.
    Required,
    /// A value is malformed or out of range.
    Invalid,
    /// A name refers to nothing.
    NotFound,
    /// A value stands twice where it may stand once.
    Duplicate,
    /// A value is none of the known ones.
    NotSupported,
    /// A value may not be given here.
    Forbidden,
    /// A text is too long.
    TooLong,
    /// A list has too many entries.
    TooMany,
    /// A value has the wrong JSON type.
    TypeInvalid,
}

impl Reason {
    /// The machine-readable cause, as in `status.details.causes[].reason`.
    pub fn cause_type(self) -> &'static str {
        match self {
            Self::Required => "FieldValueRequired",
            Self::Invalid => "FieldValueInvalid",
            Self::NotFound => "FieldValueNotFound",
            Self::Duplicate => "FieldValueDuplicate",
            Self::NotSupported => "FieldValueNotSupported",
            Self::Forbidden => "FieldValueForbidden",
            Self::TooLong => "FieldValueTooLong",
            Self::TooMany => "FieldValueTooMany",
            Self::TypeInvalid => "FieldValueTypeInvalid",
        }
    }

    /// The words with which Kubernetes opens a message of this kind.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Required => "Required value",
            Self::Invalid | Self::TypeInvalid => "Invalid value",
            Self::NotFound => "Not found",
            Self::Duplicate => "Duplicate value",
            Self::NotSupported => "Unsupported value",
            Self::Forbidden => "Forbidden",
            Self::TooLong => "Too long",
            Self::TooMany => "Too many",
        }
    }
}

/// One mistake (or one doubtful thing) in an object.
#[derive(Clone, Debug, PartialEq)]
pub struct Problem {
    /// Error or warning.
    pub severity: Severity,
    /// The stable number, explained by `headworks explain`.
    pub code: Code,
    /// The kind of mistake.
    pub reason: Reason,
    /// The field.
    pub field: FieldPath,
    /// The value that is there, if it says something.
    pub value: Option<Value>,
    /// Description of the mistake.
    pub what: String,
    /// A fix, if one is known.
    pub hint: Option<String>,
}

impl Problem {
    fn new(
        reason: Reason,
        code: Code,
        place: &Place<'_>,
        value: Option<Value>,
        what: impl Into<String>,
    ) -> Self {
        Self {
            severity: Severity::Error,
            code,
            reason,
            field: place.path(),
            value,
            what: what.into(),
            hint: None,
        }
    }

    /// A value is malformed or out of range.
    pub fn invalid(code: Code, place: &Place<'_>, value: impl Into<Value>, what: impl Into<String>) -> Self {
        Self::new(Reason::Invalid, code, place, Some(value.into()), what)
    }

    /// A value is missing.
    pub fn required(code: Code, place: &Place<'_>, what: impl Into<String>) -> Self {
        Self::new(Reason::Required, code, place, None, what)
    }

    /// A name refers to nothing.
    pub fn not_found(
        code: Code,
        place: &Place<'_>,
        value: impl Into<Value>,
        what: impl Into<String>,
    ) -> Self {
        Self::new(Reason::NotFound, code, place, Some(value.into()), what)
    }

    /// A value stands twice.
    pub fn duplicate(
        code: Code,
        place: &Place<'_>,
        value: impl Into<Value>,
        what: impl Into<String>,
    ) -> Self {
        Self::new(Reason::Duplicate, code, place, Some(value.into()), what)
    }

    /// A value is none of the known ones; name them in `what`.
    pub fn not_supported(
        code: Code,
        place: &Place<'_>,
        value: impl Into<Value>,
        what: impl Into<String>,
    ) -> Self {
        Self::new(Reason::NotSupported, code, place, Some(value.into()), what)
    }

    /// A value may not be given here.
    pub fn forbidden(code: Code, place: &Place<'_>, what: impl Into<String>) -> Self {
        Self::new(Reason::Forbidden, code, place, None, what)
    }

    /// A text or name is too long.
    pub fn too_long(code: Code, place: &Place<'_>, value: impl Into<Value>, what: impl Into<String>) -> Self {
        Self::new(Reason::TooLong, code, place, Some(value.into()), what)
    }

    /// A list has too many entries; the value is their number.
    pub fn too_many(code: Code, place: &Place<'_>, value: impl Into<Value>, what: impl Into<String>) -> Self {
        Self::new(Reason::TooMany, code, place, Some(value.into()), what)
    }

    /// A value has the wrong JSON type.
    pub fn wrong_type(
        code: Code,
        place: &Place<'_>,
        value: impl Into<Value>,
        what: impl Into<String>,
    ) -> Self {
        Self::new(Reason::TypeInvalid, code, place, Some(value.into()), what)
    }

    /// A warning: the object is admitted. Its code is one of HW9xx.
    pub fn warning(code: Code, place: &Place<'_>, what: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::new(Reason::Invalid, code, place, None, what) }
    }

    /// Adds a fix.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Adds a fix, if there is one.
    #[must_use]
    pub fn maybe_hint(self, hint: Option<impl Into<String>>) -> Self {
        match hint {
            Some(hint) => self.hint(hint),
            None => self,
        }
    }

    /// Tests whether the object is refused for it.
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }

    /// The value as messages show it, if there is one.
    pub fn value_text(&self) -> Option<String> {
        self.value.as_ref().map(render_value)
    }

    /// The one-line text of a cause: `<words>: <value>: <what is wrong>; <what to do> (HWnnn)`.
    pub fn message(&self) -> String {
        let mut text = String::with_capacity(120);
        if self.is_error() {
            text.push_str(self.reason.as_str());
            text.push_str(": ");
            if let Some(value) = &self.value {
                text.push_str(&render_value(value));
                text.push_str(": ");
            }
        }
        text.push_str(&one_line(&self.what));
        if let Some(hint) = &self.hint {
            text.push_str("; ");
            text.push_str(&one_line(hint));
        }
        text.push_str(" (");
        text.push_str(&self.code.to_string());
        text.push(')');
        text
    }

    /// The text of an admission warning; see [`warning_line`].
    pub fn warning_line(&self) -> String {
        warning_line(&self.field.to_string(), &self.message())
    }
}

/// The field first, at most [`WARNING_CHARS`] characters, the code at the end kept: kubectl prints warnings on one
/// line.
pub fn warning_line(field: &str, message: &str) -> String {
    let line = format!("{field}: {message}");
    if line.chars().count() <= WARNING_CHARS {
        return line;
    }
    let room = WARNING_CHARS.saturating_sub(message.chars().count() + 2);
    let line = format!("{}: {message}", elide_middle(field, room.max(MIN_FIELD_CHARS)));
    if line.chars().count() <= WARNING_CHARS {
        return line;
    }
    let code = message.rfind(" (").map_or("", |start| &message[start..]);
    let keep = WARNING_CHARS.saturating_sub(code.chars().count() + 3);
    format!("{}...{code}", line.chars().take(keep).collect::<String>().trim_end())
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.message())
    }
}

/// kubectl prints warnings on one line of a terminal, so they stay short.
pub const WARNING_CHARS: usize = 120;
const MIN_FIELD_CHARS: usize = 32;
const VALUE_CHARS: usize = 80;

/// A value as Kubernetes shows it in messages: strings quoted, the rest as compact JSON; long ones are cut.
fn render_value(value: &Value) -> String {
    let text = match value {
        Value::String(text) => Value::String(cut(text, VALUE_CHARS)).to_string(),
        other => cut(&other.to_string(), VALUE_CHARS),
    };
    one_line(&text).into_owned()
}

fn cut(text: &str, chars: usize) -> String {
    match text.char_indices().nth(chars) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}

fn elide_middle(text: &str, chars: usize) -> String {
    let count = text.chars().count();
    if count <= chars {
        return text.to_owned();
    }
    // `spec.steps[17]` names the step; the end of the path names the field. The middle goes first.
    let step = text.find(']').map_or(0, |at| at + 1);
    let head = if (1..=chars / 2).contains(&step) { step } else { (chars - 3) / 2 };
    let tail = chars - 3 - head;
    let start: String = text.chars().take(head).collect();
    let end: String = text.chars().skip(count - tail).collect();
    format!("{start}...{end}")
}

/// The most errors, and the most warnings, that are kept: nobody reads more, and a hostile object could make millions.
pub const MOST_PROBLEMS: usize = 10_000;
/// The most comparisons of names that all suggestions together may cost.
const MOST_COMPARISONS: usize = 250_000;

/// The problems of one object, in the order in which rules found them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Problems {
    list: Vec<Problem>,
    /// Paths of the first N problems, built on first use: most flows never need this lookup.
    paths: RefCell<(HashSet<FieldPath>, usize)>,
    errors: usize,
    compared: Cell<usize>,
}

impl Problems {
    /// An empty list.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a problem, unless there are [`MOST_PROBLEMS`] of its severity already.
    pub fn push(&mut self, problem: Problem) {
        let alike = if problem.is_error() { self.errors } else { self.list.len() - self.errors };
        if alike >= MOST_PROBLEMS {
            return;
        }
        self.errors += usize::from(problem.is_error());
        self.list.push(problem);
    }

    /// Tests whether a problem was reported at exactly this place: its consequences need not be reported.
    pub fn has(&self, place: &Place<'_>) -> bool {
        !self.list.is_empty() && self.has_path(&place.path())
    }

    /// Tests whether no more errors are kept: the object is refused anyway, so expensive rules may be skipped.
    pub fn is_full(&self) -> bool {
        self.errors >= MOST_PROBLEMS
    }

    /// Tests whether a problem was reported at exactly this path.
    pub fn has_path(&self, path: &FieldPath) -> bool {
        let (places, count) = &mut *self.paths.borrow_mut();
        places.extend(self.list[*count..].iter().map(|problem| problem.field.clone()));
        *count = self.list.len();
        places.contains(path)
    }

    /// A hint naming the nearest of `known`; `None` as well once suggestions have cost enough.
    pub fn did_you_mean<'a>(&self, name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<String> {
        let room = MOST_COMPARISONS.saturating_sub(self.compared.get());
        let compare = |_: &&str| self.compared.set(self.compared.get() + 1);
        did_you_mean(name, known.into_iter().take(room).inspect(compare))
    }

    /// Iterates over the problems found so far.
    pub fn iter(&self) -> std::slice::Iter<'_, Problem> {
        self.list.iter()
    }

    /// Returns the number of problems.
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Tests whether nothing was found.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// The list itself.
    pub fn into_vec(self) -> Vec<Problem> {
        self.list
    }
}

impl<'a> IntoIterator for &'a Problems {
    type Item = &'a Problem;
    type IntoIter = std::slice::Iter<'a, Problem>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl Extend<Problem> for Problems {
    fn extend<T: IntoIterator<Item = Problem>>(&mut self, iter: T) {
        iter.into_iter().for_each(|problem| self.push(problem));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::problem::code;

    #[test]
    fn a_value_is_shown_as_json_on_one_line_and_cut() {
        let place = Place::ROOT.field("spec");
        let problem = Problem::invalid(code::WRONG_TYPE, &place, "a\nb".repeat(60), "is wrong");
        let message = problem.message();
        assert!(!message.contains('\n'));
        assert!(message.chars().count() < 200, "{message}");
    }

    #[test]
    fn problems_and_suggestions_are_bounded_and_warnings_hide_no_error() {
        let mut out = Problems::new();
        for _ in 0..MOST_PROBLEMS + 5 {
            out.push(Problem::warning(code::PRIVILEGED, &Place::ROOT, "is doubtful"));
        }
        out.push(Problem::required(code::MISSING_FIELD, &Place::ROOT, "is missing"));
        assert_eq!(out.len(), MOST_PROBLEMS + 1);
        assert!(!out.is_full(), "warnings do not count");

        assert!(out.did_you_mean("extrct", ["extract"]).is_some());
        let many = vec!["transform"; MOST_COMPARISONS / 100];
        for _ in 0..100 {
            out.did_you_mean("extrct", many.iter().copied().cycle().take(MOST_COMPARISONS / 100));
        }
        assert_eq!(out.did_you_mean("extrct", ["extract"]), None);
    }

    #[test]
    fn warnings_fit_a_line_and_keep_their_code() {
        let path =
            FieldPath::parse("spec.steps[0].template.spec.template.spec.containers[0].resources.requests");
        let mut problem = Problem::warning(code::WRONG_TYPE, &Place::ROOT, "x".repeat(200));
        problem.field = path;
        let line = problem.warning_line();
        assert!(line.chars().count() <= WARNING_CHARS, "{line}");
        assert!(line.ends_with("(HW101)"), "{line}");
    }
}
