//! Random histories against a simulated API server: events arrive late, twice and out of order, answers are lost,
//! writes conflict, two controllers run at the same time, and each can be killed at any point.
//!
//! Checked in every history: a written slice has at most one endpoint, and never a terminating one while the writer
//! knew of a candidate; the epoch grows with every new leader and never shrinks; no foreign object is changed; and once
//! events stop, the cluster reaches the desired state and writes stop. Checked in many intermediate states: once the
//! pending writes are made, neither the same controller nor one that has just started wants another write, and one
//! change of the cluster takes one new epoch.
//!
//! `HEADWORKS_HISTORIES` sets the number of histories; `HEADWORKS_SEED` repeats one of them.

use std::sync::atomic::{AtomicU64, Ordering};

mod history;
mod lease;
mod random;
mod replica;
mod rest;
mod server;

use random::Random;

const HISTORIES: u64 = 100_000;

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

#[test]
fn histories_end_well_whatever_happens_in_them() {
    if let Some(seed) = number("HEADWORKS_SEED") {
        history::run(seed, true);
        return;
    }
    let count = number("HEADWORKS_HISTORIES").unwrap_or(HISTORIES);
    let base = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs() << 20;
    println!("seeds {base} to {}", base + count);
    let next = AtomicU64::new(0);
    std::thread::scope(|scope| {
        let threads = std::thread::available_parallelism().map_or(2, usize::from);
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let one = next.fetch_add(1, Ordering::Relaxed);
                    if one >= count {
                        return;
                    }
                    let seed = base + one;
                    let reporter = SeedReporter(seed);
                    history::run(seed, false);
                    std::mem::forget(reporter);
                }
            });
        }
    });
}

/// Prints the seed of a history that panics.
struct SeedReporter(u64);

impl Drop for SeedReporter {
    fn drop(&mut self) {
        println!("failed: HEADWORKS_SEED={} cargo test --lib leaders::simulation -- --nocapture", self.0);
    }
}
