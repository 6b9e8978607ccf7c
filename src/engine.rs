//! The `JobFlow` controller: a thin shell around [`flow::plan`](crate::flow::plan).
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

mod apply;
mod build;
mod cache;
mod events;
mod flows;
mod metrics;
mod observe;
mod pace;
mod queue;
mod refusal;
mod run;
mod status;
mod watch;
mod write;

pub use cache::Cache;
pub use events::{EventLevel, Events};
pub use metrics::Metrics;
pub use run::{Config, Engine};
pub use watch::Watches;
