//! Exactly once, on a real API server: the real engine, killed, frozen, cut off and lied to.
//!
//! Every test runs `headworks run` as a process of its own, behind a [`proxy`] that does to its calls what networks,
//! API servers and bad luck do. What was done is read from the API server's audit log. `make test-chaos` sets
//! `HEADWORKS_CHAOS` and runs the long forms: every point instead of every third, ten thousand kills instead of a
//! hundred.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on says where, and one that counts says how much"
)]

mod audit;
mod cluster;
#[path = "../it/command.rs"]
mod command;
mod events;
mod everything;
mod flows;
mod gaps;
mod kills;
mod kubelet;
mod leaders;
mod malformed;
mod meddling;
mod neighbours;
mod policies;
mod process;
mod proxy;
mod quiet;
#[expect(dead_code, reason = "shared with the outcome test, which asks it for more")]
#[path = "../it/outcome/random.rs"]
mod random;
mod rbac;
mod refusals;
mod rig;
mod rough;
mod rules;
mod silence;
mod sweep;
mod unread;
mod watches;

/// Whether the long forms are wanted.
pub(crate) fn full() -> bool {
    std::env::var("HEADWORKS_CHAOS").is_ok_and(|on| !on.is_empty())
}
