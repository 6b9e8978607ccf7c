//! `headworks leader`: who leads, why, and how to change it, on a live cluster.

use std::io::Write;

use anyhow::Context;
use clap::{Args as ClapArgs, Subcommand};
use jiff::{SignedDuration, Timestamp};

use super::Outcome;
use headworks::routing::inspect::{self, InspectError, Row, Why};

/// Which question.
#[derive(ClapArgs, Debug)]
pub(super) struct Args {
    #[command(subcommand)]
    verb: Verb,
    /// The namespace; by default that of the kubeconfig
    #[arg(short, long, global = true, value_name = "NAME")]
    namespace: Option<String>,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// List the Services that have a leader, and who it is
    List {
        /// In all namespaces
        #[arg(short = 'A', long)]
        all_namespaces: bool,
    },
    /// Tell of every pod why it may or may not lead; exit code 1 if nobody leads
    Why {
        /// The Service
        service: String,
        /// What the controller runs with
        #[arg(long, default_value = "5s", value_name = "DURATION")]
        node_grace: SignedDuration,
    },
    /// Let a pod lead as soon as it can
    Promote {
        /// The Service
        service: String,
        /// The pod
        pod: String,
    },
}

pub(super) fn run(args: Args, out: &mut dyn Write) -> anyhow::Result<Outcome> {
    // More than one TLS provider is compiled in.
    let _ = rustls::crypto::ring::default_provider().install_default();
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(ask(args, out))
}

async fn ask(args: Args, out: &mut dyn Write) -> anyhow::Result<Outcome> {
    let Args { verb, namespace } = args;
    let client = kube::Client::try_default().await.context("no cluster: set KUBECONFIG")?;
    let namespace = namespace.unwrap_or_else(|| client.default_namespace().to_owned());
    let answer = match verb {
        Verb::List { all_namespaces } => {
            let rows = inspect::list(client, (!all_namespaces).then_some(namespace.as_str())).await;
            rows.map(|rows| table(rows, out))
        }
        Verb::Why { service, node_grace } => inspect::why(client, &namespace, &service, node_grace)
            .await
            .map(|why| explain(&service, &why, out)),
        Verb::Promote { service, pod } => {
            inspect::promote(client, &namespace, &service, &pod).await.map(|standing| {
                if standing.is_candidate() {
                    writeln!(out, "{pod} will lead {service} at once")?;
                } else {
                    writeln!(out, "{pod} will lead {service} as soon as it can: it {standing}")?;
                }
                Ok(Outcome::Sound)
            })
        }
    };
    match answer {
        Ok(outcome) => outcome,
        Err(
            error @ (InspectError::NoPod(_) | InspectError::NotEnabled(_) | InspectError::LeaseDecides(_)),
        ) => {
            writeln!(out, "{error}")?;
            Ok(Outcome::Wrong)
        }
        Err(error) => Err(error.into()),
    }
}

fn table(rows: Vec<Row>, out: &mut dyn Write) -> anyhow::Result<Outcome> {
    if rows.is_empty() {
        writeln!(out, "no Service here is annotated zen-lead.io/enabled: \"true\"")?;
        return Ok(Outcome::Sound);
    }
    let head = ["NAMESPACE", "SERVICE", "LEADER SERVICE", "LEADER", "SINCE", "CANDIDATES", "REASON"];
    let mut lines = vec![head.map(str::to_owned)];
    let now = Timestamp::now();
    lines.extend(rows.into_iter().map(|row| {
        let status = row.status.unwrap_or_default();
        [
            row.namespace,
            row.service,
            row.leader_service,
            status.leader.unwrap_or_else(|| "-".to_owned()),
            status.since.map_or_else(|| "-".to_owned(), |since| age(now.duration_since(since))),
            status.candidates.to_string(),
            if status.reason.is_empty() { "-".to_owned() } else { status.reason },
        ]
    }));
    let width = |column: usize| lines.iter().map(|line| line[column].len()).max().unwrap_or_default();
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    for line in &lines {
        let cells: Vec<String> =
            line.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        writeln!(out, "{}", cells.join("   ").trim_end())?;
    }
    Ok(Outcome::Sound)
}

fn explain(service: &str, why: &Why, out: &mut dyn Write) -> anyhow::Result<Outcome> {
    let leader_service = &why.leader_service;
    match &why.leader {
        Some(leader) => writeln!(out, "{leader_service} routes to {leader} (epoch {})", why.epoch)?,
        None => writeln!(out, "{leader_service} routes to nobody (epoch {})", why.epoch)?,
    }
    if let Some(status) = &why.status {
        let since = status.since.map(|since| age(Timestamp::now().duration_since(since)));
        let since = since.map(|since| format!(", for {since}")).unwrap_or_default();
        writeln!(out, "  {}{since}; {} may lead", status.reason, status.candidates)?;
        for condition in &status.conditions {
            writeln!(out, "  {condition}")?;
        }
        for port in &status.unresolved_ports {
            writeln!(out, "  port {port}: the leader does not have it")?;
        }
    } else {
        writeln!(out, "  the controller has not told anything yet: is headworks running?")?;
    }
    if let Some((lease, holder)) = &why.lease {
        writeln!(out, "  Lease {lease} is held by {}", holder.as_deref().unwrap_or("nobody"))?;
    }
    if why.unreadable {
        writeln!(out, "  the annotations cannot be read: nobody new can lead")?;
    }
    for fault in &why.faults {
        writeln!(out, "  {fault}")?;
    }
    if let Some(chosen) = &why.chosen {
        writeln!(out, "  {chosen} should lead; the controller has not written it yet")?;
    }
    if why.pods.is_empty() {
        writeln!(out, "no pod matches the selector of {service}")?;
    }
    let width = why.pods.iter().map(|(name, _)| name.len()).max().unwrap_or_default();
    for (name, standing) in &why.pods {
        let role = match (&why.leader, &why.standby) {
            (Some(leader), _) if leader == name => "leads; ",
            (_, Some(standby)) if standby == name => "standby; ",
            _ => "",
        };
        writeln!(out, "  {name:width$}   {role}{standing}")?;
    }
    Ok(if why.leader.is_some() { Outcome::Sound } else { Outcome::Wrong })
}

/// As kubectl writes ages.
fn age(span: SignedDuration) -> String {
    match span.as_secs().max(0) {
        seconds @ ..120 => format!("{seconds}s"),
        seconds @ ..7_200 => format!("{}m", seconds / 60),
        seconds @ ..172_800 => format!("{}h", seconds / 3_600),
        seconds => format!("{}d", seconds / 86_400),
    }
}
