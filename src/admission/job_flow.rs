//! The verdict on a `JobFlow`.

use headworks_webhook::{Admit, Operation, PatchOperation, Phase, Review, Verdict};
use serde_json::Value;

use super::verdict::{Findings, denial, details};
use super::{identity, ratchet};
use crate::flows::api::defaults;
use crate::flows::canonical;
use crate::flows::outline::Outline;
use crate::flows::rules;
use crate::flows::rules::{Options, update};
use crate::names;
use crate::problem::faults::in_order;
use crate::problem::{Problem, Problems};

/// Judges `JobFlow`s.
#[derive(Clone, Debug, Default)]
pub struct JobFlows {
    /// What the rules cannot see in an object.
    pub options: Options,
}

impl Admit for JobFlows {
    fn kinds(&self) -> &[&'static str] {
        &[names::KIND]
    }

    fn mutate(&self, review: Review) -> Verdict {
        self.judge(review, Phase::Mutate)
    }

    fn validate(&self, review: Review) -> Verdict {
        self.judge(review, Phase::Validate)
    }
}

impl JobFlows {
    fn judge(&self, mut review: Review, phase: Phase) -> Verdict {
        let (Some(object), Operation::Create | Operation::Update) = (review.object.take(), review.operation)
        else {
            return Verdict::allow();
        };
        let old = review.old_object.take().filter(|_| review.operation == Operation::Update);
        if old.as_ref().is_some_and(is_being_deleted) {
            // Nothing may stand in the way of a deletion, least of all the removal of a finalizer.
            return Verdict::allow();
        }
        let details = details(&review, &object);
        let user = review.user.username.as_str();
        let mut problems = Problems::new();
        identity::check(&object, old.as_ref(), user, phase == Phase::Validate, &mut problems);
        let patch = match phase {
            Phase::Mutate => patch(&object, old.as_ref(), user),
            Phase::Validate => Vec::new(),
        };
        let mut plan = None;
        let findings = if let Some(old) = old {
            self.updated(&object, &old, problems)
        } else {
            let checked = rules::flow_owned(object, &self.options);
            if review.dry_run && phase == Phase::Validate {
                plan = Outline::of(&checked.flow.spec).map(|outline| outline.to_string());
            }
            let mut problems = problems.into_vec();
            problems.extend(checked.problems);
            Findings::of(in_order(problems, rules::fields::job_flow()))
        };
        if !findings.errors.is_empty() {
            return findings.annotate(Verdict::deny(denial(details, &findings.errors)), true);
        }
        match phase {
            // The validating phase tells the warnings of what is allowed; told twice they would be printed twice.
            Phase::Mutate => findings.annotate(Verdict::patch(patch), false),
            Phase::Validate => {
                let verdict = Verdict { warnings: plan.into_iter().collect(), ..Verdict::allow() };
                findings.annotate(verdict, true)
            }
        }
    }

    fn updated(&self, object: &Value, old: &Value, mut problems: Problems) -> Findings {
        update::changes(object, old, &mut problems);
        // Metadata alone cannot make a spec wrong: only the rules about metadata apply.
        let same_spec = canonical::same_spec(object, old);
        let rules = |object: &Value| {
            if same_spec {
                let mut problems = Problems::new();
                update::approvals(object, &mut problems);
                problems.into_vec()
            } else {
                rules::flow(object, &self.options).problems
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
