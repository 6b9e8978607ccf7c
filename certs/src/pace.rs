//! Token bucket: a burst of actions that may follow each other immediately, then one per interval. Pure.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

/// A point in time that a [`TokenBucket`] can count with: a steady clock's instant, or a wall clock's timestamp.
pub trait Moment: Copy + Ord {
    /// Returns the time from `earlier` to `self`, or zero if `earlier` is later.
    fn since(self, earlier: Self) -> Duration;

    /// Returns the moment `time` later, or `self` where that lies beyond what the type can hold.
    #[must_use]
    fn plus(self, time: Duration) -> Self;
}

impl Moment for std::time::Instant {
    fn since(self, earlier: Self) -> Duration {
        self.saturating_duration_since(earlier)
    }

    fn plus(self, time: Duration) -> Self {
        self.checked_add(time).unwrap_or(self)
    }
}

impl Moment for tokio::time::Instant {
    fn since(self, earlier: Self) -> Duration {
        self.saturating_duration_since(earlier)
    }

    fn plus(self, time: Duration) -> Self {
        self.checked_add(time).unwrap_or(self)
    }
}

impl Moment for Timestamp {
    fn since(self, earlier: Self) -> Duration {
        Duration::try_from(self.duration_since(earlier)).unwrap_or_default()
    }

    fn plus(self, time: Duration) -> Self {
        SignedDuration::try_from(time).ok().and_then(|time| self.checked_add(time).ok()).unwrap_or(self)
    }
}

/// A limit on how often something is done: `burst` times immediately, then once per `interval`.
///
/// Tokens that were spent come back, one per interval. The bucket reads no clock: each call takes `now`.
///
/// ```
/// use std::time::{Duration, Instant};
///
/// use headworks_certs::pace::{Held, TokenBucket};
///
/// let second = Duration::from_secs(1);
/// let (mut bucket, now) = (TokenBucket::new(2, second), Instant::now());
/// assert_eq!(bucket.take(now), Ok(()));
/// assert_eq!(bucket.take(now), Ok(()));
/// assert_eq!(bucket.take(now), Err(Held { until: now + second, first: true }));
/// assert_eq!(bucket.take(now), Err(Held { until: now + second, first: false }));
/// assert_eq!(bucket.take(now + second), Ok(()));
/// ```
#[derive(Clone, Copy, Debug)]
pub struct TokenBucket<T> {
    burst: u32,
    interval: Duration,
    /// Moment at which every token will be back. Each one that is spent puts it off by an interval.
    full_at: Option<T>,
    /// An action has been held since half of the burst was last free.
    holding: bool,
}

/// An action that has to wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held<T> {
    /// Moment at which a token will be free.
    pub until: T,
    /// True for the first action held since half of the burst was last free: worth one log line or event.
    pub first: bool,
}

impl<T: Moment> TokenBucket<T> {
    /// Creates a full bucket.
    pub const fn new(burst: u32, interval: Duration) -> Self {
        Self { burst, interval, full_at: None, holding: false }
    }

    /// Takes a token if there is one.
    ///
    /// # Errors
    /// [`Held`] if there is none.
    pub fn take(&mut self, now: T) -> Result<(), Held<T>> {
        self.refill(now);
        if let Some(until) = self.ready_at(now) {
            return Err(Held { until, first: self.hold() });
        }
        self.spend(now);
        Ok(())
    }

    /// Lets time pass: ends an episode of holding once half of the burst is free again.
    ///
    /// With a wall clock it also corrects for one that was set back: nothing waits longer than for an empty bucket.
    pub fn refill(&mut self, now: T) {
        let empty = self.interval * self.burst;
        if self.spent(now) > empty + self.interval {
            self.full_at = Some(now.plus(empty));
        }
        self.holding &= self.spent(now) + self.interval > empty / 2;
    }

    /// Returns the moment at which the next token is free; `None` if one is free now.
    pub fn ready_at(&self, now: T) -> Option<T> {
        let rest = self.interval * self.burst.saturating_sub(1);
        let wait = self.spent(now).saturating_sub(rest);
        (!wait.is_zero()).then(|| now.plus(wait))
    }

    /// Spends a token, whether there is one or not: for an action that is taken anyway.
    pub fn spend(&mut self, now: T) {
        self.full_at = Some(now.plus(self.spent(now) + self.interval));
    }

    /// Records that an action is held. Returns true for the first of an episode.
    pub fn hold(&mut self) -> bool {
        !std::mem::replace(&mut self.holding, true)
    }

    /// Returns true from the first held action until half of the burst is free again.
    pub fn is_holding(&self) -> bool {
        self.holding
    }

    /// Returns true if every token is there, so that the bucket may as well be forgotten.
    pub fn is_full(&self, now: T) -> bool {
        self.spent(now).is_zero()
    }

    /// Time until every token is back.
    fn spent(&self, now: T) -> Duration {
        self.full_at.map_or(Duration::ZERO, |full_at| full_at.since(now))
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;

    const BURST: u32 = 60;
    const EACH: Duration = Duration::from_secs(10);

    #[test]
    fn a_burst_is_free_and_then_each_write_waits_and_the_first_is_reported() {
        let (mut bucket, now) = (TokenBucket::new(BURST, EACH), Instant::now());
        for n in 0..BURST {
            assert_eq!(bucket.take(now), Ok(()), "{n}");
        }
        assert_eq!(bucket.take(now), Err(Held { until: now + EACH, first: true }));
        assert_eq!(bucket.take(now), Err(Held { until: now + EACH, first: false }));
        assert_eq!(bucket.take(now + EACH), Ok(()));
        assert!(bucket.take(now + EACH).is_err());
        // Half of the burst has come back, no more: it is the same episode still.
        let quiet = now + EACH + EACH * BURST / 2;
        let free = (0..1_000).take_while(|_| bucket.take(quiet).is_ok()).count();
        assert_eq!(free, 30);
        assert!(!bucket.take(quiet).unwrap_err().first);
        // All of it: what is held then is reported again.
        let quiet = quiet + EACH * BURST;
        assert!(bucket.is_full(quiet));
        bucket.take(quiet).unwrap();
        assert!(!bucket.is_holding());
        let first = loop {
            if let Err(held) = bucket.take(quiet) {
                break held.first;
            }
        };
        assert!(first);
        assert!(bucket.take(quiet + Duration::from_secs(1)).is_err());
    }

    #[test]
    fn a_wall_clock_that_is_set_back_an_hour_holds_a_write_for_one_interval() {
        let at = |seconds: i64| Timestamp::from_second(1_700_000_000 + seconds).unwrap();
        let mut bucket = TokenBucket::new(100, Duration::from_secs(1));
        (0..100).for_each(|_| bucket.spend(at(3_600)));
        bucket.refill(at(0));
        assert_eq!(bucket.ready_at(at(0)), Some(at(1)));
    }
}
