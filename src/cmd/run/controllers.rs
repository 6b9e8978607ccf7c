//! The controllers of `headworks run`, flows and leader routing: watches in every replica, work in the one that holds
//! the Lease.

use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use futures::future::join_all;
use headworks_webhook::Probes;
use kube::Client;
use prometheus_client::registry::Registry;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use headworks::admission::Look;
use headworks::cluster::api_calls::ApiCalls;
use headworks::cluster::client::WatchAges;
use headworks::election::{self, Election, Timing};
use headworks::flows::controller::{Config, Engine, EventLevel, Events, Metrics, Watches};
use headworks::flows::rules::Options;
use headworks::leaders;

/// How flows are run.
#[derive(Args, Debug)]
#[command(next_help_heading = "Controllers")]
pub(super) struct ControllerArgs {
    /// Serve admission only: run no flows, and keep no leader Services.
    #[arg(long)]
    no_controllers: bool,
    /// Work in this namespace only; may be given again. Without it, in the whole cluster.
    #[arg(long, value_name = "NAME")]
    watch_namespace: Vec<String>,
    /// How many flows are worked on at one time.
    #[arg(long, default_value_t = 32, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=512))]
    workers: u16,
    /// Which transitions of a flow become Events.
    #[arg(long, default_value = "important", value_enum, value_name = "WHICH")]
    events: EventLevel,
    /// How long a node may be not ready until its pods lead no more, as a duration such as 5s.
    #[arg(long, default_value = "5s", value_parser = super::go_span, value_name = "DURATION")]
    node_grace: Duration,
    /// The Lease whose holder works.
    #[arg(long, default_value = "headworks", value_name = "NAME")]
    lease_name: String,
    /// How long a holder that is silent keeps the Lease.
    #[arg(long, default_value = "15s", value_parser = super::go_span, value_name = "DURATION")]
    lease_duration: Duration,
    /// How long the holder works without having renewed the Lease.
    #[arg(long, default_value = "10s", value_parser = super::go_span, value_name = "DURATION")]
    renew_deadline: Duration,
    /// How often the holder renews, and the others look.
    #[arg(long, default_value = "2s", value_parser = super::go_span, value_name = "DURATION")]
    retry_period: Duration,
}

/// Controllers in progress.
pub(super) struct Controllers {
    watches: Watches,
    routing: Vec<leaders::Caches>,
    /// Cancelled first: nothing is written after it.
    working: CancellationToken,
    campaigning: CancellationToken,
    tasks: Vec<JoinHandle<()>>,
}

impl ControllerArgs {
    /// Whether there are any.
    pub(super) fn are_on(&self) -> bool {
        !self.no_controllers
    }

    /// Watch at once; work while the Lease is held.
    pub(super) fn start(
        &self,
        client: &Client,
        namespace: &str,
        options: Options,
        (calls, ages): (&ApiCalls, &WatchAges),
        registry: &mut Registry,
    ) -> anyhow::Result<Controllers> {
        let timing = Timing::new(self.lease_duration, self.renew_deadline, self.retry_period)?;
        let (working, campaigning) = (CancellationToken::new(), CancellationToken::new());
        let watches = Watches::start(client, &self.watch_namespace, options.clone(), &campaigning);
        let metrics = Metrics::registered(registry, calls);
        let identity = election::identity();
        let events = Events::start(
            client.clone(),
            self.events,
            identity.clone(),
            metrics.events_dropped(),
            campaigning.clone(),
        );
        let config = Config { workers: usize::from(self.workers), options };
        let engine = Engine::new(client.clone(), watches.clone(), events, config).with_metrics(metrics);
        let engine = Arc::new(engine);
        let routing = self.routing(client, registry, &campaigning)?;
        let election = Election::new(client.clone(), namespace, &self.lease_name, &identity, timing)
            .with_metrics(election::Metrics::registered(registry))
            .while_fit({
                let ages = ages.clone();
                move || ages.are_fresh()
            });
        let claim = election.claim();
        let leading = election::while_leading(claim, working.clone(), {
            let (watches, routing) = (watches.clone(), routing.clone());
            move |token| {
                let (engine, watches, routing) = (engine.clone(), watches.clone(), routing.clone());
                async move {
                    let flows = async {
                        watches.synced().await;
                        engine.run(token.clone()).await;
                    };
                    let leaders = join_all(routing.iter().map(|caches| caches.lead(token.clone())));
                    tokio::join!(flows, leaders);
                }
            }
        });
        let tasks = vec![tokio::spawn(leading), tokio::spawn(election.run(campaigning.clone()))];
        Ok(Controllers { watches, routing, working, campaigning, tasks })
    }

    /// Leader routing's own watches, for each namespace or for all.
    fn routing(
        &self,
        client: &Client,
        registry: &mut Registry,
        stopped: &CancellationToken,
    ) -> anyhow::Result<Vec<leaders::Caches>> {
        let metrics = leaders::Metrics::registered(registry);
        let node_grace = self.node_grace.try_into()?;
        let scopes = match self.watch_namespace.as_slice() {
            [] => vec![None],
            names => names.iter().cloned().map(Some).collect(),
        };
        let start = |namespace| {
            let config = leaders::Config { namespace, node_grace, ..leaders::Config::default() };
            leaders::Caches::start(client, &config, metrics.clone(), stopped.clone())
        };
        Ok(scopes.into_iter().map(start).collect())
    }
}

impl Controllers {
    /// With a check of readiness: a replica that may lead at any moment has to know what there is.
    pub(super) fn check(&self, probes: Probes) -> Probes {
        let (watches, routing) = (self.watches.clone(), self.routing.clone());
        let synced =
            |ok: bool, what: &str| if ok { Ok(()) } else { Err(format!("{what} are not listed yet")) };
        probes.ready("caches", move || {
            synced(watches.are_synced(), "flows, Jobs and pods")?;
            synced(routing.iter().all(leaders::Caches::is_synced), "Services, slices, pods and nodes")
        })
    }

    /// Looks at the pods that a Service would select.
    pub(super) fn look(&self) -> Look {
        let routing = self.routing.clone();
        Arc::new(move |object| routing.iter().find_map(|caches| caches.selected_pods(object)))
    }

    /// Stop working, then release the Lease.
    pub(super) async fn stop(self) {
        self.working.cancel();
        let mut tasks = self.tasks.into_iter();
        if let Some(leading) = tasks.next() {
            let _ = leading.await;
        }
        self.campaigning.cancel();
        for task in tasks {
            let _ = task.await;
        }
    }
}
