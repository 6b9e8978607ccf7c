//! What is to be written for each source Service, given what the watches have shown. Pure: no I/O, no clock, no
//! client; `now` is a parameter (held by clippy, see `clippy.toml`).

#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

pub mod batch;
pub mod choose;
pub mod core;
pub mod decide;
pub mod ended;
pub mod endpoint_slice;
pub mod incumbent;
pub mod index;
pub mod key;
pub mod leader_service;
pub mod leases;
pub mod limit;
pub mod memory;
pub mod model;
pub mod notes;
pub mod outlook;
pub mod rivals;
pub mod settings;
pub mod state;
pub mod status;
pub mod view;
pub mod writes;
