//! PURE: how long to wait before setting right, once more, what another tool keeps changing.

use std::time::Duration;

use tokio::time::Instant;

/// This many repairs are made at once; each further one waits twice as long as the one before.
const AT_ONCE: u32 = 3;
const LONGEST: Duration = Duration::from_mins(1);
/// After this long without a change the other tool is forgiven.
const FORGIVEN: Duration = Duration::from_mins(10);

/// One configuration's history of being changed by others.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Patience {
    strikes: u32,
    last: Option<Instant>,
}

impl Patience {
    /// Notes a change by somebody else; says when it may be repaired.
    pub(crate) fn strike(&mut self, now: Instant) -> Instant {
        if self.last.is_some_and(|last| now.duration_since(last) > FORGIVEN) {
            self.strikes = 0;
        }
        self.last = Some(now);
        self.strikes = self.strikes.saturating_add(1);
        match self.strikes.checked_sub(AT_ONCE + 1) {
            None => now,
            Some(doublings) => now + Duration::from_secs(1 << doublings.min(6)).min(LONGEST),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_repairs_are_immediate_then_the_wait_doubles_up_to_a_minute() {
        let now = Instant::now();
        let mut patience = Patience::default();
        let waits: Vec<_> = (0..12).map(|_| (patience.strike(now) - now).as_secs()).collect();
        assert_eq!(waits, [0, 0, 0, 1, 2, 4, 8, 16, 32, 60, 60, 60]);
    }

    #[test]
    fn ten_quiet_minutes_are_forgiveness() {
        let now = Instant::now();
        let mut patience = Patience::default();
        (0..9).for_each(|_| {
            patience.strike(now);
        });
        let later = now + Duration::from_secs(601);
        assert_eq!(patience.strike(later), later);
    }
}
