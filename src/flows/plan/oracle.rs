//! The planner against an interpreter that was written independently of it, on random flows.
//!
//! [`reference`] computes the end of a case from the specification alone. [`world`] and [`drive`] simulate the cluster
//! and the controller around the real planner, without trouble or with every trouble that a controller meets;
//! [`invariants`] are checked for every single plan, and [`compare`] compares the end with the reference's. A case that
//! fails is made smaller and printed with its seed; `HEADWORKS_SEED=N` runs that case alone, `HEADWORKS_CASES=N` runs N
//! cases.
//!
//! With trouble only those cases are compared whose end does not depend on timing ([`is_timeless`]); half of the cases
//! are made so. The invariants are checked in all.

use std::panic::{AssertUnwindSafe, catch_unwind};

use compare::{Extent, compare, is_timeless};
use drive::{Planner, Trouble, drive};
use rng::Rng;

use case::Case;

use crate::flows::api::BackoffType;

mod broken;
mod case;
mod compare;
mod drive;
mod ending;
mod generate;
mod invariants;
mod job;
mod manifest;
mod reference;
mod rng;
mod world;

/// Steps whose waits are jittered take the planner's jitter; the tests of `backoff` hold its bounds.
fn jittered(case: &Case, step: usize, retry: i64) -> reference::Micros {
    let policy = manifest::retry_policy(case.steps[step].retry.as_ref().expect("it retries"));
    let wait = super::backoff(&policy, manifest::UID, &Case::name(step), retry);
    i64::try_from(wait.as_micros()).expect("short")
}

/// Runs a case. The error says what is wrong.
fn check(case: &Case, planner: Planner, seed: u64, trouble: Trouble) -> Result<(), String> {
    let expected = reference::run(case, &|step, retry| jittered(case, step, retry));
    let run = || drive(case, planner, seed, trouble);
    let status =
        catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|_| Err("the planner panics".to_owned()))?;
    match trouble {
        Trouble::None => compare(&expected, &status, Extent::Everything),
        Trouble::Much if is_timeless(case, &expected) => compare(&expected, &status, Extent::Ends),
        Trouble::Much => Ok(()),
    }
}

fn random_case(seed: u64, trouble: Trouble) -> Case {
    let case = generate::case(&mut Rng::new(seed));
    // Half of the troubled cases are such that the trouble must not show.
    if trouble == Trouble::Much && seed.is_multiple_of(2) { generate::without_clocks(case) } else { case }
}

/// Finds a case that fails and makes it small. The error is the text to print.
fn search(planner: Planner, seeds: std::ops::Range<u64>, trouble: Trouble) -> Result<(), String> {
    for seed in seeds {
        let mut case = random_case(seed, trouble);
        let Err(mut wrong) = check(&case, planner, seed, trouble) else { continue };
        let mut tries = 3_000;
        'smaller: loop {
            for other in generate::smaller(&case) {
                tries -= 1;
                if let Err(other_wrong) = check(&other, planner, seed, trouble) {
                    (case, wrong) = (other, other_wrong);
                    continue 'smaller;
                }
                if tries <= 0 {
                    break 'smaller;
                }
            }
            break;
        }
        return Err(format!(
            "HEADWORKS_SEED={seed} fails, trouble: {trouble:?}\n{wrong}\n\nThe smallest such case:\n{case}"
        ));
    }
    Ok(())
}

/// Returns `count` seeds, or as many as `HEADWORKS_CASES` says, or only the one of `HEADWORKS_SEED`.
fn seeds(count: u64) -> std::ops::Range<u64> {
    #[expect(clippy::disallowed_methods, reason = "a test that is run again by its seed")]
    let number = |name| std::env::var(name).ok().map(|text| text.parse().expect("a number"));
    match number("HEADWORKS_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("HEADWORKS_CASES").unwrap_or(count),
    }
}

#[test]
fn the_planner_ends_every_flow_as_the_specification_says() {
    if let Err(report) = search(super::plan, seeds(3_500), Trouble::None) {
        panic!("{report}");
    }
}

#[test]
fn no_trouble_changes_what_time_does_not_decide() {
    if let Err(report) = search(super::plan, seeds(1_500), Trouble::Much) {
        panic!("{report}");
    }
}

#[test]
fn waits_between_attempts_grow_as_their_policy_says() {
    let mut rng = Rng::new(1);
    for _ in 0..2_000 {
        let (retry, n) = (generate::retry(&mut rng), rng.between(0, 20));
        let name = Case::name(usize::try_from(rng.between(0, 99)).expect("small"));
        let policy = manifest::retry_policy(&retry);
        let found = super::backoff(&policy, manifest::UID, &name, n);
        assert_eq!(found, super::backoff(&policy, manifest::UID, &name, n));
        let found = i64::try_from(found.as_micros()).expect("short");
        let plain = reference::wait(&retry, n);
        let longest = retry.longest.unwrap_or(600_000) * 1_000;
        let what = format!("{retry:?}, retry {n} of {name}: {found} µs, {plain} without jitter");
        assert!(found <= longest, "{what}");
        match retry.kind {
            Some(BackoffType::Fixed | BackoffType::Linear) => assert_eq!(found, plain, "{what}"),
            // At the cap the wait before the jitter may have been longer.
            _ if plain == longest => assert!(found * 10 >= plain * 9 - 10, "{what}"),
            _ => assert!((found - plain).abs() * 10 <= plain + 10, "{what}"),
        }
    }
}
