//! The listener's side of a handshake, and the one part of it that changes: the callers that are allowed.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, bail};
use clap::{Args, ValueEnum};
use headworks_certs::client_ca::{ClientCa, ClientCaConfig, ClientCaMetrics, Roots};
use headworks_certs::{Hooks, Identity};
use headworks_webhook::{CallerMode, Callers, Tls, TlsOptions, TlsVersion};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// The options of TLS.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "TLS")]
pub(super) struct TlsArgs {
    /// The oldest TLS version that is spoken.
    #[arg(long, default_value = "1.2", value_enum, value_name = "VERSION")]
    tls_min_version: MinVersion,
    /// Offer HTTP/2 besides HTTP/1.1. API servers call Services with HTTP/1.1.
    #[arg(long)]
    http2: bool,
    /// The treatment of callers without a certificate of --client-ca in one of --client-names.
    #[arg(long, default_value = "off", value_enum, value_name = "WHAT")]
    client_auth: ClientAuth,
    /// The CAs of callers' certificates, PEM; a new version of the file is in force within seconds.
    #[arg(long, value_name = "FILE")]
    client_ca: Option<PathBuf>,
    /// Common names, DNS names or URIs of callers, by commas; without it, whoever has a certificate of the CA.
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    client_names: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum MinVersion {
    #[value(name = "1.2")]
    V1_2,
    #[value(name = "1.3")]
    V1_3,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum ClientAuth {
    /// Nobody is asked.
    Off,
    /// They are let in, logged and counted.
    Log,
    /// Their handshake fails.
    Require,
}

impl TlsArgs {
    /// The listener's configuration, kept up to date until `stopped`.
    pub(super) async fn follow(
        self,
        identity: Identity,
        hooks: Hooks,
        metrics: ClientCaMetrics,
        stopped: CancellationToken,
    ) -> anyhow::Result<watch::Receiver<Tls>> {
        let Some((mode, file)) = self.callers()? else {
            let (_, tls) = watch::channel(self.tls(&identity, None)?);
            return Ok(tls);
        };
        let ca = ClientCa::open(ClientCaConfig::new(&file), hooks, metrics)
            .await
            .with_context(|| format!("cannot use {} as --client-ca", file.display()))?;
        let mut roots = ca.roots();
        let first = roots.borrow_and_update().clone();
        let (sender, tls) = watch::channel(self.tls(&identity, Some((mode, first)))?);
        tokio::spawn(ca.run(stopped));
        tokio::spawn(async move {
            while roots.changed().await.is_ok() {
                let next = roots.borrow_and_update().clone();
                match self.tls(&identity, Some((mode, next))) {
                    Ok(tls) => _ = sender.send_replace(tls),
                    // It was checked when it was read; if TLS finds more, what is in force stays so.
                    Err(error) => tracing::error!(%error, "the client CA cannot be put in force"),
                }
            }
        });
        Ok(tls)
    }

    /// The mode and the file of CAs by which callers are checked; `None` if they are not.
    fn callers(&self) -> anyhow::Result<Option<(CallerMode, PathBuf)>> {
        let mode = match self.client_auth {
            ClientAuth::Off if self.client_ca.is_some() || !self.client_names.is_empty() => {
                bail!("--client-ca and --client-names have no effect without --client-auth require or log")
            }
            ClientAuth::Off => return Ok(None),
            ClientAuth::Log => CallerMode::Log,
            ClientAuth::Require => CallerMode::Require,
        };
        match &self.client_ca {
            Some(file) => Ok(Some((mode, file.clone()))),
            None => bail!("say whose certificates callers have: --client-ca FILE"),
        }
    }

    fn tls(&self, identity: &Identity, callers: Option<(CallerMode, Roots)>) -> anyhow::Result<Tls> {
        let min_version = match self.tls_min_version {
            MinVersion::V1_2 => TlsVersion::V1_2,
            MinVersion::V1_3 => TlsVersion::V1_3,
        };
        let callers = callers.map(|(mode, roots)| Callers { roots, names: self.client_names.clone(), mode });
        let identity = Arc::new(identity.clone());
        Ok(Tls::new(TlsOptions { identity, min_version, http2: self.http2, callers })?)
    }
}
