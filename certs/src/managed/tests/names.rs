//! Names that change, and pairs that others made.

use super::*;

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
fn an_rsa_pair_of_cert_manager_is_adopted() {
    let material =
        |cert: &[u8], key: &str| Some(Material { cert: cert.to_vec(), key: Some(KeyPem::new(key)) });
    let (cert, key) = (
        include_bytes!("../../../tests/fixtures/rsa.crt"),
        include_str!("../../../tests/fixtures/rsa.pkcs1.key"),
    );
    let mut world = World::settled();
    world.policy.names = ServiceNames::new("certs", "headworks-system");
    world.state().leaf = material(cert, key);
    // It is not signed by this CA, so it does not verify, and is renewed by it.
    assert!(matches!(world.decide(), Step::RenewLeaf(Cause::Malformed(_))));
    // Signed by a CA whose key was never there: adopted.
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
