//! How soon a watch that was interrupted is taken up again.

use std::time::Duration;

use kube::runtime::utils::Backoff;

/// An interrupted watch is soon taken up again: what a flow waits for may come at any moment.
pub(crate) struct Patience(Duration);

impl Patience {
    const FIRST: Duration = Duration::from_millis(50);
    const LONGEST: Duration = Duration::from_secs(5);
}

impl Default for Patience {
    fn default() -> Self {
        Self(Self::FIRST)
    }
}

impl Iterator for Patience {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        let wait = self.0;
        self.0 = (wait * 2).min(Self::LONGEST);
        Some(wait)
    }
}

impl Backoff for Patience {
    fn reset(&mut self) {
        self.0 = Self::FIRST;
    }
}
