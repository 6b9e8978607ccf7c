//! `headworks run`: serve admission, keep the certificate fresh, run flows.

use headworks::telemetry;

mod args;
mod cert_events;
mod certificate;
mod controllers;
mod duration;
mod own_ca;
mod probes;
mod serve;
mod signals;
mod tls;

pub(super) use args::RunArgs as Args;

/// Runs until a signal stops it.
pub(super) fn run(args: Args) -> anyhow::Result<()> {
    telemetry::start(args.log_format, telemetry::filter(&args.log)?)?;
    telemetry::log_panics_without_payload();
    args.own_ca.check()?;
    // Two providers are compiled in by way of dependencies; one has to be chosen, once.
    rustls::crypto::ring::default_provider()
        .install_default()
        .map_err(|_| anyhow::anyhow!("a TLS provider was installed twice"))?;
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(args.serve())
}
