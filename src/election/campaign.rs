//! Decides what to do next in a campaign, without I/O and without a clock: `election.rs` sends the requests that
//! [`Campaign::next`] returns, and passes the responses to [`Campaign::handle`].
//!
//! The one rule that matters: a holder's lease is judged by the local time that has passed since the record was last
//! *seen to change*. What the times in the record say is for people; no two clocks are ever compared.

#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

use super::{Claim, Timing};

/// The content of a Lease that a campaign needs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Record {
    /// The resourceVersion.
    pub(super) version: String,
    /// The holder's identity; empty if nobody holds it.
    pub(super) holder: String,
    /// The lease duration: others leave the Lease alone so long.
    pub(super) lease: Option<Duration>,
    pub(super) acquired: Option<Timestamp>,
    pub(super) renewed: Option<Timestamp>,
    pub(super) transitions: i32,
}

/// The next thing to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Send nothing before this time, unless the campaign changes.
    Wait { until: Instant },
    /// Send this request, and pass its response to [`Campaign::handle`].
    Send(Request),
}

/// A request about the Lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Request {
    Read,
    /// Writes this candidate's name. `renewTime` is the time of writing.
    Write {
        /// The resourceVersion that is replaced. None: the Lease is created.
        version: Option<String>,
        /// The time at which this candidate acquired the Lease. None: by this write.
        acquired: Option<Timestamp>,
        transitions: i32,
    },
}

/// The result of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Response {
    /// The Lease, read.
    Found(Record),
    /// There is no Lease.
    Absent,
    /// The Lease, written.
    Written(Record),
    /// Nothing was written: another candidate wrote first.
    Conflict,
    /// The result is unknown: a write may have happened, or may happen yet.
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
    /// False once something other than time may have made `seen` stale.
    current: bool,
    /// The end of the claim, while this candidate leads.
    leading: Option<Instant>,
    /// The number of this term, or of the last.
    term: u64,
    /// The time of the next request.
    due: Instant,
    /// True if a write met a conflict since the last success: the first conflict is followed by a read immediately,
    /// others after a pause.
    conflicted: bool,
    /// True if the Lease may carry this candidate's name.
    may_hold: bool,
    /// True while this candidate does not want to lead.
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

    /// Makes this candidate stand aside, or want to lead again. Returns true if a term ends by it.
    pub(super) fn stand_aside(&mut self, aside: bool, now: Instant) -> bool {
        self.aside = aside;
        let ends = aside && self.leading.is_some();
        if ends {
            self.step_down(now);
        }
        ends
    }

    /// Decides the next thing to do at `now`. Steps down first if the claim has run out.
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
            // The known record may be stale: writing over it would only conflict.
            _ if !self.current => Request::Read,
            None => Request::Write { version: None, acquired: None, transitions: 0 },
            // A renewal, or a Lease that already carries our name, after an unknown result.
            Some((record, _)) if record.holder == self.identity => Request::Write {
                version: Some(record.version.clone()),
                acquired: record.acquired,
                transitions: record.transitions,
            },
            Some((record, at)) if record.holder.is_empty() || self.expiry(record, *at) <= now => {
                Request::Write {
                    version: Some(record.version.clone()),
                    acquired: None,
                    // The holder changes, which is what `leaseTransitions` counts.
                    transitions: record.transitions.saturating_add(1),
                }
            }
            Some(_) => Request::Read,
        };
        self.may_hold |= request != Request::Read;
        Next::Send(request)
    }

    /// Returns when to give up a request that is sent at `sent`. Half the renew deadline, so that there is a second
    /// try; and never past the end of the claim.
    pub(super) fn deadline(&self, sent: Instant) -> Instant {
        let limit = sent + self.timing.renew() / 2;
        self.leading.map_or(limit, |until| limit.min(until))
    }

    /// Handles the response to the request that was sent at `sent`; `now` is when it arrived.
    pub(super) fn handle(&mut self, sent: Instant, now: Instant, response: Response) {
        match response {
            Response::Written(record) if record.holder == self.identity => {
                self.see(record, now);
                self.conflicted = false;
                // The claim counts from the sending: the others cannot have seen the write before that. A response
                // that comes too late changes nothing, and the next write is due immediately.
                self.due = sent + self.timing.retry();
                let until = sent + self.timing.renew();
                if now < until {
                    // A claim that had run out in between is a new term, even if nobody else led.
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
                // Somebody took the name out: the term ends, whatever time it had left.
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

    /// Returns the claim of this candidate, as of the last `now` that was passed in.
    pub(super) fn claim(&self) -> Claim {
        if let Some(until) = self.leading {
            return Claim::Leading { term: self.term, until };
        }
        let holder = self.seen.as_ref().map(|(record, _)| &record.holder);
        Claim::Following {
            holder: holder.filter(|name| !name.is_empty() && **name != self.identity).cloned(),
        }
    }

    /// Tests whether the Lease may carry this candidate's name, so that it has to be released.
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

    /// Returns the first of: the next request is due, the claim runs out, the watched lease runs out.
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

    /// Returns when the Lease may be taken from a record that has not changed since `at`. The longer of two spans, its
    /// own and that of [`Timing`]: a record that was edited by hand must not make two leaders.
    fn expiry(&self, record: &Record, at: Instant) -> Instant {
        at + record.lease.unwrap_or_default().clamp(self.timing.lease(), Timing::LONGEST)
    }

    /// Draws a pause between three quarters of the retry period and all of it, so that candidates spread.
    fn pause(&mut self) -> Duration {
        self.pauses += 1;
        let mut hasher = DefaultHasher::new();
        (&self.identity, self.pauses).hash(&mut hasher);
        let quarter = self.timing.retry() / 4;
        let part = u32::try_from(hasher.finish() % 1_000).unwrap_or_default();
        quarter * 3 + quarter * part / 1_000
    }
}

/// Tests whether two records are equal but for their resourceVersions.
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
