//! Rules of a `podFailurePolicy`, a flow's or a template's own (`validatePodFailurePolicyRule`).

use std::collections::HashSet;

use crate::k8s::name_rules;
use crate::problem::Problem;
use crate::problem::code;
use crate::problem::code::Code;
use crate::problem::field_path::Place;

/// The most rules that Kubernetes takes.
pub const MOST_RULES: usize = 20;

/// One rule, wherever it was read.
pub struct Rule<'a> {
    /// `onExitCodes`.
    pub exit_codes: Option<Codes<'a>>,
    /// The types of `onPodConditions`.
    pub conditions: Vec<&'a str>,
}

/// Exit codes of a rule.
pub struct Codes<'a> {
    /// The container that is looked at.
    pub container: Option<&'a str>,
    /// True if the operator is In.
    pub in_: bool,
    /// The codes.
    pub values: Vec<i64>,
}

/// The codes of a family.
pub struct Family {
    shape: Code,
    codes: Code,
    /// Kubernetes wants a template's values sorted and each once; a flow's are put in order when the Job is built.
    strict: bool,
}

/// A template's own policy.
pub const TEMPLATE: Family =
    Family { shape: code::TEMPLATE_CONFLICT, codes: code::TEMPLATE_NUMBER, strict: true };
/// A flow's policy.
pub const FLOW: Family = Family { shape: code::FAILURE_RULE, codes: code::EXIT_CODES, strict: false };

/// Checks the condition of a rule.
pub fn rule(rule: &Rule<'_>, here: &Place<'_>, family: &Family, push: &mut dyn FnMut(Problem)) {
    match (&rule.exit_codes, rule.conditions.is_empty()) {
        (Some(_), false) => push(
            Problem::forbidden(family.shape, here, "onExitCodes and onPodConditions exclude each other")
                .hint("write two rules"),
        ),
        (None, true) => {
            push(Problem::required(family.shape, here, "a rule needs onExitCodes or onPodConditions"));
        }
        _ => {}
    }
    if let Some(codes) = &rule.exit_codes {
        exit_codes(codes, here, family, push);
    }
    let list = here.field("onPodConditions");
    for (i, kind) in rule.conditions.iter().enumerate() {
        if let Some(wrong) = name_rules::qualified_name(kind) {
            let place = list.index(i);
            push(Problem::invalid(family.shape, &place.field("type"), *kind, wrong));
        }
    }
}

fn exit_codes(codes: &Codes<'_>, here: &Place<'_>, family: &Family, push: &mut dyn FnMut(Problem)) {
    let place = here.field("onExitCodes");
    let list = place.field("values");
    if codes.values.is_empty() {
        push(Problem::required(family.codes, &list, "at least one exit code is needed"));
    }
    if codes.values.len() > 255 {
        push(Problem::too_many(family.codes, &list, codes.values.len(), "must have at most 255 entries"));
        return;
    }
    let mut seen = HashSet::with_capacity(codes.values.len());
    for (i, &value) in codes.values.iter().enumerate() {
        let place = list.index(i);
        if !(0..=255).contains(&value) && !family.strict {
            push(Problem::invalid(family.codes, &place, value, "an exit code is from 0 to 255"));
        } else if value == 0 && codes.in_ {
            push(
                Problem::invalid(family.codes, &place, value, "a container that exits with 0 has not failed")
                    .hint("remove it; 0 can stand with NotIn only"),
            );
        } else if family.strict && !seen.insert(value) {
            push(Problem::duplicate(family.codes, &place, value, "this exit code is listed already"));
        }
    }
    if family.strict && !codes.values.is_sorted() {
        push(
            Problem::forbidden(family.codes, &list, "Kubernetes wants exit codes in ascending order")
                .hint("sort them"),
        );
    }
}
