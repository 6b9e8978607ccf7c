//! Who leads, and when.

use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use kube::ResourceExt;
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams};
use serde_json::json;

use super::rig::{NODE, node, node_status, with_rig};

async fn pause(milliseconds: u64) {
    tokio::time::sleep(Duration::from_millis(milliseconds)).await;
}

/// Pods whose creation times differ, the oldest first.
async fn aged(rig: &super::rig::Rig, app: &str, count: usize) {
    for i in 0..count {
        if i > 0 {
            // Creation times are whole seconds.
            pause(1_050).await;
        }
        rig.pod(&format!("{app}-{}", (b'a' + u8::try_from(count - i).unwrap()) as char), app).await;
    }
}

#[test]
fn the_oldest_leads_and_names_break_ties() {
    with_rig("rt-oldest", async |rig| {
        aged(&rig, "db", 2).await;
        rig.led("db").await;
        rig.leads("db", "db-c").await;
        rig.service(
            "young",
            &[("enabled", "true"), ("strategy", "newest")],
            json!({"selector": {"app": "db"}}),
        )
        .await;
        rig.leads("young", "db-b").await;
        // Created within the same second, most likely; else it holds all the same.
        rig.pod("tie-a", "tie").await;
        rig.pod("tie-b", "tie").await;
        rig.led("tie").await;
        rig.leads("tie", "tie-a").await;
    });
}

#[test]
fn a_sticky_incumbent_stays_and_another_yields_to_the_best() {
    with_rig("rt-sticky", async |rig| {
        aged(&rig, "db", 2).await;
        rig.ready("db-c", false).await;
        rig.led("db").await;
        rig.service("loose", &[("enabled", "true"), ("sticky", "false")], json!({"selector": {"app": "db"}}))
            .await;
        rig.leads("db", "db-b").await;
        rig.leads("loose", "db-b").await;
        rig.ready("db-c", true).await;
        rig.leads("loose", "db-c").await;
        assert_eq!(rig.leader("db").await.as_deref(), Some("db-b"));
    });
}

#[test]
fn a_lone_young_pod_leads_when_it_has_been_ready_for_long_enough() {
    with_rig("rt-young", async |rig| {
        rig.service("db", &[("enabled", "true"), ("min-ready-duration", "30s")], json!({})).await;
        rig.pod("db-0", "db").await;
        let ready = Instant::now();
        pause(27_000).await;
        assert_eq!(rig.leader("db").await, None);
        rig.leads("db", "db-0").await;
        let took = ready.elapsed().as_secs_f64();
        assert!((29.0..=31.0).contains(&took), "{took}");
    });
}

#[test]
fn a_challenger_waits_for_its_time() {
    with_rig("rt-wait", async |rig| {
        rig.service("db", &[("enabled", "true"), ("min-ready-duration", "3s")], json!({})).await;
        rig.pod("db-0", "db").await;
        rig.leads("db", "db-0").await;
        rig.pod("db-1", "db").await;
        let ready = Instant::now();
        rig.delete("db-0").await;
        // The last resort: it serves until it exits.
        let last = async || {
            let slice = rig.slice("db-leader-ipv4").await?;
            let conditions = slice.endpoints.first()?.conditions.clone()?;
            (conditions.terminating? && conditions.serving? && !conditions.ready?).then_some(())
        };
        rig.eventually("the last resort", last).await;
        rig.leads("db", "db-1").await;
        let took = ready.elapsed().as_secs_f64();
        assert!((2.0..=4.0).contains(&took), "{took}");
    });
}

#[test]
fn nobody_ready_means_no_endpoint_within_a_second() {
    with_rig("rt-zero", async |rig| {
        rig.pod("db-0", "db").await;
        rig.pod("db-1", "db").await;
        rig.led("db").await;
        rig.leads("db", "db-0").await;
        rig.ready("db-0", false).await;
        rig.leads("db", "db-1").await;
        let began = Instant::now();
        rig.ready("db-1", false).await;
        rig.nobody_leads("db").await;
        assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
        rig.event("NoReadyPods").await;
        rig.ready("db-1", true).await;
        rig.leads("db", "db-1").await;
        let began = Instant::now();
        rig.kill("db-0").await;
        rig.kill("db-1").await;
        rig.nobody_leads("db").await;
        assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
        rig.event("NoPodsFound").await;
    });
}

#[test]
fn a_terminating_leader_without_a_standby_serves_until_it_is_gone() {
    with_rig("rt-last", async |rig| {
        rig.pod("db-0", "db").await;
        rig.led("db").await;
        rig.leads("db", "db-0").await;
        rig.delete("db-0").await;
        let last = async || {
            let slice = rig.slice("db-leader-ipv4").await?;
            let conditions = slice.endpoints.first()?.conditions.clone()?;
            (conditions.terminating? && conditions.serving? && !conditions.ready?).then_some(())
        };
        rig.eventually("the last resort", last).await;
        rig.kill("db-0").await;
        rig.nobody_leads("db").await;
    });
}

#[test]
fn a_blip_is_waited_out_but_an_end_is_not() {
    with_rig("rt-blip", async |rig| {
        rig.pod("db-0", "db").await;
        rig.pod("db-1", "db").await;
        rig.service("db", &[("enabled", "true"), ("failover-min-delay", "4s")], json!({})).await;
        rig.leads("db", "db-0").await;
        rig.ready("db-0", false).await;
        let held = async || {
            let slice = rig.slice("db-leader-ipv4").await?;
            let endpoint = slice.endpoints.first()?.clone();
            (endpoint.conditions?.ready == Some(false)).then_some(endpoint.target_ref?.name?)
        };
        assert_eq!(rig.eventually("the blip", held).await, "db-0");
        rig.ready("db-0", true).await;
        rig.leads("db", "db-0").await;
        rig.ready("db-0", false).await;
        let began = Instant::now();
        rig.leads("db", "db-1").await;
        let took = began.elapsed().as_secs_f64();
        assert!((2.5..=5.0).contains(&took), "{took}");
        rig.ready("db-0", true).await;
        let began = Instant::now();
        rig.delete("db-1").await;
        rig.leads("db", "db-0").await;
        assert!(began.elapsed() < Duration::from_secs(2), "a terminating leader is not waited for");
    });
}

#[test]
fn a_pod_of_the_same_name_is_another_pod() {
    with_rig("rt-again", async |rig| {
        let first = rig.pod("db-0", "db").await;
        rig.led("db").await;
        rig.leads("db", "db-0").await;
        rig.kill("db-0").await;
        let second = rig.pod("db-0", "db").await;
        assert_ne!(first, second);
        let moved = async || {
            let slice = rig.slice("db-leader-ipv4").await?;
            (slice.endpoints.first()?.target_ref.as_ref()?.uid.as_deref() == Some(&second)).then_some(slice)
        };
        let slice = rig.eventually("the new pod", moved).await;
        assert!(slice.annotations()["zen-lead.io/epoch"].parse::<u64>().unwrap() > 1);
    });
}

#[test]
fn a_pod_that_is_selected_no_more_leads_no_more() {
    with_rig("rt-label", async |rig| {
        rig.pod("db-0", "db").await;
        rig.pod("db-1", "db").await;
        rig.pod("other-0", "other").await;
        rig.led("db").await;
        rig.leads("db", "db-0").await;
        let patch = json!({"metadata": {"labels": {"app": "else"}}});
        rig.pods().patch("db-0", &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
        rig.leads("db", "db-1").await;
        let patch = json!({"spec": {"selector": {"app": "other"}}});
        rig.services().patch("db", &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
        rig.leads("db", "other-0").await;
    });
}

#[test]
fn a_claim_by_label_is_followed_and_two_claims_are_told() {
    with_rig("rt-claim", async |rig| {
        rig.pod("db-0", "db").await;
        rig.pod("db-1", "db").await;
        let role = async |pod: &str, role: &str| {
            let patch = json!({"metadata": {"labels": {"role": role}}});
            rig.pods().patch(pod, &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
        };
        rig.service("db", &[("enabled", "true"), ("candidate-selector", "role=primary")], json!({})).await;
        rig.nobody_leads("db").await;
        role("db-1", "primary").await;
        rig.leads("db", "db-1").await;
        role("db-0", "primary").await;
        rig.event("AmbiguousClaim").await;
        assert_eq!(rig.leader("db").await.as_deref(), Some("db-1"));
        role("db-1", "replica").await;
        rig.leads("db", "db-0").await;
        rig.annotate("db", "candidate-selector", Some("role in primary")).await;
        rig.event("InvalidAnnotation").await;
        assert_eq!(rig.leader("db").await.as_deref(), Some("db-0"), "a typo moves nobody");
    });
}

#[test]
fn the_holder_of_the_lease_leads_until_it_expires() {
    with_rig("rt-lease", async |rig| {
        use k8s_openapi::api::coordination::v1::Lease;
        let leases: Api<Lease> = Api::namespaced(rig.client.clone(), &rig.namespace);
        let hold = async |holder: &str, seconds: u32| {
            let lease = json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "lock"},
                "spec": {"holderIdentity": holder, "leaseDurationSeconds": seconds,
                         "renewTime": format!("{:.6}", Timestamp::now())}});
            leases.patch("lock", &PatchParams::apply("test").force(), &Patch::Apply(lease)).await.unwrap();
        };
        rig.pod("db-0", "db").await;
        rig.pod("db-1", "db").await;
        let annotations = [("enabled", "true"), ("strategy", "lease"), ("lease-name", "lock")];
        rig.service("db", &annotations, json!({})).await;
        rig.nobody_leads("db").await;
        hold("db-1_2f1e", 60).await;
        rig.leads("db", "db-1").await;
        hold("db-0", 2).await;
        rig.leads("db", "db-0").await;
        let began = Instant::now();
        rig.nobody_leads("db").await;
        assert!((1.0..=3.0).contains(&began.elapsed().as_secs_f64()), "{:?}", began.elapsed());
        hold("db-0", 60).await;
        rig.leads("db", "db-0").await;
        // The holder is no candidate: nobody leads, though another could.
        rig.ready("db-0", false).await;
        rig.nobody_leads("db").await;
        leases.delete("lock", &DeleteParams::default()).await.unwrap();
        rig.ready("db-0", true).await;
        pause(300).await;
        assert_eq!(rig.leader("db").await, None);
    });
}

#[test]
fn a_promoted_pod_leads_as_soon_as_it_can() {
    with_rig("rt-promote", async |rig| {
        rig.pod("db-0", "db").await;
        rig.led("db").await;
        rig.leads("db", "db-0").await;
        rig.annotate("db", "promote", Some("db-1")).await;
        rig.pod_on(NODE, "db-1", "db", json!({})).await;
        pause(200).await;
        assert_eq!(rig.leader("db").await.as_deref(), Some("db-0"));
        rig.ready("db-1", true).await;
        rig.leads("db", "db-1").await;
        let cleared = async || {
            let source = rig.services().get("db").await.unwrap();
            (!source.annotations().contains_key("zen-lead.io/promote")).then_some(())
        };
        rig.eventually("the wish to be cleared", cleared).await;
        pause(200).await;
        assert_eq!(rig.leader("db").await.as_deref(), Some("db-1"));
    });
}

#[test]
fn leaders_leave_a_node_that_dies_after_its_grace() {
    with_rig("rt-node", async |rig| {
        node(&rig.client, "rt-node-a").await;
        for (pod, on) in [("db-0", "rt-node-a"), ("db-1", NODE)] {
            rig.pod_on(on, pod, "db", json!({})).await;
            rig.ready(pod, true).await;
        }
        rig.led("db").await;
        rig.leads("db", "db-0").await;
        let died = Timestamp::now();
        node_status(&rig.client, "rt-node-a", "Unknown").await;
        rig.leads("db", "db-1").await;
        let took = Timestamp::now().duration_since(died);
        let wanted = SignedDuration::from_secs(4)..SignedDuration::from_millis(6_500);
        assert!(wanted.contains(&took), "{took:?}");
        // It comes back, dies again, and is deleted: whoever runs on it goes at last.
        node_status(&rig.client, "rt-node-a", "True").await;
        rig.delete("db-1").await;
        rig.leads("db", "db-0").await;
    });
}

#[test]
fn a_refused_service_write_never_stops_a_failover() {
    with_rig("rt-quota", async |rig| {
        use k8s_openapi::api::admissionregistration::v1::{
            ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding,
        };
        rig.pod("db-0", "db").await;
        rig.pod("db-1", "db").await;
        rig.led("db").await;
        rig.leads("db", "db-0").await;
        let policies: Api<ValidatingAdmissionPolicy> = Api::all(rig.client.clone());
        let bindings: Api<ValidatingAdmissionPolicyBinding> = Api::all(rig.client.clone());
        let policy = json!({"metadata": {"name": "rt-quota"}, "spec": {
            "failurePolicy": "Fail",
            "matchConstraints": {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "rt-quota"}},
                "resourceRules": [{"apiGroups": [""], "apiVersions": ["v1"], "resources": ["services"],
                    "operations": ["CREATE", "UPDATE"]}]},
            "validations": [{"expression": "false", "message": "no"}]}});
        policies.create(&PostParams::default(), &serde_json::from_value(policy).unwrap()).await.unwrap();
        let binding = json!({"metadata": {"name": "rt-quota"}, "spec": {"policyName": "rt-quota",
            "validationActions": ["Deny"]}});
        bindings.create(&PostParams::default(), &serde_json::from_value(binding).unwrap()).await.unwrap();
        let refused = async || {
            let patch =
                json!({"metadata": {"labels": {"probe": Timestamp::now().as_nanosecond().to_string()}}});
            rig.services()
                .patch("db", &PatchParams::default(), &Patch::Merge(patch))
                .await
                .is_err()
                .then_some(())
        };
        rig.eventually("the policy to work", refused).await;
        for (from, to) in [("db-0", "db-1"), ("db-1", "db-0"), ("db-0", "db-1")] {
            let began = Instant::now();
            rig.ready(from, false).await;
            rig.leads("db", to).await;
            assert!(began.elapsed() < Duration::from_secs(1));
            rig.ready(from, true).await;
        }
        bindings.delete("rt-quota", &DeleteParams::default()).await.unwrap();
        policies.delete("rt-quota", &DeleteParams::default()).await.unwrap();
        let told = async || rig.told("db").await.filter(|told| told["leader"] == "db-1");
        rig.eventually("the status in the end", told).await;
    });
}
