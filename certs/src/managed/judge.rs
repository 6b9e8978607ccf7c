//! PURE: what the certificates in the Secret are worth.

use jiff::{SignedDuration, Timestamp};

use super::{
    decide::{Cause, Policy},
    state::{Material, Phase, State},
};
use crate::{Authority, Bundle, Facts, IssueError, Pair, Rejection};

/// What the current leaf is good for.
pub(super) enum Leaf {
    Good,
    /// Begins later.
    Future(Timestamp),
    /// Serves well, and ought to be replaced: by this CA while that can be, by a new one at the last call.
    Wanting {
        cause: Cause,
        last_call: bool,
    },
    /// Cannot be served.
    Useless(Cause),
}

pub(super) fn judge_leaf(state: &State, policy: &Policy, now: Timestamp) -> Leaf {
    let useless = |reason: &str| Leaf::Useless(Cause::Malformed(reason.to_owned()));
    let Some(leaf) = &state.leaf else { return useless("the Secret has no `tls.crt`") };
    let Some(key) = &leaf.key else { return useless("the Secret has no `tls.key`") };
    let required = policy.names.required();
    let pair = match Pair::parse(&leaf.cert, key.expose().as_bytes(), &[&required], now) {
        Ok(pair) => pair,
        Err(Rejection::NotYetValid { not_before, .. }) => return Leaf::Future(not_before),
        Err(Rejection::Expired { not_after, .. }) => return Leaf::Useless(Cause::Expired(not_after)),
        Err(Rejection::Name { expected, .. }) => return Leaf::Useless(Cause::Name(expected)),
        Err(other) => return useless(&other.to_string()),
    };
    let trusted = state.ca.iter().map(|ca| ca.cert.as_slice());
    if let Err(reason) = Bundle::of(trusted, now).verify(pair.chain(), &required, now) {
        return useless(&format!("`tls.crt` does not verify under `ca.crt`: {reason}"));
    }
    let due = renewal(pair.facts(), policy.lifetimes.backdate)
        .filter(|at| *at <= now && state.phase == Phase::Stable);
    let left = |since: Timestamp| pair.not_after().duration_since(since).as_secs();
    let last_call = due.is_some_and(|at| left(now) < left(at) / 3);
    let lacks = policy.names.all().into_iter().find(|name| !pair.names().contains(name));
    match lacks.map(Cause::Name).or(due.map(Cause::Due)) {
        Some(cause) => Leaf::Wanting { cause, last_call },
        None => Leaf::Good,
    }
}

/// Two thirds of the life less up to a tenth. Life counts from the making, not from the backdated beginning, or an hour
/// of backdating would make a certificate of minutes due at once. The jitter comes from the serial number: random
/// between certificates, the same on every replica.
pub(super) fn renewal(facts: &Facts, backdate: SignedDuration) -> Option<Timestamp> {
    let made = facts.not_before.checked_add(backdate).ok()?.min(facts.not_after);
    let life = facts.not_after.duration_since(made).as_secs();
    let low = facts.serial.len().saturating_sub(4);
    let random = facts.serial.get(low..).and_then(|digits| i64::from_str_radix(digits, 16).ok()).unwrap_or(0);
    let jitter = life / 10 * random / 0xffff;
    made.checked_add(SignedDuration::from_secs(life / 3 * 2 - jitter)).ok()
}

pub(super) fn ca_facts(ca: &Material) -> Result<Facts, String> {
    let facts = leaf_facts(ca).map_err(|reason| format!("`ca.crt`: {reason}"))?;
    if facts.is_ca { Ok(facts) } else { Err("`ca.crt` is not a CA certificate".to_owned()) }
}

pub(super) fn leaf_facts(material: &Material) -> Result<Facts, String> {
    let chain = crate::pair::chain(&material.cert).map_err(|rejection| rejection.to_string())?;
    Facts::of(chain.first().ok_or("no certificate")?)
}

/// Whether the CA can renew the leaf: tries it. Any lesser proof has gaps (a CA certificate that one parser takes and
/// another refuses, a name that reads back otherwise, a CA too near its end), and a renewal that leaves the leaf wanting
/// would be repeated for ever.
pub(super) fn trial(ca: &Material, ca_facts: &Facts, policy: &Policy, now: Timestamp) -> Result<(), String> {
    let (required, all) = (policy.names.required(), policy.names.all());
    let leaf = authority(ca)
        .and_then(|signer| signer.leaf(&all, &policy.lifetimes, now))
        .map_err(|error| error.to_string())?;
    let pair = Pair::parse(leaf.cert.as_bytes(), leaf.key.expose().as_bytes(), &[&required], now)
        .map_err(|rejection| rejection.to_string())?;
    Bundle::of([ca.cert.as_slice()], now).verify(pair.chain(), &required, now)?;
    if let Some(name) = all.iter().find(|name| !pair.names().contains(name)) {
        return Err(format!("a certificate cannot carry the name `{name}`"));
    }
    if renewal(pair.facts(), policy.lifetimes.backdate).is_none_or(|at| at <= now) {
        return Err("its lifetime is so short that it would be due at once".to_owned());
    }
    // The last leaf of a CA ends with it; another one after that would gain nothing.
    let whole_life = now.checked_add(policy.lifetimes.leaf).is_ok_and(|end| end <= ca_facts.not_after);
    let ends = pair.not_after();
    if !whole_life && ends.duration_since(now) * 2 < policy.lifetimes.leaf {
        return Err(format!("the CA ends at {}", ca_facts.not_after));
    }
    Ok(())
}

pub(super) fn authority(ca: &Material) -> Result<Authority, IssueError> {
    Authority::from_pem(&ca.cert, ca.key.as_ref().ok_or(IssueError::Key)?)
}
