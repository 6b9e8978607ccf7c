//! Contents of the Secret after a step. Pure but for random keys.

use jiff::Timestamp;

use crate::issue::IssueError;
use crate::managed::plan::judge::Judge;
use crate::managed::plan::notary::{Notary, X509};
use crate::managed::plan::policy::Policy;
use crate::managed::plan::secret::{Phase, Published, State};
use crate::managed::plan::step::{Cause, Step};

/// Makes the certificates of a step, and returns the contents of the Secret after it. `None`: it does not change.
///
/// # Errors
/// [`IssueError`] if a certificate cannot be made.
pub fn mint(
    step: &Step,
    state: Option<&State>,
    policy: &Policy,
    now: Timestamp,
) -> Result<Option<State>, IssueError> {
    mint_by(&X509, step, state, policy, now)
}

pub(crate) fn mint_by<N: Notary>(
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
            // Replicas serve the old leaf for a moment more, so its CA stays. A next pair was never served: it goes.
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
                // Replicas of two versions may want different names: with both sets neither renews again.
                let held = old.leaf.as_ref().and_then(|leaf| notary.facts(&leaf.cert).ok());
                let more = held.map(|facts| facts.names).unwrap_or_default();
                wanted.extend(more.into_iter().filter(|name| !names.all().contains(name)));
            }
            let leaf = notary.make_leaf(ca, &wanted, lifetimes, now)?;
            // While an old CA waits to be retired, only its leaves count: else renewals would postpone that forever.
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

/// Returns until when any replaced leaf, the current one included, can be valid.
fn replaced<N: Notary>(notary: &N, state: &State) -> Option<Timestamp> {
    let current = state.leaf.as_ref().and_then(|leaf| notary.facts(&leaf.cert).ok());
    current.map(|facts| facts.not_after).max(state.replaced_until)
}
