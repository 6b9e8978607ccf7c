use rstest::rstest;
use serde_json::json;

use super::*;
use crate::flows::api::{ExecutionPolicy, OnStepFailure, RetryPolicy, StepType};

fn spec(steps: &[(&str, &[&str])]) -> JobFlowSpec {
    let step = |(name, after): &(&str, &[&str])| Step {
        name: (*name).to_owned(),
        dependencies: after.iter().map(ToString::to_string).collect(),
        ..Step::default()
    };
    JobFlowSpec { steps: steps.iter().map(step).collect(), ..JobFlowSpec::default() }
}

#[test]
fn levels_keep_the_order_of_the_document() {
    let outline =
        Outline::of(&spec(&[("d", &["b", "a"]), ("a", &[]), ("b", &["a"]), ("c", &["a"])])).unwrap();
    assert_eq!(outline.levels, [vec![1], vec![2, 3], vec![0]]);
    assert_eq!(outline.width, 2);
}

#[test]
fn the_widest_set_may_cross_levels() {
    // Levels are {a, b}, {c, d}, {e}: none holds three, but b, c and d wait for none of each other.
    let crossing: &[(&str, &[&str])] = &[("a", &[]), ("b", &[]), ("c", &["a"]), ("d", &["a"]), ("e", &["c"])];
    let mut spec = spec(crossing);
    assert_eq!(Outline::of(&spec).unwrap().width, 3);
    spec.execution_policy = Some(ExecutionPolicy { parallelism: Some(2), ..ExecutionPolicy::default() });
    assert_eq!(Outline::of(&spec).unwrap().width, 2);
}

#[test]
fn a_circle_has_no_outline() {
    assert_eq!(Outline::of(&spec(&[("a", &["b"]), ("b", &["a"])])), None);
}

#[test]
fn pods_count_completions_failures_and_the_dearest_retries() {
    let mut spec = spec(&[("a", &[]), ("b", &[]), ("ok", &[])]);
    spec.steps[2].type_ = Some(StepType::Manual);
    assert_eq!(pods(&spec), 14, "a Job fails after six retries of its own");
    spec.steps[0].template = Some(json!({"spec": {"completions": 5, "backoffLimit": 1}}).into());
    assert_eq!(pods(&spec), 6 + 7);
    spec.steps[1].retry_policy = Some(Box::new(RetryPolicy { limit: Some(4), backoff: None }));
    assert_eq!(pods(&spec), 6 + 1 + 4, "with a retryPolicy the Job itself is tried once");
    spec.execution_policy = Some(ExecutionPolicy { backoff_limit: Some(2), ..ExecutionPolicy::default() });
    assert_eq!(pods(&spec), 6 + 1 + 2, "the flow's own limit holds for all retries together");
    spec.steps[0].template = Some(json!({"spec": {"completions": 5, "backoffLimitPerIndex": 2}}).into());
    assert_eq!(pods(&spec), 15 + 1 + 2);
}

#[rstest]
#[case(None, End::FinishesIfRunning, End::CancelledIfRunning)]
#[case(Some(OnStepFailure::FinishRunning), End::FinishesIfRunning, End::CancelledIfRunning)]
#[case(Some(OnStepFailure::CancelRunning), End::CancelledIfRunning, End::CancelledIfRunning)]
#[case(Some(OnStepFailure::RunIndependent), End::Runs, End::Runs)]
fn a_failure_skips_what_waits_for_it_and_the_policy_decides_on_the_rest(
    #[case] reaction: Option<OnStepFailure>,
    #[case] job: End,
    #[case] manual: End,
) {
    let mut spec = spec(&[
        ("before", &[]),
        ("fails", &["before"]),
        ("after", &["fails"]),
        ("later", &["after", "other"]),
        ("other", &[]),
        ("approve", &[]),
    ]);
    spec.steps[5].type_ = Some(StepType::Manual);
    spec.execution_policy = Some(ExecutionPolicy { on_step_failure: reaction, ..ExecutionPolicy::default() });
    let failure = fail(&spec, 1);
    let ends = [End::Done, End::Fails, End::UpstreamFailed, End::UpstreamFailed, job, manual];
    assert_eq!(failure.steps, ends);
    assert!(failure.flow_fails);
}

#[test]
fn a_failure_that_may_be_continued_changes_nothing_else() {
    let mut spec = spec(&[("fails", &[]), ("after", &["fails"]), ("other", &[])]);
    spec.steps[0].continue_on_failure = Some(true);
    let failure = fail(&spec, 0);
    assert_eq!(failure.steps, [End::Fails, End::Runs, End::Runs]);
    assert!(!failure.flow_fails);
}
