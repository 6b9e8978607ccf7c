//! An HTTPS admission server for any `impl Admit`.
//!
//! It speaks `admission.k8s.io/v1` and `v1beta1` to Kubernetes API servers, and tolerates hostile and broken clients:
//! every request, however large, slow or malformed, gets a readable answer, and a rule that panics or takes too long
//! affects no other request. It knows no resource kind, no Kubernetes client and no way to obtain
//! certificates: kinds come in as [`Admit`], certificates as a rustls `ResolvesServerCert`.
//!
//! From the inside out, each usable without the next:
//! - [`respond`]: bytes to bytes, a pure function, for tests, benchmarks and fuzzing;
//! - [`Service`]: an HTTP request to an HTTP response, with all bounds on size, number and time ([`Limits`]);
//! - [`Server`]: TLS connections, their pace, and a [`Shutdown`] that loses no call;
//! - [`Probes`]: health, readiness and [`Metrics`] on a plain port.
//!
//! ```no_run
//! use std::sync::Arc;
//!
//! use headworks_webhook::{
//!     Admit, Denial, Limits, Metrics, Phase, Probes, Review, Server, Service, Shutdown, Tls, TlsOptions,
//!     TlsVersion, Verdict,
//! };
//! use prometheus_client::registry::Registry;
//! use tokio::net::TcpListener;
//! use tokio::sync::watch;
//!
//! struct NoLatest;
//!
//! impl Admit for NoLatest {
//!     fn kinds(&self) -> &[&'static str] {
//!         &["Pod"]
//!     }
//!     fn mutate(&self, _: Review) -> Verdict {
//!         Verdict::allow()
//!     }
//!     fn validate(&self, review: Review) -> Verdict {
//!         match review.object.as_ref().and_then(|pod| pod.pointer("/spec/containers/0/image")?.as_str()) {
//!             Some(image) if image.ends_with(":latest") => Verdict::deny(Denial::invalid("no `latest`, please")),
//!             _ => Verdict::allow(),
//!         }
//!     }
//! }
//!
//! # async fn run(identity: Arc<dyn rustls::server::ResolvesServerCert>) -> Result<(), Box<dyn std::error::Error>> {
//! let mut registry = Registry::default();
//! let service = Service::new(Limits::default(), Metrics::new(&mut registry))
//!     .route("/validate-pod", Phase::Validate, Arc::new(NoLatest));
//! let options = TlsOptions { identity, min_version: TlsVersion::V1_2, http2: false, callers: None };
//! let (_reload, tls) = watch::channel(Tls::new(options)?);
//! let shutdown = Shutdown::new(); // call `trigger` on a clone of it at each SIGTERM
//!
//! let probes = Probes::new(Arc::new(registry), shutdown.clone()).ready("certificate", || Ok(()));
//! let server = Server::new(Arc::new(service), tls, shutdown).run(TcpListener::bind("[::]:9443").await?);
//! probes.serve(TcpListener::bind("[::]:8080").await?, server).await;
//! # Ok(())
//! # }
//! ```

mod accept;
mod body;
mod callers;
mod deadline;
mod lenient;
mod limits;
mod metrics;
mod overload;
mod pace;
mod probes;
mod respond;
mod review;
mod server;
mod service;
mod shutdown;
mod tls;
mod verdict;
mod wire;

pub use callers::{CallerError, CallerMode, Callers};
pub use limits::Limits;
pub use metrics::Metrics;
pub use probes::Probes;
pub use respond::respond;
pub use review::{GroupVersionKind, GroupVersionResource, Operation, Phase, Review, UserInfo};
pub use server::Server;
pub use service::Service;
pub use shutdown::Shutdown;
pub use tls::{Tls, TlsError, TlsOptions, TlsVersion};
pub use verdict::{Admit, Cause, Denial, Details, Outcome, PatchOperation, Verdict};
