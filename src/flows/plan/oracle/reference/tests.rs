//! The rules one by one, calculated by hand.

use super::*;
use crate::flows::plan::oracle::case::{Retry, Step};
use StepPhase::{Cancelled, Failed, PendingApproval, Skipped, Succeeded};

/// A second for every wait with jitter.
fn ending(case: &Case) -> Ending {
    run(case, &|_, _| 1_000_000)
}

fn flow(steps: &[Step]) -> Case {
    Case { steps: steps.to_vec(), ..Case::default() }
}

/// Makes a step from the milliseconds of its attempts; a negative number fails.
fn step(attempts: &[i64], after: &[usize]) -> Step {
    let attempt =
        |&ms: &i64| Attempt { lasts: ms.abs(), end: if ms < 0 { End::Failure } else { End::Success } };
    Step { attempts: attempts.iter().map(attempt).collect(), after: after.to_vec(), ..Step::default() }
}

fn manual(verdict: Option<(i64, bool)>, after: &[usize]) -> Step {
    Step { manual: true, verdict, after: after.to_vec(), ..Step::default() }
}

fn fixed(limit: i64, wait: i64) -> Retry {
    let kind = Some(BackoffType::Fixed);
    Retry { limit: Some(limit), kind, wait: Some(wait), ..Retry::default() }
}

/// Checks steps against (phase, reason, attempts, milliseconds of start and end; -1 is never).
fn assert_steps(case: &Case, expected: &[(StepPhase, Why, i64, i64, i64)]) -> Ending {
    let ending = ending(case);
    let ms = |at: Option<Micros>| at.map_or(-1, |at| at / 1_000);
    let found: Vec<_> =
        ending.steps.iter().map(|s| (s.phase, s.why, s.attempts, ms(s.started), ms(s.ended))).collect();
    assert_eq!(found, expected, "{case}");
    ending
}

fn over(ending: &Ending) -> Option<(i64, Option<FlowWhy>)> {
    ending.over.map(|(at, why)| (at / 1_000, why))
}

#[test]
fn a_chain_runs_link_by_link_and_succeeds() {
    let case = flow(&[step(&[1_000], &[1]), step(&[500], &[])]);
    let ending = assert_steps(
        &case,
        &[(Succeeded, Why::Nothing, 1, 500, 1_500), (Succeeded, Why::Nothing, 1, 0, 500)],
    );
    assert_eq!(over(&ending), Some((1_500, None)));
}

#[test]
fn a_failure_skips_what_waits_for_it_and_what_has_not_started() {
    let case = flow(&[
        step(&[-1_000], &[]),
        step(&[100], &[0]),
        step(&[100], &[1]),
        step(&[3_000], &[]),
        step(&[100], &[3]),
        step(&[100], &[3, 0]),
    ]);
    let ending = assert_steps(
        &case,
        &[
            (Failed, Why::JobFailed, 1, 0, 1_000),
            (Skipped, Why::UpstreamFailed, 0, -1, 1_000),
            (Skipped, Why::UpstreamFailed, 0, -1, 1_000),
            (Succeeded, Why::Nothing, 1, 0, 3_000),
            (Skipped, Why::FlowFailed, 0, -1, 1_000),
            (Skipped, Why::UpstreamFailed, 0, -1, 1_000),
        ],
    );
    assert_eq!(over(&ending), Some((3_000, Some(FlowWhy::StepFailed))));
}

#[test]
fn run_independent_goes_on_and_cancel_running_does_not() {
    let mut case = flow(&[step(&[-1_000], &[]), step(&[100], &[0]), step(&[3_000], &[]), step(&[100], &[2])]);
    case.reaction = Some(OnStepFailure::RunIndependent);
    let ending = assert_steps(
        &case,
        &[
            (Failed, Why::JobFailed, 1, 0, 1_000),
            (Skipped, Why::UpstreamFailed, 0, -1, 1_000),
            (Succeeded, Why::Nothing, 1, 0, 3_000),
            (Succeeded, Why::Nothing, 1, 3_000, 3_100),
        ],
    );
    assert_eq!(over(&ending), Some((3_100, Some(FlowWhy::StepFailed))));
    case.reaction = Some(OnStepFailure::CancelRunning);
    let ending = assert_steps(
        &case,
        &[
            (Failed, Why::JobFailed, 1, 0, 1_000),
            (Skipped, Why::UpstreamFailed, 0, -1, 1_000),
            (Cancelled, Why::FlowFailed, 1, 0, 1_000),
            (Skipped, Why::UpstreamFailed, 0, -1, 1_000),
        ],
    );
    assert_eq!(over(&ending), Some((1_000, Some(FlowWhy::StepFailed))));
}

#[test]
fn a_tolerated_failure_counts_as_done() {
    let mut case = flow(&[step(&[-1_000], &[]), step(&[100], &[0]), step(&[100], &[0])]);
    case.steps[0].tolerated = true;
    case.steps[1].when = Some(When::Is(0, Succeeded));
    let ending = assert_steps(
        &case,
        &[
            (Failed, Why::JobFailed, 1, 0, 1_000),
            (Skipped, Why::WhenFalse, 0, -1, 1_000),
            (Succeeded, Why::Nothing, 1, 1_000, 1_100),
        ],
    );
    assert_eq!(over(&ending), Some((1_100, None)));
}

#[test]
fn retries_wait_and_the_flow_limits_them() {
    let mut case = flow(&[step(&[-1_000, -1_000, 1_000], &[])]);
    case.steps[0].retry = Some(fixed(2, 500));
    assert_steps(&case, &[(Succeeded, Why::Nothing, 3, 0, 4_000)]);
    case.steps[0].retry = Some(Retry { kind: Some(BackoffType::Linear), ..fixed(2, 500) });
    assert_steps(&case, &[(Succeeded, Why::Nothing, 3, 0, 4_500)]);
    case.steps[0].retry = Some(fixed(1, 500));
    let ending = assert_steps(&case, &[(Failed, Why::JobFailed, 2, 0, 2_500)]);
    assert_eq!(over(&ending), Some((2_500, Some(FlowWhy::StepFailed))));
    case.steps[0].retry = Some(fixed(2, 500));
    case.steps[0].tolerated = true;
    case.backoff_limit = Some(1);
    let ending = assert_steps(&case, &[(Failed, Why::BackoffLimitExceeded, 2, 0, 2_500)]);
    assert_eq!(over(&ending), Some((2_500, Some(FlowWhy::BackoffLimitExceeded))));
}

#[test]
fn a_retry_that_waits_counts_against_the_limit_of_the_flow() {
    let mut case = flow(&[step(&[-1_000, 1_000], &[]), step(&[-1_500, 1_000], &[])]);
    (case.steps[0].retry, case.steps[1].retry) = (Some(fixed(1, 5_000)), Some(fixed(1, 100)));
    case.backoff_limit = Some(1);
    assert_steps(
        &case,
        &[(Failed, Why::JobFailed, 1, 0, 1_500), (Failed, Why::BackoffLimitExceeded, 1, 0, 1_500)],
    );
}

#[test]
fn a_timeout_covers_all_attempts_and_an_outcome_of_the_same_instant_wins() {
    let mut case = flow(&[step(&[-1_000, 1_000], &[])]);
    case.steps[0].retry = Some(fixed(3, 1_000));
    case.steps[0].timeout = Some(2);
    assert_steps(&case, &[(Failed, Why::StepTimeout, 1, 0, 2_000)]);
    case.steps[0].timeout = Some(3);
    assert_steps(&case, &[(Succeeded, Why::Nothing, 2, 0, 3_000)]);
    case.steps[0].attempts[1].end = End::Failure;
    assert_steps(&case, &[(Failed, Why::JobFailed, 2, 0, 3_000)]);
}

#[test]
fn the_deadline_cancels_what_runs_and_fails_what_waits_for_a_retry() {
    let mut case = flow(&[
        step(&[9_000], &[]),
        step(&[-1_000], &[]),
        manual(None, &[]),
        step(&[1_000], &[0]),
        step(&[2_000], &[]),
        step(&[1_000], &[4]),
    ]);
    case.steps[1].retry = Some(fixed(3, 5_000));
    case.deadline = Some(2);
    let ending = assert_steps(
        &case,
        &[
            (Cancelled, Why::Deadline, 1, 0, 2_000),
            (Failed, Why::JobFailed, 1, 0, 2_000),
            (Cancelled, Why::Deadline, 0, 0, 2_000),
            (Skipped, Why::UpstreamFailed, 0, -1, 2_000),
            (Succeeded, Why::Nothing, 1, 0, 2_000),
            (Skipped, Why::FlowFailed, 0, -1, 2_000),
        ],
    );
    assert_eq!(over(&ending), Some((2_000, Some(FlowWhy::ActiveDeadlineExceeded))));
}

#[test]
fn parallelism_counts_what_runs_and_earlier_steps_go_first() {
    let mut case =
        flow(&[step(&[-1_000, 1_000], &[]), step(&[3_000], &[]), manual(None, &[]), step(&[500], &[])]);
    case.steps[0].retry = Some(fixed(1, 500));
    case.steps[3].when = Some(When::Never);
    case.parallelism = Some(1);
    assert_steps(
        &case,
        &[
            (Succeeded, Why::Nothing, 2, 0, 5_000),
            (Succeeded, Why::Nothing, 1, 1_000, 4_000),
            (PendingApproval, Why::Nothing, 0, 0, -1),
            (Skipped, Why::WhenFalse, 0, -1, 0),
        ],
    );
}

#[test]
fn suspension_starts_nothing_and_stops_no_clock() {
    let mut case = flow(&[
        step(&[-1_000, 1_000], &[]),
        manual(Some((1_500, true)), &[]),
        step(&[1_000], &[1]),
        step(&[1_000], &[]),
    ]);
    case.steps[0].retry = Some(fixed(1, 500));
    case.steps[3].timeout = Some(1);
    case.suspended = vec![(500, 4_000)];
    assert_steps(
        &case,
        &[
            (Succeeded, Why::Nothing, 2, 0, 5_000),
            (Succeeded, Why::Nothing, 0, 0, 1_500),
            (Succeeded, Why::Nothing, 1, 4_000, 5_000),
            (Succeeded, Why::Nothing, 1, 0, 1_000),
        ],
    );
    case.deadline = Some(3);
    let ending = ending(&case);
    assert_eq!(over(&ending), Some((3_000, Some(FlowWhy::ActiveDeadlineExceeded))));
}

#[test]
fn approval_may_come_before_the_step_and_rejection_fails_it() {
    let case =
        flow(&[step(&[1_000], &[]), manual(Some((0, true)), &[0]), manual(Some((3_000, false)), &[1])]);
    let ending = assert_steps(
        &case,
        &[
            (Succeeded, Why::Nothing, 1, 0, 1_000),
            (Succeeded, Why::Nothing, 0, 1_000, 1_000),
            (Failed, Why::Rejected, 0, 1_000, 3_000),
        ],
    );
    assert_eq!(over(&ending), Some((3_000, Some(FlowWhy::StepFailed))));
}

#[test]
fn a_job_that_is_deleted_by_hand_is_a_failed_attempt() {
    let mut case = flow(&[step(&[1_000], &[]), step(&[1_000], &[])]);
    case.steps[0].attempts[0].end = End::Lost;
    case.steps[1].attempts =
        vec![Attempt { lasts: 100, end: End::Lost }, Attempt { lasts: 2_000, end: End::Success }];
    case.steps[1].retry = Some(fixed(1, 100));
    assert_steps(&case, &[(Failed, Why::JobLost, 1, 0, 1_000), (Succeeded, Why::Nothing, 2, 0, 2_200)]);
}

#[test]
fn a_failure_ends_approvals_and_retries_that_wait() {
    let mut case = flow(&[
        step(&[-2_000], &[]),
        manual(None, &[]),
        step(&[-1_000], &[]),
        step(&[100], &[1]),
        step(&[100], &[2]),
    ]);
    case.steps[2].retry = Some(fixed(3, 5_000));
    case.steps[2].tolerated = true;
    assert_steps(
        &case,
        &[
            (Failed, Why::JobFailed, 1, 0, 2_000),
            (Cancelled, Why::FlowFailed, 0, 0, 2_000),
            (Failed, Why::JobFailed, 1, 0, 2_000),
            (Skipped, Why::UpstreamFailed, 0, -1, 2_000),
            (Skipped, Why::FlowFailed, 0, -1, 2_000),
        ],
    );
}
