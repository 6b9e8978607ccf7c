//! Creation of the Job of an attempt: renders its template, or finds out what keeps it from being rendered.

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::ledger::{Ledger, job_ref};
use super::model::Action;
use super::policy::{after, stamp};
use crate::flows::api::{StepPhase, WaitingReason};
use crate::flows::eval;
use crate::flows::eval::{Rendered, Unready};
use crate::flows::job_name::job_name;

/// A Job without pods is looked into only after this long: in a busy cluster it may just be slow.
pub(super) const PODLESS: SignedDuration = SignedDuration::from_secs(5);

/// Plans the creation of a step's Job, and tells whether it will be created. A template that cannot be rendered fails
/// the step.
pub(super) fn create(ledger: &mut Ledger<'_>, index: usize, attempt: i64) -> bool {
    match ledger.evaluate(index, attempt, eval::render) {
        Ok(rendered) => {
            let name = match &ledger.steps[index].job_ref {
                Some(job) => job.name.clone(),
                None => name(ledger, index, attempt, &rendered),
            };
            ledger.steps[index].job_ref.get_or_insert_with(|| job_ref(name.clone()));
            // A Job that gets no pods causes no further watch event, so the plan has to come back by itself.
            ledger.requeue_at(after(ledger.now, PODLESS));
            let rendered = Box::new(rendered);
            ledger.actions.push(Action::CreateJob { step: index, attempt, name, rendered });
            true
        }
        Err(unready) => {
            unready_to_start(ledger, index, unready);
            false
        }
    }
}

fn name(ledger: &Ledger<'_>, index: usize, attempt: i64, rendered: &Rendered) -> String {
    let spec = rendered.template.get("spec");
    let field = |name: &str| spec.and_then(|spec| spec.get(name));
    // The pods of an Indexed Job carry their completion index in their names, which leaves less room for the Job's.
    let indexed = field("completionMode").and_then(Value::as_str) == Some("Indexed");
    let completions = field("completions").and_then(Value::as_i64).filter(|_| indexed);
    let flow = ledger.flow.metadata.name.as_deref().unwrap_or_default();
    job_name(flow, ledger.uid(), &ledger.step(index).name, attempt, completions)
}

/// Records that something of the step cannot be evaluated.
pub(super) fn unready_to_start(ledger: &mut Ledger<'_>, index: usize, unready: Unready) {
    match unready {
        Unready::Needs(sources) => ledger.needs.sources.extend(sources),
        Unready::Unread => {
            // A read failed and may succeed soon: nothing to report yet, the step stays as it was.
            ledger.requeue_at(after(ledger.now, SignedDuration::from_secs(1)));
        }
        Unready::Failed(failure) => {
            start_clock(ledger, index);
            ledger.end(index, StepPhase::Failed, Some(failure.reason), Some(failure.message));
        }
        Unready::Missing(what) => {
            // The step's timeout covers this wait as well.
            start_clock(ledger, index);
            ledger.wait(index, WaitingReason::Reference, Some(what), None);
            let since = ledger.waits_since(index, WaitingReason::Reference);
            ledger.requeue_at(after(ledger.now, next_read(since, ledger.now)));
            if let Some(timeout) = ledger.timeout(index) {
                ledger.requeue_at(timeout);
            }
        }
    }
}

/// Sets the start time of a step that has none.
fn start_clock(ledger: &mut Ledger<'_>, index: usize) {
    let now = ledger.now;
    let step = &mut ledger.steps[index];
    if step.start_time.is_none() {
        step.start_time = stamp(now);
    }
}

/// The delay before something that is not watched, such as a ConfigMap or Secret (the controller may not list Secrets),
/// is read again: half the time it has been missing, at least a second and at most half a minute.
pub(super) fn next_read(since: Timestamp, now: Timestamp) -> SignedDuration {
    (now.duration_since(since) / 2).clamp(SignedDuration::from_secs(1), SignedDuration::from_secs(30))
}
