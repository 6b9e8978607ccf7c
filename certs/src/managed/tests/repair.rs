//! Repair of certificates that are broken, lost or expired.

use super::*;

#[test]
fn what_cannot_be_served_any_more_is_replaced_at_once_by_what_is_staged() {
    let mut world = staged();
    world.settle();
    let next = world.state().next_ca.clone();
    world.state().ca.as_mut().unwrap().cert = b"garbage".to_vec();
    world.state().leaf.as_mut().unwrap().cert = b"garbage".to_vec();
    assert_eq!(world.decide(), Step::Activate { waited: false });
    world.settle();
    assert_eq!(world.state().ca, next);
    world.assert_served();
    // Where the next leaf has expired as well, there is nothing left.
    let mut world = staged();
    world.settle();
    world.state().ca.as_mut().unwrap().key = None;
    let mut world = world.after(DAY * 15);
    assert!(matches!(world.decide(), Step::Generate(Cause::Expired(_))));
    world.settle();
    world.assert_served();
}

#[test]
fn a_next_pair_that_is_spoilt_is_laid_out_again_under_the_next_ca_if_that_is_sound() {
    let mut world = staged();
    world.settle();
    let next = world.state().next_ca.clone();
    world.state().next_leaf = None;
    assert_eq!(kinds(&world.settle()), ["stage", "date", "rest"]);
    assert_eq!(world.state().next_ca, next);
    world.state().next_ca.as_mut().unwrap().key = None;
    assert_eq!(kinds(&world.settle()), ["stage", "publish", "date", "rest"]);
    assert_ne!(world.state().next_ca, next);
    world.assert_served();
}

#[test]
fn a_broken_leaf_is_renewed_under_the_same_ca() {
    let other = World::settled();
    let breakages: [&dyn Fn(&mut State); 5] = [
        &|state| state.leaf = None,
        &|state| state.leaf.as_mut().unwrap().key = None,
        &|state| state.leaf.as_mut().unwrap().cert = b"garbage".to_vec(),
        &|state| state.leaf.as_mut().unwrap().key = Some(KeyPem::new("garbage")),
        &|state| state.leaf.clone_from(&other.state.as_ref().unwrap().leaf), // of another CA
    ];
    for breakage in breakages {
        let mut world = World::settled();
        let ca = world.ca();
        breakage(world.state());
        assert!(matches!(world.decide(), Step::RenewLeaf(Cause::Malformed(_))));
        world.settle();
        assert_eq!(world.ca(), ca);
        world.assert_served();
    }
}

#[test]
fn a_lost_ca_key_is_no_emergency_and_ends_in_an_orderly_rotation_when_the_leaf_is_due() {
    let mut world = World::settled();
    world.state().ca.as_mut().unwrap().key = None;
    let Step::Rest { due, .. } = world.decide() else { panic!() };
    assert!(matches!(due[..], [Due::AuthorityKey(_)]));
    let mut world = world.after(DAY * 11);
    let steps = world.settle();
    assert!(matches!(steps[0], Step::Stage { cause: Cause::Barren(_), .. }));
    assert_eq!(kinds(&steps), ROTATION);
    world.assert_served();
}

#[test]
fn a_malformed_ca_whose_leaf_is_still_trusted_is_rotated_in_order() {
    let mut world = World { waited: false, ..World::settled() };
    let (ca, leaf) = (world.ca(), world.state().leaf.clone());
    world.state().ca.as_mut().unwrap().cert = b"garbage".to_vec();
    let Step::Stage { cause: Cause::Malformed(_), keep } = world.decide() else { panic!() };
    assert_eq!(keep.as_bytes(), ca, "what is published, and the leaf needs, is kept");
    assert_eq!(kinds(&world.settle()), ["stage", "publish", "date", "rest"]);
    assert_eq!(world.state().leaf, leaf, "nothing else is served yet");
    world.assert_served();
    world.waited = true;
    assert_eq!(kinds(&world.settle()), ["activate", "confirm", "publish", "retire", "rest"]);
    world.assert_served();
}

#[test]
fn a_malformed_ca_whose_leaf_nobody_trusts_is_an_emergency() {
    let spoil: [&dyn Fn(&mut World); 3] = [
        &|world| world.state().ca.as_mut().unwrap().cert = b"garbage".to_vec(),
        &|world| world.state().ca = None,
        // a certificate, but of no CA
        &|world| world.state().ca = world.state().leaf.clone(),
    ];
    for spoil in spoil {
        let mut world = World { waited: false, ..World::settled() };
        spoil(&mut world);
        world.configurations[0].webhooks[1].1.clear();
        assert!(matches!(world.decide(), Step::Generate(Cause::Malformed(_))));
        let steps = kinds(&world.settle()).join(" ");
        assert!(steps.starts_with("generate publish"), "no wait: {steps}");
        world.assert_served();
    }
}
