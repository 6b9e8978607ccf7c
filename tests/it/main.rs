//! Integration tests: the real program, and a real API server where it matters.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on says where"
)]

mod admission;
mod cert_manager;
mod cli;
mod cluster;
mod command;
mod corpus;
mod crd;
mod deploy;
mod election;
mod eval;
mod handshakes;
mod lifecycle;
mod metrics;
mod mounted;
mod outcome;
mod overload;
mod people;
mod program;
mod properties;
mod reloads;
mod routing;
mod secrecy;
mod siege;
mod twice;
