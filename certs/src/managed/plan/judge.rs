//! Checks the certificates in the Secret: which are usable, and which are due for renewal.

use jiff::{SignedDuration, Timestamp};

use crate::facts::Facts;
use crate::managed::plan::configuration::Configuration;
use crate::managed::plan::notary::Notary;
use crate::managed::plan::policy::Policy;
use crate::managed::plan::secret::{Material, State};
use crate::managed::plan::step::Cause;
use crate::pair::Rejection;

/// The inputs of every check.
pub(crate) struct Judge<'a, N> {
    pub(crate) notary: &'a N,
    pub(crate) policy: &'a Policy,
    pub(crate) now: Timestamp,
}

/// Condition of the current CA.
pub(crate) enum Ca {
    /// It is valid. `due`: the time at which two thirds of its life had passed, if they have.
    Valid { facts: Facts, due: Option<Timestamp> },
    /// Not valid yet.
    Future(Timestamp),
    /// Missing, malformed or expired.
    Lost(Cause),
}

/// Condition of the current leaf.
pub(crate) enum Leaf {
    Good,
    /// Not valid yet.
    Future(Timestamp),
    /// Serves well, and ought to be replaced; `urgent`: by any means.
    Wanting {
        cause: Cause,
        urgent: bool,
    },
    /// Cannot be served.
    Useless(Cause),
}

/// Trust in a leaf whose CA is lost.
pub(crate) enum Orphan {
    /// The bundle that the Secret makes trusts it.
    Kept,
    /// Every configuration trusts it, by these CAs (PEM), which the Secret does not have.
    Published(String),
    /// No bundle trusts it.
    Untrusted,
}

/// Reason that a CA cannot renew a leaf.
pub(crate) enum Obstacle {
    /// Another CA could.
    Authority(String),
    /// No CA could: the wanted certificate cannot be made.
    Wish(String),
}

impl<N: Notary> Judge<'_, N> {
    /// Checks the current CA.
    pub(crate) fn ca(&self, state: &State) -> Ca {
        let malformed = |reason: String| Ca::Lost(Cause::Malformed(reason));
        let Some(ca) = &state.ca else { return malformed("the Secret has no `ca.crt`".to_owned()) };
        match self.notary.facts(&ca.cert) {
            Err(reason) => malformed(format!("`ca.crt`: {reason}")),
            Ok(facts) if !facts.is_ca => malformed("`ca.crt` is not a CA certificate".to_owned()),
            Ok(facts) if self.now < facts.not_before => Ca::Future(facts.not_before),
            Ok(facts) if facts.not_after < self.now => Ca::Lost(Cause::Expired(facts.not_after)),
            Ok(facts) => {
                let due = renewal(&facts, self.policy.lifetimes.backdate).filter(|at| *at <= self.now);
                Ca::Valid { facts, due }
            }
        }
    }

    /// Checks the current leaf, which the current CA must have signed.
    pub(crate) fn leaf(&self, state: &State) -> Leaf {
        let useless = |reason: &str| Leaf::Useless(Cause::Malformed(reason.to_owned()));
        let Some(leaf) = &state.leaf else { return useless("the Secret has no `tls.crt`") };
        if leaf.key.is_none() {
            return useless("the Secret has no `tls.key`");
        }
        let required = self.policy.names.required();
        let facts = match self.notary.pair(leaf, &required, self.now) {
            Ok(facts) => facts,
            Err(Rejection::NotYetValid { not_before, .. }) => return Leaf::Future(not_before),
            Err(Rejection::Expired { not_after, .. }) => return Leaf::Useless(Cause::Expired(not_after)),
            Err(Rejection::Name { expected, .. }) => return Leaf::Useless(Cause::Name(expected)),
            Err(other) => return useless(&other.to_string()),
        };
        let ca = state.ca.as_ref().map(|ca| ca.cert.as_slice()).unwrap_or_default();
        if let Err(reason) = self.notary.verify(ca, &leaf.cert, &required, self.now) {
            return useless(&format!("`tls.crt` does not verify under `ca.crt`: {reason}"));
        }
        let due = renewal(&facts, self.policy.lifetimes.backdate).filter(|at| *at <= self.now);
        let left = |since: Timestamp| facts.not_after.duration_since(since).as_secs();
        let urgent = due.is_some_and(|at| left(self.now) < left(at) / 3);
        let lacks = self.policy.names.all().into_iter().find(|name| !facts.names.contains(name));
        match lacks.map(Cause::Name).or(due.map(Cause::Due)) {
            Some(cause) => Leaf::Wanting { cause, urgent },
            None => Leaf::Good,
        }
    }

    /// Checks who trusts the current leaf, when its CA is lost.
    pub(crate) fn orphan(&self, state: &State, configurations: &[Configuration]) -> Orphan {
        let required = self.policy.names.required();
        let sound = |leaf: &&Material| self.notary.pair(leaf, &required, self.now).is_ok();
        let Some(leaf) = state.leaf.as_ref().filter(sound) else { return Orphan::Untrusted };
        let trusts = |bundle: &[u8]| self.notary.verify(bundle, &leaf.cert, &required, self.now).is_ok();
        if trusts(self.notary.bundle(&state.trusted(), self.now).concat().as_bytes()) {
            return Orphan::Kept;
        }
        let published: Vec<&[u8]> = configurations
            .iter()
            .flat_map(|one| one.webhooks.iter().map(|(_, bundle)| bundle.as_slice()))
            .collect();
        if published.is_empty() || !published.iter().all(|bundle| trusts(bundle)) {
            return Orphan::Untrusted;
        }
        let members = self.notary.bundle(&published, self.now).into_iter();
        Orphan::Published(members.filter(|one| trusts(one.as_bytes())).collect())
    }

    /// Checks that the next leaf could be served now to clients that trust the next CA.
    pub(crate) fn next(&self, state: &State) -> Result<(), String> {
        let Some(ca) = &state.next_ca else { return Err("the Secret has no `next-ca.crt`".to_owned()) };
        let Some(leaf) = &state.next_leaf else { return Err("the Secret has no `next-tls.crt`".to_owned()) };
        self.notary.signs(ca).map_err(|error| error.to_string())?;
        let required = self.policy.names.required();
        self.notary.pair(leaf, &required, self.now).map_err(|rejection| rejection.to_string())?;
        self.notary.verify(&ca.cert, &leaf.cert, &required, self.now)
    }

    /// Returns the next CA, if another leaf can be made under it.
    pub(crate) fn next_ca<'s>(&self, state: &'s State) -> Option<&'s Material> {
        state.next_ca.as_ref().filter(|ca| {
            let valid = self.notary.facts(&ca.cert).is_ok_and(|facts| {
                let due = renewal(&facts, self.policy.lifetimes.backdate);
                facts.is_ca && facts.valid_at(self.now) && due.is_some_and(|at| self.now < at)
            });
            valid && self.notary.signs(ca).is_ok()
        })
    }

    /// Checks that the CA can renew the leaf, by trying it. Any weaker check has gaps (a CA certificate that one parser
    /// accepts and another rejects, a name that reads back differently, a CA too near its end), and a renewal that
    /// changes nothing would be repeated forever.
    pub(crate) fn try_renewal(&self, ca: Option<&Material>, ca_facts: &Facts) -> Result<(), Obstacle> {
        let Self { notary, policy, now } = *self;
        let authority = |reason: &dyn std::fmt::Display| Obstacle::Authority(reason.to_string());
        let ca = ca.ok_or_else(|| authority(&"there is none"))?;
        notary.signs(ca).map_err(|error| authority(&error))?;
        let (required, all) = (policy.names.required(), policy.names.all());
        let leaf = notary
            .make_leaf(ca, &all, &policy.lifetimes, now)
            .map_err(|error| Obstacle::Wish(error.to_string()))?;
        let facts = notary.pair(&leaf, &required, now).map_err(|rejection| authority(&rejection))?;
        notary.verify(&ca.cert, &leaf.cert, &required, now).map_err(|reason| authority(&reason))?;
        if let Some(name) = all.iter().find(|name| !facts.names.contains(name)) {
            return Err(Obstacle::Wish(format!("a certificate cannot carry the name `{name}`")));
        }
        // The last leaf of a CA ends with it; another one after that would gain nothing.
        let whole_life = now.checked_add(policy.lifetimes.leaf).is_ok_and(|end| end <= ca_facts.not_after);
        if !whole_life && facts.not_after.duration_since(now) * 2 < policy.lifetimes.leaf {
            return Err(Obstacle::Authority(format!("the CA ends at {}", ca_facts.not_after)));
        }
        if renewal(&facts, policy.lifetimes.backdate).is_none_or(|at| at <= now) {
            let reason = "its lifetime is so short that it would be due at once".to_owned();
            return Err(Obstacle::Wish(reason));
        }
        Ok(())
    }
}

/// Returns the time at which a certificate is due: after two thirds of its life, less a jitter of up to a tenth.
///
/// Life counts from the making, not from the backdated beginning, or an hour of backdating would make a certificate of
/// minutes due immediately. The jitter comes from the serial number: random between certificates, the same on every
/// replica.
pub(crate) fn renewal(facts: &Facts, backdate: SignedDuration) -> Option<Timestamp> {
    let made = facts.not_before.checked_add(backdate).ok()?.min(facts.not_after);
    let life = facts.not_after.duration_since(made).as_secs();
    let low = facts.serial.len().saturating_sub(4);
    let random = facts.serial.get(low..).and_then(|digits| i64::from_str_radix(digits, 16).ok()).unwrap_or(0);
    let jitter = life / 10 * random / 0xffff;
    made.checked_add(SignedDuration::from_secs(life / 3 * 2 - jitter)).ok()
}
