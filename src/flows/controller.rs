//! The `JobFlow` controller: the watches, the state, the loop and the writes around [`plan`](super::plan).
//!
//! ```text
//! watch -> state -> queue -> reconcile: fetch, plan, status, events, apply
//! ```
//!
//! Every replica watches and keeps its [`Cache`] current; the one that leads runs [`Engine::run`]. The API server holds
//! everything that matters: the cache can be lost at any instruction, and so can the process.
//!
//! # Guarantees
//! - A status is written under a test of its resourceVersion, and only if it changes.
//! - An attempt is recorded in the status before its Job is created, under a name that only this attempt has. The objects
//!   of resource templates need no such record, since their names follow from the spec: they are created before the
//!   status that names them.
//! - One task at a time reconciles a flow; a flow whose reconcile fails is retried later, without holding up others.

#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "the shell: it has the clock, the client and the tasks that the rest of `flows` may not have"
)]

mod apply;
mod build;
mod engine;
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

pub use engine::{Config, Engine};
pub use events::{EventLevel, Events};
pub use metrics::Metrics;
pub use state::Cache;
pub use watch::Watches;
