//! The first pair, and the next leaf.

use super::*;

#[test]
fn nothing_becomes_a_ca_a_leaf_and_a_published_bundle() {
    let mut world = World::empty();
    assert_eq!(world.decide(), Step::Generate(Cause::Missing));
    assert_eq!(kinds(&world.settle()), ["generate", "publish", "rest"]);
    world.assert_served();
    let mut placeholder = World { state: Some(State::default()), ..World::empty() };
    assert_eq!(placeholder.decide(), Step::Generate(Cause::Missing), "an empty Secret made beforehand");
    assert_eq!(kinds(&placeholder.settle()), ["generate", "publish", "rest"]);
}

#[test]
fn what_is_valid_is_left_alone() {
    let mut world = World::settled();
    let before = world.state.clone();
    for _ in 0..8 {
        world = world.after(DAY);
        assert_eq!(world.decide(), AT_REST);
    }
    assert_eq!(world.state, before);
}

#[test]
fn the_leaf_is_renewed_between_57_and_67_percent_of_its_life_without_touching_the_bundle() {
    for _ in 0..20 {
        let mut world = World::settled();
        let bundle = world.configurations.clone();
        let due = loop {
            world = world.after(SignedDuration::from_hours(1));
            if let Step::RenewLeaf(Cause::Due(at)) = world.decide() {
                break at;
            }
        };
        let life = 14.0 * 24.0;
        let share = world.now.duration_since(World::empty().now).as_secs_f64() / 3600.0 / life;
        assert!((0.56..0.68).contains(&share), "{share}");
        assert!(due <= world.now);
        let old = world.pair().serial().to_owned();
        assert_eq!(kinds(&world.settle()), ["renew", "rest"]);
        assert_ne!(world.pair().serial(), old);
        assert_eq!(world.configurations, bundle);
        world.assert_served();
    }
}

#[test]
fn a_lifetime_of_minutes_works_and_does_not_storm() {
    let mut world = World::empty();
    world.policy.lifetimes.leaf = SignedDuration::from_mins(15);
    world.settle();
    let mut renewed = 0;
    for _ in 0..60 {
        world = world.after(SignedDuration::from_mins(1));
        renewed += usize::from(world.settle().len() > 1);
        world.assert_served();
    }
    assert!((5..=8).contains(&renewed), "{renewed}");
}

#[test]
fn thirty_days_asleep_cost_one_renewal_and_an_hour_back_costs_nothing() {
    let mut late = World::settled().after(DAY * 30);
    assert!(matches!(late.decide(), Step::RenewLeaf(Cause::Expired(_))));
    assert_eq!(kinds(&late.settle()), ["renew", "rest"]);
    late.assert_served();
    let back = World::settled().after(-SignedDuration::from_hours(1));
    assert_eq!(back.decide(), AT_REST);
}

#[test]
fn certificates_from_the_future_mean_a_wrong_clock_and_nothing_is_written() {
    let world = World::settled().after(-DAY);
    let from = world.now + DAY - SignedDuration::from_hours(1);
    assert_eq!(world.decide(), Step::Rest { due: vec![Due::Clock(from)], wait: Wait::Nothing });
}

#[test]
fn any_lifetimes_even_foolish_ones_do_not_storm() {
    let minutes = [0, 1, 5, 60, 60 * 24 * 14, 60 * 24 * 400];
    for (leaf, ca) in minutes.iter().flat_map(|leaf| minutes.map(|ca| (*leaf, ca))) {
        let mut world = World::empty();
        world.policy.lifetimes.leaf = SignedDuration::from_mins(leaf);
        world.policy.lifetimes.ca = SignedDuration::from_mins(ca);
        for _ in 0..20 {
            let mut steps = 0;
            loop {
                match world.step() {
                    Step::Rest { .. } => break,
                    Step::Activate { .. } => world.waited = false, // once in a wait
                    _ => {}
                }
                steps += 1;
                assert!(steps <= 12, "a storm with {leaf} and {ca} minutes");
            }
            world = World { waited: true, ..world.after(SignedDuration::from_mins(1)) };
        }
    }
}
