//! Chooses the leader from the pods, the incumbent, the settings and the time.
//!
//! The answer includes the time at which to ask again if nothing changes meanwhile. [`Question::eligibility`] says of
//! one pod why it may or may not lead, for `headworks leader why`.

use std::cmp::{Ordering, Reverse};
use std::fmt;

use jiff::{SignedDuration, Timestamp};

use super::model::{Family, Pod};
use super::settings::{Claim, Settings, Strategy};

/// The input of a choice.
pub(crate) struct Question<'a> {
    pub(crate) settings: &'a Settings,
    /// The family in which a candidate must have an address.
    pub(crate) family: Family,
    /// The pods that the source's selector matches.
    pub(crate) pods: &'a [&'a Pod],
    /// The UID of the pod that leads now.
    pub(crate) incumbent: Option<&'a str>,
    /// The time since which a node is not Ready, if it is not.
    pub(crate) down: &'a dyn Fn(&str) -> Option<Timestamp>,
    /// The time for which a node may be not Ready until its pods are given up.
    pub(crate) node_grace: SignedDuration,
    /// The Lease that strategy lease names, if somebody holds it.
    pub(crate) lease: Option<Held<'a>>,
    pub(crate) now: Timestamp,
}

/// A Lease that somebody holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Held<'a> {
    /// The holder's identity.
    pub(crate) holder: &'a str,
    /// The end of the lease, by our own clock.
    pub(crate) until: Timestamp,
}

/// The result of a choice.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Answer<'a> {
    pub(crate) leader: Option<Leader<'a>>,
    pub(crate) reason: Reason,
    /// The time at which to ask again if nothing changes.
    pub(crate) due: Option<Timestamp>,
    pub(crate) candidates: usize,
    /// The pod that would lead if the leader went away now.
    pub(crate) standby: Option<&'a Pod>,
    /// More than one candidate matches the candidate selector.
    pub(crate) ambiguous: bool,
}

/// The leader, with the conditions of its endpoint.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Leader<'a> {
    pub(crate) pod: &'a Pod,
    /// New connections should go to it.
    pub(crate) ready: bool,
    /// It answers.
    pub(crate) serving: bool,
    pub(crate) terminating: bool,
}

/// The reason why that pod leads, or none does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    /// The pod led before, and still may.
    Incumbent,
    /// The pod is the best one by the strategy.
    Best,
    /// A user asked for it.
    Promoted,
    /// The pod holds the Lease.
    LeaseHolder,
    /// The pod led before, is not ready, and keeps the lead for a while.
    HoldDown,
    /// The pod led before, is terminating and still serves, and there is no candidate.
    LastResort,
    /// No pod is selected.
    NoPodsFound,
    /// No pod may lead.
    NoReadyPods,
    /// No candidate holds the Lease.
    NoLeaseHolder,
}

impl Reason {
    pub(crate) fn as_str(self) -> &'static str {
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

/// The answer to whether a pod may lead, with the reason if it may not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Eligibility {
    /// It may lead.
    Candidate,
    /// It may lead from then on, when it has been Ready for long enough.
    Young(Timestamp),
    /// It has a deletionTimestamp.
    Terminating,
    /// Its phase is not Running.
    NotRunning,
    /// It has no address of the family.
    NoAddress,
    /// Its node has not been Ready since then, for longer than the grace.
    NodeDown(Timestamp),
    /// Its condition Ready has not been True since then.
    NotReady(Timestamp),
    /// The candidate selector does not match it.
    Unclaimed,
}

impl Eligibility {
    /// Checks whether it counts as a candidate; one that is young does.
    pub fn is_candidate(self) -> bool {
        matches!(self, Self::Candidate | Self::Young(_))
    }

    /// The reason why an incumbent with this eligibility was left, as a bounded word for metrics.
    pub(crate) fn cause(self) -> &'static str {
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

impl fmt::Display for Eligibility {
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
    /// Checks whether this pod may lead.
    pub(crate) fn eligibility(&self, pod: &Pod) -> Eligibility {
        if pod.meta.terminating {
            return Eligibility::Terminating;
        }
        if !self.is_claimed(pod) {
            return Eligibility::Unclaimed;
        }
        if !pod.running {
            return Eligibility::NotRunning;
        }
        if pod.address(self.family).is_none() {
            return Eligibility::NoAddress;
        }
        if let Some(since) = self.node_down(pod)
            && after(since, self.node_grace) <= self.now
        {
            return Eligibility::NodeDown(since);
        }
        if !pod.ready {
            return Eligibility::NotReady(pod.since);
        }
        let old_enough = after(pod.since, self.settings.min_ready);
        let incumbent = self.incumbent == Some(&*pod.meta.uid);
        if old_enough > self.now && !incumbent {
            Eligibility::Young(old_enough)
        } else {
            Eligibility::Candidate
        }
    }

    fn is_claimed(&self, pod: &Pod) -> bool {
        self.settings.claim.admits(pod).unwrap_or_else(|| self.incumbent == Some(&*pod.meta.uid))
    }

    fn node_down(&self, pod: &Pod) -> Option<Timestamp> {
        (self.down)(pod.node.as_deref()?)
    }

    /// Chooses the leader.
    pub(crate) fn answer(&self) -> Answer<'a> {
        let eligibilities: Vec<(&'a Pod, Eligibility)> =
            self.pods.iter().map(|pod| (*pod, self.eligibility(pod))).collect();
        let candidates = eligibilities.iter().filter(|(_, eligibility)| eligibility.is_candidate()).count();
        let mut due = self.changes_of_time(&eligibilities);
        let incumbent = eligibilities.iter().find(|(pod, _)| self.incumbent == Some(&*pod.meta.uid)).copied();
        let (leader, reason) = match &self.settings.strategy {
            Strategy::Lease(_) => self.holder(&eligibilities, &mut due),
            Strategy::Oldest | Strategy::Newest => self.best(&eligibilities, incumbent, &mut due),
        };
        let reason = if leader.is_none() && self.pods.is_empty() { Reason::NoPodsFound } else { reason };
        let leads = |pod: &Pod| leader.is_some_and(|leader| leader.pod.meta.uid == pod.meta.uid);
        let standby = eligibilities
            .iter()
            .filter(|(pod, eligibility)| *eligibility == Eligibility::Candidate && !leads(pod))
            .map(|(pod, _)| *pod)
            .min_by(|a, b| self.compare(a, b));
        let ambiguous = matches!(self.settings.claim, Claim::Labelled(_)) && candidates > 1;
        Answer { leader, reason, due, candidates, standby, ambiguous }
    }

    /// The next instant at which time alone changes the eligibility of a pod.
    fn changes_of_time(&self, eligibilities: &[(&Pod, Eligibility)]) -> Option<Timestamp> {
        let of = |(pod, eligibility): &(&Pod, Eligibility)| {
            let young = if let Eligibility::Young(until) = eligibility { Some(*until) } else { None };
            let given_up = self.node_down(pod).map(|since| after(since, self.node_grace));
            [young, given_up.filter(|time| *time > self.now)].into_iter().flatten().min()
        };
        eligibilities.iter().filter_map(of).min()
    }

    /// Strategy lease: the pod that the Lease names, if it is a candidate.
    fn holder(
        &self,
        eligibilities: &[(&'a Pod, Eligibility)],
        due: &mut Option<Timestamp>,
    ) -> (Option<Leader<'a>>, Reason) {
        let Some(Held { holder, until }) = self.lease.filter(|held| held.until > self.now) else {
            return (None, Reason::NoLeaseHolder);
        };
        *due = Some(due.map_or(until, |due| due.min(until)));
        let leader = eligibilities
            .iter()
            .find(|(pod, eligibility)| eligibility.is_candidate() && is_named(holder, &pod.meta.key.name));
        match leader {
            Some((pod, _)) => (Some(ready(pod)), Reason::LeaseHolder),
            None => (None, Reason::NoLeaseHolder),
        }
    }

    /// Strategies oldest and newest.
    fn best(
        &self,
        eligibilities: &[(&'a Pod, Eligibility)],
        incumbent: Option<(&'a Pod, Eligibility)>,
        due: &mut Option<Timestamp>,
    ) -> (Option<Leader<'a>>, Reason) {
        if let Some(name) = self.settings.promote.as_deref() {
            let promoted = eligibilities
                .iter()
                .find(|(pod, eligibility)| *pod.meta.key.name == *name && eligibility.is_candidate());
            if let Some((pod, _)) = promoted {
                return (Some(ready(pod)), Reason::Promoted);
            }
        }
        // With a candidate selector the incumbent stays, whatever `sticky` says: of several pods that match it, nobody
        // knows which one is right.
        let sticky = self.settings.sticky || matches!(self.settings.claim, Claim::Labelled(_));
        match incumbent {
            Some((pod, Eligibility::Candidate)) if sticky => return (Some(ready(pod)), Reason::Incumbent),
            Some((pod, Eligibility::NotReady(since))) => {
                let until = after(since, self.settings.hold_down);
                if until > self.now {
                    *due = Some(due.map_or(until, |due| due.min(until)));
                    let leader = Leader { pod, ready: false, serving: false, terminating: false };
                    return (Some(leader), Reason::HoldDown);
                }
            }
            _ => {}
        }
        let best = eligibilities
            .iter()
            .filter(|(_, eligibility)| *eligibility == Eligibility::Candidate)
            .map(|(pod, _)| *pod)
            .min_by(|a, b| self.compare(a, b));
        if let Some(pod) = best {
            let stays = self.incumbent == Some(&*pod.meta.uid);
            return (Some(ready(pod)), if stays { Reason::Incumbent } else { Reason::Best });
        }
        if let Some((pod, Eligibility::Terminating)) = incumbent
            && self.serves_still(pod)
        {
            return (
                Some(Leader { pod, ready: false, serving: true, terminating: true }),
                Reason::LastResort,
            );
        }
        (None, Reason::NoReadyPods)
    }

    /// Checks whether a terminating pod still answers, as far as is known.
    fn serves_still(&self, pod: &Pod) -> bool {
        let node_lives = self.node_down(pod).is_none_or(|since| after(since, self.node_grace) > self.now);
        pod.ready && pod.running && pod.address(self.family).is_some() && node_lives && self.is_claimed(pod)
    }

    /// Orders pods by the strategy, the best one first.
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

/// Checks whether a `holderIdentity` names this pod: its name, or its name, `_` and anything, as client-go writes it.
fn is_named(holder: &str, pod: &str) -> bool {
    holder.strip_prefix(pod).is_some_and(|rest| rest.is_empty() || rest.starts_with('_'))
}

/// The time `span` after `time`, or the last time there is.
fn after(time: Timestamp, span: SignedDuration) -> Timestamp {
    time.checked_add(span).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests;
