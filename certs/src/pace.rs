//! PURE: how often is written at all. A mistake in deciding costs one write in ten seconds, and is told.

use std::time::Duration;

use tokio::time::Instant;

/// Writes at once: several rotations, and the repairs of a quarrel with another tool.
const BURST: u32 = 60;
/// The wait for each one after that.
const EACH: Duration = Duration::from_secs(10);

/// The writes of late.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Pace {
    /// When a whole burst will be free again; each write puts it off.
    free: Option<Instant>,
    told: bool,
}

/// A write that has to wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Held {
    pub(crate) until: Instant,
    /// Whether it is the first that waits since writes were rare.
    pub(crate) first: bool,
}

impl Pace {
    /// Takes a write, or says until when it has to wait.
    pub(crate) fn take(&mut self, now: Instant) -> Result<(), Held> {
        let free = self.free.map_or(now, |free| free.max(now)) + EACH;
        let until = free.checked_sub(EACH * BURST).filter(|until| *until > now);
        if let Some(until) = until {
            return Err(Held { until, first: !std::mem::replace(&mut self.told, true) });
        }
        if free.duration_since(now) <= EACH * BURST / 2 {
            self.told = false;
        }
        self.free = Some(free);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_free_and_then_each_write_waits_and_the_first_is_told() {
        let (mut pace, now) = (Pace::default(), Instant::now());
        let later = now + EACH * BURST * 2; // an instant from which can be counted back
        for n in 0..BURST {
            assert_eq!(pace.take(later), Ok(()), "{n}");
        }
        assert_eq!(pace.take(later), Err(Held { until: later + EACH, first: true }));
        assert_eq!(pace.take(later), Err(Held { until: later + EACH, first: false }));
        assert_eq!(pace.take(later + EACH), Ok(()));
        assert!(pace.take(later + EACH).is_err());
        // Quiet for as long as half a burst takes: it is told again.
        let quiet = later + EACH + EACH * BURST / 2;
        let free = (0..1_000).take_while(|_| pace.take(quiet).is_ok()).count();
        assert_eq!(free, 30);
        assert!(!pace.take(quiet).unwrap_err().first);
        let quiet = quiet + EACH * BURST;
        pace.take(quiet).unwrap();
        while pace.take(quiet).is_ok() {}
        assert!(pace.take(quiet + Duration::from_secs(1)).is_err());
    }
}
