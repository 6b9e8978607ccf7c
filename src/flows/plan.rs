//! What to do next for a flow: one pure decision.
//!
//! [`plan`] looks at a flow, its Jobs and pods, and the time, and says what the status should be, what has to be done,
//! and when to look again. It does nothing itself. The shell in `engine/` writes the status first, guarded by the
//! resourceVersion, and only then acts: an intent is stored before the deed, so a crash between the two is healed by
//! planning again.

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

/// What to do next for `flow`, as the world looks at `now`.
///
/// The status that the plan starts from is the flow's own, so the flow has to be as fresh as its last write: the shell
/// guards the next write by the resourceVersion that it planned on. Planning twice on one world gives one answer, and
/// planning on a world that already is as the plan wants it gives a plan that changes nothing.
pub fn plan(flow: &JobFlow, observed: &Observed, now: Timestamp) -> Plan {
    drive::plan(flow, observed, now)
}

#[cfg(test)]
mod tests;
