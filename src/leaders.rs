//! The leader Service: for every Service with `zen-lead.io/enabled: "true"` a second Service that always points at one
//! healthy pod.
//!
//! ```text
//! watch -> state -> choose -> decide -> writes -> apply
//!            ^                                      |
//!            +--------- result of each write -------+
//! ```
//!
//! `plan` is pure: its `Core` takes changes and returns writes, and tests drive it without a cluster. `controller` is
//! the shell around it. The slice is written first and by one conditional write that also raises the
//! epoch, so a controller that is late loses; all else follows and never delays a failover. It promises routing, not
//! consensus: if you need a single writer, fence on the epoch.

pub(crate) mod controller;
pub mod inspect;
pub(crate) mod leader_name;
pub(crate) mod plan;
pub mod rules;

#[cfg(test)]
mod simulation;

pub use controller::{Caches, Config, Metrics, run};
