//! Decides what to write for each source Service, from the state that the watches have delivered. Pure: no I/O, no
//! clock, no client; `now` is a parameter (held by clippy, see `clippy.toml`).

#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

pub(crate) mod answers;
pub(crate) mod batch;
pub(crate) mod choose;
pub(crate) mod core;
pub(crate) mod decide;
pub(crate) mod ended;
pub(crate) mod endpoint_slice;
pub(crate) mod incumbent;
pub(crate) mod index;
pub(crate) mod key;
pub(crate) mod leader_service;
pub(crate) mod leases;
pub(crate) mod limit;
pub(crate) mod memory;
pub(crate) mod model;
pub(crate) mod notes;
pub(crate) mod outlook;
pub(crate) mod rivals;
pub(crate) mod settings;
pub(crate) mod state;
pub(crate) mod status;
pub(crate) mod view;
pub(crate) mod writes;
