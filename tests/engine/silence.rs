//! Connections that die without a word, as when a machine is lost or a firewall forgets: nothing comes, nothing closes.

use std::time::{Duration, Instant};

use headworks::flows::job_name::job_name;
use k8s_openapi::api::core::v1::{Pod, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::{DeleteParams, DynamicObject, Patch, PatchParams, PostParams};
use kube::core::{ApiResource, GroupVersionKind};
use kube::runtime::wait::await_condition;
use kube::{Api, ResourceExt};
use serde_json::json;
use tokio::time::{sleep, timeout};

use crate::cluster::test;
use crate::flows::{chain, flow, job};
use crate::rig::{LIMIT, Rig};

/// A silence may cost so much: 24 s until it is noticed, and what a busy machine adds. It was 280 s.
const COST: Duration = Duration::from_secs(45);

/// The age of the watches of a kind, as the engine tells it.
fn age(rig: &Rig, kind: &str) -> Option<f64> {
    let metric = format!("headworks_watch_age_seconds{{kind=\"{kind}\"}} ");
    rig.probe("/metrics")?.lines().find_map(|line| line.strip_prefix(&metric)?.parse().ok())
}

async fn until_age(rig: &Rig, kind: &str, what: &str, like: impl Fn(f64) -> bool) {
    let end = Instant::now() + LIMIT;
    while !age(rig, kind).is_some_and(&like) {
        assert!(Instant::now() < end, "{kind}: waited for {what}; the age is {:?}", age(rig, kind));
        sleep(Duration::from_millis(200)).await;
    }
}

#[test]
fn the_next_step_starts_though_every_connection_has_fallen_silent() {
    test(async |cluster| {
        let rig = Rig::running(cluster, "silence").await;
        let spec = flow([job("a", &[], "0").takes(6_000), job("b", &["a"], "0")]);
        let uid = rig.create("flow", &spec).await;
        let first = job_name("flow", &uid, "a", 1, None);
        let created = await_condition(rig.jobs(), &first, |job: Option<&_>| job.is_some());
        timeout(LIMIT, created).await.expect("the first Job").unwrap();
        until_age(&rig, "pods", "a watch", |_| true).await;
        rig.proxy.mute();

        let (status, ()) = tokio::join!(rig.ends("flow"), async {
            until_age(&rig, "jobs", "the silence to be told", |age| age > 21.0).await;
            let ready = rig.probe("/readyz?verbose").unwrap();
            assert!(ready.contains("[i]watches, last heard of: ") && ready.contains("jobs 2"), "{ready}");
        });
        assert_eq!(status["phase"], "Succeeded", "{status:#}");
        until_age(&rig, "jobs", "something to be heard again", |age| age < 15.0).await;
        // By the API server's own times: from the end of the one Job to the start of the next.
        let second = job_name("flow", &uid, "b", 1, None);
        let ended = rig.jobs().get(&first).await.unwrap().status.unwrap().completion_time.unwrap().0;
        let began = rig.jobs().get(&second).await.unwrap().creation_timestamp().unwrap().0;
        let cost = began.duration_since(ended);
        println!("a silence cost {cost:#}");
        assert!(cost < COST.try_into().unwrap(), "{cost:#} from step to step");
        assert!(rig.log().contains("a watch fell silent"), "the log tells");
        rig.each_job_once(&[("flow", &uid, &status)]).await;
    });
}

#[test]
fn a_list_that_is_never_answered_is_asked_for_again() {
    test(async |cluster| {
        let rig = Rig::new(cluster, "unlisted").await;
        rig.proxy.spoil_reads("/jobs", 1, None);
        rig.start();
        rig.create("flow", &chain(1)).await;
        let status = rig.ends("flow").await;
        assert_eq!(status["phase"], "Succeeded", "{status:#}");
        assert_eq!(rig.proxy.reads_to_spoil(), 0, "the list was lost");
    });
}

#[test]
fn a_leader_service_follows_though_every_connection_has_fallen_silent() {
    test(async |cluster| {
        let rig = Rig::running(cluster, "routing").await;
        let pods: Api<Pod> = Api::namespaced(cluster.client.clone(), &rig.namespace);
        let slices: Api<EndpointSlice> = Api::namespaced(cluster.client.clone(), &rig.namespace);
        let services: Api<Service> = Api::namespaced(cluster.client.clone(), &rig.namespace);
        let object = |value| serde_json::from_value::<Service>(value).unwrap();
        let service = object(json!({
            "metadata": {"name": "db", "annotations": {"zen-lead.io/enabled": "true"}},
            "spec": {"selector": {"app": "db"}, "ports": [{"port": 80, "targetPort": 8080}]},
        }));
        services.create(&PostParams::default(), &service).await.unwrap();
        for (n, name) in ["one", "two"].into_iter().enumerate() {
            let pod = json!({
                "metadata": {"name": name, "labels": {"app": "db"}},
                "spec": {"containers": [{"name": "main", "image": "x"}]},
            });
            pods.create(&PostParams::default(), &serde_json::from_value(pod).unwrap()).await.unwrap();
            let ip = format!("10.9.0.{}", n + 1);
            let now = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
            let status = json!({"status": {"phase": "Running", "podIP": ip, "podIPs": [{"ip": ip}],
                "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": now}]}});
            pods.patch_status(name, &PatchParams::default(), &Patch::Strategic(status)).await.unwrap();
        }
        let leader = |slice: &EndpointSlice| slice.endpoints.first()?.target_ref.as_ref()?.name.clone();
        let led = await_condition(slices.clone(), "db-leader-ipv4", |slice: Option<&EndpointSlice>| {
            slice.and_then(leader).is_some()
        });
        let slice = timeout(LIMIT, led).await.expect("a leader").unwrap().unwrap();
        let first = leader(&slice).unwrap();

        rig.proxy.mute();
        let began = Instant::now();
        pods.delete(&first, &DeleteParams::default().grace_period(0)).await.unwrap();
        let follows = await_condition(slices, "db-leader-ipv4", |slice: Option<&EndpointSlice>| {
            slice.and_then(leader).is_some_and(|now| now != first)
        });
        timeout(LIMIT, follows).await.expect("another leader").unwrap();
        println!("a failover that nobody heard of came after {:?}", began.elapsed());
        assert!(began.elapsed() < COST, "{:?}", began.elapsed());
    });
}

#[test]
fn a_spoilt_trust_is_repaired_though_every_connection_has_fallen_silent() {
    test(async |cluster| {
        let rig = Rig::new(cluster, "trust").await;
        let webhook = json!({
            "name": "nothing.kube-zen.io", "admissionReviewVersions": ["v1"], "sideEffects": "None",
            "failurePolicy": "Ignore",
            "clientConfig": {"service": {"name": "headworks-webhook", "namespace": rig.namespace}},
            "rules": [{"apiGroups": ["nothing"], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["nothing"]}],
        });
        let kinds = ["ValidatingWebhookConfiguration", "MutatingWebhookConfiguration"];
        let api = |kind: &str| -> Api<DynamicObject> {
            let gvk = GroupVersionKind::gvk("admissionregistration.k8s.io", "v1", kind);
            Api::all_with(cluster.client.clone(), &ApiResource::from_gvk(&gvk))
        };
        for kind in kinds {
            let object = json!({"metadata": {"name": rig.namespace}, "webhooks": [webhook]});
            let object = serde_json::from_value(object).unwrap();
            api(kind).create(&PostParams::default(), &object).await.unwrap();
        }
        let name = rig.namespace.clone();
        rig.start_bare(&[
            "--namespace",
            &name,
            "--watch-namespace",
            &name,
            "--webhook-configuration",
            &name,
            "--lease-name",
            "lease",
            "--cert-publish-wait",
            "1s",
        ]);
        let trusts = |object: Option<&DynamicObject>| {
            object.is_some_and(|object| object.data["webhooks"][0]["clientConfig"]["caBundle"].is_string())
        };
        for kind in kinds {
            timeout(LIMIT, await_condition(api(kind), &name, trusts)).await.expect("trust").unwrap();
        }
        let secrets = "secrets";
        until_age(&rig, secrets, "a watch", |_| true).await;
        rig.proxy.mute();
        let began = Instant::now();
        let spoil = json!([{"op": "remove", "path": "/webhooks/0/clientConfig/caBundle"}]);
        let spoil = Patch::Json::<()>(serde_json::from_value(spoil).unwrap());
        let spoilt = api(kinds[0]).patch(&name, &PatchParams::default(), &spoil).await.unwrap();
        assert!(!trusts(Some(&spoilt)), "{spoilt:?}");
        timeout(LIMIT, await_condition(api(kinds[0]), &name, trusts)).await.expect("trust again").unwrap();
        println!("a trust that nobody saw spoilt was repaired after {:?}", began.elapsed());
        assert!(began.elapsed() < COST, "{:?}", began.elapsed());
        for kind in kinds {
            api(kind).delete(&name, &DeleteParams::default()).await.unwrap();
        }
    });
}
