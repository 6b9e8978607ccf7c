//! Writes of the steps.

use super::*;
use crate::managed::build;

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
        build::ca_bundle::apply(&world.configurations[1], "PEM"),
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
    use k8s_openapi::ByteString;
    use k8s_openapi::api::core::v1::Secret;
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
