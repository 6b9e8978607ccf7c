//! The parts that tests and benchmarks share; no part of the program.
//!
//! [`ApiServer`] calls a webhook exactly as kube-apiserver 1.37 does, so that a call which fails here is a
//! `kubectl apply` that fails there. [`Load`] calls at a fixed rate and tells what became of each call.
//! [`Mount`] is a directory written as kubelet writes a mounted Secret. [`SplitMix64`] draws what a seed brings back.
//!
//! ```no_run
//! use headworks_testkit::{ApiServer, Call, Load, Phase};
//!
//! # async fn run(root: rustls::pki_types::CertificateDer<'static>) -> Result<(), Box<dyn std::error::Error>> {
//! let tls = ApiServer::tls([root])?;
//! let server = ApiServer::new("headworks-webhook.headworks-system.svc", tls, || ([127, 0, 0, 1], 9443).into())?;
//! let call = |number: u64| Call::new("/validate-jobflow", Phase::Validating, &format!("uid-{number}"), "...");
//! let load = Load::start(&server, 500.0, call);
//! // ... restart, reload, rotate ...
//! let report = load.stop().await;
//! assert!(report.failures.is_empty(), "{report}");
//! # Ok(()) }
//! ```

mod api_server;
mod load;
mod mount;
mod random;

pub use api_server::{Answer, ApiServer, Call, CallError, Phase};
pub use load::{Load, Report};
pub use mount::{Files, Mount};
pub use random::SplitMix64;
