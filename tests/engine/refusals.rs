//! An API server that says no, says nothing, or says no after it did what it was asked.

use std::collections::HashSet;
use std::sync::Mutex;
use std::time::Duration;

use k8s_openapi::api::core::v1::ResourceQuota;
use kube::Api;
use kube::api::{Patch, PatchParams, PostParams};
use serde_json::json;

use crate::cluster::test;
use crate::flows::{flow, job};
use crate::proxy::{Answer, Call, Fate};
use crate::rig::Rig;
use crate::{everything, full};

/// Do something to the first try of each Job's creation.
fn first_tries(rig: &Rig, fate: impl Fn(&Call, usize) -> Fate + Send + Sync + 'static) {
    let tried = Mutex::new(HashSet::new());
    rig.proxy.hook(move |call| {
        if !call.is_job() {
            return Fate::pass();
        }
        let mut tried = tried.lock().unwrap();
        let number = tried.len();
        if tried.insert(call.name.clone()) { fate(call, number) } else { Fate::pass() }
    });
}

#[test]
fn a_conflict_at_every_status_write_leads_to_the_same_end() {
    test(async |cluster| {
        for (code, reason) in [(409, "Conflict"), (422, "Invalid")] {
            let rig = Rig::running(cluster, "conflict").await;
            // Every first try is refused, and nothing has changed when the engine looks.
            rig.proxy.hook(move |call| {
                if call.is_status() && call.nth % 2 == 1 { Fate::refused(code, reason) } else { Fate::pass() }
            });
            everything::ends_the_same(&rig, &format!("{code} at every status write")).await;
        }
        // The API server itself refuses, because somebody was quicker.
        let rig = Rig::running(cluster, "conflict").await;
        let other = rig.clone();
        rig.proxy.hook(move |call| {
            if !call.is_status() || call.nth.is_multiple_of(2) {
                return Fate::pass();
            }
            let (rig, nth, name) = (other.clone(), call.nth.to_string(), call.name.clone());
            Fate::after(async move { rig.annotate(&name, "somebody", &nth).await })
        });
        everything::ends_the_same(&rig, "somebody is quicker than every status write").await;
        rig.proxy.behave();
    });
}

#[test]
fn a_job_whose_creation_is_refused_lost_or_not_answered_is_created_once() {
    test(async |cluster| {
        let rig = Rig::running(cluster, "create").await;
        first_tries(&rig, |_, number| match number % 8 {
            0 => Fate::refused(500, "InternalError"),
            1 => Fate::refused(504, "Timeout"),
            2 => Fate::lost(),
            3 => Fate::answer_lost(),
            4 => Fate { answer: Answer::Status(500, "InternalError"), ..Fate::pass() },
            5 => Fate::refused(429, "TooManyRequests"),
            6 => Fate::refused(503, "ServiceUnavailable"),
            _ => Fate::refused(409, "Conflict"),
        });
        let names: Vec<String> = (0..8).map(|n| format!("s{n}")).collect();
        let uid = rig.create("flow", &flow(names.iter().map(|name| job(name, &[], "0")))).await;
        let waits = |status: &serde_json::Value| status.to_string().contains(r#""reason":"Unavailable""#);
        rig.until("flow", "what it waits for to be told", waits).await;
        let status = rig.ends("flow").await;
        assert_eq!(status["phase"], "Succeeded", "{status:#}");
        rig.each_job_once(&[("flow", &uid, &status)]).await;
        rig.proxy.behave();

        // Everywhere in a flow that meets everything.
        let rig = Rig::running(cluster, "create").await;
        first_tries(&rig, |_, number| match number % 3 {
            0 => Fate::answer_lost(),
            1 => Fate { answer: Answer::Status(504, "Timeout"), ..Fate::pass() },
            _ => Fate::lost(),
        });
        everything::ends_the_same(&rig, "the first try at each Job goes wrong").await;
    });
}

#[test]
fn a_job_whose_creation_is_never_answered_is_created_once() {
    if !full() {
        println!("only with HEADWORKS_CHAOS: a call is given up after half a minute");
        return;
    }
    test(async |cluster| {
        for withheld in [true, false] {
            let rig = Rig::running(cluster, "silence").await;
            first_tries(&rig, move |_, number| match number {
                1 => Fate { withheld, answer: Answer::Silence, ..Fate::pass() },
                _ => Fate::pass(),
            });
            let uid = rig.create("flow", &flow([job("a", &[], "0"), job("b", &["a"], "0")])).await;
            let status = rig.ends("flow").await;
            assert_eq!(status["phase"], "Succeeded", "{status:#}");
            rig.each_job_once(&[("flow", &uid, &status)]).await;
        }
    });
}

#[test]
fn a_job_that_will_never_be_taken_fails_its_step_at_once() {
    test(async |cluster| {
        let rig = Rig::running(cluster, "invalid").await;
        first_tries(&rig, |_, _| Fate::refused(422, "Invalid"));
        rig.create("flow", &flow([job("a", &[], "0").retries(2), job("b", &["a"], "0")])).await;
        let status = rig.ends("flow").await;
        assert_eq!(status["steps"][0]["reason"], "JobRefused", "{status:#}");
        assert_eq!(status["steps"][0]["message"], "a test says 422");
        assert_eq!(status["steps"][1]["phase"], "Skipped");
        assert!(rig.created().is_empty());
    });
}

#[test]
fn a_quota_delays_steps_and_says_so() {
    test(async |cluster| {
        let rig = Rig::running(cluster, "quota").await;
        let quotas: Api<ResourceQuota> = Api::namespaced(cluster.client.clone(), &rig.namespace);
        let quota = json!({"metadata": {"name": "two"}, "spec": {"hard": {"count/jobs.batch": "2"}}});
        let quota = serde_json::from_value(quota).unwrap();
        quotas.create(&PostParams::default(), &quota).await.unwrap();
        // It counts once a controller has looked at it.
        let counted = |quota: Option<&ResourceQuota>| {
            quota.and_then(|quota| quota.status.as_ref()?.used.as_ref()).is_some_and(|used| !used.is_empty())
        };
        let waiting = kube::runtime::wait::await_condition(quotas.clone(), "two", counted);
        tokio::time::timeout(crate::rig::LIMIT, waiting).await.unwrap().unwrap();

        let names = ["a", "b", "c", "d"];
        let uid = rig.create("flow", &flow(names.map(|name| job(name, &[], "0")))).await;
        let status = rig
            .until("flow", "two steps to be done and two to wait for the quota", |status| {
                let steps = || status["steps"].as_array().into_iter().flatten();
                steps().filter(|step| step["waiting"]["reason"] == "Quota").count() == 2
                    && steps().filter(|step| step["phase"] == "Succeeded").count() == 2
            })
            .await;
        let told = status["message"].as_str().unwrap_or_default();
        assert!(told.contains("exceeded quota: two"), "{status:#}");
        let patch = Patch::Merge(json!({"spec": {"hard": {"count/jobs.batch": "9"}}}));
        quotas.patch("two", &PatchParams::default(), &patch).await.unwrap();
        let status = rig
            .within(Duration::from_mins(2), "flow", "its end", |status| status["phase"] == "Succeeded")
            .await;
        rig.each_job_once(&[("flow", &uid, &status)]).await;
    });
}
