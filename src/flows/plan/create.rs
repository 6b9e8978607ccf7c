//! The Job of an attempt: its template rendered, its creation asked for, or why that cannot be yet.

use jiff::{SignedDuration, Timestamp};

use super::ledger::{Work, job_ref};
use super::model::Action;
use super::policy::{after, stamp};
use super::reason::WaitingReason;
use crate::flows::api::StepPhase;
use crate::flows::eval;
use crate::flows::eval::Unready;
use crate::flows::job_name::job_name;

/// A Job without pods is asked about after this long: in a busy cluster it may just wait for its turn.
pub(super) const PODLESS: SignedDuration = SignedDuration::from_secs(5);

/// Have the Job of a step created; what cannot be rendered fails the step. Whether it goes on.
pub(super) fn create(work: &mut Work<'_>, place: usize, attempt: i64) -> bool {
    match work.evaluate(place, attempt, eval::render) {
        Ok(rendered) => {
            let name = match &work.steps[place].job_ref {
                Some(job) => job.name.clone(),
                None => name(work, place, attempt, &rendered),
            };
            work.steps[place].job_ref.get_or_insert_with(|| job_ref(name.clone()));
            // A Job that gets no pods is never heard of again.
            work.wake(after(work.now, PODLESS));
            work.actions.push(Action::CreateJob { step: place, attempt, name, rendered: Box::new(rendered) });
            true
        }
        Err(unready) => {
            unready_to_start(work, place, unready);
            false
        }
    }
}

fn name(work: &Work<'_>, place: usize, attempt: i64, rendered: &eval::Rendered) -> String {
    let spec = rendered.template.get("spec");
    let field = |name: &str| spec.and_then(|spec| spec.get(name));
    let indexed = field("completionMode").and_then(serde_json::Value::as_str) == Some("Indexed");
    let completions = field("completions").and_then(serde_json::Value::as_i64).filter(|_| indexed);
    let flow = work.flow.metadata.name.as_deref().unwrap_or_default();
    job_name(flow, work.uid(), &work.step(place).name, attempt, completions)
}

/// Something of the step cannot be evaluated.
pub(super) fn unready_to_start(work: &mut Work<'_>, place: usize, unready: Unready) {
    match unready {
        Unready::Needs(sources) => work.needs.sources.extend(sources),
        Unready::Unread => {
            // Nothing to tell yet: it stands as it stood.
            work.wake(after(work.now, SignedDuration::from_secs(1)));
        }
        Unready::Failed(failure) => {
            if work.steps[place].start_time.is_none() {
                work.steps[place].start_time = stamp(work.now);
            }
            work.end(place, StepPhase::Failed, Some(failure.reason), Some(failure.message));
        }
        Unready::Missing(what) => {
            // The step's time runs while it waits.
            if work.steps[place].start_time.is_none() {
                work.steps[place].start_time = stamp(work.now);
            }
            work.wait(place, WaitingReason::Reference, Some(what), None);
            let since = work.waits_since(place, WaitingReason::Reference);
            work.wake(after(work.now, next_look(since, work.now)));
            if let Some(strikes) = work.timeout(place) {
                work.wake(strikes);
            }
        }
    }
}

/// A ConfigMap or Secret is not watched (nobody may list Secrets): it is looked for again after half the time it has
/// been missing, at least a second and at most half a minute.
pub(super) fn next_look(since: Timestamp, now: Timestamp) -> SignedDuration {
    (now.duration_since(since) / 2).clamp(SignedDuration::from_secs(1), SignedDuration::from_secs(30))
}
