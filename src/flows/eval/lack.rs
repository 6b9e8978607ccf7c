//! Reasons for which there is no value.

use std::collections::BTreeSet;

use super::words;
use super::{Source, Unread};
use crate::flows::typed::MAX_VALUES;
use crate::problem::field_path::{FieldPath, one_line};

/// Reasons for which something cannot be evaluated.
#[derive(Clone, Debug, PartialEq)]
pub enum Unready {
    /// These have to be read first.
    Needs(BTreeSet<Source>),
    /// Something that is read does not exist yet, or cannot be read: the step waits. The text says what.
    Missing(String),
    /// Something could not be read just now, and is read again soon.
    Unread,
    /// The step fails.
    Failed(Failure),
}

/// The reason for which a step fails.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// One word: ExpressionFailed, OutputMissing, OutputInvalid, ParameterInvalid, DataTooLarge.
    pub reason: &'static str,
    /// The mistake and its place, for people. Never a Secret's value.
    pub message: String,
}

impl Failure {
    /// A message is one line, whatever a user's names hold.
    pub(super) fn new(reason: &'static str, message: &str) -> Self {
        Self { reason, message: one_line(message).into_owned() }
    }

    pub(super) fn too_large(place: &FieldPath, bytes: usize) -> Self {
        let what = format!("the values have {bytes} bytes, and may have {MAX_VALUES}");
        Self::new("DataTooLarge", &format!("{place}: {what}; hand large data on as an artifact"))
    }
}

/// Reasons for which there is no value, kept apart since a default may stand in for some of them.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Lack {
    /// Nothing has produced it.
    Absent(String),
    /// The object that it is read from does not exist yet.
    Missing(String),
    /// The object that it is read from was not read.
    Needs(Source),
    /// The object that it is read from cannot be read. Unlike an absent one it is never passed over: a default, or
    /// nothing, in place of a value that is there would be another flow.
    Unread(Unread),
    /// It cannot be computed; the caller adds where.
    Wrong(String),
    /// The step fails.
    Failed(Failure),
}

impl Lack {
    pub(super) fn wrong(why: impl Into<String>) -> Self {
        Self::Wrong(why.into())
    }

    /// Adds where the value was asked for: the place, and the expression if there is one.
    pub(super) fn at(self, place: &FieldPath, text: &str) -> Self {
        let (why, hint) = match self {
            Self::Absent(why) => (why, "; give it a `default`"),
            Self::Wrong(why) => (why, ""),
            other => return other,
        };
        let text = if text.is_empty() { String::new() } else { format!(": {}", words::quote(text)) };
        Self::Failed(Failure::new("ExpressionFailed", &format!("{place}{text}: {why}{hint}")))
    }
}

impl From<Lack> for Unready {
    fn from(lack: Lack) -> Self {
        match lack {
            Lack::Missing(what) | Lack::Unread(Unread::Reported(what)) => Self::Missing(what),
            Lack::Needs(source) => Self::Needs(BTreeSet::from([source])),
            Lack::Unread(Unread::Passing) => Self::Unread,
            Lack::Failed(failure) => Self::Failed(failure),
            Lack::Absent(message) | Lack::Wrong(message) => {
                Self::Failed(Failure::new("ExpressionFailed", &message))
            }
        }
    }
}
