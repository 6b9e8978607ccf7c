//! The controller is killed before and after each write of an opt-in, a failover, a rename and an opt-out; the next one
//! ends it rightly, and touches nothing foreign.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use futures::future::BoxFuture;
use headworks::leaders::Metrics;
use kube::Client;
use kube::client::{Body, ClientBuilder};
use prometheus_client::registry::Registry;
use serde_json::json;
use tokio::sync::Notify;
use tower::{Layer, Service};

use super::rig::{Rig, ground, with_bare_rig};

/// Lets so many writes pass. The next one never gets an answer: it is not sent, or its answer is lost.
#[derive(Clone)]
struct Gate {
    left: Arc<AtomicUsize>,
    sends: bool,
    reached: Arc<Notify>,
}

#[derive(Clone)]
struct Gated<S> {
    gate: Gate,
    inner: S,
}

impl<S> Layer<S> for Gate {
    type Service = Gated<S>;

    fn layer(&self, inner: S) -> Gated<S> {
        Gated { gate: self.clone(), inner }
    }
}

impl<S> Service<http::Request<Body>> for Gated<S>
where
    S: Service<http::Request<Body>> + 'static,
    S::Future: Send,
    S::Response: Send,
    S::Error: Send,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<S::Response, S::Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let writes = request.method() != http::Method::GET && !request.uri().path().contains("/events");
        let gate = self.gate.clone();
        let pass =
            || gate.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok();
        if !writes || pass() {
            return Box::pin(self.inner.call(request));
        }
        let sent = gate.sends.then(|| self.inner.call(request));
        Box::pin(async move {
            if let Some(sent) = sent {
                let _ = sent.await;
            }
            gate.reached.notify_one();
            std::future::pending().await
        })
    }
}

async fn gated(gate: &Gate) -> Client {
    let config = kube::config::Kubeconfig::read_from(&ground().kubeconfig).unwrap();
    let config = kube::Config::from_custom_kubeconfig(config, &kube::config::KubeConfigOptions::default())
        .await
        .unwrap();
    ClientBuilder::try_from(config).unwrap().with_layer(gate).build()
}

/// Prepare with a whole controller; then, with one that is killed at its n-th write, act; then have a whole one again.
async fn killed(
    rig: &Rig,
    app: &str,
    prepare: impl AsyncFn(&str),
    act: impl AsyncFn(&str),
    check: impl AsyncFn(&str),
) {
    let foreign = json!({"selector": {"app": "nobody"}});
    rig.service(&format!("{app}-foreign"), &[], foreign).await;
    let foreign =
        async || rig.services().get(&format!("{app}-foreign")).await.unwrap().metadata.resource_version;
    let untouched = foreign().await;
    for sends in [false, true] {
        for n in 0.. {
            let name = format!("{app}-{}{n}", if sends { "after" } else { "before" });
            rig.start().await;
            prepare(&name).await;
            rig.stop();
            let gate = Gate { left: Arc::new(n.into()), sends, reached: Arc::default() };
            let reached = gate.reached.clone();
            let metrics = Metrics::registered(&mut Registry::default());
            let token = rig.controller_with(gated(&gate).await, metrics).await;
            act(&name).await;
            let was_reached = tokio::select! {
                () = reached.notified() => true,
                () = check(&name) => tokio::time::timeout(std::time::Duration::from_secs(5), reached.notified()).await.is_ok(),
            };
            token.cancel();
            rig.start().await;
            check(&name).await;
            if !was_reached {
                assert!(n >= 2, "{app} takes {n} writes only");
                break;
            }
        }
    }
    assert_eq!(foreign().await, untouched);
}

async fn told(rig: &Rig, name: &str, leader: &str) {
    let told = async || rig.told(name).await.filter(|told| told["leader"] == leader);
    rig.eventually("the status", told).await;
}

#[test]
fn an_opt_in_survives_a_kill_at_any_write() {
    with_bare_rig("rt-kill-in", async |rig| {
        let prepare = async |name: &str| {
            rig.pod(&format!("{name}-0"), name).await;
        };
        let act = async |name: &str| {
            rig.led(name).await;
        };
        let check = async |name: &str| {
            rig.leads(name, &format!("{name}-0")).await;
            told(&rig, name, &format!("{name}-0")).await;
        };
        killed(&rig, "in", prepare, act, check).await;
    });
}

#[test]
fn a_failover_survives_a_kill_at_any_write() {
    with_bare_rig("rt-kill-over", async |rig| {
        let prepare = async |name: &str| {
            rig.pod(&format!("{name}-0"), name).await;
            rig.pod(&format!("{name}-1"), name).await;
            rig.led(name).await;
            told(&rig, name, &format!("{name}-0")).await;
            rig.leads(name, &format!("{name}-0")).await;
        };
        let act = async |name: &str| rig.delete(&format!("{name}-0")).await;
        let check = async |name: &str| {
            rig.leads(name, &format!("{name}-1")).await;
            told(&rig, name, &format!("{name}-1")).await;
            let epoch =
                rig.slice(&format!("{name}-leader-ipv4")).await.unwrap().metadata.annotations.unwrap();
            assert_eq!(
                epoch["zen-lead.io/epoch"], "2",
                "a change of leader is one epoch, however often it is begun"
            );
        };
        killed(&rig, "over", prepare, act, check).await;
    });
}

#[test]
fn a_rename_survives_a_kill_at_any_write() {
    with_bare_rig("rt-kill-name", async |rig| {
        let prepare = async |name: &str| {
            rig.pod(&format!("{name}-0"), name).await;
            rig.led(name).await;
            told(&rig, name, &format!("{name}-0")).await;
        };
        let act =
            async |name: &str| rig.annotate(name, "leader-service-name", Some(&format!("{name}-new"))).await;
        let check = async |name: &str| {
            let renamed = async || {
                let ours = rig.ours().await;
                let mut ours: Vec<&str> =
                    ours.iter().filter_map(|one| one.split_once('/')).map(|(_, one)| one).collect();
                ours.retain(|one| {
                    one.starts_with(&format!("{name}-leader")) || one.starts_with(&format!("{name}-new"))
                });
                ours.sort_unstable();
                (ours == [format!("{name}-new"), format!("{name}-new-ipv4")]).then_some(())
            };
            rig.eventually("only the new name", renamed).await;
        };
        killed(&rig, "name", prepare, act, check).await;
    });
}

#[test]
fn an_opt_out_survives_a_kill_at_any_write() {
    with_bare_rig("rt-kill-out", async |rig| {
        let prepare = async |name: &str| {
            rig.pod(&format!("{name}-0"), name).await;
            rig.led(name).await;
            told(&rig, name, &format!("{name}-0")).await;
        };
        let act = async |name: &str| rig.annotate(name, "enabled", None).await;
        let check = async |name: &str| {
            let out = async || {
                let ours = rig.ours().await;
                let gone = !ours.iter().any(|one| one.contains(&format!("/{name}-leader")));
                (gone && rig.told(name).await.is_none()).then_some(())
            };
            rig.eventually("nothing of ours", out).await;
        };
        killed(&rig, "out", prepare, act, check).await;
    });
}
