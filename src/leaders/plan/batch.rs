//! Writes that are made together for one source, and the outcome of each.

use jiff::Timestamp;

use super::key::Key;
use super::model::{Service, Slice};
use super::writes::{Call, Priority};

/// Writes to make now.
#[derive(Clone, Debug)]
pub(crate) struct WriteBatch {
    pub(crate) source: Key,
    pub(crate) calls: Vec<Call>,
    pub(crate) priority: Priority,
    /// The time at which the change that led to it was received.
    pub(crate) trigger: Option<Timestamp>,
    pub(crate) decided: Timestamp,
    /// The reason why the incumbent is left, if it is.
    pub(crate) cause: Option<&'static str>,
    /// The number of lists that had been received when it was decided.
    pub(crate) lists: u64,
}

/// The outcome of a write.
#[derive(Clone, Debug)]
pub(crate) enum Outcome {
    /// It was made, and this is the Service now.
    Service(Service),
    /// It was made, and this is the slice now.
    Slice(Slice),
    /// The object is gone.
    Gone,
    /// Another write came first; this is the object now.
    Overtaken(Option<Current>),
    /// It failed, for a reason out of a bounded set of words.
    Failed(&'static str),
}

/// An object as another writer left it.
#[derive(Clone, Debug)]
pub(crate) enum Current {
    Service(Service),
    Slice(Slice),
}
