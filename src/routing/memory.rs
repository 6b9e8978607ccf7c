//! What is remembered of one source between its events. Lost with the process, and not missed: everything that
//! matters is in the objects.

use jiff::{SignedDuration, Timestamp};

use super::plan::Incumbent;

/// Kinds of writes, each of which waits after its own failures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Of slices.
    Slice,
    /// Of leader Services.
    Service,
    /// Of the source.
    Source,
}

/// The memory.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    /// The leader that was last seen written.
    pub incumbent: Option<Incumbent>,
    /// When the status was last written.
    pub told_at: Option<Timestamp>,
    /// What the API server refuses, for the status.
    pub trouble: Option<String>,
    waits: [Wait; 3],
}

/// The wait after failures.
#[derive(Clone, Copy, Debug, Default)]
struct Wait {
    failures: u32,
    until: Option<Timestamp>,
}

impl Kind {
    /// Waits after the first failure and at most, in milliseconds. A failover must not wait for long.
    fn limits(self) -> (i64, i64) {
        match self {
            Self::Slice => (20, 5_000),
            Self::Service | Self::Source => (500, 60_000),
        }
    }
}

impl Memory {
    /// Whether a write of this kind may be tried.
    pub fn may(&self, kind: Kind, now: Timestamp) -> bool {
        self.wait(kind).is_none_or(|until| until <= now)
    }

    /// Until when writes of this kind wait.
    pub fn wait(&self, kind: Kind) -> Option<Timestamp> {
        self.waits[kind as usize].until
    }

    /// A write failed: the next one waits, twice as long as before.
    pub fn failed(&mut self, kind: Kind, now: Timestamp) {
        let (first, last) = kind.limits();
        let wait = &mut self.waits[kind as usize];
        let length = first.saturating_mul(1 << wait.failures.min(20)).min(last);
        wait.failures = wait.failures.saturating_add(1);
        wait.until = now.checked_add(SignedDuration::from_millis(length)).ok();
    }

    /// A write came too late: try again at once, but not for ever.
    pub fn lost(&mut self, kind: Kind, now: Timestamp) {
        let wait = &mut self.waits[kind as usize];
        if wait.failures < 3 {
            wait.failures += 1;
            wait.until = None;
        } else {
            self.failed(kind, now);
        }
    }

    /// A write worked.
    pub fn worked(&mut self, kind: Kind) {
        self.waits[kind as usize] = Wait::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slice_is_tried_soon_and_a_service_patiently() {
        let now = Timestamp::UNIX_EPOCH;
        let mut memory = Memory::default();
        assert!(memory.may(Kind::Slice, now));
        memory.failed(Kind::Slice, now);
        memory.failed(Kind::Service, now);
        let after = |kind| memory.wait(kind).unwrap().as_millisecond();
        assert_eq!((after(Kind::Slice), after(Kind::Service)), (20, 500));
        for _ in 0..40 {
            memory.failed(Kind::Slice, now);
            memory.failed(Kind::Service, now);
        }
        let after = |kind| memory.wait(kind).unwrap().as_millisecond();
        assert_eq!((after(Kind::Slice), after(Kind::Service)), (5_000, 60_000));
        memory.worked(Kind::Slice);
        assert!(memory.may(Kind::Slice, now) && !memory.may(Kind::Service, now));
    }

    #[test]
    fn a_lost_race_is_tried_again_at_once_three_times() {
        let now = Timestamp::UNIX_EPOCH;
        let mut memory = Memory::default();
        for _ in 0..3 {
            memory.lost(Kind::Slice, now);
            assert!(memory.may(Kind::Slice, now));
        }
        memory.lost(Kind::Slice, now);
        assert!(!memory.may(Kind::Slice, now));
    }
}
