//! A CA that is due for rotation in a moment.
//!
//! Its time comes after two thirds of its life less some jitter. Rather than to wait for that, a CA is made as if long ago
//! and put into the Secret before the pods start: they adopt it as they would at an upgrade.

use std::time::{Duration, Instant};

use headworks_certs::managed::{Cause, Observation, Phase, Policy, Step, decide, mint};
use headworks_certs::{Lifetimes, ServiceNames};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Secret;

use super::rig::SECRET;
use crate::{NAMESPACE, kubectl};

/// Put one into our Secret whose rotation is due after `from`, and at most ten seconds later. Tells when, and which CA
/// it is.
pub(super) fn plant(from: Duration) -> (Instant, Vec<u8>) {
    let hours = SignedDuration::from_hours;
    let lifetimes = Lifetimes { ca: hours(6), leaf: hours(2), ..Lifetimes::default() };
    let policy = Policy { names: ServiceNames::new("headworks-webhook", NAMESPACE), lifetimes };
    let early = SignedDuration::try_from(from).unwrap();
    let began = Instant::now();
    loop {
        let now = Timestamp::now();
        // Due between 0.57 and 0.67 of its life, by chance: only one that is due at the right time is taken.
        let made = now - SignedDuration::from_mins(6 * 37);
        let mut state = mint(&Step::Generate(Cause::Missing), None, &policy, made).unwrap().unwrap();
        state.phase = Phase::Stable;
        // A leaf that is made now is not due with it.
        let state = mint(&Step::RenewLeaf(Cause::Missing), Some(&state), &policy, now).unwrap().unwrap();
        let sight = Observation { complete: true, ..Observation::default() };
        let rests = |at| matches!(decide(Some(&state), &sight, &policy, at), Step::Rest { .. });
        if rests(now + early) && !rests(now + early + SignedDuration::from_secs(10)) {
            let authority = state.ca.as_ref().unwrap().cert.clone();
            let mut secret = Secret::default();
            secret.metadata.name = Some(SECRET.to_owned());
            state.write(&mut secret);
            let manifest = serde_json::to_string(&secret).unwrap();
            kubectl(&["-n", NAMESPACE, "create", "-f", "-"], &manifest);
            return (Instant::now() + from + Duration::from_secs(10), authority);
        }
        assert!(began.elapsed() < Duration::from_mins(2), "no CA is due at the right time");
    }
}
