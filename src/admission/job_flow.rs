//! The verdict on a `JobFlow`.

use headworks_webhook::{Admit, Details, Operation, PatchOperation, Review, Verdict};
use serde_json::Value;

use super::findings::{Findings, details};
use super::{identity, ratchet};
use crate::flows::api::{JobFlow, defaults};
use crate::flows::canonical;
use crate::flows::outline::Outline;
use crate::flows::rules;
use crate::flows::rules::{Options, approvals, update};
use crate::names;
use crate::problem::faults::in_order;
use crate::problem::{Problem, Problems};

/// Admits or refuses `JobFlow`s.
#[derive(Clone, Debug, Default)]
pub struct JobFlows {
    /// Facts that the rules need and that no object holds.
    pub options: Options,
}

impl Admit for JobFlows {
    fn kinds(&self) -> &[&'static str] {
        &[names::KIND]
    }

    fn mutate(&self, review: Review) -> Verdict {
        let Some(Submission { object, old, user, details, .. }) = Submission::of(review) else {
            return Verdict::allow();
        };
        let mut stamps = Problems::new();
        identity::check(&object, old.as_ref(), &user, false, &mut stamps);
        let patch = patch(&object, old.as_ref(), &user);
        let (findings, _) = self.findings(object, old.as_ref(), stamps);
        // The warnings of an allowed flow are left to the validating phase: kubectl would print them twice.
        findings.refusal(details).unwrap_or_else(|| findings.annotate(Verdict::patch(patch), false))
    }

    fn validate(&self, review: Review) -> Verdict {
        let Some(Submission { object, old, user, details, dry_run }) = Submission::of(review) else {
            return Verdict::allow();
        };
        let mut stamps = Problems::new();
        identity::check(&object, old.as_ref(), &user, true, &mut stamps);
        let (findings, created) = self.findings(object, old.as_ref(), stamps);
        if let Some(refusal) = findings.refusal(details) {
            return refusal;
        }
        let outline = created.filter(|_| dry_run).and_then(|flow| Outline::of(&flow.spec));
        let warnings = outline.iter().map(ToString::to_string).collect();
        findings.annotate(Verdict { warnings, ..Verdict::allow() }, true)
    }
}

/// A flow that somebody wants to create or update.
struct Submission {
    object: Value,
    /// The stored object, on an update.
    old: Option<Value>,
    user: String,
    details: Details,
    dry_run: bool,
}

impl Submission {
    /// Takes the flow out of a review. `None` if nothing is checked in it.
    fn of(mut review: Review) -> Option<Self> {
        if !matches!(review.operation, Operation::Create | Operation::Update) {
            return None;
        }
        let object = review.object.take()?;
        let old = review.old_object.take().filter(|_| review.operation == Operation::Update);
        // A deletion is never held up, least of all the removal of a finalizer.
        if old.as_ref().is_some_and(is_being_deleted) {
            return None;
        }
        let details = details(&review, &object);
        Some(Self { object, old, user: review.user.username, details, dry_run: review.dry_run })
    }
}

impl JobFlows {
    /// Runs every rule, and adds the problems to those of the stamps. Returns the flow as well if it is a new one.
    fn findings(
        &self,
        object: Value,
        old: Option<&Value>,
        problems: Problems,
    ) -> (Findings, Option<JobFlow>) {
        if let Some(old) = old {
            return (self.updated(&object, old, problems), None);
        }
        let checked = rules::unsorted(object, &self.options);
        let mut problems = problems.into_vec();
        problems.extend(checked.problems);
        (Findings::of(in_order(problems, rules::fields::job_flow())), Some(checked.flow))
    }

    fn updated(&self, object: &Value, old: &Value, mut problems: Problems) -> Findings {
        update::changes(object, old, &mut problems);
        // A change of metadata cannot make the spec wrong: only the rules about metadata apply.
        let same_spec = canonical::same_spec(object, old);
        let rules = |object: &Value| {
            if same_spec {
                let mut problems = Problems::new();
                approvals::check(object, &mut problems);
                problems.into_vec()
            } else {
                rules::unsorted(object.clone(), &self.options).problems
            }
        };
        problems.extend(rules(object));
        let problems = in_order(problems.into_vec(), rules::fields::job_flow());
        if problems.iter().any(Problem::is_error) {
            return ratchet::sort(problems, object, &rules(old), old);
        }
        Findings::of(problems)
    }
}

fn is_being_deleted(object: &Value) -> bool {
    object.pointer("/metadata/deletionTimestamp").is_some_and(|time| !time.is_null())
}

/// The smallest patch that takes out nulls and writes defaults and stamps; empty if there is nothing to do.
pub fn patch(object: &Value, old: Option<&Value>, user: &str) -> Vec<PatchOperation> {
    let mut patch = identity::stamp(object, old, user);
    patch.extend(canonical::nulls(object).into_iter().map(|path| PatchOperation::Remove { path }));
    let defaults = defaults::written(object).into_iter();
    patch.extend(defaults.map(|(path, value)| PatchOperation::Add { path, value }));
    patch
}
