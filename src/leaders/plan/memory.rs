//! The memory of one source between its changes. It is lost with the process and not missed: everything that matters
//! is in the objects.

use std::time::Duration;

use jiff::Timestamp;

use super::incumbent::Incumbent;
use super::limit::Limit;
use crate::pacing::Backoff;

/// The number of failures after which a wait no longer doubles, far beyond every longest wait.
const MOST_DOUBLINGS: u32 = 20;
/// The number of lost races after which the next write waits.
const FREE_RETRIES: u32 = 3;

/// Kinds of writes, by what they write. Each kind waits after its own failures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WriteKind {
    Slice,
    /// The leader Service.
    Service,
    Source,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Memory {
    /// The leader as it was last read from the objects, or acknowledged by a write.
    pub(crate) incumbent: Option<Incumbent>,
    /// Name and UID of the pod that led last, kept while nobody leads.
    pub(crate) last: Option<(String, String)>,
    pub(crate) status_written_at: Option<Timestamp>,
    waits: [Wait; 3],
}

/// The wait of one kind of writes: after failures, and after too many writes.
#[derive(Clone, Debug, Default)]
struct Wait {
    failures: u32,
    until: Option<Timestamp>,
    trouble: Option<String>,
    limit: Limit,
}

impl WriteKind {
    /// The object that is written, for people.
    pub(crate) fn object(self) -> &'static str {
        match self {
            Self::Slice => "the EndpointSlice",
            Self::Service => "the leader Service",
            Self::Source => "the Service",
        }
    }

    /// The first and the longest wait. A failover must not wait for long.
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
    /// Replaces the incumbent.
    pub(crate) fn remember(&mut self, incumbent: Incumbent) {
        if self.incumbent.as_ref() != Some(&incumbent) {
            self.last = incumbent.pod.clone().or_else(|| self.last.take());
            self.incumbent = Some(incumbent);
        }
    }

    /// Checks whether a write of this kind may be made.
    pub(crate) fn may(&self, kind: WriteKind, now: Timestamp) -> bool {
        self.wait(kind, now).is_none()
    }

    /// The end of the wait of this kind, if it waits.
    pub(crate) fn wait(&self, kind: WriteKind, now: Timestamp) -> Option<Timestamp> {
        let Wait { until, limit, .. } = &self.waits[kind as usize];
        until.filter(|until| *until > now).max(limit.until(now))
    }

    /// Checks whether this kind waits because there were too many writes.
    pub(crate) fn is_limited(&self, kind: WriteKind, now: Timestamp) -> bool {
        self.waits[kind as usize].limit.until(now).is_some()
    }

    /// Counts a write that is sent. Gives whether such writes have lately been waiting because there were too many.
    pub(crate) fn sent(&mut self, kind: WriteKind, now: Timestamp) -> bool {
        let limit = &mut self.waits[kind as usize].limit;
        limit.spend(now);
        limit.is_reported()
    }

    /// Records that it is reported that there were too many writes of this kind. Gives whether that is news.
    pub(crate) fn report_limit(&mut self, kind: WriteKind) -> bool {
        self.waits[kind as usize].limit.report()
    }

    /// Lets time pass for the limits of all kinds.
    pub(crate) fn pass_time(&mut self, now: Timestamp) {
        self.waits.iter_mut().for_each(|wait| wait.limit.pass_time(now));
    }

    /// The condition that reports the last refusal, until a write of this kind works.
    pub(crate) fn trouble(&self, kind: WriteKind) -> Option<&String> {
        self.waits[kind as usize].trouble.as_ref()
    }

    pub(crate) fn set_trouble(&mut self, kind: WriteKind, condition: String) {
        self.waits[kind as usize].trouble = Some(condition);
    }

    /// A write failed: the next one waits, twice as long as before.
    pub(crate) fn failed(&mut self, kind: WriteKind, now: Timestamp) {
        let wait = &mut self.waits[kind as usize];
        wait.until = now.checked_add(kind.backoff().after(wait.failures)).ok();
        wait.failures = wait.failures.saturating_add(1);
    }

    /// Only a person can make the next write work: it waits as long as writes of this kind ever do.
    pub(crate) fn give_up(&mut self, kind: WriteKind, now: Timestamp) {
        let wait = &mut self.waits[kind as usize];
        wait.failures = wait.failures.max(MOST_DOUBLINGS);
        self.failed(kind, now);
    }

    /// A write came too late: the next one may follow immediately, but not for ever.
    pub(crate) fn lost(&mut self, kind: WriteKind, now: Timestamp) {
        let wait = &mut self.waits[kind as usize];
        if wait.failures < FREE_RETRIES {
            wait.failures += 1;
            wait.until = None;
        } else {
            self.failed(kind, now);
        }
    }

    /// A write worked: failures and trouble are forgotten, but not the number of writes.
    pub(crate) fn worked(&mut self, kind: WriteKind) {
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
        assert!(memory.may(WriteKind::Slice, now));
        memory.failed(WriteKind::Slice, now);
        memory.failed(WriteKind::Service, now);
        let after = |kind| memory.wait(kind, now).unwrap().as_millisecond();
        assert_eq!((after(WriteKind::Slice), after(WriteKind::Service)), (20, 500));
        for _ in 0..40 {
            memory.failed(WriteKind::Slice, now);
            memory.failed(WriteKind::Service, now);
        }
        let after = |kind| memory.wait(kind, now).unwrap().as_millisecond();
        assert_eq!((after(WriteKind::Slice), after(WriteKind::Service)), (5_000, 60_000));
        memory.worked(WriteKind::Slice);
        assert!(memory.may(WriteKind::Slice, now) && !memory.may(WriteKind::Service, now));
    }

    #[test]
    fn a_lost_race_is_tried_again_immediately_three_times() {
        let now = Timestamp::UNIX_EPOCH;
        let mut memory = Memory::default();
        for _ in 0..3 {
            memory.lost(WriteKind::Slice, now);
            assert!(memory.may(WriteKind::Slice, now));
        }
        memory.lost(WriteKind::Slice, now);
        assert!(!memory.may(WriteKind::Slice, now));
    }

    #[test]
    fn what_is_given_up_waits_as_long_as_possible_until_a_write_works() {
        let now = Timestamp::UNIX_EPOCH;
        let mut memory = Memory::default();
        memory.give_up(WriteKind::Slice, now);
        assert_eq!(memory.wait(WriteKind::Slice, now).unwrap().as_millisecond(), 5_000);
        memory.failed(WriteKind::Slice, now);
        assert_eq!(memory.wait(WriteKind::Slice, now).unwrap().as_millisecond(), 5_000);
        memory.worked(WriteKind::Slice);
        assert!(memory.may(WriteKind::Slice, now));
    }
}
