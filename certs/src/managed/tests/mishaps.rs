//! Any series of mishaps.

use proptest::prelude::*;

use super::*;
use crate::managed::plan::judge::renewal;

/// A mishap of a settled world.
#[derive(Clone, Debug)]
enum Mishap {
    Hours(i64),
    NoSecret,
    NoCa,
    NoCaKey,
    NoLeaf,
    NoLeafKey,
    FlipByte(usize, usize),
    Blank(usize),
    OtherBundle(usize),
}

fn mishap() -> impl Strategy<Value = Mishap> {
    prop_oneof![
        6 => (-2i64..24 * 200).prop_map(Mishap::Hours),
        1 => Just(Mishap::NoSecret),
        1 => Just(Mishap::NoCa),
        1 => Just(Mishap::NoCaKey),
        1 => Just(Mishap::NoLeaf),
        1 => Just(Mishap::NoLeafKey),
        4 => (0usize..4, 0usize..2000).prop_map(|(part, at)| Mishap::FlipByte(part, at)),
        2 => (0usize..2).prop_map(Mishap::Blank),
        1 => (0usize..2).prop_map(Mishap::OtherBundle),
    ]
}

fn flip(pem: &mut [u8], at: usize) {
    let at = at % pem.len().max(1);
    if let Some(byte) = pem.get_mut(at) {
        *byte = if *byte == b'A' { b'B' } else { b'A' };
    }
}

fn befall(world: &mut World, mishap: &Mishap) {
    let state = world.state.get_or_insert_default();
    match mishap {
        Mishap::Hours(hours) => world.now += SignedDuration::from_hours(*hours),
        Mishap::NoSecret => world.state = None,
        Mishap::NoCa => state.ca = None,
        Mishap::NoCaKey => state.ca.iter_mut().for_each(|ca| ca.key = None),
        Mishap::NoLeaf => state.leaf = None,
        Mishap::NoLeafKey => state.leaf.iter_mut().for_each(|leaf| leaf.key = None),
        Mishap::FlipByte(part, at) => {
            let material = if part % 2 == 0 { &mut state.ca } else { &mut state.leaf };
            let Some(material) = material else { return };
            if *part < 2 {
                flip(&mut material.cert, *at);
            } else if let Some(key) = &material.key {
                let mut pem = key.expose().as_bytes().to_vec();
                flip(&mut pem, *at);
                material.key = String::from_utf8(pem).ok().map(KeyPem::new);
            }
        }
        Mishap::Blank(which) => {
            world.configurations[*which].webhooks.iter_mut().for_each(|(_, held)| held.clear());
        }
        Mishap::OtherBundle(which) => {
            let other = Authority::generate("other", &Lifetimes::default(), world.now).unwrap().cert;
            world.configurations[*which].webhooks[0].1 = other.into_bytes();
        }
    }
}

fn valid_at(cert: &[u8], now: Timestamp) -> bool {
    let chain = crate::pair::chain(cert).unwrap_or_default();
    chain.first().is_some_and(|der| Facts::of(der).is_ok_and(|facts| facts.valid_at(now)))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// After any series of mishaps a few steps lead to a pair that the API server trusts; a CA that is still good, with
    /// its key, is never given up.
    #[test]
    fn any_mishaps_heal_in_a_few_writes(mishaps in proptest::collection::vec(mishap(), 1..6)) {
        let mut world = World::settled();
        let mut made = world.state().ca.clone(); // as it left our hands
        for mishap in &mishaps {
            befall(&mut world, mishap);
            let ca = world.state.as_ref().and_then(|state| state.ca.clone());
            let untouched = ca == made;
            let valid = ca.as_ref().is_some_and(|ca| {
                // Long enough for another leaf, that is.
                let later = world.now + world.policy.lifetimes.leaf;
                let due = X509.facts(&ca.cert).ok().and_then(|facts| renewal(&facts, DAY / 24));
                valid_at(&ca.cert, world.now)
                    && valid_at(&ca.cert, later)
                    && ca.key.is_some()
                    && due.is_none_or(|at| world.now < at)
            });
            let steps = world.settle();
            if untouched && valid {
                prop_assert!(world.state().ca == ca, "a good CA was given up: {:?}", kinds(&steps));
            }
            if kinds(&steps).iter().any(|kind| matches!(*kind, "generate" | "activate")) {
                made.clone_from(&world.state().ca);
            }
            if let Some(Step::Rest { due, .. }) = steps.last() && due.iter().any(|due| matches!(due, Due::Clock(_))) {
                continue;
            }
            world.assert_served();
            prop_assert!(matches!(world.decide(), Step::Rest { .. }), "at rest it stays at rest");
        }
    }
}
