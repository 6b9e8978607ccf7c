//! What the cluster and other programs do beside headworks: pods that lack an address, clocks that differ, Endpoints of the
//! leader Service's name; and that `headworks leader` tells it.

use std::process::Command;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Endpoints;
use kube::ResourceExt;
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use super::rig::{NODE, Rig, ground, with_bare_rig, with_rig};
use crate::command::{self, Said};

const LED: &[(&str, &str)] = &[("enabled", "true")];

/// `headworks leader ...` in the namespace of a rig.
fn leader(rig: &Rig, args: &[&str]) -> Said {
    let mut command = Command::new(env!("CARGO_BIN_EXE_headworks"));
    command.arg("leader").args(args).args(["-n", &rig.namespace]).env("KUBECONFIG", &ground().kubeconfig);
    command::run(&mut command, "")
}

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
        let told = rig.eventually("the status", told).await;
        assert_eq!(told["epoch"], 2);
        let lacks = "NoAddress: db-1 leads without an IPv6 address: clients of that family reach nobody";
        assert_eq!(told["conditions"], json!([lacks]));
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

/// Renew the Lease `lock` for `holder`, as one whose clock is ahead of ours by `skew`.
async fn renew(rig: &Rig, holder: &str, skew: SignedDuration) {
    let leases: Api<Lease> = Api::namespaced(rig.client.clone(), &rig.namespace);
    let renewed = format!("{:.6}", Timestamp::now().checked_add(skew).unwrap());
    let lease = json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "lock"},
        "spec": {"holderIdentity": holder, "leaseDurationSeconds": 10, "renewTime": renewed}});
    leases.patch("lock", &PatchParams::apply("test").force(), &Patch::Apply(lease)).await.unwrap();
}

#[test]
fn a_lease_is_judged_by_what_its_holder_does_whatever_its_clock_says() {
    with_rig("rt-clocks", async |rig| {
        for name in ["db-0", "db-1"] {
            rig.pod(name, "db").await;
        }
        // An hour, so that no patience of this test is as long.
        let (behind, ahead) = (SignedDuration::from_hours(-1), SignedDuration::from_hours(1));
        renew(&rig, "db-0", behind).await;
        let settings = [("enabled", "true"), ("strategy", "lease"), ("lease-name", "lock")];
        rig.service("db", &settings, json!({})).await;
        let led = async || {
            renew(&rig, "db-0", behind).await;
            rig.leader("db").await.filter(|leader| leader == "db-0")
        };
        rig.eventually("the holder with the clock behind to lead", led).await;
        renew(&rig, "db-1", ahead).await;
        rig.leads("db", "db-1").await;
        let said = leader(&rig, &["why", "db"]);
        assert!(said.out.contains("Lease lock is held by db-1 for 10s after each renewal"), "{}", said.out);
        assert!(said.out.contains("only the controller sees"), "{}", said.out);
        // It is renewed no more.
        rig.nobody_leads("db").await;
        let told = async || rig.told("db").await.filter(|told| told["reason"] == "NoLeaseHolder");
        rig.eventually("the status", told).await;
        let said = leader(&rig, &["why", "db"]);
        assert!(said.out.contains("the controller has seen no renewal for 10s"), "{}", said.out);
    });
}

async fn conflict(rig: &Rig) -> Option<String> {
    let told = rig.told("db").await?;
    let conditions = told["conditions"].as_array()?.iter();
    conditions.filter_map(Value::as_str).find(|one| one.starts_with("NameConflict")).map(str::to_owned)
}

#[test]
fn another_slice_behind_the_leader_service_is_told_with_its_cure_until_it_goes() {
    with_rig("rt-rivals", async |rig| {
        rig.pod("db-0", "db").await;
        // Left over from before: Kubernetes mirrors it as soon as there is a Service of its name without a selector.
        let endpoints: Api<Endpoints> = Api::namespaced(rig.client.clone(), &rig.namespace);
        let object = json!({"metadata": {"name": "db-leader"},
            "subsets": [{"addresses": [{"ip": "10.244.0.200"}], "ports": [{"port": 5432}]}]});
        endpoints.create(&PostParams::default(), &serde_json::from_value(object).unwrap()).await.unwrap();
        rig.led("db").await;
        rig.leads("db", "db-0").await;
        let told = rig.eventually("the conflict", async || conflict(&rig).await).await;
        assert!(told.contains("from the Endpoints db-leader: delete that object"), "{told}");
        assert!(rig.event("NameConflict").await.contains("routes db-leader too"));
        let said = leader(&rig, &["why", "db"]);
        assert!(
            !said.ok && said.out.contains("db-leader routes to db-0") && said.out.contains(&told),
            "{}",
            said.out
        );
        let said = leader(&rig, &["list"]);
        assert!(said.out.contains(&format!("rt-rivals/db: {told}")), "{}", said.out);
        endpoints.delete("db-leader", &DeleteParams::default()).await.unwrap();
        let well = async || conflict(&rig).await.is_none().then_some(());
        rig.eventually("the conflict to end", well).await;
        let said = leader(&rig, &["why", "db"]);
        assert!(said.ok, "{}{}", said.out, said.err);

        // One that somebody made by hand.
        let object = json!({"metadata": {"name": "mine", "labels": {"kubernetes.io/service-name": "db-leader"}},
            "addressType": "IPv4", "endpoints": [{"addresses": ["10.244.0.201"]}]});
        let made =
            rig.slices().create(&PostParams::default(), &serde_json::from_value(object).unwrap()).await;
        let told = rig.eventually("the conflict", async || conflict(&rig).await).await;
        assert!(told.contains("EndpointSlice mine routes db-leader too"), "{told}");
        let now = rig.slice("mine").await.unwrap();
        assert_eq!(now.resource_version(), made.unwrap().resource_version(), "it is not ours to touch");
        rig.slices().delete("mine", &DeleteParams::default()).await.unwrap();
        rig.eventually("the conflict to end", well).await;
    });
}

#[test]
fn who_undoes_every_write_is_told_of_and_keeps_no_failover_waiting() {
    with_rig("rt-undone", async |rig| {
        for name in ["db-0", "db-1"] {
            rig.pod(name, "db").await;
        }
        rig.led("db").await;
        rig.leads("db", "db-0").await;
        // As a policy does that labels every Service.
        let services = rig.services();
        let undo = tokio::spawn(async move {
            let patch = Patch::Merge(json!({"metadata": {"labels": {"team": "red"}}}));
            loop {
                services.patch("db-leader", &PatchParams::default(), &patch).await.unwrap();
            }
        });
        let note = rig.event("TooManyWrites").await;
        assert!(note.starts_with("the leader Service was written too often"), "{note}");
        rig.delete("db-0").await;
        rig.leads("db", "db-1").await;
        undo.abort();
        let right = async || {
            let service = rig.services().get("db-leader").await.unwrap();
            (!service.labels().contains_key("team")).then_some(())
        };
        rig.eventually("the leader Service to be right", right).await;
    });
}

#[test]
fn a_leader_that_comes_back_under_its_name_is_told_as_another() {
    with_rig("rt-return", async |rig| {
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

#[test]
fn who_may_not_list_services_is_told_so_and_whom_to_ask() {
    with_bare_rig("rt-nobody", async |rig| {
        let mut kubeconfig = kube::config::Kubeconfig::read_from(&ground().kubeconfig).unwrap();
        for user in &mut kubeconfig.auth_infos {
            user.auth_info.as_mut().unwrap().impersonate = Some("nobody".to_owned());
        }
        let file = ground().kubeconfig.with_file_name("nobody.kubeconfig");
        std::fs::write(&file, serde_json::to_string(&kubeconfig).unwrap()).unwrap();
        let file = file.to_str().unwrap();
        for args in [&["list"][..], &["list", "-A"], &["why", "db"], &["promote", "db", "db-0"]] {
            let said = leader(&rig, &[&["--kubeconfig", file], args].concat());
            assert!(!said.ok, "{args:?}: {}", said.out);
            assert!(said.err.starts_with("error: services"), "{args:?}: {}", said.err);
            assert!(said.err.contains(r#"User "nobody" cannot"#), "{args:?}: {}", said.err);
            assert!(said.err.contains("ask whoever gives out rights"), "{args:?}: {}", said.err);
            assert!(!said.err.contains("Status"), "no dump: {}", said.err);
            assert_eq!(said.err.lines().count(), 1, "{}", said.err);
        }
    });
}
