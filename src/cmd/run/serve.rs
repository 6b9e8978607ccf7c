//! Wires the parts of `headworks run` together, and runs them until a signal.

use std::sync::Arc;

use anyhow::Context;
use headworks::admission::{JobFlows, Look, Services};
use headworks::cluster::api_calls::ApiCalls;
use headworks::cluster::client;
use headworks::cluster::client::WatchAges;
use headworks_certs::client_ca::ClientCaMetrics;
use headworks_certs::{Events, Hooks, Identity};
use headworks_webhook::{Limits, Metrics, Phase, Server, Service, Shutdown};
use prometheus_client::registry::Registry;
use tokio_util::sync::CancellationToken;

use super::args::{CertMode, RunArgs};
use super::controllers::Controllers;
use super::probes::{bind, probes_of};
use super::signals::trigger_on_signals;

impl RunArgs {
    /// Serves admission and runs the controllers until a signal stops them.
    pub(super) async fn serve(self) -> anyhow::Result<()> {
        let mut registry = Registry::default();
        let (events, heard) = Events::channel();
        let hooks = Hooks {
            metrics: headworks_certs::Metrics::registered(&mut registry),
            events,
            ..Hooks::default()
        };
        let shutdown = Shutdown::new();
        let stopped = CancellationToken::new();
        let identity = match self.cert_mode {
            CertMode::Managed => Identity::with_margin(self.own_ca.lifetimes().margin()),
            CertMode::Mounted => Identity::new(),
        };
        let calls = ApiCalls::registered(&mut registry);
        let ages = WatchAges::registered(&mut registry);
        let client = self.client(&calls, &ages).await?;
        let (readiness, certificate) =
            self.keep_certificate(client.as_ref(), &identity, hooks.clone(), heard, &stopped);
        let callers = ClientCaMetrics::registered(&mut registry);
        let tls = self.tls.clone().follow(identity, hooks, callers, stopped.clone()).await?;
        let listener = bind(self.listen, "--listen").await?;
        let probes = bind(self.probes, "--probes").await?;
        let controllers = self.start_controllers(client.as_ref(), (&calls, &ages), &mut registry)?;
        let look = controllers.as_ref().map(Controllers::look);
        let service = Arc::new(self.service(Metrics::new(&mut registry), look));
        let mut checks = probes_of(registry, &readiness, shutdown.clone());
        if let Some(controllers) = &controllers {
            checks = controllers.check(checks);
        }
        if client.is_some() {
            checks = checks.tell("watches, last heard of", move || ages.words());
        }
        trigger_on_signals(&shutdown)?;
        tracing::info!(
            version = env!("CARGO_PKG_VERSION"),
            listen = %listener.local_addr()?,
            probes = %probes.local_addr()?,
            "serving admission"
        );
        let served = tokio::spawn(checks.serve(probes, stopped.clone().cancelled_owned()));
        let hand_over = tokio::spawn(hand_over(controllers, shutdown.clone()));
        Server::new(service, tls, shutdown).run(listener).await;
        hand_over.await?;
        stopped.cancel();
        served.await?;
        certificate.await?;
        tracing::info!("stopped");
        Ok(())
    }

    /// A client whose calls are counted and bounded, if anything needs one.
    async fn client(&self, calls: &ApiCalls, ages: &WatchAges) -> anyhow::Result<Option<kube::Client>> {
        if self.cert_mode == CertMode::Mounted && !self.controllers.are_on() {
            return Ok(None);
        }
        let mut config = kube::Config::infer().await.context(
            "no cluster: run inside one, or set KUBECONFIG (or use --cert-mode mounted and --no-controllers)",
        )?;
        let agent = concat!("headworks/", env!("CARGO_PKG_VERSION"));
        config.headers.push(("user-agent".parse()?, agent.parse()?));
        Ok(Some(client::client(config, calls, ages)?))
    }

    /// Starts the controllers, if they are on.
    fn start_controllers(
        &self,
        client: Option<&kube::Client>,
        health: (&ApiCalls, &WatchAges),
        registry: &mut Registry,
    ) -> anyhow::Result<Option<Controllers>> {
        client
            .filter(|_| self.controllers.are_on())
            .map(|client| self.controllers.start(client, &self.namespace, self.options(), health, registry))
            .transpose()
    }

    /// The webhooks, each at the path that the webhook configurations name.
    fn service(&self, metrics: Metrics, look: Option<Look>) -> Service {
        let flows = Arc::new(JobFlows { options: self.options() });
        let services = Arc::new(look.map_or_else(Services::default, Services::seeing));
        Service::new(Limits::default(), metrics)
            .route("/validate-jobflow", Phase::Validate, flows.clone())
            .route("/mutate-jobflow", Phase::Mutate, flows)
            .route("/validate-service", Phase::Validate, services.clone())
            .route("/mutate-service", Phase::Mutate, services)
    }
}

/// Stops the controllers when the shutdown begins: another replica can run the flows immediately, while this one still
/// answers admission.
async fn hand_over(controllers: Option<Controllers>, shutdown: Shutdown) {
    shutdown.begun().await;
    if let Some(controllers) = controllers {
        controllers.stop().await;
    }
}
