//! The program's logs. Metrics and probes are served by the webhook crate's plain port.

use std::io::IsTerminal;

use tracing::level_filters::LevelFilter;
use tracing::{Level, Metadata};
use tracing_subscriber::filter::{EnvFilter, ParseError, filter_fn};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};
use tracing_subscriber::{Layer, fmt};

/// The format of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// Text on a terminal, JSON elsewhere.
    Auto,
    /// For people.
    Text,
    /// For machines.
    Json,
}

/// A filter from a level (`debug`) or directives (`headworks=debug,headworks_certs=trace`).
pub fn filter(text: &str) -> Result<EnvFilter, ParseError> {
    EnvFilter::builder().with_default_directive(LevelFilter::INFO.into()).parse(text)
}

/// Starts logging to standard error, once.
///
/// Libraries beneath us are held at `info` whatever the filter says: some of them write request bodies and
/// headers at `debug` and `trace`, and no object, token or key may ever be logged.
pub fn start(format: LogFormat, filter: EnvFilter) -> Result<(), TryInitError> {
    let json = match format {
        LogFormat::Json => true,
        LogFormat::Text => false,
        LogFormat::Auto => !std::io::stderr().is_terminal(),
    };
    let layer = if json {
        // `spans` has them all; `span` would say the last of them once more.
        fmt::layer().json().flatten_event(true).with_current_span(false).with_writer(std::io::stderr).boxed()
    } else {
        fmt::layer().with_writer(std::io::stderr).with_ansi(std::io::stderr().is_terminal()).boxed()
    };
    tracing_subscriber::registry().with(layer.with_filter(filter_fn(may_be_logged))).with(filter).try_init()
}

/// Logs panics by their source location only: a panic's message may quote the value that caused it, which could be an
/// object.
pub fn log_panics_without_payload() {
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!(place, "a panic: please report it");
    }));
}

fn may_be_logged(metadata: &Metadata<'_>) -> bool {
    let target = metadata.target();
    // kube tells at `warn` of an answer that it cannot decode, with the answer: it could be a Secret.
    let most = match target {
        _ if target.starts_with("headworks") => Level::TRACE,
        _ if target.starts_with("kube_client") => Level::ERROR,
        _ => Level::INFO,
    };
    *metadata.level() <= most
}
