//! The flags of `headworks run`.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use headworks::flows::rules::Options;
use headworks::telemetry::{self, LogFormat};

use super::controllers::ControllerArgs;
use super::own_ca::OwnCaArgs;
use super::tls::TlsArgs;

const STOPPING: &str = "\
Runs inside a cluster with its service account, or outside with KUBECONFIG;
`kubectl apply -k deploy/` installs it.

At SIGTERM or SIGINT it is a lame duck: not ready any more, it answers until no
call has come for 5 seconds, and for 25 seconds at most. A second signal stops
it at once.";

/// Serve admission for `JobFlows` and Services, and run admitted flows, until SIGTERM.
#[derive(Args, Debug)]
#[command(after_help = STOPPING)]
pub(in crate::cmd) struct RunArgs {
    /// The address that the API server calls, over TLS.
    #[arg(long, default_value = "0.0.0.0:9443", env = "HEADWORKS_LISTEN", value_parser = address, value_name = "ADDRESS")]
    pub(super) listen: SocketAddr,
    /// The address of /healthz, /readyz and /metrics, without TLS.
    #[arg(long, default_value = "0.0.0.0:8080", env = "HEADWORKS_PROBES", value_parser = address, value_name = "ADDRESS")]
    pub(super) probes: SocketAddr,
    /// The Service that the webhook configurations name.
    #[arg(long, default_value = "headworks-webhook", value_name = "NAME")]
    pub(super) service: String,
    /// The namespace of that Service and of the certificate's Secret.
    #[arg(long, default_value = "headworks-system", env = "POD_NAMESPACE", value_name = "NAME")]
    pub(super) namespace: String,
    /// The validating and mutating webhook configurations that this program keeps the caBundle of.
    #[arg(long, default_value = "headworks", value_name = "NAME")]
    pub(super) webhook_configuration: Vec<String>,
    /// The source of the certificate.
    #[arg(long, default_value = "managed", value_enum, value_name = "MODE")]
    pub(super) cert_mode: CertMode,
    /// managed: the Secret that holds the CA and the certificate.
    #[arg(long, default_value = "headworks-tls", value_name = "NAME")]
    pub(super) cert_secret: String,
    /// mounted: the directory with tls.crt and tls.key, as cert-manager's Secret is mounted.
    #[arg(long, default_value = "/var/run/headworks/tls", value_name = "DIR")]
    pub(super) cert_dir: PathBuf,
    /// managed: one more DNS name or IP address in the certificate, for callers that come by URL.
    #[arg(long, value_name = "NAME")]
    pub(super) cert_name: Vec<String>,
    #[command(flatten)]
    pub(super) own_ca: OwnCaArgs,
    /// Tell that there is a default artifact store, so that flows may pass artifacts without naming one.
    #[arg(long)]
    pub(super) artifact_store: bool,
    /// A level (error, warn, info, debug, trace) or directives such as headworks=debug.
    #[arg(long, default_value = "info", env = "HEADWORKS_LOG", value_parser = log_filter, value_name = "FILTER")]
    pub(super) log: String,
    /// The format of log lines.
    #[arg(long, default_value = "auto", value_enum, value_name = "FORMAT")]
    pub(super) log_format: LogFormat,
    #[command(flatten)]
    pub(super) tls: TlsArgs,
    #[command(flatten)]
    pub(super) controllers: ControllerArgs,
}

/// The source of the serving certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum CertMode {
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

impl RunArgs {
    /// The validator's options, the same for admission and the controller, so that their verdicts agree.
    pub(super) fn options(&self) -> Options {
        Options { artifact_store: Some(self.artifact_store) }
    }
}
