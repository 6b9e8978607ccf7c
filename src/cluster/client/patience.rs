//! How soon a watch that was interrupted is taken up again.

use std::time::{Duration, Instant};

use kube::runtime::utils::Backoff;

/// An interrupted watch is soon taken up again: what a flow waits for may come at any moment. One that fails again and
/// again is tried less often.
pub(crate) struct Patience {
    next: Duration,
    last: Option<Instant>,
}

impl Patience {
    const FIRST: Duration = Duration::from_millis(50);
    const LONGEST: Duration = Duration::from_secs(5);
    /// A failure after so long a time without one is a new story.
    const FORGOTTEN: Duration = Duration::from_secs(30);

    fn wait(&mut self, now: Instant) -> Duration {
        if self.last.is_none_or(|last| now.duration_since(last) > Self::FORGOTTEN) {
            self.next = Self::FIRST;
        }
        self.last = Some(now);
        let wait = self.next;
        self.next = (wait * 2).min(Self::LONGEST);
        wait
    }
}

impl Default for Patience {
    fn default() -> Self {
        Self { next: Self::FIRST, last: None }
    }
}

impl Iterator for Patience {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        Some(self.wait(Instant::now()))
    }
}

impl Backoff for Patience {
    /// Forgets nothing: kube resets with whatever is no error, and its watcher says that it begins before each list, so
    /// that lists that keep failing would be asked for twenty times a second.
    fn reset(&mut self) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_keeps_failing_is_tried_less_often_though_each_try_begins_well() {
        let (mut patience, now) = (Patience::default(), Instant::now());
        let waits: Vec<u128> = (0..9)
            .map(|n| {
                patience.reset();
                patience.wait(now + Duration::from_secs(5 * n)).as_millis()
            })
            .collect();
        assert_eq!(waits, [50, 100, 200, 400, 800, 1_600, 3_200, 5_000, 5_000]);
        assert_eq!(patience.wait(now + Duration::from_secs(71)).as_millis(), 50);
    }
}
