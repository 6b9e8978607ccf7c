//! The `JobFlow`: its types, its rules, what it means, and the controller that runs it.
//!
//! All but [`controller`] is pure: no I/O, no clock, no client; `now` is a parameter (held by clippy, see `clippy.toml`).

#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

pub mod api;
pub mod canonical;
pub mod controller;
pub mod dag;
pub mod declared;
pub mod eval;
pub mod expr;
pub mod job_name;
pub mod jsonpath;
pub mod observed;
pub mod outcome;
pub mod outline;
pub mod pinned;
pub mod plan;
pub mod rules;
pub mod typed;
