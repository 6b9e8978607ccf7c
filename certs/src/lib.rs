//! A TLS identity that keeps itself valid.
//!
//! [`Identity`] is a rustls certificate resolver that always serves the newest good pair, fed by one of two sources:
//! - [`managed`]: a small CA of its own, its state in one Secret, its trust in the webhook configurations;
//! - [`mounted`]: a directory that somebody else (cert-manager, say) writes.
//!
//! [`client_ca`] follows the other side of mutual TLS: a file with the CAs of those who may call.
//!
//! It knows no resource kind of its own and no server. Pure parts take `now` as a parameter; the shells around them
//! take it, and their metrics and events, from [`Hooks`].
#![doc = include_str!("../docs/usage.md")]

mod backoff;
mod bundle;
pub mod client_ca;
mod facts;
mod hooks;
mod identity;
mod intake;
mod issue;
pub mod managed;
mod metrics;
pub mod mounted;
mod names;
pub mod pace;
mod pair;
mod readiness;
pub mod redact;
mod watched;

pub use backoff::Backoff;
pub use bundle::Bundle;
pub use facts::Facts;
pub use hooks::{CertEvent, Clock, EventKind, Events, Hooks, SystemClock};
pub use identity::{EXPIRY_MARGIN, Identity};
pub use issue::{Authority, IssueError, Issued, KeyPem, Lifetimes};
pub use metrics::source::Backend;
pub use metrics::{CertKind, Metrics};
pub use names::ServiceNames;
pub use pair::{Pair, Rejection};
pub use readiness::{Check, Readiness};
