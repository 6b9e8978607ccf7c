//! Two engines alive at once: one is frozen past its lease, another takes over, and the first wakes up in the middle.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease;
use kube::Api;
use kube::runtime::wait::await_condition;
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

use crate::cluster::{Cluster, test};
use crate::everything;
use crate::full;
use crate::proxy::Fate;
use crate::rig::{LIMIT, Rig};

const CAMPAIGN: [&str; 8] = [
    "--lease-name",
    "both",
    "--lease-duration",
    "2s",
    "--renew-deadline",
    "1500ms",
    "--retry-period",
    "200ms",
];

#[test]
fn a_leader_that_freezes_and_wakes_up_changes_nothing() {
    test(async |cluster| {
        everything::undisturbed(cluster).await;
        let stride = if full() { 1 } else { 4 };
        let points = |resource| (1..=10).step_by(stride).map(move |nth| (resource, nth));
        let points: Vec<_> = points("jobflows/status").chain(points("jobs")).collect();
        let next = Arc::new(AtomicUsize::new(0));
        let lanes = (0..2).map(|_| {
            let (points, next) = (points.clone(), next.clone());
            tokio::spawn(async move {
                let mut times = 0;
                while let Some((resource, nth)) = points.get(next.fetch_add(1, Ordering::Relaxed)) {
                    times += usize::from(freeze_at(cluster, resource, *nth).await);
                }
                times
            })
        });
        let mut times = 0;
        for lane in lanes.collect::<Vec<_>>() {
            times += lane.await.unwrap();
        }
        println!("{times} times a leader froze at a write that came through after another had taken over");
        assert!(times > points.len() / 2);
    });
}

/// The leader freezes with a write on its way, which comes through only after another has taken over and written.
/// Whether it came to that.
async fn freeze_at(cluster: &'static Cluster, resource: &'static str, nth: usize) -> bool {
    let first = Rig::new(cluster, "two").await;
    let second = first.beside().await;
    let (took_over, wrote) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let tell = wrote.clone();
    second.proxy.hook(move |call| {
        let tell = tell.clone();
        let then = async move { tell.notify_one() };
        if call.resource == "events" {
            Fate::pass()
        } else {
            Fate { then: Some(Box::pin(then)), ..Fate::pass() }
        }
    });
    let (rig, told, once) = (first.clone(), took_over.clone(), AtomicBool::new(false));
    first.proxy.hook(move |call| {
        if call.resource != resource || call.nth < nth || once.swap(true, Ordering::SeqCst) {
            return Fate::pass();
        }
        let (frozen, thawed, wrote, told) = (rig.clone(), rig.clone(), wrote.clone(), told.clone());
        let first = async move {
            frozen.freeze();
            timeout(LIMIT, wrote.notified()).await.expect("another takes over and writes");
            told.notify_one();
            // Each point meets the successor at another moment.
            sleep(Duration::from_millis(nth as u64 * 10)).await;
        };
        Fate {
            first: Some(Box::pin(first)),
            then: Some(Box::pin(async move { thawed.thaw() })),
            ..Fate::pass()
        }
    });
    first.start_with(&CAMPAIGN);
    let leases: Api<Lease> = Api::namespaced(cluster.client.clone(), &first.namespace);
    let held = |lease: Option<&Lease>| lease.is_some_and(|lease| lease.spec.is_some());
    timeout(LIMIT, await_condition(leases, "both", held)).await.expect("a leader").unwrap();
    second.start_with(&CAMPAIGN);
    everything::ends_the_same(&first, &format!("a leader frozen at {resource} {nth}")).await;
    timeout(Duration::ZERO, took_over.notified()).await.is_ok()
}
