//! What a flow means. Pure: no I/O, no clock, no client; `now` is a parameter (held by clippy, see `clippy.toml`).

#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

pub mod canonical;
pub mod dag;
pub mod declared;
pub mod eval;
pub mod expr;
pub mod job_name;
pub mod jsonpath;
pub mod leader_name;
pub mod observed;
pub mod outcome;
pub mod outline;
pub mod pinned;
pub mod plan;
pub mod typed;
pub mod validate;
