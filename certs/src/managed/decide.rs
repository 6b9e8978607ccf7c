//! PURE: what to write next. No I/O, no clock; the only chance in it is that of a trial signature, which decides nothing.

use jiff::Timestamp;

use super::{
    ConfigurationRef,
    judge::{Leaf, authority, ca_facts, judge_leaf, leaf_facts, renewal, trial},
    state::State,
    trust::Configuration,
};
use crate::{Authority, IssueError, Lifetimes, ServiceNames};

/// What certificates are to be like.
#[derive(Clone, Debug)]
pub struct Policy {
    /// The names of the leaf.
    pub names: ServiceNames,
    /// How long they live.
    pub lifetimes: Lifetimes,
}

/// The next thing to do. At most one thing is written before looking again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Make a new CA and a leaf, and write both.
    Generate(Cause),
    /// Make a new leaf under the CA that is there. The bundle does not change.
    RenewLeaf(Cause),
    /// Write this bundle (PEM) into the configurations that have another.
    Publish {
        /// The bundle, PEM.
        bundle: String,
        /// Those that differ.
        into: Vec<ConfigurationRef>,
    },
    /// Nothing to write. What is `due` wants doing, but not by a step that exists yet, or not by us.
    Rest {
        /// Reported, not done.
        due: Vec<Due>,
    },
}

/// Why certificates are made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cause {
    /// There is no Secret, or nothing of ours in it.
    Missing,
    /// What is there cannot be used.
    Malformed(String),
    /// What is there has expired.
    Expired(Timestamp),
    /// Two thirds of the leaf's life have passed.
    Due(Timestamp),
    /// The leaf lacks a name.
    Name(String),
}

/// What ought to happen soon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Due {
    /// The CA has passed two thirds of its life, at this time.
    Authority(Timestamp),
    /// The CA's key is missing or does not match: the next leaf will need another CA.
    AuthorityKey(String),
    /// The leaf is due, and its CA cannot renew it. A new CA is made when a third of the remaining time is left.
    Renewal(String),
    /// A certificate begins only then: some clock is wrong. Nothing is written until it is right.
    Clock(Timestamp),
}

/// Decides on the next write. `state` is `None` where there is no Secret; `observed` are the configurations that exist.
///
/// An emergency (a new CA) is only what cannot be mended with the CA that is there.
pub fn decide(state: Option<&State>, observed: &[Configuration], policy: &Policy, now: Timestamp) -> Step {
    let Some(state) = state.filter(|state| !state.is_empty()) else {
        return Step::Generate(Cause::Missing);
    };
    let mut due = Vec::new();
    let Some(ca) = state.ca.as_ref() else {
        return Step::Generate(Cause::Malformed("the Secret has no `ca.crt`".to_owned()));
    };
    let ca_facts = match ca_facts(ca) {
        Ok(facts) => facts,
        Err(reason) => return Step::Generate(Cause::Malformed(reason)),
    };
    if now < ca_facts.not_before {
        return Step::Rest { due: vec![Due::Clock(ca_facts.not_before)] };
    }
    if ca_facts.not_after < now {
        return Step::Generate(Cause::Expired(ca_facts.not_after));
    }
    if let Err(error) = authority(ca) {
        due.push(Due::AuthorityKey(error.to_string()));
    }
    if let Some(at) = renewal(&ca_facts, policy.lifetimes.backdate).filter(|at| *at <= now) {
        due.push(Due::Authority(at));
    }
    match judge_leaf(state, policy, now) {
        Leaf::Future(from) => return Step::Rest { due: vec![Due::Clock(from)] },
        Leaf::Good => {}
        Leaf::Wanting { cause, last_call } => match trial(ca, &ca_facts, policy, now) {
            Ok(()) => return Step::RenewLeaf(cause),
            Err(_) if last_call => return Step::Generate(cause),
            Err(reason) => due.push(Due::Renewal(reason)),
        },
        Leaf::Useless(cause) => match trial(ca, &ca_facts, policy, now) {
            Ok(()) => return Step::RenewLeaf(cause),
            Err(_) => return Step::Generate(cause),
        },
    }
    let bundle = state.bundle_at(now).to_pem();
    let into: Vec<_> =
        observed.iter().filter(|one| !one.carries(&bundle)).map(|one| one.reference.clone()).collect();
    if into.is_empty() { Step::Rest { due } } else { Step::Publish { bundle, into } }
}

/// Makes what a step asks for: the contents of the Secret after it. `None` for steps that make nothing.
///
/// A new CA leaves the old one in the bundle while that is valid: replicas serve the old leaf for a moment more.
///
/// # Errors
/// Only what [`IssueError`] names; certificates already there are not touched then.
pub fn mint(
    step: &Step,
    state: Option<&State>,
    policy: &Policy,
    now: Timestamp,
) -> Result<Option<State>, IssueError> {
    let Policy { names, lifetimes } = policy;
    match step {
        Step::Generate(_) => {
            let ca = Authority::generate(&names.required(), lifetimes, now)?;
            let leaf =
                Authority::from_pem(ca.cert.as_bytes(), &ca.key)?.leaf(&names.all(), lifetimes, now)?;
            let bundle = state.map(|state| state.bundle_at(now).to_pem()).unwrap_or_default();
            Ok(Some(State {
                ca: Some(ca.into()),
                leaf: Some(leaf.into()),
                bundle: bundle.into_bytes(),
                ..State::default()
            }))
        }
        Step::RenewLeaf(cause) => {
            let state = state.cloned().unwrap_or_default();
            let ca = state.ca.as_ref().ok_or(IssueError::Key)?;
            let mut wanted = names.all();
            if let Cause::Name(_) = cause {
                // Replicas of two versions may want different names: taking both ends at once what would be a fight.
                let old = state.leaf.as_ref().and_then(|leaf| leaf_facts(leaf).ok());
                let more: Vec<_> = old.map(|facts| facts.names).unwrap_or_default();
                wanted.extend(more.into_iter().filter(|name| !names.all().contains(name)));
            }
            let leaf = authority(ca)?.leaf(&wanted, lifetimes, now)?;
            Ok(Some(State { leaf: Some(leaf.into()), ..state }))
        }
        Step::Publish { .. } | Step::Rest { .. } => Ok(None),
    }
}

impl std::fmt::Display for Cause {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Missing => f.write_str("there was none"),
            Self::Malformed(reason) => write!(f, "the old one cannot be used: {reason}"),
            Self::Expired(at) => write!(f, "the old one expired at {at}"),
            Self::Due(at) => write!(f, "renewal was due at {at}"),
            Self::Name(name) => write!(f, "the old one lacks the name `{name}`"),
        }
    }
}

impl std::fmt::Display for Due {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Authority(at) => write!(f, "the CA is due for rotation since {at}"),
            Self::AuthorityKey(reason) => write!(f, "the CA cannot sign another certificate: {reason}"),
            Self::Renewal(reason) => write!(f, "the certificate cannot be renewed under its CA: {reason}"),
            Self::Clock(from) => {
                write!(f, "a certificate is valid only from {from}: some clock is wrong, nothing is written")
            }
        }
    }
}
