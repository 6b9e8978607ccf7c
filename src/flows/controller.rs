//! The `JobFlow` controller: a thin shell around [`flow::plan`](super::plan).
//!
//! ```text
//! watch -> cache -> queue -> observe -> plan -> status -> apply -> events
//! ```
//!
//! Every replica watches and keeps its [`Cache`] warm; the one that leads runs [`Engine::run`]. Nothing is kept but what
//! the API server holds: the cache can be lost at any instruction, and so can the process.
//!
//! # Guarantees
//! - A status is written under a test of its resourceVersion, and only if it changes.
//! - An attempt is in the status before its Job is created, under a name that only this attempt has.
//! - A flow is worked on by one task at a time; a flow that fails to be worked on is tried again later, alone.

#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "the shell: it has the clock, the client and the tasks that the rest of `flows` may not have"
)]

mod apply;
mod build;
mod events;
mod fetch;
mod metrics;
mod pace;
mod queue;
mod reconcile;
mod refusal;
mod state;
mod status;
mod view;
mod watch;

pub use events::{EventLevel, Events};
pub use metrics::Metrics;
pub use reconcile::{Config, Engine};
pub use state::Cache;
pub use watch::Watches;
