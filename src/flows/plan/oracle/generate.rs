//! Random cases, and smaller ones.
//!
//! Durations are halves of seconds, so that many things fall on one instant.

use super::case::{Attempt, Case, End, Retry, Step, When};
use super::rng::Rng;
use crate::flows::api::{BackoffType, OnStepFailure, StepPhase};

/// Makes a case. Dependencies point both up and down the document.
pub(super) fn case(rng: &mut Rng) -> Case {
    let n =
        usize::try_from(if rng.chance(90) { rng.between(1, 7) } else { rng.between(8, 14) }).expect("few");
    let order = rng.shuffled(n);
    let mut case = Case { steps: vec![Step::default(); n], ..Case::default() };
    for (at, &i) in order.iter().enumerate() {
        let nearness = rng.pick(&[15, 35, 60]);
        let mut after: Vec<usize> = order[..at].iter().copied().filter(|_| rng.chance(nearness)).collect();
        after.truncate(4);
        case.steps[i] = step(rng, after);
        let ancestors = case.ancestors(i);
        case.steps[i].when = rng.maybe(25, |rng| when(rng, &ancestors));
    }
    case.backoff_limit = rng.maybe(60, |rng| rng.between(0, 4));
    case.parallelism = rng.maybe(50, |rng| rng.between(1, 3));
    case.deadline = rng.maybe(20, |rng| rng.between(1, 20));
    case.reaction = rng.maybe(75, |rng| {
        use OnStepFailure::{CancelRunning, FinishRunning, RunIndependent};
        rng.pick(&[FinishRunning, CancelRunning, RunIndependent, RunIndependent])
    });
    if rng.chance(25) {
        let mut at = if rng.chance(25) { 0 } else { halves(rng, 1, 10) };
        for _ in 0..rng.between(1, 3) {
            let until = at + halves(rng, 1, 10);
            case.suspended.push((at, until));
            at = until + halves(rng, 1, 10);
        }
    }
    case.ttl = rng.maybe(50, |rng| rng.between(0, 5));
    case
}

/// Removes everything that makes the end depend on time: timeouts, the deadline, and the limit on the retries of all
/// steps.
pub(super) fn without_clocks(mut case: Case) -> Case {
    for step in &mut case.steps {
        step.timeout = None;
    }
    case.deadline = None;
    case.backoff_limit = Some(1_000);
    case
}

fn step(rng: &mut Rng, after: Vec<usize>) -> Step {
    Step {
        manual: rng.chance(15),
        after,
        when: None,
        tolerated: rng.chance(25),
        timeout: rng.maybe(20, |rng| rng.between(1, 8)),
        retry: rng.maybe(45, retry),
        job_backoff_limit: rng.maybe(30, |rng| rng.pick(&[0, 0, 2])),
        attempts: (0..rng.between(1, 4)).map(|_| attempt(rng)).collect(),
        verdict: rng.maybe(90, |rng| {
            let at = if rng.chance(20) { 0 } else { halves(rng, 1, 30) };
            (at, rng.chance(75))
        }),
    }
}

fn when(rng: &mut Rng, ancestors: &[usize]) -> When {
    use StepPhase::{Failed, Skipped, Succeeded};
    if ancestors.is_empty() {
        return rng.pick(&[When::Always, When::Never]);
    }
    let (step, phase) = (rng.pick(ancestors), rng.pick(&[Failed, Skipped, Succeeded, Succeeded]));
    match rng.between(0, 9) {
        0 => When::Always,
        1 => When::Never,
        2..=5 => When::Is(step, phase),
        _ => When::IsNot(step, phase),
    }
}

/// Makes a `retryPolicy`.
pub(super) fn retry(rng: &mut Rng) -> Retry {
    use BackoffType::{Exponential, Fixed, Linear};
    Retry {
        limit: rng.maybe(75, |rng| rng.between(0, 3)),
        kind: rng.maybe(85, |rng| rng.pick(&[Fixed, Fixed, Linear, Exponential])),
        factor: rng.maybe(50, |rng| rng.pick(&[1.0, 1.5, 2.0, 3.0])),
        wait: rng.maybe(75, |rng| halves(rng, 1, 6)),
        longest: rng.maybe(40, |rng| halves(rng, 1, 6)),
    }
}

fn attempt(rng: &mut Rng) -> Attempt {
    let end = match rng.between(1, 100) {
        1..=55 => End::Success,
        56..=92 => End::Failure,
        _ => End::Lost,
    };
    Attempt { lasts: halves(rng, 1, 10), end }
}

fn halves(rng: &mut Rng, from: i64, to: i64) -> i64 {
    rng.between(from, to) * 500
}

/// Lists cases that are a little smaller than this one, the much smaller ones first.
pub(super) fn smaller(case: &Case) -> Vec<Case> {
    let mut all = Vec::new();
    for i in 0..case.steps.len() {
        if case.steps.len() > 1 {
            all.push(without(case, i));
        }
    }
    let mut with = |change: &dyn Fn(&mut Case)| {
        let mut copy = case.clone();
        change(&mut copy);
        if copy.to_string() != case.to_string() {
            all.push(copy);
        }
    };
    with(&|case| case.suspended.clear());
    with(&|case| case.suspended.truncate(1));
    with(&|case| case.deadline = None);
    with(&|case| case.parallelism = None);
    with(&|case| case.backoff_limit = None);
    with(&|case| case.reaction = None);
    with(&|case| case.ttl = None);
    for i in 0..case.steps.len() {
        with(&|case| case.steps[i].timeout = None);
        with(&|case| case.steps[i].retry = None);
        with(&|case| case.steps[i].when = None);
        with(&|case| case.steps[i].tolerated = false);
        with(&|case| case.steps[i].manual = false);
        with(&|case| case.steps[i].job_backoff_limit = None);
        with(&|case| case.steps[i].attempts = Vec::new());
        with(&|case| case.steps[i].attempts.truncate(1));
        with(&|case| case.steps[i].retry = case.steps[i].retry.map(simple));
        for dependency in case.steps[i].after.clone() {
            with(&|case| {
                case.steps[i].after.retain(|&other| other != dependency);
                forget_lost_ancestors(case);
            });
        }
        for attempt in 0..case.steps[i].attempts.len() {
            with(&|case| case.steps[i].attempts[attempt].lasts = 1_000);
            with(&|case| case.steps[i].attempts[attempt].end = End::Success);
        }
    }
    all
}

fn simple(retry: Retry) -> Retry {
    Retry { limit: retry.limit, kind: Some(BackoffType::Fixed), ..Retry::default() }
}

/// Removes a step from a case: its dependants get its dependencies.
fn without(case: &Case, gone: usize) -> Case {
    let mut copy = case.clone();
    let before = copy.steps.remove(gone).after;
    let moved = |i: usize| if i > gone { i - 1 } else { i };
    for step in &mut copy.steps {
        if step.after.contains(&gone) {
            step.after.extend(&before);
        }
        step.after.retain(|&i| i != gone);
        step.after.sort_unstable();
        step.after.dedup();
        step.after.iter_mut().for_each(|i| *i = moved(*i));
        step.when = match step.when {
            Some(When::Is(i, _) | When::IsNot(i, _)) if i == gone => None,
            Some(When::Is(i, phase)) => Some(When::Is(moved(i), phase)),
            Some(When::IsNot(i, phase)) => Some(When::IsNot(moved(i), phase)),
            other => other,
        };
    }
    copy
}

fn forget_lost_ancestors(case: &mut Case) {
    for i in 0..case.steps.len() {
        if let Some(When::Is(step, _) | When::IsNot(step, _)) = case.steps[i].when
            && !case.ancestors(i).contains(&step)
        {
            case.steps[i].when = None;
        }
    }
}
