//! `headworks logs`: what the containers of a flow's steps print.

use std::io::Write;

use anyhow::bail;
use futures::StreamExt;
use headworks::flows::api::{JobFlow, StepPhase};
use kube::api::LogParams;

use super::Outcome;
use super::cluster::{Cluster, Connect, block_on, flow_name};
use super::flow_view::{Standing, is_final, word};
use super::style::Style;
use super::why::place;
use source::{Look, Source};

mod follow;
mod lines;
mod source;

const EXAMPLES: &str = "\
Without STEP the lines of all steps are printed, each behind its [step]; where a
step has several pods or containers, these are named as well. Of a step that was
tried more than once the last attempt is shown.

Logs live as long as their pods: they are gone with the flow, and with a node.

Examples:
  headworks logs nightly load
  headworks logs nightly -f                 until the flow is over
  headworks logs nightly load --attempt 1   the attempt that failed
  headworks logs -n batch nightly load -c main --tail 20";

/// Arguments of `logs`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The flow
    #[arg(value_parser = flow_name)]
    flow: String,
    /// The step; by default all of them
    step: Option<String>,
    /// Go on until the step, or the flow, is over
    #[arg(short, long)]
    follow: bool,
    /// The attempt, counted from 1; by default the last
    #[arg(long, value_name = "N", requires = "step", value_parser = clap::value_parser!(i64).range(1..))]
    attempt: Option<i64>,
    /// One container; by default all that belong to the step
    #[arg(short, long, value_name = "NAME")]
    container: Option<String>,
    /// Only the last lines of each container
    #[arg(long, value_name = "LINES", value_parser = clap::value_parser!(i64).range(0..))]
    tail: Option<i64>,
    /// Put the time before each line
    #[arg(long)]
    timestamps: bool,
    #[command(flatten)]
    connect: Connect,
}

pub(super) fn run(args: &Args, style: Style, out: &mut dyn Write) -> anyhow::Result<Outcome> {
    let Args { flow, step, follow, attempt, container, tail, timestamps, connect } = args;
    block_on(async {
        let cluster = connect.cluster().await?;
        let flow = cluster.flow(flow).await?;
        let only = step.as_deref().map(|step| place(&flow, step)).transpose()?;
        if let Some(step) = only.filter(|&step| flow.spec.steps[step].is_manual()) {
            bail!("the step {:?} is Manual: it has no pod, and no logs", flow.spec.steps[step].name);
        }
        let wish = Wish {
            only,
            attempt: *attempt,
            container: container.clone(),
            params: LogParams {
                follow: *follow,
                tail_lines: *tail,
                timestamps: *timestamps,
                ..LogParams::default()
            },
            style,
        };
        if *follow {
            follow::follow(&cluster, flow, &wish, out).await?;
        } else {
            once(&cluster, &flow, &wish, out).await?;
        }
        Ok(Outcome::Sound)
    })
}

/// The selection of logs, and the form in which they are shown.
struct Wish {
    /// One step, by its place.
    only: Option<usize>,
    attempt: Option<i64>,
    container: Option<String>,
    params: LogParams,
    style: Style,
}

/// Prints all logs, one container after the other.
async fn once(cluster: &Cluster, flow: &JobFlow, wish: &Wish, out: &mut dyn Write) -> anyhow::Result<()> {
    let look = source::look(cluster, flow, wish).await?;
    if look.sources.is_empty() {
        return Err(nothing(flow, wish, &look));
    }
    let labels = source::labels(&look.sources, wish.only.is_some());
    for (source, label) in look.sources.iter().zip(labels) {
        let prefix = prefix(&label, wish.style);
        let mut lines = match lines::open(cluster, source, &wish.params).await {
            Ok(lines) => lines,
            Err(error) => {
                complain(source, &error);
                continue;
            }
        };
        while let Some(line) = lines.next().await {
            match line {
                Ok(line) => write_line(out, &prefix, &line)?,
                Err(error) => complain(source, &error.into()),
            }
        }
    }
    Ok(out.flush()?)
}

fn prefix(label: &str, style: Style) -> String {
    if label.is_empty() { String::new() } else { format!("{} ", style.frame(&format!("[{label}]"))) }
}

/// Writes a line exactly as the container printed it.
fn write_line(out: &mut dyn Write, prefix: &str, line: &[u8]) -> std::io::Result<()> {
    out.write_all(prefix.as_bytes())?;
    out.write_all(line)?;
    out.write_all(b"\n")
}

/// A log that cannot be read does not hide the others.
fn complain(source: &Source, error: &anyhow::Error) {
    let what = format!("the log of {} in pod {}: {error:#}", source.container, source.pod);
    let _ = writeln!(std::io::stderr(), "warning: {what}");
}

/// The reason for having nothing to show.
fn nothing(flow: &JobFlow, wish: &Wish, look: &Look) -> anyhow::Error {
    let standing = Standing::new(flow);
    let argument = standing.argument();
    let Some(step) = wish.only else {
        return anyhow::anyhow!("no step of {} has logs; see: headworks status {argument}", standing.name());
    };
    let (name, phase) = (standing.dag.name(step), standing.phase(step));
    let see = format!("see: headworks why {argument} {name}");
    if let Some(unknown) = unknown(wish, look) {
        return anyhow::anyhow!("step {name:?} has {unknown}");
    }
    match phase {
        StepPhase::Pending => anyhow::anyhow!("step {name:?} has not started; {see}"),
        _ if look.attempts.is_empty() && is_final(phase) => {
            let had = standing.status(step).is_some_and(|status| status.job_ref.is_some());
            let what = if had { "its Job is gone, and its logs with it" } else { "it has no Job" };
            anyhow::anyhow!("step {name:?} is {}, and {what}; {see}", word(phase))
        }
        _ if look.pods == 0 && is_final(phase) => {
            anyhow::anyhow!("the pods of step {name:?} are gone, and their logs with them")
        }
        _ => anyhow::anyhow!("no container of step {name:?} has started; {see}"),
    }
}

/// The attempt or container that was asked for and is not there, and those that are.
fn unknown(wish: &Wish, look: &Look) -> Option<String> {
    let Look { attempts, containers, .. } = look;
    if let Some(number) = wish.attempt.filter(|number| !attempts.is_empty() && !attempts.contains(number)) {
        let known: Vec<String> = attempts.iter().map(ToString::to_string).collect();
        return Some(format!("no attempt {number}; there are: {}", known.join(", ")));
    }
    let name =
        wish.container.as_ref().filter(|name| !containers.is_empty() && !containers.contains(*name))?;
    let known: Vec<&str> = containers.iter().map(String::as_str).collect();
    Some(format!("no container {name:?}; it has: {}", known.join(", ")))
}
