//! Limits how often a flow's status is written: as often as its steps need it, and slowly once a bug writes without end.
//! Pure.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::pacing::TokenBucket;

/// Writes that may follow each other immediately, of a flow without steps; and more for each step, which starts, ends and
/// is retried.
const BURST: (u32, u32) = (100, 20);
/// After that, one write in this time.
const EVERY: Duration = Duration::from_secs(1);
/// Flows that are kept before those are dropped whose bucket is full anyway.
const MANY: usize = 4_096;

/// Recent writes of flows, by UID.
#[derive(Debug)]
pub(super) struct Pace {
    started: Instant,
    flows: HashMap<String, Writes>,
}

#[derive(Debug)]
struct Writes {
    bucket: TokenBucket,
    /// Set once it was logged that writes wait.
    logged: bool,
}

/// A write that has to wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Held {
    pub(super) wait: Duration,
    /// Set for the first one that waits since the flow was last quiet.
    pub(super) first: bool,
}

impl Default for Pace {
    fn default() -> Self {
        Self { started: Instant::now(), flows: HashMap::new() }
    }
}

impl Pace {
    /// Takes a write for a flow with so many steps, or tells how long it has to wait.
    pub(super) fn take(&mut self, flow: &str, steps: usize, now: Instant) -> Result<(), Held> {
        let now = now.saturating_duration_since(self.started);
        if self.flows.len() >= MANY && !self.flows.contains_key(flow) {
            self.flows.retain(|_, writes| !writes.bucket.is_full(now));
        }
        let steps = u32::try_from(steps).unwrap_or(u32::MAX);
        let burst = BURST.1.saturating_mul(steps).saturating_add(BURST.0);
        let new = || Writes { bucket: TokenBucket::new(burst, EVERY), logged: false };
        let writes = self.flows.entry(flow.to_owned()).or_insert_with(new);
        // After a quiet time, the next wait is news again.
        if writes.bucket.is_half_full(now) {
            writes.logged = false;
        }
        let wait = writes.bucket.wait(now);
        if wait.is_zero() {
            writes.bucket.spend(now);
            return Ok(());
        }
        Err(Held { wait, first: !std::mem::replace(&mut writes.logged, true) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_free_and_then_writes_are_slow_and_reported_once() {
        let (mut pace, now) = (Pace::default(), Instant::now());
        for n in 0..120 {
            assert_eq!(pace.take("a", 1, now), Ok(()), "{n}");
        }
        assert_eq!(pace.take("a", 1, now), Err(Held { wait: Duration::from_secs(1), first: true }));
        assert!(!pace.take("a", 1, now).unwrap_err().first);
        assert_eq!(pace.take("b", 1, now), Ok(()), "another flow");
        let later = now + Duration::from_secs(1);
        assert_eq!(pace.take("a", 1, later), Ok(()));
        assert!(pace.take("a", 1, later).is_err());
        // After a quiet minute it is reported again.
        let later = later + Duration::from_secs(61);
        let free = (0..1_000).take_while(|_| pace.take("a", 1, later).is_ok()).count();
        assert_eq!(free, 61);
        assert!(pace.take("a", 1, later + Duration::from_millis(1)).is_err());
    }

    #[test]
    fn quiet_flows_are_forgotten() {
        let (mut pace, now) = (Pace::default(), Instant::now());
        for n in 0..MANY {
            pace.take(&n.to_string(), 0, now).unwrap();
        }
        pace.take("x", 0, now + Duration::from_secs(2)).unwrap();
        assert_eq!(pace.flows.len(), 1);
    }
}
