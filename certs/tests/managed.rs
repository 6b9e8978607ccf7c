//! Managed mode on a real API server, as a user who has only the documented permissions.
//!
//! `HEADWORKS_TEST_KUBECONFIG` names the server; without it `hack/cluster` starts one.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on says where"
)]

#[path = "support/callers.rs"]
mod callers;
#[path = "support/cluster.rs"]
mod cluster;
#[path = "managed/rotation.rs"]
mod rotation;
#[path = "support/tap.rs"]
mod tap;
#[path = "support/webhook.rs"]
mod webhook;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use cluster::{Replica, SECRET, TestCluster, eventually, whether};
use headworks_certs::managed::{Cause, ManagedConfig, Policy, State, Step, mint};
use headworks_certs::{Lifetimes, ServiceNames};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use serde_json::json;

const SECOND: Duration = Duration::from_secs(1);
/// Whatever takes longer has failed: a busy machine may need some of it. Shorter than the tick, which is not what is waited for.
const LIMIT: Duration = Duration::from_secs(40);

/// All replicas serve one certificate, trusted through both configurations; its serial.
async fn agreed(replicas: &[Replica]) -> String {
    for replica in replicas {
        replica.ready().await;
    }
    let mut serial = String::new();
    eventually("agreed", LIMIT, async || {
        let serials: Vec<_> = replicas.iter().map(Replica::serial).collect();
        serial = serials[0].clone().unwrap_or_default();
        whether(serials.windows(2).all(|two| two[0] == two[1]), || format!("{serials:?}"))
    })
    .await;
    serial
}

fn total(replicas: &mut [Replica], reason: &str) -> usize {
    replicas.iter_mut().map(|replica| replica.count_published(reason)).sum()
}

/// Waits until the replicas together have published this event so many times: a writer may learn of its success after
/// others have seen it.
#[track_caller]
fn published(replicas: &mut [Replica], reason: &str, times: usize) -> impl Future<Output = ()> {
    eventually("published", LIMIT, async move || {
        let count = total(replicas, reason);
        whether(count == times, || format!("{reason} {count} times instead of {times}"))
    })
}

/// A Secret as another installation left it, made `ago`.
fn earlier(cluster: &TestCluster, ago: SignedDuration) -> (State, Secret) {
    let ManagedConfig { names, lifetimes, .. } = cluster.config();
    let now = Timestamp::now() - ago;
    let state =
        mint(&Step::Generate(Cause::Missing), None, &Policy { names, lifetimes }, now).unwrap().unwrap();
    let mut secret = Secret::default();
    secret.metadata.name = Some(SECRET.to_owned());
    state.write(&mut secret);
    (state, secret)
}

#[tokio::test]
async fn five_replicas_on_nothing_make_one_ca_and_then_write_no_more() {
    let cluster = TestCluster::new("five").await;
    let mut replicas: Vec<_> = (0..5).map(|_| cluster.replica(true)).collect();
    agreed(&replicas).await;
    let bundles = cluster.bundles().await;
    let ca = State::read(&cluster.secret().await).ca.unwrap().cert;
    assert!(bundles.iter().all(|bundle| *bundle == ca), "the published bundle is the CA, byte for byte");
    published(&mut replicas, "CertificateAuthorityCreated", 1).await;
    published(&mut replicas, "CertificateLoaded", 5).await;
    published(&mut replicas, "CaBundlePublished", 2).await;
    let versions = cluster.versions().await;
    tokio::time::sleep(SECOND * 3).await;
    assert_eq!(cluster.versions().await, versions, "nothing changes, so nothing is written");
    assert_eq!(total(&mut replicas, "CaBundleRepaired"), 0);
    assert_eq!(total(&mut replicas, "CertificateWriteFailed"), 0);
}

#[tokio::test]
async fn a_valid_secret_is_adopted_as_it_is() {
    let cluster = TestCluster::new("adopt").await;
    let (state, secret) = earlier(&cluster, SignedDuration::from_hours(48));
    cluster.secrets().create(&PostParams::default(), &secret).await.unwrap();
    let before = cluster.secret().await.metadata.resource_version;
    let mut replicas = [cluster.replica(true), cluster.replica(true)];
    agreed(&replicas).await;
    assert_eq!(cluster.secret().await.metadata.resource_version, before);
    assert_eq!(State::read(&cluster.secret().await), state);
    assert_eq!(total(&mut replicas, "CertificateAuthorityCreated"), 0);
}

#[tokio::test]
async fn an_empty_secret_made_beforehand_is_filled_and_keeps_what_is_not_ours() {
    let cluster = TestCluster::new("filled").await;
    let secret: Secret = serde_json::from_value(json!({
        "metadata": {"name": SECRET, "labels": {"theirs": "yes"}}, "stringData": {"other": "x"},
    }))
    .unwrap();
    cluster.secrets().create(&PostParams::default(), &secret).await.unwrap();
    let replica = cluster.replica(true);
    replica.ready().await;
    let secret = cluster.secret().await;
    assert_eq!(secret.metadata.labels.unwrap()["theirs"], "yes");
    assert!(secret.data.unwrap().contains_key("other"));
}

#[tokio::test]
async fn a_leaf_past_its_renewal_is_renewed_under_the_same_ca_by_one_of_two() {
    let cluster = TestCluster::new("renew").await;
    let (state, secret) = earlier(&cluster, SignedDuration::from_hours(24 * 10));
    cluster.secrets().create(&PostParams::default(), &secret).await.unwrap();
    let mut replicas = [cluster.replica(true), cluster.replica(true)];
    eventually("renewed", LIMIT, async || {
        whether(State::read(&cluster.secret().await).leaf != state.leaf, || "same leaf".to_owned())
    })
    .await;
    agreed(&replicas).await;
    assert_eq!(State::read(&cluster.secret().await).ca, state.ca);
    published(&mut replicas, "CertificateRenewed", 1).await;
}

#[tokio::test]
async fn of_two_that_race_to_mend_the_secret_one_writes_and_the_other_adopts() {
    let cluster = TestCluster::new("race").await;
    let mut replicas = [cluster.replica(true), cluster.replica(true)];
    let mut serial = agreed(&replicas).await;
    let ca = State::read(&cluster.secret().await).ca;
    for round in 1..=10 {
        let patch = Patch::Merge(json!({"data": {"tls.crt": null}}));
        cluster.secrets().patch(SECRET, &PatchParams::default(), &patch).await.unwrap();
        eventually("mended", LIMIT, async || {
            whether(State::read(&cluster.secret().await).leaf.is_some(), || "no leaf".to_owned())
        })
        .await;
        let old = std::mem::take(&mut serial);
        eventually("served", LIMIT, async || {
            whether(replicas.iter().all(|replica| replica.serial().as_ref() != Some(&old)), || old.clone())
        })
        .await;
        serial = agreed(&replicas).await;
        published(&mut replicas, "CertificateRenewed", round).await; // one write a round
    }
    assert_eq!(State::read(&cluster.secret().await).ca, ca);
    published(&mut replicas, "CertificateAuthorityCreated", 1).await;
}

#[tokio::test]
async fn a_deleted_secret_is_made_anew_and_its_ca_published() {
    let cluster = TestCluster::new("deleted").await;
    let mut replicas = [cluster.replica(true), cluster.replica(true)];
    let old = agreed(&replicas).await;
    cluster.secrets().delete(SECRET, &DeleteParams::default()).await.unwrap();
    eventually("made anew", LIMIT, async || {
        whether(replicas.iter().all(|replica| replica.serial().as_ref() != Some(&old)), || old.clone())
    })
    .await;
    agreed(&replicas).await;
    published(&mut replicas, "CertificateAuthorityCreated", 2).await;
    assert_eq!(total(&mut replicas, "CaBundleRepaired"), 0, "publishing a new CA is no repair");
}

#[tokio::test]
async fn a_ca_bundle_blanked_or_replaced_is_set_right() {
    let cluster = TestCluster::new("repair").await;
    let mut replicas = [cluster.replica(true), cluster.replica(true), cluster.replica(false)];
    agreed(&replicas).await;
    let right = cluster.bundles().await;
    let blank = json!([{"op": "remove", "path": "/webhooks/0/clientConfig/caBundle"}]);
    let other = json!([{"op": "replace", "path": "/webhooks/0/clientConfig/caBundle", "value": "Cg=="}]);
    for (round, ops) in [blank, other].into_iter().enumerate() {
        let patch: Patch<()> = Patch::Json(serde_json::from_value(ops).unwrap());
        cluster.validating().patch(&cluster.name, &PatchParams::default(), &patch).await.unwrap();
        cluster.mutating().patch(&cluster.name, &PatchParams::default(), &patch).await.unwrap();
        eventually("repaired", LIMIT, async || {
            whether(cluster.bundles().await == right, || "caBundle differs".to_owned())
        })
        .await;
        agreed(&replicas).await;
        published(&mut replicas, "CaBundleRepaired", 2 * (round + 1)).await; // one for each configuration
    }
    let counted: u64 =
        replicas.iter().map(|replica| replica.metric("headworks_cabundle_repairs_total")).sum();
    assert_eq!(counted, 4);
}

#[tokio::test]
async fn with_another_tool_that_never_gives_up_there_is_no_fight() {
    let cluster = TestCluster::new("fight").await;
    let mut replicas = [cluster.replica(true)];
    agreed(&replicas).await;
    let ops = json!([{"op": "replace", "path": "/webhooks/0/clientConfig/caBundle", "value": "Cg=="}]);
    let patch: Patch<()> = Patch::Json(serde_json::from_value(ops).unwrap());
    let (begin, mut repairs) = (Instant::now(), 0);
    while begin.elapsed() < SECOND * 6 || repairs < 3 {
        assert!(begin.elapsed() < LIMIT, "{repairs} repairs");
        cluster.mutating().patch(&cluster.name, &PatchParams::default(), &patch).await.unwrap();
        tokio::time::sleep(Duration::from_millis(50)).await;
        repairs = total(&mut replicas, "CaBundleRepaired");
    }
    // Each waits longer than the one before.
    let took = begin.elapsed();
    let most = 6 + usize::try_from(took.saturating_sub(SECOND * 6).as_secs() / 4).unwrap();
    assert!(repairs <= most, "{repairs} repairs in {took:?}");
}

#[tokio::test]
async fn a_replica_that_does_not_lead_writes_nothing_and_takes_over_when_told() {
    let cluster = TestCluster::new("gate").await;
    let follower = cluster.replica(false);
    tokio::time::sleep(SECOND * 2).await;
    assert!(cluster.secrets().get_opt(SECRET).await.unwrap().is_none());
    let unready = follower.readiness.check(Timestamp::now()).unwrap_err();
    assert_eq!(unready, "certificate: no certificate loaded yet");
    follower.leader.send(true).unwrap();
    follower.ready().await;
}

#[tokio::test]
async fn a_follower_serves_what_the_leader_wrote() {
    let cluster = TestCluster::new("follow").await;
    let replicas = [cluster.replica(true), cluster.replica(false), cluster.replica(false)];
    for _ in 0..5 {
        let old = agreed(&replicas).await;
        let patch = Patch::Merge(json!({"data": {"tls.crt": null}}));
        cluster.secrets().patch(SECRET, &PatchParams::default(), &patch).await.unwrap();
        eventually("served by all", LIMIT, async || {
            whether(replicas.iter().all(|replica| replica.serial().as_ref() != Some(&old)), || old.clone())
        })
        .await;
    }
}

#[tokio::test]
async fn readiness_ends_while_the_api_server_would_refuse_the_pair() {
    let cluster = TestCluster::new("trust").await;
    let replica = cluster.replica(true);
    replica.ready().await;
    replica.leader.send(false).unwrap(); // nobody repairs
    let ops = json!([{"op": "remove", "path": "/webhooks/1/clientConfig/caBundle"}]);
    let patch: Patch<()> = Patch::Json(serde_json::from_value(ops).unwrap());
    cluster.validating().patch(&cluster.name, &PatchParams::default(), &patch).await.unwrap();
    let name = &cluster.name;
    let expected = format!(
        "certificate-trusted: webhook `two.headworks.test` of ValidatingWebhookConfiguration/{name}: no caBundle yet"
    );
    eventually("unready", LIMIT, async || {
        let said = replica.readiness.check(Timestamp::now());
        whether(said.as_ref() == Err(&expected), || format!("{said:?}"))
    })
    .await;
    replica.leader.send(true).unwrap();
    replica.ready().await;
}

#[tokio::test]
async fn configurations_that_come_later_go_or_lose_a_webhook_are_followed() {
    let cluster = TestCluster::new("later").await;
    cluster.unregister().await;
    let mut replicas = [cluster.replica(true)];
    agreed(&replicas).await; // one that does not exist asks for nothing
    let service = json!({"service": {"name": cluster::SERVICE, "namespace": cluster.name}});
    cluster.register(&service, "nothings").await;
    let ca = State::read(&cluster.secret().await).ca.unwrap().cert;
    eventually("published", LIMIT, async || {
        whether(cluster.bundles().await.iter().all(|bundle| *bundle == ca), || "not yet".to_owned())
    })
    .await;
    let patch: Patch<()> =
        Patch::Json(serde_json::from_value(json!([{"op": "remove", "path": "/webhooks/1"}])).unwrap());
    cluster.validating().patch(&cluster.name, &PatchParams::default(), &patch).await.unwrap();
    tokio::time::sleep(SECOND).await;
    assert_eq!(cluster.bundles().await.len(), 2, "a webhook that was removed stays removed");
    agreed(&replicas).await;
    assert_eq!(total(&mut replicas, "CertificateWriteFailed"), 0);
    assert_eq!(total(&mut replicas, "CaBundleRepaired"), 0);
}

#[tokio::test]
async fn a_clock_that_jumps_a_month_ahead_costs_one_renewal_and_one_that_jumps_back_costs_nothing() {
    let cluster = TestCluster::new("clock").await;
    let ahead = Arc::new(AtomicI64::new(0));
    let clock = {
        let ahead = Arc::clone(&ahead);
        move || Timestamp::now() + SignedDuration::from_hours(ahead.load(Ordering::Relaxed))
    };
    let config = ManagedConfig { tick: SECOND, ..cluster.config() };
    let mut replicas = [
        cluster.replica_at(config.clone(), true, clock.clone()),
        cluster.replica_at(config.clone(), true, clock),
    ];
    let old = agreed(&replicas).await;
    ahead.store(30 * 24, Ordering::Relaxed);
    eventually("renewed", LIMIT, async || {
        whether(replicas.iter().all(|replica| replica.serial().as_ref() != Some(&old)), || old.clone())
    })
    .await;
    published(&mut replicas, "CertificateRenewed", 1).await;
    published(&mut replicas, "CertificateAuthorityCreated", 1).await;
    let versions = cluster.versions().await;
    for hours in [30 * 24 - 1, 29 * 24, 0] {
        ahead.store(hours, Ordering::Relaxed);
        tokio::time::sleep(SECOND * 2).await;
        assert_eq!(cluster.versions().await, versions, "{hours} hours ahead");
    }
}

#[tokio::test]
async fn the_api_server_calls_a_server_with_this_identity() {
    let cluster = TestCluster::new("call").await;
    let names = ServiceNames { extra: vec!["127.0.0.1".to_owned()], ..cluster.config().names };
    let lifetimes = Lifetimes { leaf: SignedDuration::from_mins(30), ..Lifetimes::default() };
    let replica = cluster.replica_with(ManagedConfig { names, lifetimes, ..cluster.config() }, true);
    let server = webhook::Server::start(replica.identity.clone()).await;
    cluster.register(&json!({"url": server.url()}), "configmaps").await;
    replica.ready().await;
    let maps: Api<ConfigMap> = Api::namespaced(cluster.admin.clone(), &cluster.name);
    let mut map = ConfigMap::default();
    for round in 0..5 {
        // The API server follows its configurations by watch: the first call may come before it has seen the bundle.
        map.metadata.name = Some(format!("map-{round}"));
        eventually("admitted", LIMIT, async || {
            maps.create(&PostParams::default(), &map).await.map(|_| ()).map_err(|error| error.to_string())
        })
        .await;
        let old = replica.serial();
        let patch = Patch::Merge(json!({"data": {"tls.crt": null}}));
        cluster.secrets().patch(SECRET, &PatchParams::default(), &patch).await.unwrap();
        eventually("renewed", LIMIT, async || whether(replica.serial() != old, || format!("{old:?}"))).await;
    }
    assert!(server.calls() >= 15, "three webhooks, five objects: {}", server.calls());
}
