use jiff::SignedDuration;

use super::*;
use crate::issue::{Authority, Lifetimes};

fn now() -> Timestamp {
    "2030-01-01T00:00:00Z".parse().unwrap()
}

fn ca(made: Timestamp) -> String {
    Authority::generate("svc", &Lifetimes::default(), made).unwrap().cert
}

#[test]
fn the_order_and_number_of_mentions_do_not_matter() {
    let (a, b) = (ca(now()), ca(now()));
    let one = Bundle::of([a.as_bytes(), b.as_bytes()], now());
    let two = Bundle::of([(b.clone() + &a + &b).as_bytes(), a.as_bytes()], now());
    assert_eq!(one.to_pem(), two.to_pem());
    assert_eq!(one.facts().len(), 2);
    assert_eq!(Bundle::of([one.to_pem().as_bytes()], now()), one, "PEM and back");
}

#[test]
fn the_pem_is_what_others_write_too() {
    let cert = ca(now());
    assert_eq!(Bundle::of([cert.as_bytes()], now()).to_pem(), cert.replace("\r\n", "\n"));
}

#[test]
fn expired_and_malformed_members_are_left_out() {
    let old = ca(now() - SignedDuration::from_hours(366 * 24));
    let new = ca(now());
    let mixed = Bundle::of([old.as_bytes(), b"garbage", new.as_bytes()], now());
    assert_eq!(mixed, Bundle::of([new.as_bytes()], now()));
    assert!(Bundle::of([old.as_bytes()], now()).is_empty());
}

#[test]
fn an_empty_bundle_trusts_nobody() {
    let chain = crate::pair::chain(ca(now()).as_bytes()).unwrap();
    assert_eq!(Bundle::default().verify(&chain, "svc", now()), Err("the CA bundle is empty".to_owned()));
}
