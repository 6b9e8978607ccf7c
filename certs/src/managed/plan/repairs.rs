//! Configurations that carried the right bundle and were changed by somebody else since, and when each may be repaired.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use crate::backoff::Backoff;
use crate::managed::plan::cluster::{Cached, ClusterState};
use crate::managed::plan::configuration::ConfigurationRef;

/// Repairs that are made immediately. Each further one waits, twice as long as the one before.
const IMMEDIATE: u32 = 3;
const BACKOFF: Backoff = Backoff::new(Duration::from_secs(1), Duration::from_mins(1));
/// After this long without a change by somebody else, repairs are immediate again.
const FORGET_AFTER: Duration = Duration::from_mins(10);

/// History of every configuration.
#[derive(Debug)]
pub(crate) struct Repairs(BTreeMap<ConfigurationRef, History>);

#[derive(Debug, Default)]
struct History {
    /// Bundle that it carried, and ought to carry, when it was last right.
    right: Option<String>,
    /// Time from which it may be repaired, if somebody else has removed that same bundle since.
    repair: Option<Instant>,
    /// Changes by others, in a row.
    changes: u32,
    /// Time of the last one.
    last: Option<Instant>,
}

impl Repairs {
    pub(crate) fn new(configurations: Vec<ConfigurationRef>) -> Self {
        Self(configurations.into_iter().map(|one| (one, History::default())).collect())
    }

    /// Notes which configurations are right. One that was right, and has lost the very bundle that it still ought to
    /// carry, has been changed by somebody else. One that lacks a new bundle has not.
    pub(crate) fn note(&mut self, cluster: &ClusterState, bundle: &str, now: Instant) {
        for (reference, history) in &mut self.0 {
            let Some(Cached::Present(configuration)) = cluster.configurations.get(reference) else {
                (history.right, history.repair) = (None, None);
                continue;
            };
            if configuration.carries(bundle) {
                (history.right, history.repair) = (Some(bundle.to_owned()), None);
            } else if history.right.take().is_some_and(|right| right == bundle) {
                history.repair = Some(history.changed(now));
            }
        }
    }

    /// Returns the time from which a configuration may be repaired, if somebody else changed it.
    pub(crate) fn due(&self, reference: &ConfigurationRef) -> Option<Instant> {
        self.0.get(reference).and_then(|history| history.repair)
    }
}

impl History {
    /// Notes a change by somebody else. Returns the time from which it may be repaired.
    fn changed(&mut self, now: Instant) -> Instant {
        if self.last.is_some_and(|last| now.duration_since(last) > FORGET_AFTER) {
            self.changes = 0;
        }
        self.last = Some(now);
        self.changes = self.changes.saturating_add(1);
        now + BACKOFF.after(self.changes.saturating_sub(IMMEDIATE))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_repairs_are_immediate_then_the_wait_doubles_up_to_a_minute() {
        let (mut history, now) = (History::default(), Instant::now());
        let waits: Vec<_> = (0..12).map(|_| (history.changed(now) - now).as_secs()).collect();
        assert_eq!(waits, [0, 0, 0, 1, 2, 4, 8, 16, 32, 60, 60, 60]);
    }

    #[test]
    fn after_ten_quiet_minutes_a_repair_is_immediate_again() {
        let (mut history, now) = (History::default(), Instant::now());
        (0..9).for_each(|_| {
            history.changed(now);
        });
        let later = now + Duration::from_secs(601);
        assert_eq!(history.changed(later), later);
    }
}
