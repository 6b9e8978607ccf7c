//! The waits of a watch that was interrupted.

use std::time::{Duration, Instant};

use kube::runtime::utils::Backoff as KubeBackoff;

use crate::pacing::Backoff;

/// An interrupted watch is soon restarted: what a flow waits for may come at any moment.
const BACKOFF: Backoff = Backoff { first: Duration::from_millis(50), longest: Duration::from_secs(5) };
/// After so long without a failure, the next one counts as the first.
const FORGOTTEN: Duration = Duration::from_secs(30);

/// The backoff of one watch: one that fails again and again is restarted less often.
#[derive(Default)]
pub(crate) struct WatchBackoff {
    failures: u32,
    last: Option<Instant>,
}

impl WatchBackoff {
    fn wait(&mut self, now: Instant) -> Duration {
        if self.last.is_none_or(|last| now.duration_since(last) > FORGOTTEN) {
            self.failures = 0;
        }
        self.last = Some(now);
        let wait = BACKOFF.after(self.failures);
        self.failures = self.failures.saturating_add(1);
        wait
    }
}

impl Iterator for WatchBackoff {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        Some(self.wait(Instant::now()))
    }
}

impl KubeBackoff for WatchBackoff {
    /// Forgets nothing: kube resets with whatever is no error, and its watcher says that it begins before each list, so
    /// that lists that keep failing would be asked for twenty times a second.
    fn reset(&mut self) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_watch_that_keeps_failing_is_restarted_less_often_though_each_try_begins_well() {
        let (mut backoff, now) = (WatchBackoff::default(), Instant::now());
        let waits: Vec<u128> = (0..9)
            .map(|n| {
                backoff.reset();
                backoff.wait(now + Duration::from_secs(5 * n)).as_millis()
            })
            .collect();
        assert_eq!(waits, [50, 100, 200, 400, 800, 1_600, 3_200, 5_000, 5_000]);
        assert_eq!(backoff.wait(now + Duration::from_secs(71)).as_millis(), 50);
    }
}
