//! How often a flow's status is written: as often as its steps need it, and slowly where a mistake writes for ever. Pure.

use std::collections::HashMap;
use std::time::{Duration, Instant};

/// Writes at once, of a flow without steps; and more for each step, which starts, ends and is tried again.
const BURST: (f64, f64) = (100.0, 20.0);
/// Writes a second after that.
const RATE: f64 = 1.0;
/// Flows that are remembered before those are forgotten that may write a burst anyway.
const MANY: usize = 4_096;

/// What flows have written lately, by UID.
#[derive(Debug, Default)]
pub(super) struct Pace(HashMap<String, Bucket>);

#[derive(Debug)]
struct Bucket {
    /// Writes that may follow at once.
    left: f64,
    at: Instant,
    burst: f64,
    told: bool,
}

/// A write that has to wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Held {
    pub(super) wait: Duration,
    /// Whether it is the first that waits since the flow was last quiet.
    pub(super) first: bool,
}

impl Pace {
    /// Take a write for a flow with so many steps; or how long it has to wait.
    pub(super) fn take(&mut self, flow: &str, steps: usize, now: Instant) -> Result<(), Held> {
        if self.0.len() >= MANY && !self.0.contains_key(flow) {
            self.0.retain(|_, bucket| !bucket.is_full(now));
        }
        let steps = u32::try_from(steps).unwrap_or(u32::MAX);
        let burst = BURST.1.mul_add(f64::from(steps), BURST.0);
        let bucket =
            self.0.entry(flow.to_owned()).or_insert(Bucket { left: burst, at: now, burst, told: false });
        bucket.fill(now);
        if bucket.left >= 1.0 {
            bucket.left -= 1.0;
            return Ok(());
        }
        let wait = Duration::from_secs_f64((1.0 - bucket.left) / RATE);
        Err(Held { wait, first: !std::mem::replace(&mut bucket.told, true) })
    }
}

impl Bucket {
    fn fill(&mut self, now: Instant) {
        let gained = now.saturating_duration_since(self.at).as_secs_f64() * RATE;
        self.left = (self.left + gained).min(self.burst);
        self.at = now;
        // Quiet for a while: what comes then is another story.
        if self.left >= self.burst / 2.0 {
            self.told = false;
        }
    }

    fn is_full(&self, now: Instant) -> bool {
        let gained = now.saturating_duration_since(self.at).as_secs_f64() * RATE;
        self.left + gained >= self.burst
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_free_and_then_writes_are_slow_and_told_of_once() {
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
        // After a quiet minute it is told again.
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
        assert_eq!(pace.0.len(), 1);
    }
}
