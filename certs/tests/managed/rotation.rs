//! The rotation of the CA, with a writer that is killed, overtaken, or whose clock is set.

use std::sync::Arc;

use futures::{FutureExt as _, StreamExt as _, stream};
use headworks_certs::managed::{Phase, ReplicaRef};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::ListParams;

use super::*;
use callers::{Callers, LAG};
use tap::{Fate, Tap, Write};

const HOURS: Lifetimes = Lifetimes {
    leaf: SignedDuration::from_hours(10),
    ca: SignedDuration::from_hours(10),
    backdate: SignedDuration::from_hours(1),
};

fn config(cluster: &TestCluster, pod: &str) -> ManagedConfig {
    ManagedConfig {
        lifetimes: HOURS,
        publish_wait: LAG * 3,
        replica: Some(ReplicaRef { pod: pod.to_owned(), uid: None }),
        ..cluster.config()
    }
}

/// An installation whose CA is due, as it was left; its CA.
async fn due(test: &str) -> (Arc<TestCluster>, Vec<u8>) {
    let cluster = TestCluster::new(test).await;
    let policy = Policy { names: cluster.config().names, lifetimes: HOURS };
    let made = Timestamp::now() - SignedDuration::from_mins(7 * 60 + 15);
    let state = mint(&Step::Generate(Cause::Missing), None, &policy, made).unwrap().unwrap();
    let mut secret = Secret::default();
    secret.metadata.name = Some(SECRET.to_owned());
    state.write(&mut secret);
    cluster.secrets().create(&PostParams::default(), &secret).await.unwrap();
    let ca = state.ca.unwrap().cert;
    cluster.set_bundles(&ca).await;
    (Arc::new(cluster), ca)
}

/// The rotation is over: one CA, another one, in the Secret and in every configuration.
async fn over(cluster: &TestCluster, old: &[u8]) {
    eventually("over", LIMIT * 3, async || {
        let state = State::read(&cluster.secret().await);
        let ca = state.ca.as_ref().unwrap().cert.clone();
        let bundles = cluster.bundles().await;
        let right = state.phase == Phase::Stable && ca != old && bundles.iter().all(|bundle| *bundle == ca);
        whether(right, || format!("{:?} {}", state.phase, ca != old))
    })
    .await;
    let state = State::read(&cluster.secret().await);
    assert!(state.bundle.is_empty() && state.next_ca.is_none() && state.next_leaf.is_none());
}

async fn killed(fate: &str, nth: usize) {
    let (cluster, old) = due(&format!("kill-{fate}-{nth}")).await;
    let callers = Callers::start(Arc::clone(&cluster));
    cluster.route(&["bystander", "first"]).await;
    let bystander = cluster.replica_with(config(&cluster, "bystander"), false);
    bystander.ready().await;
    callers.add("bystander", &bystander.identity, &bystander.readiness);
    let after = fate == "after";
    let tap = Tap::new(move |write: &Write| match write.nth == nth {
        true if after => Fate::DieAfter,
        true => Fate::DieBefore,
        false => Fate::Pass,
    });
    let first = cluster.tapped(&tap, config(&cluster, "first")).await;
    callers.add("first", &first.identity, &first.readiness);
    tokio::time::timeout(LIMIT * 3, tap.died()).await.expect("it comes that far");
    callers.remove("first");
    first.kill();
    // As the garbage collector does when the pod has gone.
    let leases: Api<Lease> = Api::namespaced(cluster.admin.clone(), &cluster.name);
    let _ = leases.delete("first.certificate", &DeleteParams::default()).await;
    cluster.route(&["bystander", "second"]).await;
    let second = cluster.replica_with(config(&cluster, "second"), true);
    callers.add("second", &second.identity, &second.readiness);
    over(&cluster, &old).await;
    let serial = agreed(&[bystander, second]).await;
    let calls = callers.end().await.unwrap_or_else(|error| panic!("killed {fate} write {nth}: {error}"));
    assert!(calls > 20, "{calls}");
    assert!(!serial.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_writer_killed_at_any_write_of_a_rotation_is_followed_by_one_that_ends_it_and_no_call_fails() {
    let (cluster, old) = due("whole").await;
    let callers = Callers::start(Arc::clone(&cluster));
    cluster.route(&["only"]).await;
    let tap = Tap::new(|_| Fate::Pass);
    let mut only = cluster.tapped(&tap, config(&cluster, "only")).await;
    callers.add("only", &only.identity, &only.readiness);
    over(&cluster, &old).await;
    callers.end().await.unwrap();
    let writes = tap.writes();
    // stage, publish twice, date, activate, confirm, publish twice, retire
    assert_eq!(writes.len(), 9, "{writes:#?}");
    for reason in ["Staged", "Published", "Activated", "Retired"] {
        let reason: &'static str = format!("CertificateAuthority{reason}").leak();
        published(std::slice::from_mut(&mut only), reason, 1).await;
    }
    let points = (0..writes.len()).flat_map(|nth| [("before", nth), ("after", nth)]);
    // The last write is the end: nothing is left to go on with after it.
    let points = points.filter(|point| *point != ("after", writes.len() - 1));
    stream::iter(points).for_each_concurrent(6, |(fate, nth)| killed(fate, nth)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_writer_that_is_overtaken_at_every_write_adopts_and_overwrites_nothing() {
    let (cluster, old) = due("overtaken").await;
    cluster.route(&["only"]).await;
    let touched = Arc::clone(&cluster);
    let tap = Tap::new(move |write: &Write| {
        let (cluster, name) = (Arc::clone(&touched), format!("somebody-{}", write.nth));
        let path = write.path.clone();
        if write.nth % 2 == 1 {
            return Fate::Pass; // the second try
        }
        Fate::Second(async move { cluster.annotate(&path, &name).await }.boxed())
    });
    let mut only = cluster.tapped(&tap, config(&cluster, "only")).await;
    over(&cluster, &old).await;
    let annotations = cluster.secret().await.metadata.annotations.unwrap();
    let kept = annotations.keys().filter(|key| key.starts_with("somebody-")).count();
    assert_eq!(kept, 5, "what another wrote stays: {annotations:?}");
    assert_eq!(only.count_published("CertificateAuthorityActivated"), 1);
    assert_eq!(only.count_published("CertificateWriteFailed"), 0);
}

#[tokio::test]
async fn a_secret_that_another_creates_first_is_adopted() {
    let cluster = Arc::new(TestCluster::new("outrun").await);
    let (state, secret) = earlier(&cluster, SignedDuration::from_hours(1));
    let secrets = cluster.secrets();
    let tap = Tap::new(move |write: &Write| {
        if write.method != http::Method::POST {
            return Fate::Pass;
        }
        let (secrets, secret) = (secrets.clone(), secret.clone());
        Fate::Second(async move { drop(secrets.create(&PostParams::default(), &secret).await) }.boxed())
    });
    let replica = cluster.tapped(&tap, cluster.config()).await;
    replica.ready().await;
    assert_eq!(State::read(&cluster.secret().await), state);
    let posts = tap.writes().iter().filter(|write| write.method == http::Method::POST).count();
    assert_eq!(posts, 1);
}

#[tokio::test]
async fn a_clock_set_a_month_ahead_costs_one_renewal_and_one_rotation_and_set_back_nothing() {
    let cluster = Arc::new(TestCluster::new("month").await);
    let ahead = Arc::new(AtomicI64::new(0));
    let clock = {
        let ahead = Arc::clone(&ahead);
        move || Timestamp::now() + SignedDuration::from_hours(ahead.load(Ordering::Relaxed))
    };
    let lifetimes = Lifetimes { ca: SignedDuration::from_hours(40 * 24), ..Lifetimes::default() };
    // The tick is a minute, as by default, and nothing else shows that a clock was set.
    let config = ManagedConfig { lifetimes, publish_wait: SECOND, ..cluster.config() };
    let mut replicas = [
        cluster.replica_at(config.clone(), true, clock.clone()),
        cluster.replica_at(config.clone(), true, clock),
    ];
    let old = agreed(&replicas).await;
    let ca = State::read(&cluster.secret().await).ca.unwrap().cert;
    ahead.store(30 * 24, Ordering::Relaxed);
    // A tick is a minute.
    eventually("renewed", SECOND * 110, async || {
        whether(replicas.iter().all(|replica| replica.serial().as_ref() != Some(&old)), || old.clone())
    })
    .await;
    over(&cluster, &ca).await;
    published(&mut replicas, "CertificateRenewed", 1).await;
    published(&mut replicas, "CertificateAuthorityActivated", 1).await;
    published(&mut replicas, "CertificateAuthorityCreated", 1).await;
    let versions = cluster.versions().await;
    ahead.store(30 * 24 - 1, Ordering::Relaxed);
    tokio::time::sleep(SECOND * 3).await;
    assert_eq!(cluster.versions().await, versions);
}

#[tokio::test]
async fn a_replica_reports_what_it_serves_in_a_lease_that_goes_when_it_stops() {
    let cluster = TestCluster::new("report").await;
    let mut replica = cluster.replica_with(config(&cluster, "one"), true);
    replica.ready().await;
    let leases: Api<Lease> = Api::namespaced(cluster.admin.clone(), &cluster.name);
    let params = ListParams::default().labels("headworks.kube-zen.io/report=certificate");
    let lease = leases.list(&params).await.unwrap().items.remove(0);
    assert_eq!(lease.metadata.name.as_deref(), Some("one.certificate"));
    assert_eq!(lease.spec.unwrap().holder_identity.as_deref(), Some("one"));
    let annotations = lease.metadata.annotations.unwrap();
    assert_eq!(annotations.get("headworks.kube-zen.io/certificate-serial"), replica.serial().as_ref());
    let version = lease.metadata.resource_version;
    tokio::time::sleep(SECOND * 2).await;
    assert_eq!(leases.get("one.certificate").await.unwrap().metadata.resource_version, version);
    assert_eq!(replica.count_published("CertificateWriteFailed"), 0);
    drop(replica);
    eventually("withdrawn", LIMIT, async || {
        whether(leases.list(&params).await.unwrap().items.is_empty(), || "still there".to_owned())
    })
    .await;
}

#[tokio::test]
async fn the_old_ca_stays_while_a_ready_replica_does_not_say_that_it_serves_the_new_certificate() {
    let (cluster, old) = due("silent").await;
    cluster.route(&["speaks", "silent"]).await;
    let _speaks = cluster.replica_with(config(&cluster, "speaks"), true);
    eventually("activated", LIMIT, async || {
        let state = State::read(&cluster.secret().await);
        whether(state.phase == Phase::Activated, || format!("{:?}", state.phase))
    })
    .await;
    tokio::time::sleep(SECOND * 3).await;
    let state = State::read(&cluster.secret().await);
    assert_eq!(state.phase, Phase::Activated);
    assert!(
        String::from_utf8(cluster.bundles().await.remove(0))
            .unwrap()
            .contains(std::str::from_utf8(&old).unwrap())
    );
    let slices: Api<EndpointSlice> = Api::namespaced(cluster.admin.clone(), &cluster.name);
    slices.delete(&cluster.name, &DeleteParams::default()).await.unwrap();
    cluster.route(&["speaks"]).await;
    over(&cluster, &old).await;
}

#[tokio::test]
async fn what_is_spoilt_during_the_wait_is_repaired_and_waited_for_again() {
    let (cluster, old) = due("broken").await;
    cluster.route(&["only"]).await;
    let config = ManagedConfig { publish_wait: SECOND * 20, ..config(&cluster, "only") };
    let mut only = cluster.replica_with(config, true);
    let phase = async || State::read(&cluster.secret().await);
    eventually("published", LIMIT, async || {
        let state = phase().await;
        whether(state.phase == Phase::Published, || format!("{:?}", state.phase))
    })
    .await;
    tokio::time::sleep(SECOND * 3).await;
    let broken = Instant::now();
    cluster.set_bundles(&old).await; // as a tool that applies an old manifest
    eventually("activated", LIMIT * 3, async || {
        let state = phase().await;
        whether(state.phase == Phase::Activated, || format!("{:?}", state.phase))
    })
    .await;
    assert!(broken.elapsed() >= SECOND * 20, "{:?}", broken.elapsed());
    assert_eq!(only.count_published("CaBundleRepaired"), 2);
    assert_eq!(only.count_published("CertificateAuthorityPublished"), 1);
    over(&cluster, &old).await;
}
