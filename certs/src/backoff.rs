//! Exponential backoff: waits that double with each failure, up to a longest one.

use std::time::Duration;

/// The arithmetic of retries. It holds no state: the caller counts its failures.
///
/// ```
/// use std::time::Duration;
///
/// use headworks_certs::Backoff;
///
/// let backoff = Backoff::new(Duration::from_millis(500), Duration::from_secs(30));
/// assert_eq!(backoff.after(0), Duration::ZERO); // nothing has failed: no wait
/// assert_eq!(backoff.after(1), Duration::from_millis(500));
/// assert_eq!(backoff.after(4), Duration::from_secs(4));
/// assert_eq!(backoff.after(99), Duration::from_secs(30));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// Wait after the first failure.
    pub first: Duration,
    /// Limit that no wait exceeds.
    pub longest: Duration,
}

impl Backoff {
    /// Creates a backoff from `first`, doubling, to `longest`.
    pub const fn new(first: Duration, longest: Duration) -> Self {
        Self { first, longest }
    }

    /// Returns the wait after this many failures in a row.
    pub fn after(self, failures: u32) -> Duration {
        let Some(doublings) = failures.checked_sub(1) else { return Duration::ZERO };
        // 2^31 times any first wait is longer than anybody waits, so more doublings change nothing.
        self.first.saturating_mul(1 << doublings.min(31)).min(self.longest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_doubles_from_the_first_to_the_longest_and_never_overflows() {
        let backoff = Backoff::new(Duration::from_secs(1), Duration::from_mins(1));
        let waits: Vec<_> = (0..9).map(|failures| backoff.after(failures).as_secs()).collect();
        assert_eq!(waits, [0, 1, 2, 4, 8, 16, 32, 60, 60]);
        assert_eq!(backoff.after(u32::MAX), Duration::from_mins(1));
        assert_eq!(Backoff::new(Duration::MAX, Duration::MAX).after(9), Duration::MAX);
    }
}
