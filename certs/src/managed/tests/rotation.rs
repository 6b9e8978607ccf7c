//! The next CA, step by step.

use super::*;

#[test]
fn the_ca_is_rotated_in_steps_between_57_and_67_percent_of_its_life() {
    let mut world = World::settled();
    let (ca, began) = (world.ca(), world.now);
    loop {
        world = world.after(SignedDuration::from_hours(12));
        let steps = world.settle();
        world.assert_served();
        if kinds(&steps).contains(&"stage") {
            assert!(matches!(steps[0], Step::Stage { cause: Cause::Due(_), .. }));
            assert_eq!(kinds(&steps), ROTATION);
            break;
        }
        assert_eq!(world.ca(), ca);
    }
    assert_ne!(world.ca(), ca);
    let days = world.now.duration_since(began).as_hours() / 24;
    assert!((206..=244).contains(&days), "{days}");
    let state = world.state.as_ref().unwrap();
    assert_eq!(state.bundle_at(world.now).facts().len(), 1);
    assert!(state.bundle.is_empty() && state.next_ca.is_none() && state.next_leaf.is_none());
    assert_eq!((state.phase, &state.published), (Phase::Stable, &None));
}

#[test]
fn every_step_serves_what_is_trusted_and_the_next_leaf_waits_for_the_bundle() {
    let mut world = staged();
    let (old, old_ca) = (world.pair().serial().to_owned(), world.ca());
    assert_eq!(kinds(&world.settle()), ["publish", "date", "rest"]);
    assert_eq!(world.pair().serial(), old);
    assert_eq!(world.decide(), Step::Rest { due: vec![], wait: Wait::Trust });
    world.assert_served();
    // Changed meanwhile: repaired, dated, waited for again.
    world.configurations[0].webhooks[0].1.clear();
    world.configurations[0].generation += 1;
    assert_eq!(kinds(&world.settle()), ["publish", "date", "rest"]);
    // Changed and repaired by somebody else before anybody looked.
    world.configurations[0].generation += 2;
    assert_eq!(kinds(&world.settle()), ["date", "rest"]);
    (world.waited, world.replicas) = (true, Some(vec![Served { name: "b".to_owned(), serial: Some(old) }]));
    assert_eq!(kinds(&world.settle()), ["activate", "rest"]);
    let wait = Wait::Replicas(vec!["b".to_owned()]);
    assert_eq!(world.decide(), Step::Rest { due: vec![], wait });
    world.assert_served();
    assert!(
        String::from_utf8(world.state().bundle.clone())
            .unwrap()
            .contains(&String::from_utf8(old_ca).unwrap())
    );
    world.replicas = None;
    assert_eq!(kinds(&world.settle()), ["confirm", "publish", "retire", "rest"]);
    world.assert_served();
}

#[test]
fn a_replica_that_says_nothing_is_waited_for_until_the_old_leaf_has_expired() {
    let mut world = staged();
    let ends = world.pair().not_after();
    world.waited = true;
    world.replicas = Some(vec![Served { name: "b".to_owned(), serial: None }]);
    assert_eq!(kinds(&world.settle()), ["publish", "date", "activate", "rest"]);
    let ca = world.ca();
    while world.now <= ends + SignedDuration::from_hours(1) {
        assert_eq!(world.state.as_ref().unwrap().phase, Phase::Activated);
        world = world.after(SignedDuration::from_hours(6));
        world.settle(); // the new leaf may be renewed meanwhile
    }
    assert_eq!((world.state().phase, world.ca()), (Phase::Stable, ca));
}
