//! The next step for a flow, as one pure decision.
//!
//! [`plan`] takes a flow, its Jobs and pods, and the time, and returns the status that the flow should have, the
//! actions to take, and when to plan again. It does nothing itself. The controller writes the status first, guarded by
//! the resourceVersion, and only then acts: an intent is recorded before it is carried out, so planning again recovers
//! from a crash between the two.

use jiff::Timestamp;

use super::api::JobFlow;

mod advance;
mod concurrency;
mod create;
mod drive;
mod estimate;
mod events;
mod finished;
mod ledger;
mod model;
mod policy;
mod prune;
mod reason;
mod report;
mod settle;
mod start;
mod stop;

#[cfg(test)]
mod oracle;

pub use estimate::durations;
pub use model::{Action, Event, Gone, JobSeen, Needs, Observed, Plan, Refusal, RefusalKind, Rival, Verdict};
pub use policy::backoff;
pub use prune::prunable;

/// Plans the next step for `flow`, given the cluster state at `now`.
///
/// The status that the plan starts from is the flow's own, so the flow has to be as fresh as its last write: the
/// controller guards the next write by the resourceVersion that it planned on. Planning twice on one state gives one
/// answer, and planning on a state that already is as the plan wants it gives a plan that changes nothing.
pub fn plan(flow: &JobFlow, observed: &Observed, now: Timestamp) -> Plan {
    drive::plan(flow, observed, now)
}

#[cfg(test)]
mod tests;
