//! Verdicts on `JobFlow`s and `Service`s, without I/O.
//!
//! The rules themselves are in [`crate::flows::rules`]; here they meet a request: who asks, what was there
//! before, what has to be written into the object. Both phases run every rule, so that the mutating one, which the
//! API server asks first, can refuse with the complete list.

#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

pub mod findings;
pub mod identity;
pub mod job_flow;
pub mod ratchet;
pub mod service;

pub use job_flow::JobFlows;
pub use service::{Look, Services};
