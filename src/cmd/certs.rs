//! `headworks certs`: what is served by each replica, what is published, and what happens next.

use std::io::Write;

use clap::{Subcommand, ValueEnum};
use headworks_certs::managed::inspect::{CertInfo, Inspection, inspect};
use headworks_certs::managed::{ApiError, ManagedConfig};
use headworks_certs::{Lifetimes, ServiceNames};
use jiff::{SignedDuration, Timestamp};

use super::cluster::{Connect, block_on};
use super::exit_status::ExitStatus;
use super::style::Style;

const STATUS: &str = "\
Looks at headworks-system, unless -n names another namespace.

Exit codes: 0 if all is well, 1 if something is wrong, 2 if it cannot be told.

Phases of a rotation of the CA: stable, staged (the next CA is made), published
(every caBundle trusts it; API servers are given time to see that), activated
(its certificate is in use), confirmed (every replica serves it).

Reads the Secret, of which only the public part is shown, the webhook
configurations, and the Leases and EndpointSlices of the namespace.

Examples:
  headworks certs status
  headworks certs status -o json | jq .problems";

/// Arguments of `certs`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Tell where the certificates stand: by replica, by webhook, and when the next step is due
    #[command(after_help = STATUS)]
    Status(Status),
}

#[derive(Debug, clap::Args)]
struct Status {
    /// The output format
    #[arg(short, long, default_value = "table", value_enum, value_name = "FORMAT")]
    output: Output,
    /// The Service that the webhook configurations name
    #[arg(long, default_value = "headworks-webhook", value_name = "NAME")]
    service: String,
    /// The Secret that holds the CA and the certificate
    #[arg(long, default_value = "headworks-tls", value_name = "NAME")]
    cert_secret: String,
    /// The validating and mutating webhook configurations
    #[arg(long, default_value = "headworks", value_name = "NAME")]
    webhook_configuration: Vec<String>,
    #[command(flatten)]
    connect: Connect,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Output {
    /// For people
    Table,
    /// For tools
    Json,
}

pub(super) fn run(args: &Args, style: Style, out: &mut dyn Write) -> anyhow::Result<ExitStatus> {
    let Args { verb: Verb::Status(status) } = args;
    let Status { output, service, cert_secret, webhook_configuration, connect } = status;
    let found = block_on(async {
        let cluster = connect.cluster_in("headworks-system").await?;
        let config = ManagedConfig {
            validating: webhook_configuration.clone(),
            mutating: webhook_configuration.clone(),
            lifetimes: Lifetimes::default(),
            ..ManagedConfig::new(cert_secret, ServiceNames::new(service, &cluster.namespace))
        };
        let found = inspect(cluster.client(), &config, Timestamp::now()).await;
        found.map_err(|error| match error {
            ApiError::Kube(error) => cluster.explain(*error),
            other => other.into(),
        })
    })?;
    match output {
        Output::Json => {
            serde_json::to_writer_pretty(&mut *out, &found)?;
            writeln!(out)?;
        }
        Output::Table => write!(out, "{}", table(&found, style))?,
    }
    Ok(if found.problems.is_empty() { ExitStatus::Sound } else { ExitStatus::Wrong })
}

fn table(found: &Inspection, style: Style) -> String {
    let now = found.now;
    let mut text = String::new();
    let mut line = |words: &str| {
        text.push_str(words.trim_end());
        text.push('\n');
    };
    if let Some(secret) = &found.secret {
        let since = secret.phase_since.map(|at| format!(", for {}", span(now.duration_since(at))));
        line(&format!("phase        {}{}", style.bold(secret.phase), since.unwrap_or_default()));
        for (name, cert) in [("certificate", &secret.leaf), ("CA", &secret.ca), ("next CA", &secret.next_ca)]
        {
            if let Some(cert) = cert {
                line(&format!("{name:<12} {}", certificate(cert, now)));
            }
        }
        let due = match secret.next_due {
            Some(at) if at <= now => ", now".to_owned(),
            Some(at) => format!(", in {} ({at:.0})", span(at.duration_since(now))),
            None => String::new(),
        };
        line(&format!("next         {}{due}", secret.next_step));
        line("");
    }
    let mut rows = vec![["REPLICA", "READY", "SERVES"].map(str::to_owned)];
    rows.extend(found.replicas.iter().map(|replica| {
        let ready = match replica.ready {
            Some(true) => "yes",
            Some(false) => "no",
            None => "gone",
        };
        let serial = replica.serial.clone().unwrap_or_else(|| "unknown".to_owned());
        [replica.pod.clone(), ready.to_owned(), serial]
    }));
    for row in columns(&rows) {
        line(&row);
    }
    line("");
    let mut rows = vec![["PUBLISHED IN", "WEBHOOK", "TRUSTS"].map(str::to_owned)];
    rows.extend(found.published.iter().map(|webhook| {
        let trusts: Vec<_> = webhook.trusts.iter().map(|cert| certificate(cert, now)).collect();
        let trusts = if trusts.is_empty() { "nobody".to_owned() } else { trusts.join(" and ") };
        [webhook.configuration.clone(), webhook.webhook.clone(), trusts]
    }));
    for row in columns(&rows) {
        line(&row);
    }
    line("");
    if found.problems.is_empty() {
        line(&style.good("all is well"));
    }
    for problem in &found.problems {
        line(&format!("{} {problem}", style.error("wrong:")));
    }
    text
}

fn certificate(cert: &CertInfo, now: Timestamp) -> String {
    if cert.not_after < now {
        return format!("{}, expired at {}", cert.serial, cert.not_after);
    }
    format!("{}, valid for {} more", cert.serial, span(cert.not_after.duration_since(now)))
}

fn columns<const N: usize>(rows: &[[String; N]]) -> Vec<String> {
    let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or_default();
    let widths: Vec<usize> = (0..N).map(width).collect();
    let cells = |row: &[String; N]| -> Vec<String> {
        row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect()
    };
    rows.iter().map(|row| cells(row).join("   ").trim_end().to_owned()).collect()
}

/// As kubectl writes ages.
fn span(span: SignedDuration) -> String {
    match span.as_secs().max(0) {
        seconds @ ..120 => format!("{seconds}s"),
        seconds @ ..7_200 => format!("{}m", seconds / 60),
        seconds @ ..172_800 => format!("{}h", seconds / 3_600),
        seconds => format!("{}d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests;
