//! Limits how often the objects of one source may be written.
//!
//! A second line of defence: a decision that is never satisfied, or a program that undoes every write, would otherwise
//! cost as many writes as the API server answers. No real failover comes near the limit.

use std::time::Duration;

use jiff::Timestamp;

use crate::pacing::TokenBucket;

/// Writes that may follow each other immediately.
const BURST: u32 = 100;
/// After that, one write in this time.
const EVERY: Duration = Duration::from_secs(1);

/// The writes of one kind.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limit {
    bucket: TokenBucket,
    /// It was reported that writes wait.
    reported: bool,
}

impl Default for Limit {
    fn default() -> Self {
        Self { bucket: TokenBucket::new(BURST, EVERY), reported: false }
    }
}

/// The clock of the bucket: the time since the epoch.
fn clock(now: Timestamp) -> Duration {
    Duration::try_from(now.as_duration()).unwrap_or(Duration::ZERO)
}

impl Limit {
    /// Lets time pass. A clock that was set back delays nothing for long.
    pub(crate) fn pass_time(&mut self, now: Timestamp) {
        let now = clock(now);
        self.reported &= !self.bucket.is_half_full(now);
        self.bucket.correct(now);
    }

    /// Counts a write that is sent.
    pub(crate) fn spend(&mut self, now: Timestamp) {
        self.bucket.spend(clock(now));
    }

    /// The time at which the next write may be sent, if it has to wait.
    pub(crate) fn until(&self, now: Timestamp) -> Option<Timestamp> {
        let wait = self.bucket.wait(clock(now));
        if wait.is_zero() { None } else { now.checked_add(wait).ok() }
    }

    /// Records that it is reported that writes wait. Gives whether that is news.
    pub(crate) fn report(&mut self) -> bool {
        !std::mem::replace(&mut self.reported, true)
    }

    /// Checks whether writes have been waiting lately.
    pub(crate) fn is_reported(&self) -> bool {
        self.reported
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(milliseconds: i64) -> Timestamp {
        Timestamp::from_millisecond(1_700_000_000_000 + milliseconds).unwrap()
    }

    #[test]
    fn a_hundred_writes_go_immediately_and_then_one_a_second() {
        let mut limit = Limit::default();
        for i in 0..100 {
            assert_eq!(limit.until(at(0)), None, "{i}");
            limit.spend(at(0));
        }
        assert_eq!(limit.until(at(0)), Some(at(1_000)));
        let sent = (0..60_000).filter(|time| {
            let may = limit.until(at(*time)).is_none();
            if may {
                limit.spend(at(*time));
            }
            may
        });
        assert_eq!(sent.count(), 59);
    }

    #[test]
    fn rest_gives_everything_back_and_a_limit_is_reported_once_an_episode() {
        let mut limit = Limit::default();
        (0..100).for_each(|_| limit.spend(at(0)));
        assert!(limit.report() && !limit.report());
        limit.pass_time(at(40_000));
        assert!(limit.is_reported());
        limit.pass_time(at(100_000));
        assert!(!limit.is_reported() && limit.report());
        (0..100).for_each(|_| limit.spend(at(100_000)));
        assert!(limit.until(at(100_000)).is_some());
    }

    #[test]
    fn a_clock_that_is_set_back_an_hour_holds_a_write_up_for_a_second() {
        let mut limit = Limit::default();
        (0..100).for_each(|_| limit.spend(at(3_600_000)));
        limit.pass_time(at(0));
        assert_eq!(limit.until(at(0)), Some(at(1_000)));
    }
}
