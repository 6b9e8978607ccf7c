//! Builds the objects that are written, from values alone: no client, no clock, no I/O.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

pub(crate) mod ca_bundle;
pub(crate) mod lease;
pub(crate) mod mint;
pub(crate) mod secret;
