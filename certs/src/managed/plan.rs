//! Decides on the next step, from values alone: no client, no clock, no I/O.
//!
//! The lint below keeps it so, for this module and everything beneath it; `/clippy.toml` lists what it forbids.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

pub(crate) mod cluster;
pub(crate) mod configuration;
pub(crate) mod decide;
pub(crate) mod judge;
pub(crate) mod notary;
pub(crate) mod policy;
pub(crate) mod repairs;
pub(crate) mod replicas;
pub(crate) mod secret;
pub(crate) mod step;
pub(crate) mod timer;
