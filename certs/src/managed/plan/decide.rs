//! PURE: what to write next. No I/O, no clock; the only chance in it is that of a trial signature, which decides nothing.
//!
//! ```text
//! stable ──stage──► staged ──publish, date──► published ──wait, activate──► activated ──confirm──► confirmed ──retire──► stable
//!                     ▲                          │  ▲
//!                     └── next pair spoilt ──────┘  └── a configuration changed: publish, date again, wait again
//! ```
//!
//! | phase | served | trusted |
//! |---|---|---|
//! | stable | leaf | CA |
//! | staged, published | leaf | CA, next CA |
//! | activated | what was the next leaf | its CA, the old CA |
//! | confirmed | the same | its CA |

use jiff::Timestamp;

use super::{
    Configuration, ConfigurationRef,
    judge::{Ca, Judge, Leaf, Obstacle, Orphan},
    notary::{Notary, X509},
    replicas::Served,
    state::{Phase, State},
    step::{Cause, Due, Step, Wait},
};
use crate::{Lifetimes, ServiceNames};

/// What certificates are to be like.
#[derive(Clone, Debug)]
pub struct Policy {
    /// The names of the leaf.
    pub names: ServiceNames,
    /// How long they live.
    pub lifetimes: Lifetimes,
}

/// What a writer sees besides the Secret.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sight<'a> {
    /// The configurations that exist.
    pub configurations: &'a [Configuration],
    /// Every configuration that there may be has been looked for.
    pub complete: bool,
    /// The bundle with the next CA has been in every configuration for the whole wait, without a break: seen by this
    /// writer itself, counted by its steady clock.
    pub waited: bool,
    /// Every replica that is, or may become, ready. `None`: not known.
    pub replicas: Option<&'a [Served]>,
}

/// Decides on the next write. `state` is `None` where there is no Secret.
///
/// An emergency (a new CA served at once) is only what cannot be mended with what is there.
pub fn decide(state: Option<&State>, sight: &Sight<'_>, policy: &Policy, now: Timestamp) -> Step {
    decide_by(&X509, state, sight, policy, now)
}

pub(super) fn decide_by<N: Notary>(
    notary: &N,
    state: Option<&State>,
    sight: &Sight<'_>,
    policy: &Policy,
    now: Timestamp,
) -> Step {
    let Some(state) = state.filter(|state| !state.is_empty()) else {
        return Step::Generate(Cause::Missing);
    };
    let judge = Judge { notary, policy, now };
    let next = if under_way(state) { judge.next(state) } else { Err(String::new()) };
    let mut due = Vec::new();
    match mend(&judge, state, sight, next.is_ok(), &mut due) {
        Some(step) => step,
        None => rotate(&judge, state, sight, next, due),
    }
}

fn under_way(state: &State) -> bool {
    matches!(state.phase, Phase::Staged | Phase::Published)
}

fn stage(cause: Cause) -> Step {
    Step::Stage { cause, keep: String::new() }
}

/// What the current CA and leaf want, before anything else. `None`: nothing; `due` may have grown.
fn mend<N: Notary>(
    judge: &Judge<'_, N>,
    state: &State,
    sight: &Sight<'_>,
    next_ready: bool,
    due: &mut Vec<Due>,
) -> Option<Step> {
    let clock = |from| Some(Step::Rest { due: vec![Due::Clock(from)], wait: Wait::Nothing });
    let (facts, ca_due) = match judge.ca(state) {
        Ca::Future(from) => return clock(from),
        Ca::Lost(cause) => {
            // The CA is gone, and the leaf may serve well for a while: time enough to rotate in order.
            return match judge.orphan(state, sight.configurations) {
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
        Leaf::Useless(cause) => Some(match judge.trial(state.ca.as_ref(), &facts) {
            Ok(()) => Step::RenewLeaf(cause),
            Err(_) if next_ready => Step::Activate { waited: false },
            Err(_) => Step::Generate(cause),
        }),
        // Whoever stages a next CA lays a next leaf beside it: the current one need not be renewed before that.
        Leaf::Good | Leaf::Wanting { last_call: false, .. } if stable && ca_due.is_some() => {
            ca_due.map(|at| stage(Cause::Due(at)))
        }
        Leaf::Good => None,
        Leaf::Wanting { cause: Cause::Due(_), last_call: false } if under_way(state) => None,
        Leaf::Wanting { cause, last_call } => match judge.trial(state.ca.as_ref(), &facts) {
            Ok(()) => Some(Step::RenewLeaf(cause)),
            // The rotation under way brings a CA that can.
            Err(_) if under_way(state) => None,
            Err(Obstacle::Authority(reason)) if stable || last_call => Some(stage(Cause::Barren(reason))),
            Err(Obstacle::Wish(reason)) if last_call => Some(stage(Cause::Barren(reason))),
            Err(Obstacle::Authority(reason) | Obstacle::Wish(reason)) => {
                due.push(Due::Renewal(reason));
                None
            }
        },
    }
}

/// The rotation itself, and the repair of what is published.
fn rotate<N: Notary>(
    judge: &Judge<'_, N>,
    state: &State,
    sight: &Sight<'_>,
    next: Result<(), String>,
    due: Vec<Due>,
) -> Step {
    if let (true, Err(reason)) = (under_way(state), next) {
        return stage(Cause::Malformed(reason));
    }
    let bundle = judge.notary.bundle(&state.trusted(), judge.now).concat();
    let differ = sight.configurations.iter().filter(|one| !one.carries(&bundle));
    let into: Vec<ConfigurationRef> = differ.map(|one| one.reference.clone()).collect();
    if !into.is_empty() {
        return Step::Publish { bundle, into };
    }
    let rest = |wait| Step::Rest { due, wait };
    if state.phase != Phase::Stable && !sight.complete {
        return rest(Wait::Sight);
    }
    match state.phase {
        Phase::Stable => rest(Wait::Nothing),
        Phase::Staged => Step::Date { to: fingerprint(sight.configurations) },
        Phase::Published => {
            let to = fingerprint(sight.configurations);
            if state.published.as_ref().is_none_or(|published| published.to != to) {
                Step::Date { to }
            } else if sight.waited {
                Step::Activate { waited: true }
            } else {
                rest(Wait::Trust)
            }
        }
        Phase::Activated => match awaited(judge, state, sight) {
            None => Step::Confirm,
            Some(replicas) => rest(Wait::Replicas(replicas)),
        },
        Phase::Confirmed => Step::Retire,
    }
}

/// Which configurations there are, and in which generation: what was published into these is not known of others.
///
/// The API server counts a configuration's generation up with every change of its webhooks, and of nothing else.
pub fn fingerprint(configurations: &[Configuration]) -> String {
    let mut lines: Vec<_> = configurations
        .iter()
        .map(|one| format!("{} {} {}\n", one.reference, one.uid, one.generation))
        .collect();
    lines.sort_unstable();
    lines.concat()
}

/// The replicas that may serve an old leaf. `None`: nobody can, so the old CA can go.
fn awaited<N: Notary>(judge: &Judge<'_, N>, state: &State, sight: &Sight<'_>) -> Option<Vec<String>> {
    // The backdating is what we grant clocks that differ.
    let over = |until: Timestamp| until.checked_add(judge.policy.lifetimes.backdate).ok();
    if state.replaced_until.and_then(over).is_some_and(|over| over < judge.now) {
        return None;
    }
    let Some(replicas) = sight.replicas else { return Some(Vec::new()) };
    let serial = state.leaf.as_ref().and_then(|leaf| judge.notary.facts(&leaf.cert).ok()).map(|f| f.serial);
    let behind: Vec<_> = replicas
        .iter()
        .filter(|replica| serial.is_none() || replica.serial != serial)
        .map(|replica| replica.name.clone())
        .collect();
    (!behind.is_empty()).then_some(behind)
}
