//! The three durations of a campaign, and what must hold between them.

use std::time::Duration;

/// The durations of a campaign.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    lease: Duration,
    renew: Duration,
    retry: Duration,
}

/// Reasons for which three durations are refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TimingError {
    /// Leases are written in whole seconds, and one of over an hour would outlive every patience.
    #[error("the lease duration {0:?} must be between 1s and 1h")]
    Lease(Duration),
    /// Otherwise another candidate might lead before this one knows that its term is over.
    #[error(
        "the renew deadline {renew:?} must be at most nine tenths of the lease duration {lease:?}, since clocks drift"
    )]
    Renew {
        /// The renew deadline.
        renew: Duration,
        /// The lease duration.
        lease: Duration,
    },
    /// Otherwise one failed call would cost the Lease.
    #[error("the retry period {retry:?} must be between 10ms and a quarter of the renew deadline {renew:?}")]
    Retry {
        /// The retry period.
        retry: Duration,
        /// The renew deadline.
        renew: Duration,
    },
}

impl Timing {
    /// The spans, if they make a campaign.
    ///
    /// `lease`: how long others leave a Lease alone that does not change. `renew`: how long a holder leads without
    /// a successful renewal. `retry`: how often a holder renews and the others look.
    pub fn new(lease: Duration, renew: Duration, retry: Duration) -> Result<Self, TimingError> {
        if !(Duration::from_secs(1)..=Self::LONGEST).contains(&lease) {
            return Err(TimingError::Lease(lease));
        }
        if renew > lease * 9 / 10 {
            return Err(TimingError::Renew { renew, lease });
        }
        if !(Duration::from_millis(10)..=renew / 4).contains(&retry) {
            return Err(TimingError::Retry { retry, renew });
        }
        Ok(Self { lease, renew, retry })
    }

    /// No lease is longer, and none that is read is believed to be.
    pub(super) const LONGEST: Duration = Duration::from_hours(1);

    /// The time for which others leave a Lease alone that does not change.
    pub fn lease(&self) -> Duration {
        self.lease
    }

    /// The time for which a holder leads without a successful renewal.
    pub fn renew(&self) -> Duration {
        self.renew
    }

    /// The time between two renewals of a holder, and between two reads of the others.
    pub fn retry(&self) -> Duration {
        self.retry
    }
}

impl Default for Timing {
    /// 15, 10 and 2 seconds, as Kubernetes' own controllers have it.
    fn default() -> Self {
        Self { lease: Duration::from_secs(15), renew: Duration::from_secs(10), retry: Duration::from_secs(2) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn timing(lease: u64, renew: u64, retry: u64) -> Result<Timing, String> {
        let [lease, renew, retry] = [lease, renew, retry].map(Duration::from_millis);
        Timing::new(lease, renew, retry).map_err(|error| error.to_string())
    }

    #[test]
    fn the_defaults_are_a_campaign() {
        assert_eq!(timing(15_000, 10_000, 2_000), Ok(Timing::default()));
    }

    #[test]
    fn spans_that_would_make_two_leaders_or_none_are_refused() {
        assert_eq!(timing(900, 500, 100).unwrap_err(), "the lease duration 900ms must be between 1s and 1h");
        assert_eq!(
            timing(10_000, 9_500, 100).unwrap_err(),
            "the renew deadline 9.5s must be at most nine tenths of the lease duration 10s, since clocks drift"
        );
        assert_eq!(
            timing(10_000, 5_000, 2_000).unwrap_err(),
            "the retry period 2s must be between 10ms and a quarter of the renew deadline 5s"
        );
        assert!(timing(10_000, 5_000, 0).is_err());
        assert!(timing(2_000, 1_500, 200).is_ok());
    }
}
