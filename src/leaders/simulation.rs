//! Random histories against a simulated API server: events late, twice and out of order, answers lost, conflicts,
//! two controllers at once, kills at any place.
//!
//! Held in every history: every slice that is written has at most one endpoint; never a terminating one while the
//! writer knew of a pod that may lead; the epoch grows with every new leader and never shrinks; nothing foreign is
//! touched; and once events stop, everything is as it should be and nobody writes any more. And in every state: when what
//! is planned has been written, nothing more is planned, by whoever wrote it or by a controller that has just started; and
//! one change of the world takes one new epoch.
//!
//! `HEADWORKS_HISTORIES` sets how many are run, `HEADWORKS_SEED` runs one again.

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
                    let told = Told(seed);
                    history::run(seed, false);
                    std::mem::forget(told);
                }
            });
        }
    });
}

/// Names the seed of a history that panics.
struct Told(u64);

impl Drop for Told {
    fn drop(&mut self) {
        println!("failed: HEADWORKS_SEED={} cargo test --lib routing::simulation -- --nocapture", self.0);
    }
}
