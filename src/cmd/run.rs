//! `headworks run`: serve admission, keep the certificate fresh, run flows.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context;
use clap::{Args, ValueEnum};
use headworks_certs::client_ca::ClientCaMetrics;
use headworks_certs::{
    CertEvent, EventKind, Events, Hooks, Identity, Readiness, ServiceNames, managed, mounted,
};
use headworks_webhook::{Limits, Metrics, Phase, Probes, Server, Service, Shutdown};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::ObjectReference;
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use headworks::admission::{JobFlows, Look, Services};
use headworks::cluster::api_calls::ApiCalls;
use headworks::cluster::client;
use headworks::cluster::client::WatchAges;
use headworks::cluster::events::{ClusterEvent, Writer};
use headworks::flows::rules::Options;
use headworks::telemetry::{self, LogFormat};

mod controllers;
mod duration;
mod own_ca;
mod tls;

const STOPPING: &str = "\
Runs inside a cluster with its service account, or outside with KUBECONFIG;
`kubectl apply -k deploy/` installs it.

At SIGTERM or SIGINT it is a lame duck: not ready any more, it answers until no
call has come for 5 seconds, and for 25 seconds at most. A second signal stops
it at once.";

/// Serve admission for `JobFlows` and Services, and run admitted flows, until SIGTERM.
#[derive(Args, Debug)]
#[command(after_help = STOPPING)]
pub(super) struct Run {
    /// The address that the API server calls, over TLS.
    #[arg(long, default_value = "0.0.0.0:9443", env = "HEADWORKS_LISTEN", value_parser = address, value_name = "ADDRESS")]
    listen: SocketAddr,
    /// The address of /healthz, /readyz and /metrics, without TLS.
    #[arg(long, default_value = "0.0.0.0:8080", env = "HEADWORKS_PROBES", value_parser = address, value_name = "ADDRESS")]
    probes: SocketAddr,
    /// The Service that the webhook configurations name.
    #[arg(long, default_value = "headworks-webhook", value_name = "NAME")]
    service: String,
    /// The namespace of that Service and of the certificate's Secret.
    #[arg(long, default_value = "headworks-system", env = "POD_NAMESPACE", value_name = "NAME")]
    namespace: String,
    /// The validating and mutating webhook configurations that this program keeps the caBundle of.
    #[arg(long, default_value = "headworks", value_name = "NAME")]
    webhook_configuration: Vec<String>,
    /// The source of the certificate.
    #[arg(long, default_value = "managed", value_enum, value_name = "MODE")]
    cert_mode: CertMode,
    /// managed: the Secret that holds the CA and the certificate.
    #[arg(long, default_value = "headworks-tls", value_name = "NAME")]
    cert_secret: String,
    /// mounted: the directory with tls.crt and tls.key, as cert-manager's Secret is mounted.
    #[arg(long, default_value = "/var/run/headworks/tls", value_name = "DIR")]
    cert_dir: PathBuf,
    /// managed: one more DNS name or IP address in the certificate, for callers that come by URL.
    #[arg(long, value_name = "NAME")]
    cert_name: Vec<String>,
    #[command(flatten)]
    own_ca: own_ca::OwnCaArgs,
    /// Tell that there is a default artifact store, so that flows may pass artifacts without naming one.
    #[arg(long)]
    artifact_store: bool,
    /// A level (error, warn, info, debug, trace) or directives such as headworks=debug.
    #[arg(long, default_value = "info", env = "HEADWORKS_LOG", value_parser = log_filter, value_name = "FILTER")]
    log: String,
    /// The format of log lines.
    #[arg(long, default_value = "auto", value_enum, value_name = "FORMAT")]
    log_format: LogFormat,
    #[command(flatten)]
    tls: tls::TlsArgs,
    #[command(flatten)]
    controllers: controllers::ControllerArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum CertMode {
    /// headworks is its own small CA; its state is one Secret.
    Managed,
    /// Somebody else, such as cert-manager, writes a Secret that is mounted.
    Mounted,
}

fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| "write an IP address and a port, such as 0.0.0.0:9443".to_owned())
}

fn log_filter(text: &str) -> Result<String, String> {
    telemetry::filter(text).map(|_| text.to_owned()).map_err(|error| error.to_string())
}

impl Run {
    /// Runs until a signal stops it.
    pub(super) fn run(self) -> anyhow::Result<()> {
        telemetry::start(self.log_format, telemetry::filter(&self.log)?)?;
        telemetry::log_panics_without_payload();
        self.own_ca.check()?;
        // Two providers are compiled in by way of dependencies; one has to be chosen, once.
        rustls::crypto::ring::default_provider()
            .install_default()
            .map_err(|_| anyhow::anyhow!("a TLS provider was installed twice"))?;
        tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(self.serve())
    }

    async fn serve(self) -> anyhow::Result<()> {
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
        let controllers = match &client {
            Some(client) if self.controllers.are_on() => {
                let options = self.options();
                Some(self.controllers.start(
                    client,
                    &self.namespace,
                    options,
                    (&calls, &ages),
                    &mut registry,
                )?)
            }
            _ => None,
        };
        let look = controllers.as_ref().map(controllers::Controllers::look);
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
        // Another replica can run the flows immediately, while this one still answers admission.
        let hand_over = {
            let shutdown = shutdown.clone();
            tokio::spawn(async move {
                shutdown.begun().await;
                if let Some(controllers) = controllers {
                    controllers.stop().await;
                }
            })
        };
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

    /// Starts the task that keeps the certificate of `identity` fresh.
    fn keep_certificate(
        &self,
        client: Option<&kube::Client>,
        identity: &Identity,
        hooks: Hooks,
        heard: mpsc::UnboundedReceiver<CertEvent>,
        stopped: &CancellationToken,
    ) -> (Readiness, JoinHandle<()>) {
        let names = ServiceNames {
            extra: self.cert_name.clone(),
            ..ServiceNames::new(&self.service, &self.namespace)
        };
        match client.filter(|_| self.cert_mode == CertMode::Managed) {
            None => {
                // The mount hides the Secret's name, so the Events are about this pod.
                if let (Some(client), Some(pod)) = (client, self.pod_reference()) {
                    tokio::spawn(publish(client.clone(), pod, heard));
                }
                let config = mounted::MountedConfig::new(&self.cert_dir, names.required());
                let task = tokio::spawn(mounted::run(config, identity.clone(), hooks, stopped.clone()));
                (Readiness::mounted(identity.clone()), task)
            }
            Some(client) => {
                let config = managed::ManagedConfig {
                    validating: self.webhook_configuration.clone(),
                    mutating: self.webhook_configuration.clone(),
                    ..self.own_ca.config(&self.cert_secret, names)
                };
                tokio::spawn(publish(client.clone(), self.secret_reference(), heard));
                let managed = managed::Managed::new(client.clone(), config, identity.clone(), hooks);
                let readiness = managed.readiness();
                // Every write is a compare-and-swap, so any number of replicas may lead.
                let (_, leader) = watch::channel(true);
                (readiness, tokio::spawn(managed.run(leader, stopped.clone())))
            }
        }
    }

    fn service(&self, metrics: Metrics, look: Option<Look>) -> Service {
        let flows = Arc::new(JobFlows { options: self.options() });
        let services = Arc::new(look.map_or_else(Services::default, Services::seeing));
        Service::new(Limits::default(), metrics)
            .route("/validate-jobflow", Phase::Validate, flows.clone())
            .route("/mutate-jobflow", Phase::Mutate, flows)
            .route("/validate-service", Phase::Validate, services.clone())
            .route("/mutate-service", Phase::Mutate, services)
    }

    /// The validator's options, the same for admission and the controller, so that their verdicts agree.
    fn options(&self) -> Options {
        Options { artifact_store: Some(self.artifact_store) }
    }

    /// This pod, by the name that kubelet gives its host; none outside a cluster.
    fn pod_reference(&self) -> Option<ObjectReference> {
        let name = std::env::var("HOSTNAME").ok()?;
        Some(ObjectReference {
            api_version: Some("v1".to_owned()),
            kind: Some("Pod".to_owned()),
            name: Some(name),
            namespace: Some(self.namespace.clone()),
            ..ObjectReference::default()
        })
    }

    fn secret_reference(&self) -> ObjectReference {
        ObjectReference {
            api_version: Some("v1".to_owned()),
            kind: Some("Secret".to_owned()),
            name: Some(self.cert_secret.clone()),
            namespace: Some(self.namespace.clone()),
            ..ObjectReference::default()
        }
    }
}

async fn bind(address: SocketAddr, flag: &str) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address)
        .await
        .with_context(|| format!("cannot listen on {address}; choose another with {flag}"))
}

/// The checks behind /readyz, each by its name.
fn probes_of(registry: Registry, readiness: &Readiness, shutdown: Shutdown) -> Probes {
    let names: Vec<&'static str> =
        readiness.checks(Timestamp::now()).iter().map(|check| check.name).collect();
    names.into_iter().fold(Probes::new(Arc::new(registry), shutdown), |probes, name| {
        let readiness = readiness.clone();
        probes.ready(name, move || {
            let checks = readiness.checks(Timestamp::now());
            checks.into_iter().find(|check| check.name == name).map_or(Ok(()), |check| check.result)
        })
    })
}

/// The first SIGTERM or SIGINT begins the lame duck, the second stops immediately. As PID 1 of a container this is also
/// what makes the signals work at all.
fn trigger_on_signals(shutdown: &Shutdown) -> anyhow::Result<()> {
    for kind in [SignalKind::terminate(), SignalKind::interrupt()] {
        let mut signals = signal(kind)?;
        let shutdown = shutdown.clone();
        tokio::spawn(async move {
            while signals.recv().await.is_some() {
                tracing::info!("told to stop: answering what still comes");
                shutdown.trigger();
            }
        });
    }
    Ok(())
}

/// Writes what happens to the certificate as Events on its Secret, or on this pod. Best effort: a refused Event costs a
/// log line.
async fn publish(
    client: kube::Client,
    reference: ObjectReference,
    mut events: mpsc::UnboundedReceiver<CertEvent>,
) {
    let writer = Writer::counted(client);
    while let Some(event) = events.recv().await {
        // Every replica reports this at every start. A new certificate has an Event of its own, and the log has both.
        if event.reason == "CertificateLoaded" {
            continue;
        }
        let event = ClusterEvent {
            regarding: reference.clone(),
            related: None,
            warning: event.kind == EventKind::Warning,
            reason: event.reason.to_owned(),
            action: "Certificate",
            note: event.message,
            at: Timestamp::now(),
        };
        if let Err(error) = writer.write(event).await {
            tracing::warn!(%error, "an event could not be written");
        }
    }
}
