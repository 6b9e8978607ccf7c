//! The verdict on a `Service` with a leader.

use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use headworks_webhook::{Admit, Operation, Review, Verdict};
use serde_json::Value;

use super::findings::{Findings, details};
use super::ratchet;
use crate::leaders::rules;
use crate::leaders::rules::SelectedPods;
use crate::problem::Problem;

/// Returns the pods that a Service would select, from memory and without a call; `None` while they are not known.
pub type Look = Arc<dyn Fn(&Value) -> Option<SelectedPods> + Send + Sync>;

/// Admits or refuses `Service`s; those without a `zen-lead.io/` annotation are none of its business.
#[derive(Clone, Default)]
pub struct Services {
    look: Option<Look>,
}

impl Services {
    /// Also warns of what a changed selector means for the pods that `look` returns.
    pub fn seeing(look: Look) -> Self {
        Self { look: Some(look) }
    }

    /// Checks a Service. A panic allows it with a warning: no Service is refused for a bug of headworks.
    fn check_or_allow(&self, review: &Review) -> Verdict {
        std::panic::catch_unwind(AssertUnwindSafe(|| self.check(review))).unwrap_or_else(|_| {
            Verdict::allow().warn("headworks could not judge this Service, please report it")
        })
    }

    fn check(&self, review: &Review) -> Verdict {
        let (Some(object), Operation::Create | Operation::Update) = (&review.object, review.operation) else {
            return Verdict::allow();
        };
        let old = review.old_object.as_ref().filter(|_| review.operation == Operation::Update);
        if old
            .is_some_and(|old| old.pointer("/metadata/deletionTimestamp").is_some_and(|time| !time.is_null()))
        {
            return Verdict::allow();
        }
        let mut findings = findings(object, old);
        if let Some(refusal) = findings.refusal(details(review, object)) {
            return refusal;
        }
        if let (Some(look), Some(old)) = (&self.look, old) {
            findings.warnings.extend(rules::outlook(object, old, |object| look(object)));
        }
        // In both phases: the API server passes a repeated warning on once.
        findings.annotate(Verdict::allow(), true)
    }
}

impl fmt::Debug for Services {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Services").field("sees_pods", &self.look.is_some()).finish()
    }
}

impl Admit for Services {
    fn kinds(&self) -> &[&'static str] {
        &["Service"]
    }

    /// Never patches: it is asked because the API server's own checks of a Service come before the validating phase.
    fn mutate(&self, review: Review) -> Verdict {
        self.check_or_allow(&review)
    }

    fn validate(&self, review: Review) -> Verdict {
        self.check_or_allow(&review)
    }
}

fn findings(object: &Value, old: Option<&Value>) -> Findings {
    let problems = rules::service(object, old);
    match old {
        Some(old) if problems.iter().any(Problem::is_error) => {
            ratchet::sort(problems, object, &rules::service(old, None), old)
        }
        _ => Findings::of(problems),
    }
}
