//! Who leads: a pure function of the pods, the incumbent, the settings and the time.
//!
//! Also says when to ask again if nothing changes meanwhile, and of every pod why it may or may not lead, which is
//! what `headworks leader why` prints.

use std::cmp::{Ordering, Reverse};
use std::fmt;

use jiff::{SignedDuration, Timestamp};

use super::model::{Family, Pod};
use super::settings::{Claim, Settings, Strategy};

/// What is asked.
pub struct Question<'a> {
    /// What the source asks for.
    pub settings: &'a Settings,
    /// The family in which a candidate must have an address.
    pub family: Family,
    /// The pods that the source's selector matches.
    pub pods: &'a [&'a Pod],
    /// The UID of the pod that leads now.
    pub incumbent: Option<&'a str>,
    /// Since when a node is not Ready.
    pub down: &'a dyn Fn(&str) -> Option<Timestamp>,
    /// How long a node may be not Ready until its pods are given up.
    pub node_grace: SignedDuration,
    /// The Lease that strategy lease names, if somebody holds it.
    pub lease: Option<Held<'a>>,
    /// The time.
    pub now: Timestamp,
}

/// A Lease that somebody holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held<'a> {
    /// The holder, as it calls itself.
    pub holder: &'a str,
    /// Until when, by the clock of whoever asks.
    pub until: Timestamp,
}

/// What is answered.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer<'a> {
    /// Who leads, and how its endpoint is marked.
    pub leader: Option<Leader<'a>>,
    /// Why.
    pub reason: Reason,
    /// When to ask again if nothing changes.
    pub due: Option<Timestamp>,
    /// How many candidates there are.
    pub candidates: usize,
    /// Who would lead if the leader went now.
    pub standby: Option<&'a Pod>,
    /// More than one pod claims to lead.
    pub ambiguous: bool,
}

/// The one endpoint.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Leader<'a> {
    /// The pod.
    pub pod: &'a Pod,
    /// Whether new connections should come to it.
    pub ready: bool,
    /// Whether it answers.
    pub serving: bool,
    /// Whether it is on its way out.
    pub terminating: bool,
}

/// Why that pod, or none, leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// It led before and still can.
    Incumbent,
    /// It is the best by the strategy.
    Best,
    /// A user asked for it.
    Promoted,
    /// It holds the Lease.
    LeaseHolder,
    /// It is not ready, and waited for.
    HoldDown,
    /// It is terminating, serves still, and there is nobody else.
    LastResort,
    /// No pod is selected.
    NoPodsFound,
    /// No pod may lead.
    NoReadyPods,
    /// Nobody holds the Lease, or no candidate does.
    NoLeaseHolder,
}

impl Reason {
    /// As the status says it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Incumbent => "Incumbent",
            Self::Best => "Best",
            Self::Promoted => "Promoted",
            Self::LeaseHolder => "LeaseHolder",
            Self::HoldDown => "HoldDown",
            Self::LastResort => "LastResort",
            Self::NoPodsFound => "NoPodsFound",
            Self::NoReadyPods => "NoReadyPods",
            Self::NoLeaseHolder => "NoLeaseHolder",
        }
    }
}

/// Whether a pod may lead, and if not, why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It may.
    Candidate,
    /// It may from then on.
    Young(Timestamp),
    /// It has a deletionTimestamp.
    Terminating,
    /// Its phase is not Running.
    NotRunning,
    /// It has no address of the family.
    NoAddress,
    /// Its node is not Ready since then, and given up.
    NodeDown(Timestamp),
    /// Its condition Ready is not True since then.
    NotReady(Timestamp),
    /// The candidate selector does not match it.
    Unclaimed,
}

impl Standing {
    /// Whether the specification calls it a candidate; a young one is.
    pub fn is_candidate(self) -> bool {
        matches!(self, Self::Candidate | Self::Young(_))
    }

    /// A bounded word, for metrics: why an incumbent of this standing was left.
    pub fn cause(self) -> &'static str {
        match self {
            Self::Candidate | Self::Young(_) => "better_candidate",
            Self::Terminating => "terminating",
            Self::NotRunning => "not_running",
            Self::NoAddress => "no_address",
            Self::NodeDown(_) => "node_down",
            Self::NotReady(_) => "not_ready",
            Self::Unclaimed => "unclaimed",
        }
    }
}

impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Candidate => f.write_str("may lead"),
            Self::Young(until) => {
                write!(f, "may lead at {}, when it has been ready for long enough", second(*until))
            }
            Self::Terminating => f.write_str("is terminating"),
            Self::NotRunning => f.write_str("is not running"),
            Self::NoAddress => f.write_str("has no address of the Service's family"),
            Self::NodeDown(since) => write!(f, "its node is not ready since {}", second(*since)),
            Self::NotReady(since) => write!(f, "is not ready since {}", second(*since)),
            Self::Unclaimed => f.write_str("is not matched by the candidate selector"),
        }
    }
}

fn second(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).unwrap_or(time)
}

impl<'a> Question<'a> {
    /// Whether this pod may lead.
    pub fn standing(&self, pod: &Pod) -> Standing {
        if pod.meta.terminating {
            return Standing::Terminating;
        }
        if !self.is_claimed(pod) {
            return Standing::Unclaimed;
        }
        if !pod.running {
            return Standing::NotRunning;
        }
        if pod.address(self.family).is_none() {
            return Standing::NoAddress;
        }
        if let Some(since) = self.node_down(pod)
            && since.saturating_add_(self.node_grace) <= self.now
        {
            return Standing::NodeDown(since);
        }
        if !pod.ready {
            return Standing::NotReady(pod.since);
        }
        let old_enough = pod.since.saturating_add_(self.settings.min_ready);
        let incumbent = self.incumbent == Some(&*pod.meta.uid);
        if old_enough > self.now && !incumbent { Standing::Young(old_enough) } else { Standing::Candidate }
    }

    fn is_claimed(&self, pod: &Pod) -> bool {
        self.settings.claim.admits(pod).unwrap_or_else(|| self.incumbent == Some(&*pod.meta.uid))
    }

    fn node_down(&self, pod: &Pod) -> Option<Timestamp> {
        (self.down)(pod.node.as_deref()?)
    }

    /// Who leads.
    pub fn answer(&self) -> Answer<'a> {
        let standings: Vec<(&'a Pod, Standing)> =
            self.pods.iter().map(|pod| (*pod, self.standing(pod))).collect();
        let candidates = standings.iter().filter(|(_, standing)| standing.is_candidate()).count();
        let mut due = self.changes_of_time(&standings);
        let incumbent = standings.iter().find(|(pod, _)| self.incumbent == Some(&*pod.meta.uid)).copied();
        let (leader, reason) = match &self.settings.strategy {
            Strategy::Lease(_) => self.holder(&standings, &mut due),
            Strategy::Oldest | Strategy::Newest => self.best(&standings, incumbent, &mut due),
        };
        let reason = if leader.is_none() && self.pods.is_empty() { Reason::NoPodsFound } else { reason };
        let leads = |pod: &Pod| leader.is_some_and(|leader| leader.pod.meta.uid == pod.meta.uid);
        let standby = standings
            .iter()
            .filter(|(pod, standing)| *standing == Standing::Candidate && !leads(pod))
            .map(|(pod, _)| *pod)
            .min_by(|a, b| self.compare(a, b));
        let ambiguous = matches!(self.settings.claim, Claim::Labelled(_)) && candidates > 1;
        Answer { leader, reason, due, candidates, standby, ambiguous }
    }

    /// The next instant at which time alone changes a standing.
    fn changes_of_time(&self, standings: &[(&Pod, Standing)]) -> Option<Timestamp> {
        let of = |(pod, standing): &(&Pod, Standing)| {
            let young = if let Standing::Young(until) = standing { Some(*until) } else { None };
            let given_up = self.node_down(pod).map(|since| since.saturating_add_(self.node_grace));
            [young, given_up.filter(|time| *time > self.now)].into_iter().flatten().min()
        };
        standings.iter().filter_map(of).min()
    }

    /// Strategy lease: whom the Lease names, if it can lead.
    fn holder(
        &self,
        standings: &[(&'a Pod, Standing)],
        due: &mut Option<Timestamp>,
    ) -> (Option<Leader<'a>>, Reason) {
        let Some(Held { holder, until }) = self.lease.filter(|held| held.until > self.now) else {
            return (None, Reason::NoLeaseHolder);
        };
        *due = Some(due.map_or(until, |due| due.min(until)));
        let leader = standings
            .iter()
            .find(|(pod, standing)| standing.is_candidate() && is_named(holder, &pod.meta.key.name));
        match leader {
            Some((pod, _)) => (Some(ready(pod)), Reason::LeaseHolder),
            None => (None, Reason::NoLeaseHolder),
        }
    }

    /// The other strategies.
    fn best(
        &self,
        standings: &[(&'a Pod, Standing)],
        incumbent: Option<(&'a Pod, Standing)>,
        due: &mut Option<Timestamp>,
    ) -> (Option<Leader<'a>>, Reason) {
        if let Some(name) = self.settings.promote.as_deref() {
            let promoted = standings
                .iter()
                .find(|(pod, standing)| *pod.meta.key.name == *name && standing.is_candidate());
            if let Some((pod, _)) = promoted {
                return (Some(ready(pod)), Reason::Promoted);
            }
        }
        // Of several claimants the incumbent stays, whatever `sticky` says: nobody knows which claim is right.
        let sticky = self.settings.sticky || matches!(self.settings.claim, Claim::Labelled(_));
        match incumbent {
            Some((pod, Standing::Candidate)) if sticky => return (Some(ready(pod)), Reason::Incumbent),
            Some((pod, Standing::NotReady(since))) => {
                let until = since.saturating_add_(self.settings.hold_down);
                if until > self.now {
                    *due = Some(due.map_or(until, |due| due.min(until)));
                    let leader = Leader { pod, ready: false, serving: false, terminating: false };
                    return (Some(leader), Reason::HoldDown);
                }
            }
            _ => {}
        }
        let best = standings
            .iter()
            .filter(|(_, standing)| *standing == Standing::Candidate)
            .map(|(pod, _)| *pod)
            .min_by(|a, b| self.compare(a, b));
        if let Some(pod) = best {
            let stays = self.incumbent == Some(&*pod.meta.uid);
            return (Some(ready(pod)), if stays { Reason::Incumbent } else { Reason::Best });
        }
        if let Some((pod, Standing::Terminating)) = incumbent
            && self.serves_still(pod)
        {
            return (
                Some(Leader { pod, ready: false, serving: true, terminating: true }),
                Reason::LastResort,
            );
        }
        (None, Reason::NoReadyPods)
    }

    /// Whether a terminating pod still answers, as far as anybody knows.
    fn serves_still(&self, pod: &Pod) -> bool {
        let node_lives =
            self.node_down(pod).is_none_or(|since| since.saturating_add_(self.node_grace) > self.now);
        pod.ready && pod.running && pod.address(self.family).is_some() && node_lives && self.is_claimed(pod)
    }

    /// The better one is the smaller one.
    fn compare(&self, a: &Pod, b: &Pod) -> Ordering {
        let by_name = || a.meta.key.name.cmp(&b.meta.key.name);
        match self.settings.strategy {
            Strategy::Newest => Reverse(a.created).cmp(&Reverse(b.created)).then_with(by_name),
            Strategy::Oldest | Strategy::Lease(_) => a.created.cmp(&b.created).then_with(by_name),
        }
    }
}

fn ready(pod: &Pod) -> Leader<'_> {
    Leader { pod, ready: true, serving: true, terminating: false }
}

/// Whether a holderIdentity means this pod: its name, or its name, `_` and anything, as client-go writes it.
fn is_named(holder: &str, pod: &str) -> bool {
    holder.strip_prefix(pod).is_some_and(|rest| rest.is_empty() || rest.starts_with('_'))
}

/// Times far away stay far away.
trait Later {
    fn saturating_add_(self, span: SignedDuration) -> Self;
}

impl Later for Timestamp {
    fn saturating_add_(self, span: SignedDuration) -> Self {
        self.checked_add(span).unwrap_or(Timestamp::MAX)
    }
}

#[cfg(test)]
mod tests;
