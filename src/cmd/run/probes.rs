//! The checks of readiness, and the ports that are listened on.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context;
use headworks_certs::Readiness;
use headworks_webhook::{Probes, Shutdown};
use jiff::Timestamp;
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;

/// Listens on an address that a flag chose.
pub(super) async fn bind(address: SocketAddr, flag: &str) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address)
        .await
        .with_context(|| format!("cannot listen on {address}; choose another with {flag}"))
}

/// The checks behind /readyz, each by its name.
pub(super) fn probes_of(registry: Registry, readiness: &Readiness, shutdown: Shutdown) -> Probes {
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
