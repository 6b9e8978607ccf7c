//! PURE: what to do next in a campaign. No I/O and no clock; the shell in `election.rs` does what [`Campaign::next`]
//! says and tells how it went.
//!
//! The one rule that matters: a holder's lease is judged by the local time that has passed since the record was last
//! *seen to change*. What the times in the record say is for people; no two clocks are ever compared.

#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

use super::{Claim, Timing};

/// What a Lease says, as far as a campaign cares.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Record {
    /// The resourceVersion.
    pub(super) version: String,
    /// Who holds it; empty: nobody.
    pub(super) holder: String,
    /// How long to leave it alone.
    pub(super) lease: Option<Duration>,
    pub(super) acquired: Option<Timestamp>,
    pub(super) renewed: Option<Timestamp>,
    pub(super) transitions: i32,
}

/// What to do now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Nothing.
    Wait { until: Instant },
    /// Make this call and tell how it went.
    Send(Request),
}

/// A call about the Lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Request {
    Read,
    /// Write our name. `renewTime` is the time of writing.
    Write {
        /// Over which resourceVersion. None: there is no Lease.
        version: Option<String>,
        /// When we acquired it. None: by this write.
        acquired: Option<Timestamp>,
        transitions: i32,
    },
}

/// How a call went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Response {
    /// The Lease, read.
    Found(Record),
    /// There is none.
    Absent,
    /// The Lease, written.
    Written(Record),
    /// Not written: somebody else wrote first.
    Conflict,
    /// Not known. A write may have happened, or may happen yet.
    Unknown,
}

/// One candidate's view of a campaign.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "four facts that say nothing of each other")]
pub(super) struct Campaign {
    identity: String,
    timing: Timing,
    /// The record, and when it was last seen to change.
    seen: Option<(Record, Instant)>,
    /// Whether nothing has happened that may have made `seen` stale, but time.
    current: bool,
    /// Until when we lead.
    leading: Option<Instant>,
    /// The number of this term, or of the last.
    term: u64,
    /// When to call again.
    due: Instant,
    /// Whether we were beaten since the last success: once we look again at once, then with a pause.
    conflicted: bool,
    /// Whether the Lease may carry our name.
    may_hold: bool,
    /// Whether we do not want to lead now.
    aside: bool,
    pauses: u64,
}

impl Campaign {
    pub(super) fn new(identity: String, timing: Timing, now: Instant) -> Self {
        Self {
            identity,
            timing,
            seen: None,
            current: false,
            leading: None,
            term: 0,
            due: now,
            conflicted: false,
            may_hold: false,
            aside: false,
            pauses: 0,
        }
    }

    /// Want to lead no more, or again. Whether a term ends by it.
    pub(super) fn stand_aside(&mut self, aside: bool, now: Instant) -> bool {
        self.aside = aside;
        let ends = aside && self.leading.is_some();
        if ends {
            self.step_down(now);
        }
        ends
    }

    /// What to do at `now`. Steps down first if the claim has run out.
    pub(super) fn next(&mut self, now: Instant) -> Next {
        if self.leading.is_some_and(|until| until <= now) {
            self.step_down(now);
        }
        if self.aside {
            return Next::Wait { until: now + self.timing.retry() };
        }
        let until = self.wake();
        if now < until {
            return Next::Wait { until };
        }
        let request = match &self.seen {
            _ if !self.current => Request::Read,
            None => Request::Write { version: None, acquired: None, transitions: 0 },
            Some((record, _)) if record.holder == self.identity => Request::Write {
                version: Some(record.version.clone()),
                acquired: record.acquired,
                transitions: record.transitions,
            },
            Some((record, at)) if record.holder.is_empty() || self.expiry(record, *at) <= now => {
                Request::Write {
                    version: Some(record.version.clone()),
                    acquired: None,
                    transitions: record.transitions.saturating_add(1),
                }
            }
            Some(_) => Request::Read,
        };
        self.may_hold |= request != Request::Read;
        Next::Send(request)
    }

    /// When to give up a call that is sent at `sent`. Half the renew deadline, so that there is a second try; and never
    /// past the end of the claim.
    pub(super) fn deadline(&self, sent: Instant) -> Instant {
        let limit = sent + self.timing.renew() / 2;
        self.leading.map_or(limit, |until| limit.min(until))
    }

    /// Take note of how the call went that was sent at `sent`; `now` is when that became known.
    pub(super) fn handle(&mut self, sent: Instant, now: Instant, response: Response) {
        match response {
            Response::Written(record) if record.holder == self.identity => {
                self.see(record, now);
                self.conflicted = false;
                // From when it was sent: the others cannot have seen it before. An answer that comes too late to lead
                // by changes nothing, and the next write is due at once.
                self.due = sent + self.timing.retry();
                let until = sent + self.timing.renew();
                if now < until {
                    if self.leading.is_none_or(|before| before <= now) {
                        self.term += 1;
                    }
                    self.leading = Some(until);
                }
            }
            Response::Found(record) | Response::Written(record) => {
                let ours = record.holder == self.identity;
                let free = record.holder.is_empty();
                self.see(record, now);
                self.may_hold = ours;
                if self.leading.is_some() && !ours {
                    self.step_down(now);
                }
                self.current = true;
                self.due = if ours || free { now } else { now + self.pause() };
            }
            Response::Absent => {
                self.seen = None;
                self.may_hold = false;
                self.step_down(now);
                self.current = true;
            }
            Response::Conflict => {
                self.current = false;
                self.due = if self.conflicted { now + self.pause() } else { now };
                self.conflicted = true;
            }
            Response::Unknown => {
                self.current = false;
                self.due = now + self.pause();
            }
        }
    }

    /// What we may believe of ourselves, at the time that was last told.
    pub(super) fn claim(&self) -> Claim {
        if let Some(until) = self.leading {
            return Claim::Leading { term: self.term, until };
        }
        let holder = self.seen.as_ref().map(|(record, _)| &record.holder);
        Claim::Following {
            holder: holder.filter(|name| !name.is_empty() && **name != self.identity).cloned(),
        }
    }

    /// Whether the Lease may carry our name, so that it has to be released.
    pub(super) fn may_hold(&self) -> bool {
        self.may_hold
    }

    fn step_down(&mut self, now: Instant) {
        self.leading = None;
        self.current = false;
        self.due = now;
    }

    fn see(&mut self, record: Record, now: Instant) {
        self.current = true;
        let at = match &self.seen {
            // A touch of the metadata is no sign of life.
            Some((known, at)) if same(known, &record) => *at,
            _ => now,
        };
        self.seen = Some((record, at));
    }

    /// When the next call is due, or the claim runs out, or the lease that we watch.
    fn wake(&self) -> Instant {
        let mut wake = self.due;
        if let Some(until) = self.leading {
            wake = wake.min(until);
        } else if self.current
            && let Some((record, at)) = &self.seen
        {
            wake = wake.min(self.expiry(record, *at));
        }
        wake
    }

    /// When a record that has not changed since `at` may be taken. The longer of two spans, its own and ours: a record
    /// that was edited by hand must not make two leaders.
    fn expiry(&self, record: &Record, at: Instant) -> Instant {
        at + record.lease.unwrap_or_default().clamp(self.timing.lease(), Timing::LONGEST)
    }

    /// Between three quarters of the retry period and the whole, so that candidates spread.
    fn pause(&mut self) -> Duration {
        self.pauses += 1;
        let mut hasher = DefaultHasher::new();
        (&self.identity, self.pauses).hash(&mut hasher);
        let quarter = self.timing.retry() / 4;
        let part = u32::try_from(hasher.finish() % 1_000).unwrap_or_default();
        quarter * 3 + quarter * part / 1_000
    }
}

/// Whether two records say the same, whatever their resourceVersions.
fn same(a: &Record, b: &Record) -> bool {
    let Record { version: _, holder, lease, acquired, renewed, transitions } = a;
    *holder == b.holder
        && *lease == b.lease
        && *acquired == b.acquired
        && *renewed == b.renewed
        && *transitions == b.transitions
}

#[cfg(test)]
mod tests;
