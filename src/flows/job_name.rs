//! The names of Jobs: derived, never random, so that a Job is created only once however often its creation is tried.
//!
//! ```
//! # use headworks::flows::job_name::job_name;
//! assert_eq!(job_name("nightly", "b2c6", "extract", 1, None), "nightly-extract-s0r30b5113");
//! ```

use crate::k8s::hash;
use crate::k8s::hash::hash;
use crate::names::MAX_LABEL;

/// Builds the name of the Job of one attempt at a step: `<flow>-<step>`, cut to fit, and a hash of what it belongs to.
///
/// It is a DNS label whatever the flow is called: flows may have dots and 253 characters, while pods take their host
/// name, and labels their value, from the Job. The pods of an Indexed Job are called `<job>-<index>`, and that has to
/// be a label too (`ValidateJobCreate`), so `completions_if_indexed` makes the name shorter by the longest index. Every
/// name that the validator accepts fits, so it has no rule about the names of Jobs.
pub fn job_name(
    flow_name: &str,
    flow_uid: &str,
    step: &str,
    attempt: i64,
    completions_if_indexed: Option<i64>,
) -> String {
    let index =
        completions_if_indexed.map_or(0, |completions| 1 + (completions - 1).max(0).to_string().len());
    let room = MAX_LABEL.saturating_sub(index + hash::LENGTH + 1);
    let flow = flow_name.replace('.', "-");
    // The step is what a reader looks for, so the flow's name is cut first; it always keeps a third of the room.
    let for_flow = room.saturating_sub(step.len() + 1).max(room / 3);
    let head = format!("{}-{step}", cut(&flow, for_flow));
    format!("{}-{}", cut(&head, room), tail(flow_uid, step, attempt))
}

/// Tells whether a Job of this name can be the one of this attempt.
pub fn is_job_name(name: &str, flow_uid: &str, step: &str, attempt: i64) -> bool {
    name.rsplit('-').next() == Some(&tail(flow_uid, step, attempt))
}

/// Computes the hash that makes a Job's name unique.
fn tail(flow_uid: &str, step: &str, attempt: i64) -> String {
    // Neither UIDs nor the names of steps contain a slash.
    hash(&format!("{flow_uid}/{step}/{attempt}"))
}

/// Turns the name of a flow into the value of a label: unchanged, or cut and hashed if it is too long.
pub fn label_value(flow_name: &str) -> String {
    if flow_name.len() <= MAX_LABEL {
        return flow_name.to_owned();
    }
    format!("{}-{}", cut(flow_name, MAX_LABEL - hash::LENGTH - 1), hash(flow_name))
}

/// Cuts the name of an object to at most `room` characters, without a dash or dot at their end.
fn cut(name: &str, room: usize) -> &str {
    // Names of objects are ASCII. For any other text it does not matter where it is cut, as long as that does not
    // panic.
    let end = (0..=room.min(name.len())).rev().find(|end| name.is_char_boundary(*end)).unwrap_or(0);
    name[..end].trim_end_matches(['-', '.'])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::k8s::name_rules;

    const UID: &str = "5c1d4f0e-5b0f-4a52-9a3a-0d1c8f3f6a11";

    #[test]
    fn a_name_tells_flow_and_step_and_never_changes() {
        // Pinned: after an upgrade the Job of a running step must be found, not made again.
        assert_eq!(job_name("nightly", UID, "load-1", 1, None), "nightly-load-1-6cmqak9cc4");
        assert_eq!(job_name("nightly", UID, "load-1", 2, None), "nightly-load-1-6cmrck9cc4");
        assert_eq!(
            job_name("nightly", UID, "load-1", 1, Some(12)),
            job_name("nightly", UID, "load-1", 1, None)
        );
        assert_eq!(
            job_name("etl.example.com", "u", "a", 1, None),
            format!("etl-example-com-a-{}", hash("u/a/1"))
        );
    }

    #[test]
    fn a_name_is_known_again_by_what_it_belongs_to() {
        let name = job_name("nightly", UID, "load-1", 2, Some(12));
        assert!(is_job_name(&name, UID, "load-1", 2));
        for (uid, step, attempt) in [("other", "load-1", 2), (UID, "load-2", 2), (UID, "load-1", 1)] {
            assert!(!is_job_name(&name, uid, step, attempt), "{uid}/{step}/{attempt}");
        }
        assert!(!is_job_name("nightly-load-1", UID, "load-1", 2));
    }

    #[test]
    fn every_name_is_a_dns_label_and_so_is_the_host_name_of_its_last_pod() {
        let dotted = format!("{}.{}", "a".repeat(24), "b".repeat(24));
        let flows = [1, 20, 49, 50, 51, 52, 63, 253].map(|length| "f".repeat(length));
        for flow in flows.iter().chain([&dotted, &"a-.b".repeat(60), &"0.".repeat(100)]) {
            for step in [1, 2, 17, 40, 51, 52, 63].map(|length| "s".repeat(length)) {
                for completions in
                    [None, Some(0), Some(1), Some(10), Some(11), Some(100_000), Some(i64::from(i32::MAX))]
                {
                    let name = job_name(flow, UID, &step, i64::MAX, completions);
                    let host = match completions {
                        Some(completions) => format!("{name}-{}", (completions - 1).max(0)),
                        None => name.clone(),
                    };
                    assert_eq!(name_rules::dns_label(&host), None, "{host} of {flow} and {step}");
                }
            }
        }
    }

    #[test]
    fn a_cut_name_keeps_its_step_where_it_can_and_something_of_its_flow() {
        let long = "f".repeat(253);
        let name = job_name(&long, UID, "transform", 1, None);
        assert!(name.starts_with(&format!("{}-transform-", "f".repeat(42))), "{name}");
        assert_eq!(name.len(), 63);
        let name = job_name(&long, UID, &"s".repeat(63), 1, None);
        assert!(name.starts_with(&format!("{}-{}-", "f".repeat(17), "s".repeat(34))), "{name}");
    }

    #[test]
    fn names_that_are_cut_alike_stay_apart() {
        let step = |last: char| format!("{}{last}", "s".repeat(62));
        assert_ne!(job_name("f", UID, &step('a'), 1, None), job_name("f", UID, &step('b'), 1, None));
        assert_ne!(job_name("f", UID, "a", 1, None), job_name("f", UID, "a", 11, None));
        assert_ne!(job_name("f", "1", "a", 1, None), job_name("f", "2", "a", 1, None));
    }

    #[test]
    fn label_values_are_cut_and_hashed_only_where_they_must_be() {
        assert_eq!(label_value("etl.example.com"), "etl.example.com");
        assert_eq!(label_value(&"a".repeat(63)), "a".repeat(63));
        for long in [
            "a".repeat(64),
            "a".repeat(253),
            format!("{}-{}", "a".repeat(51), "b".repeat(60)),
            "a.".repeat(99),
        ] {
            let value = label_value(&long);
            assert_eq!(name_rules::label_value(&value), None, "{value}");
            assert_ne!(value, label_value(&format!("{long}x")));
        }
    }
}
