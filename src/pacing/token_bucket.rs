//! A token bucket: a burst is free, after that one token comes back in every interval.
//!
//! The state is one point in time, that at which the bucket will be full again. Time is a duration on the caller's own
//! clock, such as that since the epoch or since the start of the process.

use std::time::Duration;

/// Tokens that are spent and come back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenBucket {
    burst: u32,
    every: Duration,
    /// The time at which every token will be back.
    full: Duration,
}

impl TokenBucket {
    /// Makes a full bucket of `burst` tokens, one of which comes back `every` so long.
    #[must_use]
    pub const fn new(burst: u32, every: Duration) -> Self {
        Self { burst, every, full: Duration::ZERO }
    }

    /// The time that it takes until every token is back.
    fn used(&self, now: Duration) -> Duration {
        self.full.saturating_sub(now)
    }

    /// Takes a token, whether there is one or not: see [`wait`](Self::wait).
    pub fn spend(&mut self, now: Duration) {
        self.full = now.saturating_add(self.used(now)).saturating_add(self.every);
    }

    /// Returns how long it takes until there is a token; zero if there is one now.
    #[must_use]
    pub fn wait(&self, now: Duration) -> Duration {
        self.used(now).saturating_sub(self.every.saturating_mul(self.burst.saturating_sub(1)))
    }

    /// Tells whether every token is there.
    #[must_use]
    pub fn is_full(&self, now: Duration) -> bool {
        self.used(now).is_zero()
    }

    /// Tells whether at least half of the tokens are there.
    #[must_use]
    pub fn is_half_full(&self, now: Duration) -> bool {
        self.used(now) <= self.every.saturating_mul(self.burst / 2)
    }

    /// Corrects the state after the clock was set back: no more is missing than a whole burst.
    pub fn correct(&mut self, now: Duration) {
        if self.used(now) > self.every.saturating_mul(self.burst.saturating_add(1)) {
            self.full = now.saturating_add(self.every.saturating_mul(self.burst));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn second(second: u64) -> Duration {
        Duration::from_secs(second)
    }

    #[test]
    fn a_burst_is_free_and_then_tokens_come_back_one_by_one() {
        let mut bucket = TokenBucket::new(10, second(2));
        for _ in 0..10 {
            assert_eq!(bucket.wait(second(100)), Duration::ZERO);
            bucket.spend(second(100));
        }
        assert_eq!(bucket.wait(second(100)), second(2));
        assert_eq!(bucket.wait(second(101)), second(1));
        assert_eq!(bucket.wait(second(102)), Duration::ZERO);
        assert!(!bucket.is_half_full(second(109)) && bucket.is_half_full(second(110)));
        assert!(!bucket.is_full(second(119)) && bucket.is_full(second(120)));
    }

    #[test]
    fn a_clock_that_is_set_back_costs_one_burst_at_most() {
        let mut bucket = TokenBucket::new(10, second(2));
        bucket.spend(second(3_600));
        bucket.correct(second(0));
        assert_eq!(bucket.wait(second(0)), second(2));
    }
}
