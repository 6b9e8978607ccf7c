use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::{ParsedExtension, X509Extension};
use x509_parser::oid_registry::{OID_KEY_TYPE_EC_PUBLIC_KEY, OID_SIG_ECDSA_WITH_SHA256};
use x509_parser::prelude::FromDer;

use super::*;
use crate::bundle::Bundle;
use crate::names::ServiceNames;
use crate::pair::Pair;

fn now() -> Timestamp {
    "2030-01-01T00:00:00Z".parse().unwrap()
}

fn der(pem: &str) -> Vec<u8> {
    crate::pair::chain(pem.as_bytes()).unwrap()[0].to_vec()
}

fn made(now: Timestamp, lifetimes: &Lifetimes) -> (Issued, Issued) {
    let names = ServiceNames { extra: vec!["127.0.0.1".to_owned()], ..ServiceNames::new("svc", "ns") };
    let ca = Authority::generate("svc.ns.svc", lifetimes, now).unwrap();
    let leaf =
        Authority::from_pem(ca.cert.as_bytes(), &ca.key).unwrap().leaf(&names.all(), lifetimes, now).unwrap();
    (ca, leaf)
}

fn extension<'a>(cert: &'a X509Certificate<'_>, name: &str) -> Option<&'a ParsedExtension<'a>> {
    cert.extensions().iter().map(X509Extension::parsed_extension).find(|e| format!("{e:?}").starts_with(name))
}

#[test]
fn a_ca_is_p256_with_path_length_zero_signs_only_and_names_its_key() {
    let (ca, _) = made(now(), &Lifetimes::default());
    let der = der(&ca.cert);
    let (_, cert) = X509Certificate::from_der(&der).unwrap();
    assert_eq!(cert.public_key().algorithm.algorithm, OID_KEY_TYPE_EC_PUBLIC_KEY);
    assert_eq!(cert.signature_algorithm.algorithm, OID_SIG_ECDSA_WITH_SHA256);
    let constraints = cert.basic_constraints().unwrap().unwrap();
    assert!(constraints.critical && constraints.value.ca);
    assert_eq!(constraints.value.path_len_constraint, Some(0));
    let usage = cert.key_usage().unwrap().unwrap();
    assert!(usage.critical && usage.value.key_cert_sign() && usage.value.crl_sign());
    assert!(!usage.value.digital_signature());
    assert!(extension(&cert, "SubjectKeyIdentifier").is_some());
    assert!(cert.subject().to_string().starts_with("CN=svc.ns.svc CA "));
    assert_eq!(cert.validity().not_before.timestamp(), now().as_second() - 3600);
    assert_eq!(cert.validity().not_after.timestamp(), now().as_second() + 365 * 86_400);
}

#[test]
fn a_leaf_is_for_servers_only_and_points_to_its_ca() {
    let (ca, leaf) = made(now(), &Lifetimes::default());
    let (ca_der, leaf_der) = (der(&ca.cert), der(&leaf.cert));
    let (_, ca) = X509Certificate::from_der(&ca_der).unwrap();
    let (_, leaf) = X509Certificate::from_der(&leaf_der).unwrap();
    let usage = leaf.extended_key_usage().unwrap().unwrap().value;
    assert!(usage.server_auth && !usage.client_auth && !usage.any && usage.other.is_empty());
    assert!(leaf.basic_constraints().unwrap().is_some_and(|c| !c.value.ca));
    assert_eq!(leaf.issuer(), ca.subject());
    leaf.verify_signature(Some(ca.public_key())).unwrap();
    let Some(ParsedExtension::AuthorityKeyIdentifier(aki)) = extension(&leaf, "AuthorityKeyIdentifier")
    else {
        panic!("no AKI")
    };
    let Some(ParsedExtension::SubjectKeyIdentifier(ski)) = extension(&ca, "SubjectKeyIdentifier") else {
        panic!("no SKI")
    };
    assert_eq!(aki.key_identifier.as_ref(), Some(ski));
    assert_eq!(leaf.validity().not_before.timestamp(), now().as_second() - 3600);
    assert_eq!(leaf.validity().not_after.timestamp(), now().as_second() + 14 * 86_400);
    assert_eq!(
        Facts::of(&leaf_der).unwrap().names,
        ["svc", "svc.ns", "svc.ns.svc", "svc.ns.svc.cluster.local", "127.0.0.1"]
    );
}

#[test]
fn serials_are_random_and_of_128_bits() {
    let serials: std::collections::BTreeSet<_> = (0..50).map(|_| random_serial().unwrap()).collect();
    assert_eq!(serials.len(), 50);
    assert!((0..16).all(|i| serials.iter().any(|serial| serial[i] != 0)), "every octet is in use");
}

#[test]
fn webpki_accepts_each_name_under_its_own_ca_and_under_no_other() {
    let (ca, leaf) = made(now(), &Lifetimes::default());
    let (other, _) = made(now(), &Lifetimes::default());
    let pair =
        Pair::parse(leaf.cert.as_bytes(), leaf.key.expose().as_bytes(), &["svc.ns.svc"], now()).unwrap();
    let own = Bundle::of([ca.cert.as_bytes()], now());
    let both = Bundle::of([other.cert.as_bytes(), ca.cert.as_bytes()], now());
    for name in pair.names() {
        own.verify(pair.chain(), name, now()).unwrap();
        both.verify(pair.chain(), name, now()).unwrap();
    }
    let foreign = Bundle::of([other.cert.as_bytes()], now());
    assert_eq!(
        foreign.verify(pair.chain(), "svc.ns.svc", now()).unwrap_err(),
        "invalid peer certificate: UnknownIssuer"
    );
    assert!(own.verify(pair.chain(), "else.ns.svc", now()).is_err());
    assert!(own.verify(pair.chain(), "svc.ns.svc", now() + SignedDuration::from_hours(15 * 24)).is_err());
}

#[test]
fn a_leaf_never_outlives_its_ca() {
    let short = Lifetimes { ca: SignedDuration::from_mins(30), ..Lifetimes::default() };
    let (ca, leaf) = made(now(), &short);
    let end = |issued: &Issued| Facts::of(&der(&issued.cert)).unwrap().not_after;
    assert_eq!(end(&leaf), end(&ca));
}

#[test]
fn a_ca_is_taken_up_only_with_its_own_key_and_only_if_it_is_one() {
    let (ca, leaf) = made(now(), &Lifetimes::default());
    let (other, _) = made(now(), &Lifetimes::default());
    let error = |cert: &str, key: &KeyPem| Authority::from_pem(cert.as_bytes(), key).unwrap_err().to_string();
    assert_eq!(error(&ca.cert, &other.key), "the CA key does not belong to the CA certificate");
    assert_eq!(error(&leaf.cert, &leaf.key), "the CA cannot sign: the certificate is not a CA");
    assert_eq!(error(&ca.cert, &KeyPem::new("hello")), "the CA key is missing or malformed");
    assert_eq!(error("", &ca.key), "the CA cannot sign: the certificate is empty");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn any_lifetimes_from_minutes_to_years_give_a_pair_that_is_good_at_once(
        leaf in 1i64..60 * 24 * 400, ca in 1i64..60 * 24 * 3650, at in 0i64..4_000_000_000,
    ) {
        let now = Timestamp::from_second(at + 7200).unwrap();
        let lifetimes = Lifetimes {
            leaf: SignedDuration::from_mins(leaf), ca: SignedDuration::from_mins(ca), ..Lifetimes::default()
        };
        let (ca, leaf) = made(now, &lifetimes);
        let pair = Pair::parse(leaf.cert.as_bytes(), leaf.key.expose().as_bytes(), &["svc.ns.svc"], now).unwrap();
        Bundle::of([ca.cert.as_bytes()], now).verify(pair.chain(), "svc.ns.svc", now).unwrap();
    }
}
