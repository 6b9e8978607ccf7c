//! Exponential backoff: each failure in a row doubles the wait, up to a longest one.
//!
//! ```
//! # use std::time::Duration;
//! # use headworks::pacing::Backoff;
//! const BACKOFF: Backoff = Backoff { first: Duration::from_secs(1), longest: Duration::from_secs(30) };
//! assert_eq!(BACKOFF.after(0), Duration::from_secs(1));
//! assert_eq!(BACKOFF.after(3), Duration::from_secs(8));
//! assert_eq!(BACKOFF.after(99), Duration::from_secs(30));
//! ```

use std::time::Duration;

/// The bounds of waits that double.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// The wait after the first failure.
    pub first: Duration,
    /// The longest wait.
    pub longest: Duration,
}

impl Backoff {
    /// Returns the wait after a failure that `failures` others came before, in a row.
    #[must_use]
    pub fn after(self, failures: u32) -> Duration {
        let factor = 1_u32.checked_shl(failures).unwrap_or(u32::MAX);
        self.first.saturating_mul(factor).min(self.longest)
    }

    /// Returns the wait that follows one of `last`, for callers that keep the wait and not the number of failures.
    #[must_use]
    pub fn following(self, last: Option<Duration>) -> Duration {
        last.map_or(self.first, |last| last.saturating_mul(2).clamp(self.first, self.longest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BACKOFF: Backoff = Backoff { first: Duration::from_millis(50), longest: Duration::from_mins(5) };

    #[test]
    fn waits_double_up_to_the_longest_whoever_counts() {
        let mut last = None;
        for failures in [0, 1, 2, 10, 12, 13, 20, 31, 32, 1_000, u32::MAX] {
            let expected = 50_u64.saturating_mul(1 << failures.min(40)).min(300_000);
            assert_eq!(BACKOFF.after(failures), Duration::from_millis(expected), "{failures}");
        }
        for failures in 0..40 {
            let wait = BACKOFF.following(last);
            assert_eq!(wait, BACKOFF.after(failures), "{failures}");
            last = Some(wait);
        }
    }
}
