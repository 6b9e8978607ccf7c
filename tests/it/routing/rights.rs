//! With the rights of `deploy/base/rbac.yaml` everything works, and no right is there for nothing: the API server's audit
//! log has every call.

use std::collections::BTreeSet;
use std::time::Duration;

use headworks::leaders::Metrics;
use k8s_openapi::api::authentication::v1::TokenRequest;
use k8s_openapi::api::authorization::v1::SubjectAccessReview;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::ServiceAccount;
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding};
use kube::Client;
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams};
use prometheus_client::registry::Registry;
use serde_json::{Value, json};

use super::rig::{ground, with_bare_rig};

const NS: &str = "rt-rights";

/// The ClusterRole that the installation gives to leader routing.
fn role() -> Value {
    let text = std::fs::read_to_string(crate::cluster::root().join("deploy/base/rbac.yaml")).unwrap();
    let documents = headworks::manifest::read(&text).into_iter().map(|document| document.unwrap().value);
    let mut roles = documents.filter(|object| {
        object["kind"] == "ClusterRole" && object["metadata"]["name"] == "headworks-routing"
    });
    roles.next().unwrap()
}

/// A client with the token of an account that is bound to that role and nothing else.
async fn limited(admin: &Client) -> Client {
    let create = PostParams::default();
    let mut role = role();
    role["metadata"] = json!({"name": NS});
    let roles: Api<ClusterRole> = Api::all(admin.clone());
    roles.create(&create, &serde_json::from_value(role).unwrap()).await.unwrap();
    let bindings: Api<ClusterRoleBinding> = Api::all(admin.clone());
    let binding = json!({"metadata": {"name": NS},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": NS},
        "subjects": [{"kind": "ServiceAccount", "name": "headworks", "namespace": NS}]});
    bindings.create(&create, &serde_json::from_value(binding).unwrap()).await.unwrap();
    let accounts: Api<ServiceAccount> = Api::namespaced(admin.clone(), NS);
    let account = serde_json::from_value(json!({"metadata": {"name": "headworks"}})).unwrap();
    accounts.create(&create, &account).await.unwrap();
    let request: TokenRequest = serde_json::from_value(json!({"spec": {"audiences": []}})).unwrap();
    let token = accounts.create_token_request("headworks", &create, &request).await.unwrap();
    // What the API server does not know yet it refuses, and what was refused counts.
    let reviews: Api<SubjectAccessReview> = Api::all(admin.clone());
    let review: SubjectAccessReview = serde_json::from_value(json!({"spec": {
        "user": format!("system:serviceaccount:{NS}:headworks"),
        "resourceAttributes": {"verb": "list", "resource": "nodes"}}}))
    .unwrap();
    let known = async {
        while !reviews.create(&create, &review).await.unwrap().status.unwrap().allowed {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_mins(1), known).await.expect("the rights to be known");
    let kubeconfig = kube::config::Kubeconfig::read_from(&ground().kubeconfig).unwrap();
    let mut config =
        kube::Config::from_custom_kubeconfig(kubeconfig, &kube::config::KubeConfigOptions::default())
            .await
            .unwrap();
    config.auth_info = kube::config::AuthInfo {
        token: Some(token.status.unwrap().token.into()),
        ..kube::config::AuthInfo::default()
    };
    Client::try_from(config).unwrap()
}

/// What the account asked for, and whether it was refused: group, resource, verb.
fn asked() -> (BTreeSet<(String, String, String)>, Vec<Value>) {
    let log = std::fs::read_to_string(ground().kubeconfig.with_file_name("audit.log")).unwrap();
    let user = format!("system:serviceaccount:{NS}:headworks");
    let (mut all, mut refused) = (BTreeSet::new(), Vec::new());
    for event in log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()) {
        if event["user"]["username"] != *user {
            continue;
        }
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        all.insert((
            text(&event["objectRef"]["apiGroup"]),
            text(&event["objectRef"]["resource"]),
            text(&event["verb"]),
        ));
        if event["responseStatus"]["code"] == 403 {
            refused.push(event);
        }
    }
    (all, refused)
}

#[test]
fn every_right_is_needed_and_none_is_missing() {
    with_bare_rig(NS, async |rig| {
        let client = limited(&rig.client).await;
        let metrics = Metrics::registered(&mut Registry::default());
        let token = rig.controller_with(client, metrics).await;
        rig.pod("db-0", "db").await;
        let foreign = json!({"metadata": {"name": "db-leader"}, "spec": {"ports": [{"port": 1}]}});
        rig.services()
            .create(&PostParams::default(), &serde_json::from_value(foreign).unwrap())
            .await
            .unwrap();
        rig.led("db").await;
        rig.event("NameConflict").await; // get services
        rig.services().delete("db-leader", &DeleteParams::default()).await.unwrap();
        rig.leads("db", "db-0").await;
        // Twice the same event: the second is a patch of the first.
        for _ in 0..2 {
            rig.ready("db-0", false).await;
            rig.nobody_leads("db").await;
            rig.event("NoReadyPods").await;
            let told = async || rig.told("db").await.filter(|told| told["reason"] == "NoReadyPods");
            rig.eventually("the status", told).await;
            rig.ready("db-0", true).await;
            rig.leads("db", "db-0").await;
        }
        let leases: Api<Lease> = Api::namespaced(rig.client.clone(), NS);
        let lease = json!({"metadata": {"name": "lock"}, "spec": {"holderIdentity": "db-0", "leaseDurationSeconds": 60,
            "renewTime": format!("{:.6}", jiff::Timestamp::now())}});
        leases.create(&PostParams::default(), &serde_json::from_value(lease).unwrap()).await.unwrap();
        rig.annotate("db", "lease-name", Some("lock")).await;
        rig.annotate("db", "strategy", Some("lease")).await;
        let held = async || rig.told("db").await.filter(|told| told["reason"] == "LeaseHolder");
        rig.eventually("the lease", held).await;
        // A slice that lost its label is found by asking for it.
        let strip = json!({"metadata": {"labels": {"endpointslice.kubernetes.io/managed-by": null}}});
        rig.slices().patch("db-leader-ipv4", &PatchParams::default(), &Patch::Merge(strip)).await.unwrap();
        let back = async || {
            let labels = rig.slice("db-leader-ipv4").await?.metadata.labels?;
            labels.get("endpointslice.kubernetes.io/managed-by").map(|_| ())
        };
        rig.eventually("the label", back).await;
        rig.annotate("db", "enabled", None).await;
        rig.gone().await;
        token.cancel();

        let rules = role()["rules"].as_array().unwrap().clone();
        let texts = |value: &Value| -> Vec<String> {
            value.as_array().unwrap().iter().map(|one| one.as_str().unwrap().to_owned()).collect()
        };
        let given: BTreeSet<(String, String, String)> = rules
            .iter()
            .flat_map(|rule| {
                let (group, verbs) = (texts(&rule["apiGroups"])[0].clone(), texts(&rule["verbs"]));
                texts(&rule["resources"]).into_iter().flat_map(move |resource| {
                    let group = group.clone();
                    verbs.clone().into_iter().map(move |verb| (group.clone(), resource.clone(), verb))
                })
            })
            .collect();
        let used = async || {
            let (asked, refused) = asked();
            assert_eq!(refused, Vec::<Value>::new());
            let unused: Vec<_> = given.iter().filter(|right| !asked.contains(*right)).cloned().collect();
            if unused.is_empty() {
                Some(())
            } else {
                println!("not used yet: {unused:?}");
                None
            }
        };
        rig.eventually("every right to be used", used).await;
    });
}
