//! Decides on the next write. Its only randomness is in a trial signature, whose value decides nothing.
//!
//! ```text
//! stable ──stage──► staged ──publish, date──► published ──wait, activate──► activated ──confirm──► confirmed ──retire──► stable
//!                     ▲                          │  ▲
//!                     └── next pair broken ──────┘  └── a configuration changed: publish, date again, wait again
//! ```
//!
//! | phase | served | trusted |
//! |---|---|---|
//! | stable | leaf | CA |
//! | staged, published | leaf | CA, next CA |
//! | activated | what was the next leaf | its CA, the old CA |
//! | confirmed | the same | its CA |

use jiff::Timestamp;

use crate::managed::plan::configuration::{Configuration, ConfigurationRef};
use crate::managed::plan::judge::{Ca, Judge, Leaf, Obstacle, Orphan};
use crate::managed::plan::notary::{Notary, X509};
use crate::managed::plan::policy::Policy;
use crate::managed::plan::replicas::Served;
use crate::managed::plan::secret::{Phase, State};
use crate::managed::plan::step::{Cause, Due, Step, Wait};

/// The cluster as a writer sees it, besides the Secret.
#[derive(Clone, Copy, Debug, Default)]
pub struct Observation<'a> {
    /// The configurations that exist.
    pub configurations: &'a [Configuration],
    /// True once every configuration has been read, or is known not to exist.
    pub complete: bool,
    /// True once the bundle with the next CA has been in every configuration for the whole wait, without a break, as
    /// observed by this writer itself on its steady clock.
    pub waited: bool,
    /// Every replica that is, or may become, ready. `None`: not known.
    pub replicas: Option<&'a [Served]>,
}

/// Decides on the next write. `state` is `None` where there is no Secret.
///
/// An emergency (a new CA that is served immediately) is a state that cannot be repaired with what the Secret holds.
pub fn decide(state: Option<&State>, observation: &Observation<'_>, policy: &Policy, now: Timestamp) -> Step {
    decide_by(&X509, state, observation, policy, now)
}

pub(crate) fn decide_by<N: Notary>(
    notary: &N,
    state: Option<&State>,
    observation: &Observation<'_>,
    policy: &Policy,
    now: Timestamp,
) -> Step {
    let Some(state) = state.filter(|state| !state.is_empty()) else {
        return Step::Generate(Cause::Missing);
    };
    let judge = Judge { notary, policy, now };
    let next = if under_way(state) { judge.next(state) } else { Err(String::new()) };
    let mut due = Vec::new();
    match repair(&judge, state, observation, next.is_ok(), &mut due) {
        Some(step) => step,
        None => rotate(&judge, state, observation, next, due),
    }
}

fn under_way(state: &State) -> bool {
    matches!(state.phase, Phase::Staged | Phase::Published)
}

fn stage(cause: Cause) -> Step {
    Step::Stage { cause, keep: String::new() }
}

/// Decides on what the current CA and leaf need, which comes before the rotation. `None`: nothing; `due` may have grown.
fn repair<N: Notary>(
    judge: &Judge<'_, N>,
    state: &State,
    observation: &Observation<'_>,
    next_ready: bool,
    due: &mut Vec<Due>,
) -> Option<Step> {
    let clock = |from| Some(Step::Rest { due: vec![Due::Clock(from)], wait: Wait::Nothing });
    let (facts, ca_due) = match judge.ca(state) {
        Ca::Future(from) => return clock(from),
        Ca::Lost(cause) => {
            // Without its CA the leaf may still be valid for a while: time enough to rotate in order.
            return match judge.orphan(state, observation.configurations) {
                Orphan::Kept if next_ready => None,
                Orphan::Kept => Some(stage(cause)),
                Orphan::Published(keep) => Some(Step::Stage { cause, keep }),
                Orphan::Untrusted if next_ready => Some(Step::Activate { waited: false }),
                Orphan::Untrusted => Some(Step::Generate(cause)),
            };
        }
        Ca::Valid { facts, due } => (facts, due),
    };
    if let Some(ca) = &state.ca
        && let Err(error) = judge.notary.signs(ca)
    {
        due.push(Due::AuthorityKey(error.to_string()));
    }
    let stable = state.phase == Phase::Stable;
    match judge.leaf(state) {
        Leaf::Future(from) => clock(from),
        Leaf::Useless(cause) => Some(match judge.try_renewal(state.ca.as_ref(), &facts) {
            Ok(()) => Step::RenewLeaf(cause),
            Err(_) if next_ready => Step::Activate { waited: false },
            Err(_) => Step::Generate(cause),
        }),
        // Staging a next CA also makes a next leaf: the current one need not be renewed before that.
        Leaf::Good | Leaf::Wanting { urgent: false, .. } if stable && ca_due.is_some() => {
            ca_due.map(|at| stage(Cause::Due(at)))
        }
        Leaf::Good => None,
        Leaf::Wanting { cause: Cause::Due(_), urgent: false } if under_way(state) => None,
        Leaf::Wanting { cause, urgent } => match judge.try_renewal(state.ca.as_ref(), &facts) {
            Ok(()) => Some(Step::RenewLeaf(cause)),
            // The rotation under way brings a CA that can renew it.
            Err(_) if under_way(state) => None,
            Err(Obstacle::Authority(reason)) if stable || urgent => Some(stage(Cause::Barren(reason))),
            Err(Obstacle::Wish(reason)) if urgent => Some(stage(Cause::Barren(reason))),
            Err(Obstacle::Authority(reason) | Obstacle::Wish(reason)) => {
                due.push(Due::Renewal(reason));
                None
            }
        },
    }
}

/// Decides on the next step of the rotation, and on the repair of published bundles.
fn rotate<N: Notary>(
    judge: &Judge<'_, N>,
    state: &State,
    observation: &Observation<'_>,
    next: Result<(), String>,
    due: Vec<Due>,
) -> Step {
    if let (true, Err(reason)) = (under_way(state), next) {
        return stage(Cause::Malformed(reason));
    }
    let bundle = judge.notary.bundle(&state.trusted(), judge.now).concat();
    let differ = observation.configurations.iter().filter(|one| !one.carries(&bundle));
    let into: Vec<ConfigurationRef> = differ.map(|one| one.reference.clone()).collect();
    if !into.is_empty() {
        return Step::Publish { bundle, into };
    }
    let rest = |wait| Step::Rest { due, wait };
    if state.phase != Phase::Stable && !observation.complete {
        return rest(Wait::Observation);
    }
    match state.phase {
        Phase::Stable => rest(Wait::Nothing),
        Phase::Staged => Step::Date { to: fingerprint(observation.configurations) },
        Phase::Published => {
            let to = fingerprint(observation.configurations);
            if state.published.as_ref().is_none_or(|published| published.to != to) {
                Step::Date { to }
            } else if observation.waited {
                Step::Activate { waited: true }
            } else {
                rest(Wait::Trust)
            }
        }
        Phase::Activated => match awaited(judge, state, observation) {
            None => Step::Confirm,
            Some(replicas) => rest(Wait::Replicas(replicas)),
        },
        Phase::Confirmed => Step::Retire,
    }
}

/// Identifies the configurations and their generations: a publication into these says nothing about others.
///
/// The API server increments a configuration's generation with every change of its webhooks, and of nothing else.
pub fn fingerprint(configurations: &[Configuration]) -> String {
    let mut lines: Vec<_> = configurations
        .iter()
        .map(|one| format!("{} {} {}\n", one.reference, one.uid, one.generation))
        .collect();
    lines.sort_unstable();
    lines.concat()
}

/// Returns the replicas that may still serve an old leaf. `None`: none can, so the old CA can leave the bundle.
fn awaited<N: Notary>(
    judge: &Judge<'_, N>,
    state: &State,
    observation: &Observation<'_>,
) -> Option<Vec<String>> {
    // The backdating is the allowance for clocks that differ.
    let over = |until: Timestamp| until.checked_add(judge.policy.lifetimes.backdate).ok();
    if state.replaced_until.and_then(over).is_some_and(|over| over < judge.now) {
        return None;
    }
    let Some(replicas) = observation.replicas else { return Some(Vec::new()) };
    let serial = state.leaf.as_ref().and_then(|leaf| judge.notary.facts(&leaf.cert).ok()).map(|f| f.serial);
    let behind: Vec<_> = replicas
        .iter()
        .filter(|replica| serial.is_none() || replica.serial != serial)
        .map(|replica| replica.name.clone())
        .collect();
    (!behind.is_empty()).then_some(behind)
}
