//! Limits how often the objects of one source may be written.
//!
//! A second line of defence: a decision that is never satisfied, or a program that undoes every write, would otherwise
//! cost as many writes as the API server answers. No real failover comes near the limit.

use jiff::{SignedDuration, Timestamp};

/// The number of writes that may follow each other immediately.
const BURST: i32 = 100;
/// The interval between writes after a burst; used writes also come back at this rate.
const EVERY: SignedDuration = SignedDuration::from_secs(1);

/// The limit of one kind of writes.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Limit {
    /// The time at which everything that was used will have come back.
    full: Option<Timestamp>,
    /// It was reported that writes wait.
    reported: bool,
}

impl Limit {
    fn used(&self, now: Timestamp) -> SignedDuration {
        self.full.map_or(SignedDuration::ZERO, |full| full.duration_since(now).max(SignedDuration::ZERO))
    }

    /// Lets time pass. A clock that was set back delays nothing for long.
    pub(crate) fn pass_time(&mut self, now: Timestamp) {
        let used = self.used(now);
        if used > EVERY * (BURST + 1) {
            self.full = now.checked_add(EVERY * BURST).ok();
        }
        self.reported &= used > EVERY * (BURST / 2);
    }

    /// Counts a write that is sent.
    pub(crate) fn spend(&mut self, now: Timestamp) {
        self.full = now.checked_add(self.used(now).saturating_add(EVERY)).ok();
    }

    /// The time at which the next write may be sent, if it has to wait.
    pub(crate) fn until(&self, now: Timestamp) -> Option<Timestamp> {
        let wait = self.used(now).saturating_sub(EVERY * (BURST - 1));
        if wait.is_positive() { now.checked_add(wait).ok() } else { None }
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
