//! Campaigns for a Lease on a real API server, over real connections.

use std::path::Path;
use std::sync::OnceLock;
use std::time::Duration;

use headworks::election::{Claim, Election, Metrics, Timing, identity};
use k8s_openapi::api::coordination::v1::Lease;
use kube::api::{Api, DeleteParams, Patch, PatchParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;
use serde_json::json;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use crate::cluster::cluster;
use proxy::Proxy;

mod proxy;

/// What a busy machine may take longer than the rules say.
const SLACK: Duration = Duration::from_secs(20);

fn short() -> Timing {
    let [lease, renew, retry] = [10_000, 7_500, 200].map(Duration::from_millis);
    Timing::new(lease, renew, retry).unwrap()
}

async fn config() -> Config {
    static PROVIDER: OnceLock<()> = OnceLock::new();
    PROVIDER.get_or_init(|| {
        let _ = rustls::crypto::ring::default_provider().install_default();
    });
    let path: &Path = &tokio::task::spawn_blocking(|| cluster().kubeconfig.clone()).await.unwrap();
    let kubeconfig = Kubeconfig::read_from(path).unwrap();
    Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.unwrap()
}

async fn leases() -> Api<Lease> {
    Api::namespaced(Client::try_from(config().await).unwrap(), "default")
}

/// A candidate that campaigns.
struct Candidate {
    identity: String,
    claim: watch::Receiver<Claim>,
    stopped: CancellationToken,
    task: JoinHandle<()>,
    metrics: Registry,
}

impl Candidate {
    async fn new(lease: &str, timing: Timing) -> Self {
        Self::with(config().await, lease, timing)
    }

    fn with(config: Config, lease: &str, timing: Timing) -> Self {
        let (identity, stopped) = (identity(), CancellationToken::new());
        let mut metrics = Registry::default();
        let client = Client::try_from(config).unwrap();
        let election = Election::new(client, "default", lease, &identity, timing)
            .with_metrics(Metrics::registered(&mut metrics));
        let claim = election.claim();
        let task = tokio::spawn(election.run(stopped.clone()));
        Self { identity, claim, stopped, task, metrics }
    }

    /// Wait until the claim is like that, and say when it became known.
    async fn until(
        &mut self,
        what: &str,
        limit: Duration,
        like: impl FnMut(&Claim) -> bool,
    ) -> (Instant, Claim) {
        let found = timeout(limit, self.claim.wait_for(like)).await;
        let claim = found.unwrap_or_else(|_| panic!("{what} within {limit:?}")).unwrap().clone();
        (Instant::now(), claim)
    }

    async fn leads(&mut self, limit: Duration) -> Instant {
        self.until("leads", limit, |claim| claim.holds(Instant::now())).await.0
    }

    async fn follows(&mut self, limit: Duration) -> Instant {
        self.until("follows", limit, |claim| claim.term().is_none()).await.0
    }

    /// Until when it leads, as it believes.
    fn end(&self) -> Instant {
        match *self.claim.borrow() {
            Claim::Leading { until, .. } => until,
            Claim::Following { .. } => panic!("it does not lead"),
        }
    }

    fn term(&self) -> Option<u64> {
        self.claim.borrow().term()
    }

    fn metric(&self, name: &str) -> String {
        let mut text = String::new();
        encode(&mut text, &self.metrics).unwrap();
        text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or("").trim().to_owned()
    }
}

/// Two candidates, of which the first leads.
async fn two(lease: &str, timing: Timing) -> [Candidate; 2] {
    let mut first = Candidate::new(lease, timing).await;
    first.leads(Duration::from_mins(1)).await;
    let mut second = Candidate::new(lease, timing).await;
    let holder = Some(first.identity.clone());
    let sees = |claim: &Claim| *claim == Claim::Following { holder: holder.clone() };
    second.until("sees who leads", Duration::from_mins(1), sees).await;
    [first, second]
}

#[tokio::test]
async fn a_leader_that_dies_is_replaced_after_its_lease_and_never_before_its_claim_ran_out() {
    let [first, mut second] = two("dies", short()).await;
    first.task.abort(); // no word of farewell
    let (died, end) = (Instant::now(), first.end());
    let won = second.leads(Duration::from_mins(1)).await;
    assert!(won >= end, "two led for {:?}", end - won);
    assert!(won - died <= short().lease() + short().retry() + SLACK, "{:?}", won - died);
    let lease = leases().await.get("dies").await.unwrap().spec.unwrap();
    assert_eq!(lease.holder_identity, Some(second.identity));
    assert_eq!(lease.lease_transitions, Some(1));
    assert_eq!(lease.lease_duration_seconds, Some(10));
}

#[tokio::test]
async fn a_leader_that_stops_is_replaced_within_a_retry() {
    // A lease so long that nobody could mistake its end for a release.
    let [lease, renew, retry] = [60_000, 30_000, 200].map(Duration::from_millis);
    let timing = Timing::new(lease, renew, retry).unwrap();
    let [first, mut second] = two("stops", timing).await;
    assert_eq!(first.metric("headworks_leader "), "1");
    assert_eq!(second.metric("headworks_leader "), "0");
    first.stopped.cancel();
    let stopped = Instant::now();
    let won = second.leads(retry + SLACK).await;
    assert!(won - stopped <= retry + SLACK);
    timeout(SLACK, first.task).await.unwrap().unwrap();
    assert_eq!(first.claim.borrow().term(), None);
    let mut text = String::new();
    encode(&mut text, &first.metrics).unwrap();
    assert!(text.contains("headworks_leader 0"), "{text}");

    second.stopped.cancel();
    second.task.await.unwrap();
    let lease = leases().await.get("stops").await.unwrap().spec.unwrap();
    assert_eq!(lease.holder_identity.as_deref(), Some(""));
    assert_eq!(lease.lease_transitions, Some(1));
}

#[tokio::test]
async fn a_standby_that_stops_leaves_the_lease_to_its_holder() {
    let [first, second] = two("standby", short()).await;
    second.stopped.cancel();
    second.task.await.unwrap();
    let lease = leases().await.get("standby").await.unwrap().spec.unwrap();
    assert_eq!(lease.holder_identity.as_deref(), Some(first.identity.as_str()));
    assert_eq!(first.term(), Some(1));
}

#[tokio::test]
async fn of_five_that_come_at_once_one_leads() {
    let mut five = Vec::new();
    for _ in 0..5 {
        five.push(Candidate::new("five", short()).await);
    }
    let mut settled = 0;
    for one in &mut five {
        let known = |claim: &Claim| *claim != Claim::Following { holder: None };
        one.until("knows who leads", Duration::from_mins(1), known).await;
        settled += usize::from(one.term().is_some());
    }
    assert_eq!(settled, 1);
}

#[tokio::test]
async fn a_lease_that_somebody_labels_costs_no_term_and_keeps_its_label() {
    let leases = leases().await;
    let mut one = Candidate::new("labelled", short()).await;
    one.leads(Duration::from_mins(1)).await;
    // Each of these makes a renewal over the old resourceVersion a conflict.
    for n in 0..10 {
        let patch = json!({"metadata": {"labels": {"touched": n.to_string()}}});
        leases.patch("labelled", &PatchParams::default(), &Patch::Merge(&patch)).await.unwrap();
        one.claim.mark_unchanged();
        timeout(Duration::from_mins(1), one.claim.changed()).await.expect("a renewal").unwrap();
    }
    assert_eq!(one.term(), Some(1));
    assert_ne!(one.metric("headworks_lease_failures_total{reason=\"conflict\"}"), "");
    let labels = leases.get("labelled").await.unwrap().metadata.labels.unwrap();
    assert_eq!(labels["touched"], "9");
}

#[tokio::test]
async fn a_leader_whose_lease_is_edited_by_hand_steps_down_within_a_retry_and_campaigns_on() {
    let leases = leases().await;
    // Who does not look at the name would hold its claim for longer than anything here may take.
    let [lease, renew, retry] = [40_000, 30_000, 200].map(Duration::from_millis);
    let mut one = Candidate::new("edited", Timing::new(lease, renew, retry).unwrap()).await;
    one.leads(Duration::from_mins(1)).await;

    // Given to somebody who is not there: it leads again when that lease has run out.
    let patch = json!({"spec": {"holderIdentity": "somebody"}});
    let before = Instant::now();
    leases.patch("edited", &PatchParams::default(), &Patch::Merge(&patch)).await.unwrap();
    let edited = Instant::now();
    let lost = one.follows(Duration::from_mins(1)).await;
    assert!(lost - edited <= retry + SLACK, "{:?}", lost - edited);
    assert_eq!(*one.claim.borrow(), Claim::Following { holder: Some("somebody".to_owned()) });
    let won = one.leads(lease + retry + SLACK).await;
    assert!(won - before >= lease, "{:?}", won - before);
    assert_eq!(one.term(), Some(2));

    // Given to nobody, or deleted: it leads again at once, for another term.
    let patch = json!({"spec": {"holderIdentity": ""}});
    leases.patch("edited", &PatchParams::default(), &Patch::Merge(&patch)).await.unwrap();
    one.until("a third term", Duration::from_mins(1), |claim| claim.term() == Some(3)).await;
    leases.delete("edited", &DeleteParams::default()).await.unwrap();
    one.until("a fourth term", Duration::from_mins(1), |claim| claim.term() == Some(4)).await;
    assert_eq!(leases.get("edited").await.unwrap().spec.unwrap().holder_identity, Some(one.identity));
}

#[tokio::test]
async fn a_leader_that_is_cut_off_gives_up_its_claim_before_another_leads() {
    let config = config().await;
    let proxy = Proxy::new(config.cluster_url.port_u16().unwrap()).await;
    let mut through = config.clone();
    through.cluster_url = format!("https://127.0.0.1:{}", proxy.port).parse().unwrap();
    let mut first = Candidate::with(through, "cut-off", short());
    first.leads(Duration::from_mins(1)).await;
    let mut second = Candidate::new("cut-off", short()).await;

    // Connections stay open, and nothing comes through any more.
    proxy.swallow(true);
    let end = first.end();
    let limit = short().lease() + short().retry() + SLACK;
    let (lost, won) = tokio::join!(first.follows(limit), second.leads(limit));
    assert!(lost <= won, "two led for {:?}", lost - won);
    assert!(won >= end, "the first could have led for {:?} more", end - won);

    // The connection is back: the first follows the second, and leads again when that goes.
    proxy.swallow(false);
    let holder = Some(second.identity.clone());
    let sees = |claim: &Claim| *claim == Claim::Following { holder: holder.clone() };
    first.until("sees who leads", Duration::from_mins(1), sees).await;
    second.stopped.cancel();
    first.leads(Duration::from_mins(1)).await;
    assert_eq!(first.term(), Some(2));
}

#[tokio::test]
async fn a_candidate_that_finds_no_api_server_tries_on_until_there_is_one() {
    let mut config = config().await;
    let port = config.cluster_url.port_u16().unwrap();
    let dead = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    config.cluster_url = format!("https://127.0.0.1:{dead}").parse().unwrap();
    let mut one = Candidate::with(config, "no-server", short());
    let tried = async {
        while one.metric("headworks_lease_failures_total{reason=\"unreachable\"}").is_empty() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(Duration::from_mins(1), tried).await.unwrap();
    assert_eq!(one.term(), None);
    let _proxy = Proxy::at(dead, port).await;
    one.leads(Duration::from_mins(1)).await;
}
