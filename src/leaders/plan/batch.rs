//! A job of the controller, and what became of it.

use jiff::Timestamp;

use super::key::Key;
use super::model::{Service, Slice};
use super::writes::{Call, Priority};

/// Writes to make now.
#[derive(Clone, Debug)]
pub struct Job {
    /// For which source.
    pub source: Key,
    /// The writes.
    pub calls: Vec<Call>,
    /// How urgent.
    pub priority: Priority,
    /// When what caused it was received.
    pub trigger: Option<Timestamp>,
    /// When it was decided.
    pub decided: Timestamp,
    /// Why an incumbent is left.
    pub cause: Option<&'static str>,
    /// How often everything had been listed then.
    pub(crate) lists: u64,
}

/// What became of a write.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// The Service as it is now.
    Service(Service),
    /// The slice as it is now.
    Slice(Slice),
    /// The object is gone.
    Gone,
    /// Somebody was first; this is what is there now.
    Overtaken(Option<Current>),
    /// It failed; a bounded word.
    Failed(&'static str),
}

/// What is there instead.
#[derive(Clone, Debug)]
pub enum Current {
    /// A Service.
    Service(Service),
    /// A slice.
    Slice(Slice),
}
