//! Who leads, and when.

use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use kube::ResourceExt;
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams};
use serde_json::json;

use super::rig::{NODE, node, node_status, with_rig};

/// What a busy machine may take longer than the rules say; how long things take is for `make bench-leaders` to tell.
const SLACK: SignedDuration = SignedDuration::from_secs(20);

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

/// How long after the Ready condition of `pod` changed it was decided who leads.
async fn waited(rig: &super::rig::Rig, pod: &str) -> SignedDuration {
    let pod = rig.pods().get(pod).await.unwrap();
    let conditions = pod.status.unwrap().conditions.unwrap();
    let ready = conditions.into_iter().find(|condition| condition.type_ == "Ready").unwrap();
    decided(rig).await.duration_since(ready.last_transition_time.unwrap().0)
}

/// When it was decided who leads `db`, as the controller says.
async fn decided(rig: &super::rig::Rig) -> Timestamp {
    let slice = rig.slice("db-leader-ipv4").await.unwrap();
    slice.annotations()["zen-lead.io/leader-last-switch-time"].parse().unwrap()
}

fn is_about(took: SignedDuration, seconds: i64) {
    let wanted = SignedDuration::from_secs(seconds);
    assert!((wanted..wanted + SLACK).contains(&took), "{took:?} instead of {wanted:?}");
}

#[test]
fn the_oldest_leads_and_names_break_ties() {
    with_rig("rt-oldest", async |rig| {
        aged(&rig, "db", 2).await;
        rig.led("db").await;
        rig.leads("db", "db-c").await;
        rig.service(
            "young",
            &[("enabled", "true"), ("strategy", "newest"), ("sticky", "false")],
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
        rig.patiently("db-0 to lead", async || rig.leader("db").await).await;
        is_about(waited(&rig, "db-0").await, 30);
    });
}

#[test]
fn a_challenger_waits_for_its_time() {
    with_rig("rt-wait", async |rig| {
        rig.service("db", &[("enabled", "true"), ("min-ready-duration", "15s")], json!({})).await;
        rig.pod("db-0", "db").await;
        rig.leads("db", "db-0").await;
        rig.pod("db-1", "db").await;
        rig.delete("db-0").await;
        // The last resort: it serves until it exits.
        let last = async || {
            let slice = rig.slice("db-leader-ipv4").await?;
            let conditions = slice.endpoints.first()?.conditions.clone()?;
            (conditions.terminating? && conditions.serving? && !conditions.ready?).then_some(())
        };
        rig.eventually("the last resort", last).await;
        rig.leads("db", "db-1").await;
        is_about(waited(&rig, "db-1").await, 15);
    });
}

#[test]
fn nobody_ready_means_no_endpoint() {
    with_rig("rt-zero", async |rig| {
        rig.pod("db-0", "db").await;
        rig.pod("db-1", "db").await;
        rig.led("db").await;
        rig.leads("db", "db-0").await;
        rig.ready("db-0", false).await;
        rig.leads("db", "db-1").await;
        rig.ready("db-1", false).await;
        rig.nobody_leads("db").await;
        rig.event("NoReadyPods").await;
        rig.ready("db-1", true).await;
        rig.leads("db", "db-1").await;
        rig.kill("db-0").await;
        rig.kill("db-1").await;
        rig.nobody_leads("db").await;
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
        rig.service("db", &[("enabled", "true"), ("failover-min-delay", "20s")], json!({})).await;
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
        rig.leads("db", "db-1").await;
        is_about(waited(&rig, "db-0").await, 20);
        rig.ready("db-0", true).await;
        let began = Instant::now();
        rig.delete("db-1").await;
        rig.leads("db", "db-0").await;
        assert!(began.elapsed() < Duration::from_secs(15), "a terminating leader is not waited for");
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
fn a_pod_that_has_ended_leads_no_more_and_is_not_counted() {
    with_rig("rt-ended", async |rig| {
        rig.pod("db-0", "db").await;
        rig.pod("db-1", "db").await;
        rig.led("db").await;
        rig.leads("db", "db-0").await;
        // Its condition Ready stays as it was, as where a node was lost.
        rig.status("db-0", json!({"phase": "Failed"})).await;
        rig.leads("db", "db-1").await;
        rig.status("db-1", json!({"phase": "Succeeded"})).await;
        rig.nobody_leads("db").await;
        rig.event("NoPodsFound").await;
        assert!(rig.pods().get_opt("db-1").await.unwrap().is_some());
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
        let hold = async |holder: &str, seconds: i64| {
            let now = Timestamp::now();
            let lease = json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "lock"},
                "spec": {"holderIdentity": holder, "leaseDurationSeconds": seconds, "renewTime": format!("{now:.6}")}});
            leases.patch("lock", &PatchParams::apply("test").force(), &Patch::Apply(lease)).await.unwrap();
            now + SignedDuration::from_secs(seconds)
        };
        rig.pod("db-0", "db").await;
        rig.pod("db-1", "db").await;
        let annotations = [("enabled", "true"), ("strategy", "lease"), ("lease-name", "lock")];
        rig.service("db", &annotations, json!({})).await;
        rig.nobody_leads("db").await;
        hold("db-1_2f1e", 60).await;
        rig.leads("db", "db-1").await;
        let until = hold("db-0", 20).await;
        rig.leads("db", "db-0").await;
        rig.nobody_leads("db").await;
        let now = Timestamp::now();
        assert!((until..until + SLACK).contains(&now), "{now} instead of {until}");
        hold("db-0", 600).await;
        rig.leads("db", "db-0").await;
        // The holder is no candidate: nobody leads, though another could.
        rig.ready("db-0", false).await;
        rig.nobody_leads("db").await;
        rig.ready("db-0", true).await;
        rig.leads("db", "db-0").await;
        leases.delete("lock", &DeleteParams::default()).await.unwrap();
        rig.nobody_leads("db").await;
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
        let died = Timestamp::from_second(Timestamp::now().as_second()).unwrap();
        node_status(&rig.client, "rt-node-a", "Unknown").await;
        rig.leads("db", "db-1").await;
        is_about(decided(&rig).await.duration_since(died), 5);
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
        // Long enough for refused writes to be tried again but every half minute, which no failover may share.
        let (began, mut pods) = (Instant::now(), ["db-0", "db-1"]);
        while began.elapsed() < Duration::from_secs(45) || pods[0] != "db-1" {
            let [from, to] = pods;
            let left = Instant::now();
            rig.ready(from, false).await;
            rig.leads("db", to).await;
            assert!(left.elapsed() < Duration::from_secs(10), "a failover took {:?}", left.elapsed());
            pods.swap(0, 1);
            pause(500).await;
            rig.ready(from, true).await;
        }
        bindings.delete("rt-quota", &DeleteParams::default()).await.unwrap();
        policies.delete("rt-quota", &DeleteParams::default()).await.unwrap();
        let told = async || rig.told("db").await.filter(|told| told["leader"] == "db-1");
        // It may be up to a minute until it is tried again.
        rig.patiently("the status in the end", told).await;
    });
}
