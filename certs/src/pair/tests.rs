use jiff::{SignedDuration, Timestamp};
use rstest::rstest;

use super::*;
use crate::issue::{Authority, Issued, Lifetimes};
use crate::names::ServiceNames;

macro_rules! fixture {
    ($name:literal) => {
        include_bytes!(concat!("../../tests/fixtures/", $name))
    };
}

const REQUIRED: &str = "certs.headworks-system.svc";

fn now() -> Timestamp {
    "2030-01-01T00:00:00Z".parse().unwrap()
}

fn hours(n: i64) -> SignedDuration {
    SignedDuration::from_hours(n)
}

fn issue(now: Timestamp) -> (Issued, Issued) {
    let names = ServiceNames::new("certs", "headworks-system").all();
    let ca = Authority::generate("certs", &Lifetimes::default(), now).unwrap();
    let leaf = Authority::from_pem(ca.cert.as_bytes(), &ca.key)
        .unwrap()
        .leaf(&names, &Lifetimes::default(), now)
        .unwrap();
    (ca, leaf)
}

fn parse(cert: &[u8], key: &[u8]) -> Result<Pair, Rejection> {
    Pair::parse(cert, key, &[REQUIRED], now())
}

#[track_caller]
fn rejected(cert: &[u8], key: &[u8], category: &str) {
    let rejection = parse(cert, key).expect_err(category);
    assert_eq!(rejection.category(), category, "{rejection}");
}

#[rstest]
#[case::rsa_pkcs8(fixture!("rsa.crt"), fixture!("rsa.pkcs8.key"))]
#[case::rsa_pkcs1(fixture!("rsa.crt"), fixture!("rsa.pkcs1.key"))]
#[case::p256_pkcs8(fixture!("p256.crt"), fixture!("p256.pkcs8.key"))]
#[case::p256_sec1_after_its_parameters(fixture!("p256.crt"), fixture!("p256.sec1.key"))]
#[case::p384_sec1(fixture!("p384.crt"), fixture!("p384.sec1.key"))]
#[case::ed25519_pkcs8(fixture!("ed25519.crt"), fixture!("ed25519.pkcs8.key"))]
fn every_promised_kind_of_key_is_taken(#[case] cert: &[u8], #[case] key: &[u8]) {
    let pair = parse(cert, key).unwrap();
    assert!(pair.names().iter().any(|name| name == REQUIRED));
    assert!(pair.not_before() < now() && now() < pair.not_after());
    assert!(!pair.serial().is_empty());
}

#[rstest]
#[case::no_certificate(b"".as_slice(), fixture!("rsa.pkcs8.key").as_slice(), "empty")]
#[case::no_key(fixture!("rsa.crt").as_slice(), b" \n".as_slice(), "empty")]
#[case::certificate_is_text(b"hello".as_slice(), fixture!("rsa.pkcs8.key").as_slice(), "malformed_certificate")]
#[case::certificate_cut(&fixture!("rsa.crt")[..600], fixture!("rsa.pkcs8.key").as_slice(), "malformed_certificate")]
#[case::key_where_certificate_should_be(fixture!("rsa.pkcs8.key").as_slice(), fixture!("rsa.pkcs8.key").as_slice(), "malformed_certificate")]
#[case::key_is_text(fixture!("rsa.crt").as_slice(), b"hello".as_slice(), "malformed_key")]
#[case::key_cut(fixture!("rsa.crt").as_slice(), &fixture!("rsa.pkcs8.key")[..900], "malformed_key")]
#[case::certificate_where_key_should_be(fixture!("rsa.crt").as_slice(), fixture!("rsa.crt").as_slice(), "malformed_key")]
#[case::unsupported_curve(fixture!("p521.crt").as_slice(), fixture!("p521.sec1.key").as_slice(), "malformed_key")]
#[case::key_of_another_kind(fixture!("rsa.crt").as_slice(), fixture!("p256.pkcs8.key").as_slice(), "mismatch")]
fn what_is_no_pair_is_refused(#[case] cert: &[u8], #[case] key: &[u8], #[case] category: &str) {
    rejected(cert, key, category);
}

#[test]
fn a_key_of_the_same_kind_but_another_pair_is_a_mismatch() {
    let (_, one) = issue(now());
    let (_, other) = issue(now());
    rejected(one.cert.as_bytes(), other.key.expose().as_bytes(), "mismatch");
}

#[test]
fn validity_is_judged_to_the_second_and_includes_both_ends() {
    let (_, leaf) = issue(now());
    let at =
        |time: Timestamp| Pair::parse(leaf.cert.as_bytes(), leaf.key.expose().as_bytes(), &[REQUIRED], time);
    let second = SignedDuration::from_secs(1);
    assert!(at(now() - hours(1)).is_ok());
    assert_eq!(at(now() - hours(1) - second).unwrap_err().category(), "not_yet_valid");
    assert!(at(now() + hours(14 * 24)).is_ok());
    assert_eq!(at(now() + hours(14 * 24) + second).unwrap_err().category(), "expired");
}

#[test]
fn a_pair_for_another_service_is_refused_and_says_which_names_it_has() {
    let error =
        Pair::parse(fixture!("rsa.crt"), fixture!("rsa.pkcs8.key"), &["other.headworks-system.svc"], now())
            .unwrap_err();
    assert_eq!(
        error.to_string(),
        "the certificate does not cover `other.headworks-system.svc`: its names are \
         [\"certs\", \"certs.headworks-system\", \"certs.headworks-system.svc\"]"
    );
}

#[test]
fn a_wildcard_covers_one_label() {
    let ca = Authority::generate("certs", &Lifetimes::default(), now()).unwrap();
    let signer = Authority::from_pem(ca.cert.as_bytes(), &ca.key).unwrap();
    let leaf = signer.leaf(&["*.headworks-system.svc".to_owned()], &Lifetimes::default(), now()).unwrap();
    assert!(parse(leaf.cert.as_bytes(), leaf.key.expose().as_bytes()).is_ok());
    let broad = signer.leaf(&["*.svc".to_owned()], &Lifetimes::default(), now()).unwrap();
    rejected(broad.cert.as_bytes(), broad.key.expose().as_bytes(), "wrong_name");
}

#[test]
fn a_client_certificate_is_refused() {
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::new(vec![REQUIRED.to_owned()]).unwrap();
    params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
    let cert = params.self_signed(&key).unwrap().pem();
    rejected(cert.as_bytes(), key.serialize_pem().as_bytes(), "wrong_usage");
    params.extended_key_usages = vec![];
    let cert = params.self_signed(&key).unwrap().pem();
    assert!(parse(cert.as_bytes(), key.serialize_pem().as_bytes()).is_ok());
}

#[test]
fn a_chain_is_kept_whole_and_each_link_must_parse() {
    let (ca, leaf) = issue(now());
    let chain = leaf.cert.clone() + &ca.cert;
    assert_eq!(parse(chain.as_bytes(), leaf.key.expose().as_bytes()).unwrap().chain().len(), 2);
    let garbage = leaf.cert + "-----BEGIN CERTIFICATE-----\naGVsbG8=\n-----END CERTIFICATE-----\n";
    rejected(garbage.as_bytes(), leaf.key.expose().as_bytes(), "malformed_certificate");
}

#[test]
fn neither_debug_output_nor_an_error_shows_a_key() {
    let (ca, leaf) = issue(now());
    let pair = parse(leaf.cert.as_bytes(), leaf.key.expose().as_bytes()).unwrap();
    let signer = Authority::from_pem(ca.cert.as_bytes(), &ca.key).unwrap();
    let broken = leaf.key.expose().replace("-----END", "---- END");
    let error = parse(leaf.cert.as_bytes(), broken.as_bytes()).unwrap_err();
    let shown = format!("{pair:?} {leaf:?} {ca:?} {signer:?} {error:?} {error}");
    for line in leaf.key.expose().lines().chain(ca.key.expose().lines()).filter(|line| !line.starts_with('-'))
    {
        assert!(!shown.contains(line), "{shown}");
    }
}
