//! Many Services, and more than one controller.

use std::time::Duration;

use futures::StreamExt;
use headworks::leaders::Metrics;
use kube::api::{ListParams, Patch, PatchParams};
use prometheus_client::registry::Registry;
use serde_json::json;

use super::rig::{Rig, with_bare_rig, with_rig};

/// Do this `count` times, 32 at once.
async fn many<F: Future>(count: usize, each: impl FnMut(usize) -> F) {
    futures::stream::iter((0..count).map(each)).buffer_unordered(32).for_each(async |_| ()).await;
}

/// How many slices route to this pod.
async fn led_by(rig: &Rig, pod: &str) -> usize {
    // A list of all is heavy, and asked for without pause it would be what is measured.
    tokio::time::sleep(Duration::from_millis(300)).await;
    let ours = ListParams::default().labels("zen-lead.io/source-service");
    let slices = rig.slices().list(&ours).await.unwrap();
    let leads = |slice: &&k8s_openapi::api::discovery::v1::EndpointSlice| {
        let endpoint = slice.endpoints.first();
        let target = endpoint.and_then(|endpoint| endpoint.target_ref.as_ref());
        target.is_some_and(|target| target.name.as_deref() == Some(pod))
    };
    slices.items.iter().filter(leads).count()
}

#[test]
fn twelve_hundred_services_of_one_namespace_all_fail_over() {
    with_rig("rt-crowd", async |rig| {
        const COUNT: usize = 1_200;
        rig.pod("pod-0", "crowd").await;
        rig.pod("pod-1", "crowd").await;
        let spec = json!({"selector": {"app": "crowd"}, "clusterIP": "None"});
        many(COUNT, async |i| {
            rig.service(&format!("s{i}"), &[("enabled", "true")], spec.clone()).await;
        })
        .await;
        rig.patiently("all to have a leader", async || (led_by(&rig, "pod-0").await == COUNT).then_some(()))
            .await;
        let began = std::time::Instant::now();
        rig.delete("pod-0").await;
        rig.patiently("all to have another", async || (led_by(&rig, "pod-1").await == COUNT).then_some(()))
            .await;
        println!("{COUNT} Services moved in {:.1} s", began.elapsed().as_secs_f64());
    });
}

#[test]
fn an_ordinary_service_costs_nothing() {
    with_bare_rig("rt-ordinary", async |rig| {
        let metrics = rig.start().await;
        many(1_000, async |i| {
            rig.service(&format!("s{i}"), &[], json!({"selector": {"app": "db"}, "clusterIP": "None"})).await;
        })
        .await;
        for round in 0..3 {
            for i in 0..5 {
                let name = format!("db-{i}");
                rig.pod(&name, "db").await;
                rig.ready(&name, round % 2 == 0).await;
                rig.kill(&name).await;
            }
        }
        // One that is served tells that all before it was seen.
        assert_eq!(metrics.writes(), 0);
        rig.pod("last-0", "last").await;
        rig.led("last").await;
        rig.leads("last", "last-0").await;
        let told = async || rig.told("last").await.filter(|told| told["leader"] == "last-0");
        rig.eventually("the status", told).await;
        // Some may be made twice, if its pod is seen after it.
        assert!(metrics.writes() < 20, "{} writes for one Service", metrics.writes());
    });
}

#[test]
fn two_controllers_at_once_do_not_fight() {
    with_rig("rt-two", async |rig| {
        let second = Metrics::registered(&mut Registry::default());
        let token = rig.controller_with(rig.client.clone(), second.clone()).await;
        for i in 0..3 {
            rig.pod(&format!("db-{i}"), "db").await;
        }
        rig.led("db").await;
        rig.leads("db", "db-0").await;
        for _ in 0..3 {
            for (from, to) in [("db-0", "db-1"), ("db-1", "db-0")] {
                rig.ready(from, false).await;
                rig.leads("db", to).await;
                rig.ready(from, true).await;
            }
        }
        // When nothing happens, neither writes.
        let version = async || rig.services().get("db").await.unwrap().metadata.resource_version;
        let quiet = async || {
            let before =
                (version().await, rig.slice("db-leader-ipv4").await.unwrap().metadata.resource_version);
            tokio::time::sleep(Duration::from_secs(6)).await;
            let after =
                (version().await, rig.slice("db-leader-ipv4").await.unwrap().metadata.resource_version);
            (before == after).then_some(())
        };
        rig.eventually("quiet", quiet).await;
        // The first one ends: the second goes on alone.
        rig.stop();
        rig.delete("db-0").await;
        rig.leads("db", "db-1").await;
        assert!(second.writes() > 0);
        token.cancel();
    });
}

#[test]
fn a_standby_that_takes_over_finds_everything_and_writes_nothing() {
    with_rig("rt-standby", async |rig| {
        rig.pod("db-0", "db").await;
        rig.led("db").await;
        rig.leads("db", "db-0").await;
        let told = async || rig.told("db").await.filter(|told| told["leader"] == "db-0");
        rig.eventually("the status", told).await;
        let settled = async || {
            let service = rig.services().get("db-leader").await.unwrap();
            service.metadata.annotations?.contains_key("zen-lead.io/epoch").then_some(())
        };
        rig.eventually("the leader Service to tell", settled).await;
        let metrics = rig.start().await;
        // Its first write is for what happens next.
        let patch = json!({"metadata": {"labels": {"seen": "yes"}}});
        rig.pods().patch("db-0", &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(metrics.writes(), 0);
        rig.ready("db-0", false).await;
        rig.nobody_leads("db").await;
    });
}
