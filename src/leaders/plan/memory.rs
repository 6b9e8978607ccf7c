//! What is remembered of one source between its events. Lost with the process, and not missed: everything that
//! matters is in the objects.

use std::time::Duration;

use jiff::Timestamp;

use super::incumbent::Incumbent;
use super::limit::Limit;
use crate::pacing::Backoff;

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
    /// The pod that led last, name and UID: also while nobody leads.
    pub last: Option<(String, String)>,
    /// When the status was last written.
    pub told_at: Option<Timestamp>,
    waits: [Wait; 3],
}

/// The wait of one kind of writes: after failures, and after too many.
#[derive(Clone, Debug, Default)]
struct Wait {
    failures: u32,
    until: Option<Timestamp>,
    trouble: Option<String>,
    limit: Limit,
}

impl Kind {
    /// What is written, for people.
    pub(crate) fn what(self) -> &'static str {
        match self {
            Self::Slice => "the EndpointSlice",
            Self::Service => "the leader Service",
            Self::Source => "the Service",
        }
    }

    /// The waits after failures. A failover must not wait for long.
    fn backoff(self) -> Backoff {
        match self {
            Self::Slice => Backoff { first: Duration::from_millis(20), longest: Duration::from_secs(5) },
            Self::Service | Self::Source => {
                Backoff { first: Duration::from_millis(500), longest: Duration::from_mins(1) }
            }
        }
    }
}

impl Memory {
    /// Whether a write of this kind may be tried.
    pub fn may(&self, kind: Kind, now: Timestamp) -> bool {
        self.wait(kind, now).is_none()
    }

    /// Until when writes of this kind wait, if they do.
    pub fn wait(&self, kind: Kind, now: Timestamp) -> Option<Timestamp> {
        let Wait { until, limit, .. } = &self.waits[kind as usize];
        until.filter(|until| *until > now).max(limit.until(now))
    }

    /// Whether writes of this kind wait only because there were too many.
    pub fn is_limited(&self, kind: Kind, now: Timestamp) -> bool {
        self.waits[kind as usize].limit.until(now).is_some()
    }

    /// A write of this kind is sent. Gives whether such writes have been waiting because there were too many.
    pub fn sent(&mut self, kind: Kind, now: Timestamp) -> bool {
        let limit = &mut self.waits[kind as usize].limit;
        limit.spend(now);
        limit.is_told()
    }

    /// Note that it is told that writes of this kind wait because there were too many. Gives whether that is news.
    pub fn tell_limit(&mut self, kind: Kind) -> bool {
        self.waits[kind as usize].limit.tell()
    }

    /// Let time pass.
    pub fn look(&mut self, now: Timestamp) {
        self.waits.iter_mut().for_each(|wait| wait.limit.look(now));
    }

    /// What the API server refuses, for the status.
    pub fn trouble(&self, kind: Kind) -> Option<&String> {
        self.waits[kind as usize].trouble.as_ref()
    }

    /// The API server refuses writes of this kind, until one works.
    pub fn set_trouble(&mut self, kind: Kind, what: String) {
        self.waits[kind as usize].trouble = Some(what);
    }

    /// A write failed: the next one waits, twice as long as before.
    pub fn failed(&mut self, kind: Kind, now: Timestamp) {
        let wait = &mut self.waits[kind as usize];
        wait.until = now.checked_add(kind.backoff().after(wait.failures)).ok();
        wait.failures = wait.failures.saturating_add(1);
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
        let wait = &mut self.waits[kind as usize];
        *wait = Wait { limit: wait.limit, ..Wait::default() };
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
        let after = |kind| memory.wait(kind, now).unwrap().as_millisecond();
        assert_eq!((after(Kind::Slice), after(Kind::Service)), (20, 500));
        for _ in 0..40 {
            memory.failed(Kind::Slice, now);
            memory.failed(Kind::Service, now);
        }
        let after = |kind| memory.wait(kind, now).unwrap().as_millisecond();
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
