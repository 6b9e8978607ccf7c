//! The verdict on a `Service` with a leader.

use headworks_webhook::{Admit, Operation, Review, Verdict};
use serde_json::Value;

use super::ratchet;
use super::verdict::{Findings, denial, details};
use crate::flow::problem::Problem;
use crate::flow::validate::service;

/// Judges `Service`s; those without a `zen-lead.io/` annotation are none of its business.
#[derive(Clone, Copy, Debug, Default)]
pub struct Services;

impl Admit for Services {
    fn kinds(&self) -> &[&'static str] {
        &["Service"]
    }

    /// Never patches: it is asked because the API server's own checks of a Service come before the validating phase.
    fn mutate(&self, review: Review) -> Verdict {
        judge_or_allow(&review)
    }

    fn validate(&self, review: Review) -> Verdict {
        judge_or_allow(&review)
    }
}

/// No Service ever waits for us, and none is refused for a mistake of ours: a panic allows it and says so.
fn judge_or_allow(review: &Review) -> Verdict {
    std::panic::catch_unwind(|| judge(review))
        .unwrap_or_else(|_| Verdict::allow().warn("headworks could not judge this Service, please report it"))
}

fn judge(review: &Review) -> Verdict {
    let (Some(object), Operation::Create | Operation::Update) = (&review.object, review.operation) else {
        return Verdict::allow();
    };
    let old = review.old_object.as_ref().filter(|_| review.operation == Operation::Update);
    if old.is_some_and(|old| old.pointer("/metadata/deletionTimestamp").is_some_and(|time| !time.is_null())) {
        return Verdict::allow();
    }
    let findings = findings(object, old);
    if findings.errors.is_empty() {
        // Told in both phases: the API server passes a warning on once.
        return findings.annotate(Verdict::allow(), true);
    }
    findings.annotate(Verdict::deny(denial(details(review, object), &findings.errors)), true)
}

fn findings(object: &Value, old: Option<&Value>) -> Findings {
    let problems = service::service(object, old);
    match old {
        Some(old) if problems.iter().any(Problem::is_error) => {
            ratchet::sort(problems, object, &service::service(old, None), old)
        }
        _ => Findings::of(problems),
    }
}
