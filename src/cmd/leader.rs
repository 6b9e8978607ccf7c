//! `headworks leader`: who leads, why, and how to change it, on a live cluster.

use std::io::Write;

use clap::{Args as ClapArgs, Subcommand};
use jiff::{SignedDuration, Timestamp};

use super::Outcome;
use super::cluster::{Connect, block_on};
use headworks::leaders::inspect;
use headworks::leaders::inspect::{InspectError, LeaseSeen, Row, Why};

/// Which question.
#[derive(ClapArgs, Debug)]
pub(super) struct Args {
    #[command(subcommand)]
    verb: Verb,
    #[command(flatten)]
    connect: Connect,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// List the Services that have a leader, and who it is
    List {
        /// In all namespaces
        #[arg(short = 'A', long)]
        all_namespaces: bool,
    },
    /// Tell of every pod why it may or may not lead; exit code 1 if nobody leads, or another slice routes too
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

pub(super) fn run(args: &Args, out: &mut dyn Write) -> anyhow::Result<Outcome> {
    block_on(ask(args, out))
}

async fn ask(args: &Args, out: &mut dyn Write) -> anyhow::Result<Outcome> {
    let Args { verb, connect } = args;
    let cluster = connect.cluster().await?;
    let (client, namespace) = (cluster.client(), cluster.namespace.as_str());
    let answer = match verb {
        Verb::List { all_namespaces } => {
            let rows = inspect::list(client, (!all_namespaces).then_some(namespace));
            cluster.patience(rows).await?.map(|rows| table(rows, out))
        }
        Verb::Why { service, node_grace } => {
            let why = inspect::why(client, namespace, service, *node_grace);
            cluster.patience(why).await?.map(|why| explain(service, &why, out))
        }
        Verb::Promote { service, pod } => {
            let promoted = inspect::promote(client, namespace, service, pod);
            cluster.patience(promoted).await?.map(|eligibility| {
                if eligibility.is_candidate() {
                    writeln!(out, "{pod} will lead {service} at once")?;
                } else {
                    writeln!(out, "{pod} will lead {service} as soon as it can: it {eligibility}")?;
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
        Err(InspectError::Kube(error)) => Err(cluster.explain(*error)),
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
    let conditions: Vec<String> = rows.iter().flat_map(conditions).collect();
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
    for condition in conditions {
        writeln!(out, "{condition}")?;
    }
    Ok(Outcome::Sound)
}

/// What is told of a Service beside who leads.
fn conditions(row: &Row) -> impl Iterator<Item = String> {
    let Row { namespace, service, status, .. } = row;
    let conditions = status.iter().flat_map(|status| &status.conditions);
    conditions.map(move |condition| format!("{namespace}/{service}: {condition}"))
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
        for condition in status.conditions.iter().filter(|told| !why.conflicts.contains(told)) {
            writeln!(out, "  {condition}")?;
        }
        for port in &status.unresolved_ports {
            writeln!(out, "  port {port}: the leader does not have it")?;
        }
    } else {
        writeln!(out, "  the controller has not told anything yet: is headworks running?")?;
    }
    for conflict in &why.conflicts {
        writeln!(out, "  {conflict}")?;
    }
    if let Some(lease) = &why.lease {
        writeln!(out, "  {}", held(lease))?;
    }
    if why.unreadable {
        writeln!(out, "  the annotations cannot be read: nobody new can lead")?;
    }
    for fault in &why.faults {
        writeln!(out, "  {fault}")?;
    }
    match (&why.chosen, &why.lease) {
        (Some(chosen), Some(LeaseSeen { duration: Some(duration), .. })) => {
            let seconds = duration.as_secs();
            writeln!(
                out,
                "  {chosen} holds the Lease and may lead; if it does not soon, the controller has seen no renewal for {seconds}s"
            )?;
        }
        (Some(chosen), _) => writeln!(out, "  {chosen} should lead; the controller has not written it yet")?,
        (None, _) => {}
    }
    if why.pods.is_empty() {
        writeln!(out, "no pod matches the selector of {service}")?;
    }
    let width = why.pods.iter().map(|(name, _)| name.len()).max().unwrap_or_default();
    for (name, eligibility) in &why.pods {
        let role = match (&why.leader, &why.standby) {
            (Some(leader), _) if leader == name => "leads; ",
            (_, Some(standby)) if standby == name => "standby; ",
            _ => "",
        };
        writeln!(out, "  {name:width$}   {role}{eligibility}")?;
    }
    let sound = why.leader.is_some() && why.conflicts.is_empty();
    Ok(if sound { Outcome::Sound } else { Outcome::Wrong })
}

/// What one look at a Lease can tell: not whether it has expired.
fn held(lease: &LeaseSeen) -> String {
    let LeaseSeen { name, holder, renewed, duration } = lease;
    let Some(holder) = holder else { return format!("Lease {name} is held by nobody") };
    let Some(duration) = duration else {
        return format!("Lease {name} names {holder}, but has no leaseDurationSeconds: nobody holds it");
    };
    let renewed = renewed.map(|time| format!(", renewed at {time} by the holder's own clock"));
    format!(
        "Lease {name} is held by {holder} for {}s after each renewal{}; whether it still is, only the controller sees",
        duration.as_secs(),
        renewed.unwrap_or_default()
    )
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
