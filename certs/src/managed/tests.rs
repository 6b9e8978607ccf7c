//! The decision, tried on a world made of plain values: a Secret's state, two configurations, a clock.

use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;

use super::{
    notary::{Notary, X509},
    *,
};
use crate::{Authority, Facts, KeyPem, Lifetimes, Pair, ServiceNames};

const AT_REST: Step = Step::Rest { due: vec![], wait: Wait::Nothing };
const ROTATION: [&str; 8] = ["stage", "publish", "date", "activate", "confirm", "publish", "retire", "rest"];
const DAY: SignedDuration = SignedDuration::from_hours(24);

#[derive(Clone, Debug)]
struct World {
    state: Option<State>,
    configurations: Vec<Configuration>,
    policy: Policy,
    now: Timestamp,
    /// The bundle has been published for the whole wait.
    waited: bool,
    /// What the replicas serve; `None`: all serve the current leaf.
    replicas: Option<Vec<Served>>,
}

impl World {
    fn empty() -> Self {
        let configuration = |kind, webhooks: &[&str]| Configuration {
            reference: ConfigurationRef { kind, name: "headworks".to_owned() },
            uid: "u".to_owned(),
            version: "1".to_owned(),
            generation: 1,
            webhooks: webhooks.iter().map(|name| ((*name).to_owned(), Vec::new())).collect(),
        };
        Self {
            state: None,
            configurations: vec![
                configuration(ConfigurationKind::Validating, &["jobflows.a.b", "services.a.b"]),
                configuration(ConfigurationKind::Mutating, &["jobflows.a.b"]),
            ],
            policy: Policy { names: ServiceNames::new("svc", "ns"), lifetimes: Lifetimes::default() },
            now: "2030-01-01T00:00:00Z".parse().unwrap(),
            waited: true,
            replicas: None,
        }
    }

    fn settled() -> Self {
        let mut world = Self::empty();
        world.settle();
        world
    }

    fn decide(&self) -> Step {
        let serial = || self.state.as_ref()?.leaf.as_ref().and_then(|leaf| X509.facts(&leaf.cert).ok());
        let one = || vec![Served { name: "a".to_owned(), serial: serial().map(|facts| facts.serial) }];
        let replicas = self.replicas.clone().unwrap_or_else(one);
        let sight = Sight {
            configurations: &self.configurations,
            complete: true,
            waited: self.waited,
            replicas: Some(&replicas),
        };
        decide(self.state.as_ref(), &sight, &self.policy, self.now)
    }

    /// Takes one step. Says which, unless it rests.
    fn step(&mut self) -> Step {
        let step = self.decide();
        if let Some(next) = mint(&step, self.state.as_ref(), &self.policy, self.now).unwrap() {
            assert_ne!(self.state.as_ref(), Some(&next), "a write that changes nothing");
            self.state = Some(next);
        } else if let Step::Publish { bundle, into } = &step {
            for one in self.configurations.iter_mut().filter(|one| into.contains(&one.reference)) {
                one.webhooks.iter_mut().for_each(|(_, held)| *held = bundle.clone().into_bytes());
                one.generation += 1;
            }
        }
        step
    }

    /// Takes steps until there are none. More than a rotation and a renewal would be a storm.
    fn settle(&mut self) -> Vec<Step> {
        let mut taken = Vec::new();
        loop {
            let step = self.step();
            let rests = matches!(step, Step::Rest { .. });
            taken.push(step);
            if rests {
                return taken;
            }
            assert!(taken.len() <= 12, "a storm: {taken:?}");
        }
    }

    fn after(mut self, time: SignedDuration) -> Self {
        self.now += time;
        self
    }

    fn pair(&self) -> Pair {
        let leaf = self.state.as_ref().unwrap().leaf.as_ref().unwrap();
        Pair::parse(&leaf.cert, leaf.key.as_ref().unwrap().expose().as_bytes(), &["svc.ns.svc"], self.now)
            .unwrap()
    }

    fn ca(&self) -> Vec<u8> {
        self.state.as_ref().unwrap().ca.as_ref().unwrap().cert.clone()
    }

    fn state(&mut self) -> &mut State {
        self.state.as_mut().unwrap()
    }

    #[track_caller]
    fn assert_served(&self) {
        let pair = self.pair();
        for configuration in &self.configurations {
            configuration.trusts(&pair, "svc.ns.svc", self.now).unwrap();
        }
    }
}

fn kinds(steps: &[Step]) -> Vec<&'static str> {
    steps
        .iter()
        .map(|step| match step {
            Step::Generate(_) => "generate",
            Step::RenewLeaf(_) => "renew",
            Step::Publish { .. } => "publish",
            Step::Stage { .. } => "stage",
            Step::Date { .. } => "date",
            Step::Activate { .. } => "activate",
            Step::Confirm => "confirm",
            Step::Retire => "retire",
            Step::Rest { .. } => "rest",
        })
        .collect()
}

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

/// A world one step into the rotation of its CA.
fn staged() -> World {
    let mut world = World::empty();
    world.policy.lifetimes.ca = DAY * 60;
    loop {
        match world.step() {
            Step::Stage { .. } => return World { waited: false, ..world },
            Step::Rest { .. } => world = world.after(DAY),
            _ => {}
        }
    }
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

#[test]
fn another_set_of_names_renews_once_and_two_replicas_that_differ_do_not_fight() {
    let mut world = World::settled();
    let (mut old, mut new) = (world.policy.clone(), world.policy.clone());
    old.names.extra = vec!["127.0.0.1".to_owned()];
    new.names.cluster_domain = "example.org".to_owned();
    let mut renewals = 0;
    for turn in 0..10 {
        world.policy = if turn % 2 == 0 { old.clone() } else { new.clone() };
        renewals += world.settle().len() - 1;
    }
    assert_eq!(renewals, 2);
    world.assert_served();
}

#[test]
fn names_that_read_back_otherwise_or_cannot_be_had_do_not_storm() {
    let mut world = World::settled();
    world.policy.names.extra = vec!["0:0::1".to_owned(), "::1".to_owned()];
    assert_eq!(kinds(&world.settle()), ["renew", "rest"]);
    assert_eq!(world.pair().names().last().unwrap(), "::1");
    world.policy.names.extra = vec!["not ascii: ü".to_owned()];
    assert_eq!(world.decide(), AT_REST);
}

#[test]
fn a_name_that_cannot_be_had_for_want_of_a_ca_key_brings_another_ca() {
    let mut world = World::settled();
    world.state().ca.as_mut().unwrap().key = None;
    world.policy.names.cluster_domain = "example.org".to_owned();
    assert_eq!(kinds(&world.settle()), ROTATION);
    assert!(world.pair().names().iter().any(|name| name.ends_with("example.org")));
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

#[test]
fn only_configurations_that_differ_are_written() {
    let mut world = World::settled();
    world.configurations[0].webhooks[1].1.clear();
    let Step::Publish { into, .. } = world.decide() else { panic!() };
    assert_eq!(into, [world.configurations[0].reference.clone()]);
    assert_eq!(kinds(&world.settle()), ["publish", "rest"]);
}

#[test]
fn an_apply_says_nothing_but_names_and_bundles() {
    let world = World::settled();
    assert_eq!(
        world.configurations[1].apply("PEM"),
        serde_json::json!({
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "MutatingWebhookConfiguration",
            "metadata": {"name": "headworks", "uid": "u", "resourceVersion": "1"},
            "webhooks": [{"name": "jobflows.a.b", "clientConfig": {"caBundle": "UEVN"}}],
        })
    );
}

#[test]
fn the_secret_keeps_everything_and_what_is_not_ours() {
    use k8s_openapi::{ByteString, api::core::v1::Secret};
    let mut state = World::settled().state.unwrap();
    let next = World::settled().state.unwrap();
    (state.next_ca, state.next_leaf, state.phase) = (next.ca, next.leaf, Phase::Published);
    state.published = Some(Published { at: World::empty().now, to: "there".to_owned() });
    state.bundle = b"more".to_vec();
    let mut secret = Secret::default();
    secret.data.get_or_insert_default().insert("theirs".to_owned(), ByteString(b"x".to_vec()));
    state.write(&mut secret);
    assert_eq!(State::read(&secret), state);
    State { next_ca: None, next_leaf: None, published: None, ..state }.write(&mut secret);
    let keys: Vec<_> = secret.data.unwrap().into_keys().collect();
    assert_eq!(
        keys,
        ["bundle.crt", "ca.crt", "ca.key", "phase", "phase-since", "theirs", "tls.crt", "tls.key"]
    );
}

#[test]
fn an_rsa_pair_of_cert_manager_is_adopted() {
    let material =
        |cert: &[u8], key: &str| Some(Material { cert: cert.to_vec(), key: Some(KeyPem::new(key)) });
    let (cert, key) =
        (include_bytes!("../../tests/fixtures/rsa.crt"), include_str!("../../tests/fixtures/rsa.pkcs1.key"));
    let mut world = World::settled();
    world.policy.names = ServiceNames::new("certs", "headworks-system");
    world.state().leaf = material(cert, key);
    // Not of this CA, so it does not verify: renewed, by our CA.
    assert!(matches!(world.decide(), Step::RenewLeaf(Cause::Malformed(_))));
    // Of a CA whose key we were never given: adopted.
    let signer = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::default();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let ca = params.self_signed(&signer).unwrap().pem();
    let issuer = rcgen::Issuer::from_ca_cert_pem(&ca, signer).unwrap();
    let leaf_key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).unwrap();
    let leaf = rcgen::CertificateParams::new(world.policy.names.all()).unwrap();
    let leaf = leaf.signed_by(&leaf_key, &issuer).unwrap().pem();
    world.state().ca = Some(Material { cert: ca.into_bytes(), key: None });
    world.state().leaf = material(leaf.as_bytes(), &leaf_key.serialize_pem());
    assert_eq!(kinds(&world.settle()), ["publish", "rest"]);
}

/// What can happen to a settled world.
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
                let due = X509.facts(&ca.cert).ok().and_then(|facts| judge::renewal(&facts, DAY / 24));
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
