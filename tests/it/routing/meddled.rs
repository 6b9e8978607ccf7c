//! What the cluster does beside headworks.

use kube::ResourceExt;
use kube::api::{Patch, PatchParams};
use serde_json::json;

use super::rig::{NODE, Rig, with_bare_rig, with_rig};

const LED: &[(&str, &str)] = &[("enabled", "true")];

/// A pod that is Ready and has an IPv4 address alone.
async fn lone_pod(rig: &Rig, name: &str, app: &str) {
    rig.pod_on(NODE, name, app, json!({})).await;
    let address = rig.pods().get(name).await.unwrap().status.unwrap().pod_ip.unwrap();
    let patch = json!({"status": {"podIPs": [{"ip": address}]}});
    rig.pods().patch_status(name, &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
    rig.ready(name, true).await;
}

#[test]
fn a_lead_that_passes_to_a_pod_of_one_family_is_written_once() {
    with_bare_rig("rt-lone", async |rig| {
        let metrics = rig.start().await;
        rig.pod("db-0", "db").await;
        lone_pod(&rig, "db-1", "db").await;
        rig.service("db", LED, json!({"ipFamilyPolicy": "RequireDualStack"})).await;
        rig.leads("db", "db-0").await;
        let full = async || rig.slice("db-leader-ipv6").await.filter(|slice| !slice.endpoints.is_empty());
        rig.eventually("the IPv6 slice", full).await;
        let told = async || rig.told("db").await.filter(|told| told["leader"] == "db-0");
        rig.eventually("the status", told).await;
        let before = metrics.writes();
        rig.kill("db-0").await;
        rig.leads("db", "db-1").await;
        // The status and the leader Service are written when nothing more urgent is left.
        let told = async || rig.told("db").await.filter(|told| told["leader"] == "db-1");
        assert_eq!(rig.eventually("the status", told).await["epoch"], 2);
        let tells = async || {
            let service = rig.services().get("db-leader").await.unwrap();
            (service.annotations().get("zen-lead.io/epoch")? == "2").then_some(())
        };
        rig.eventually("the leader Service to tell", tells).await;
        for family in ["ipv4", "ipv6"] {
            let slice = rig.slice(&format!("db-leader-{family}")).await.unwrap();
            assert_eq!(slice.annotations()["zen-lead.io/epoch"], "2", "{family}");
            assert_eq!(slice.endpoints.len(), usize::from(family == "ipv4"), "{family}");
        }
        let writes = metrics.writes() - before;
        assert!(writes < 20, "{writes} writes for one failover");
        // A controller without memory finds it right, and leaves it as it is: what it writes next is for what happens next.
        let metrics = rig.start().await;
        rig.ready("db-1", false).await;
        rig.nobody_leads("db").await;
        assert_eq!(rig.slice("db-leader-ipv4").await.unwrap().annotations()["zen-lead.io/epoch"], "3");
        assert!(metrics.writes() < 20, "{} writes", metrics.writes());
    });
}

#[test]
fn a_leader_that_comes_back_under_its_name_is_told_as_another() {
    with_rig("rt-again", async |rig| {
        rig.pod("db-0", "db").await;
        rig.led("db").await;
        rig.leads("db", "db-0").await;
        rig.kill("db-0").await;
        rig.nobody_leads("db").await;
        let uid = rig.pod("db-0", "db").await;
        rig.leads("db", "db-0").await;
        let note = rig.event("LeaderChanged").await;
        assert!(note.contains(&uid) && note.contains("another pod of that name"), "{note}");
    });
}
