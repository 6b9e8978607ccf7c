//! PURE, but for random keys: the contents of the Secret after a step.

use jiff::Timestamp;

use super::{
    Policy,
    judge::Judge,
    notary::{Notary, X509},
    state::{Phase, Published, State},
    step::{Cause, Step},
};
use crate::IssueError;

/// Makes what a step asks for: the contents of the Secret after it. `None` for steps that leave it as it is.
///
/// # Errors
/// Only what [`IssueError`] names; certificates already there are not touched then.
pub fn mint(
    step: &Step,
    state: Option<&State>,
    policy: &Policy,
    now: Timestamp,
) -> Result<Option<State>, IssueError> {
    mint_by(&X509, step, state, policy, now)
}

pub(super) fn mint_by<N: Notary>(
    notary: &N,
    step: &Step,
    state: Option<&State>,
    policy: &Policy,
    now: Timestamp,
) -> Result<Option<State>, IssueError> {
    let Policy { names, lifetimes } = policy;
    let old = state.cloned().unwrap_or_default();
    let before = old.phase;
    let mut next = match step {
        Step::Generate(_) => {
            let ca = notary.make_ca(&names.required(), lifetimes, now)?;
            let leaf = notary.make_leaf(&ca, &names.all(), lifetimes, now)?;
            // Replicas serve the old leaf for a moment more. What nobody was ever to serve is not needed.
            let kept = State { next_ca: None, next_leaf: None, ..old.clone() };
            let bundle = notary.bundle(&kept.trusted(), now).concat().into_bytes();
            let replaced_until = replaced(notary, &old);
            let phase = Phase::Activated;
            State { ca: Some(ca), leaf: Some(leaf), bundle, phase, replaced_until, ..State::default() }
        }
        Step::RenewLeaf(cause) => {
            let ca = old.ca.as_ref().ok_or(IssueError::Key)?;
            let mut wanted = names.all();
            if let Cause::Name(_) = cause {
                // Replicas of two versions may want different names: taking both ends at once what would be a fight.
                let held = old.leaf.as_ref().and_then(|leaf| notary.facts(&leaf.cert).ok());
                let more = held.map(|facts| facts.names).unwrap_or_default();
                wanted.extend(more.into_iter().filter(|name| !names.all().contains(name)));
            }
            let leaf = notary.make_leaf(ca, &wanted, lifetimes, now)?;
            // While an old CA waits to go, only leaves of that one count: or renewals would put its end off for ever.
            let replaced_until = match old.phase {
                Phase::Activated | Phase::Confirmed => old.replaced_until,
                Phase::Stable | Phase::Staged | Phase::Published => replaced(notary, &old),
            };
            State { leaf: Some(leaf), replaced_until, ..old }
        }
        Step::Stage { keep, .. } => {
            let judge = Judge { notary, policy, now };
            let ca = match judge.next_ca(&old) {
                Some(ca) => ca.clone(),
                None => notary.make_ca(&names.required(), lifetimes, now)?,
            };
            let leaf = notary.make_leaf(&ca, &names.all(), lifetimes, now)?;
            let bundle = [old.bundle.as_slice(), keep.as_bytes()].concat();
            let phase = Phase::Staged;
            State { next_ca: Some(ca), next_leaf: Some(leaf), bundle, phase, published: None, ..old }
        }
        Step::Date { to } => {
            let published = Some(Published { at: now, to: to.clone() });
            State { phase: Phase::Published, published, ..old }
        }
        Step::Activate { .. } => {
            let kept = State { next_ca: None, next_leaf: None, phase: Phase::Activated, ..old.clone() };
            let bundle = notary.bundle(&kept.trusted(), now).concat().into_bytes();
            let replaced_until = replaced(notary, &old);
            State { ca: old.next_ca, leaf: old.next_leaf, bundle, replaced_until, ..kept }
        }
        Step::Confirm => State { phase: Phase::Confirmed, ..old },
        Step::Retire => State { bundle: Vec::new(), phase: Phase::Stable, ..old },
        Step::Publish { .. } | Step::Rest { .. } => return Ok(None),
    }
    .consistent();
    if next.phase != before || next.phase_since.is_none() {
        next.phase_since = Some(now);
    }
    Ok(Some(next))
}

/// Until when a leaf that has been replaced, the current one among them, can be valid.
fn replaced<N: Notary>(notary: &N, state: &State) -> Option<Timestamp> {
    let current = state.leaf.as_ref().and_then(|leaf| notary.facts(&leaf.cert).ok());
    current.map(|facts| facts.not_after).max(state.replaced_until)
}
