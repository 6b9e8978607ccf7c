//! `headworks logs`: what the containers of a flow's steps print.

use std::io::Write;

use anyhow::bail;
use futures::StreamExt;
use headworks::flows::api::{JobFlow, StepPhase};
use kube::api::LogParams;

use super::cluster::{Cluster, Connect, block_on, flow_name};
use super::exit_status::ExitStatus;
use super::flow_view::{FlowView, step_index};
use super::style::Style;
use print::{prefix, warn, write_line};
use selection::Selection;
use source::Listing;

mod follow;
mod lines;
mod print;
mod selection;
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

pub(super) fn run(args: &Args, style: Style, out: &mut dyn Write) -> anyhow::Result<ExitStatus> {
    let Args { flow, step, follow, attempt, container, tail, timestamps, connect } = args;
    block_on(async {
        let cluster = connect.cluster().await?;
        let flow = cluster.flow(flow).await?;
        let only = step.as_deref().map(|step| step_index(&flow, step)).transpose()?;
        if let Some(step) = only.filter(|&step| flow.spec.steps[step].is_manual()) {
            bail!("the step {:?} is Manual: it has no pod, and no logs", flow.spec.steps[step].name);
        }
        let selection = Selection {
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
            follow::follow(&cluster, flow, &selection, out).await?;
        } else {
            once(&cluster, &flow, &selection, out).await?;
        }
        Ok(ExitStatus::Sound)
    })
}

/// Prints all logs, one container after the other.
async fn once(
    cluster: &Cluster,
    flow: &JobFlow,
    selection: &Selection,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    let listing = source::list(cluster, flow, selection).await?;
    if listing.sources.is_empty() {
        return Err(nothing(flow, selection, &listing));
    }
    let labels = source::labels(&listing.sources, selection.only.is_some());
    for (source, label) in listing.sources.iter().zip(labels) {
        let prefix = prefix(&label, selection.style);
        let mut lines = match lines::open(cluster, source, &selection.params).await {
            Ok(lines) => lines,
            Err(error) => {
                warn(source, &error);
                continue;
            }
        };
        while let Some(line) = lines.next().await {
            match line {
                Ok(line) => write_line(out, &prefix, &line)?,
                Err(error) => warn(source, &error.into()),
            }
        }
    }
    Ok(out.flush()?)
}

/// The reason for having nothing to show.
fn nothing(flow: &JobFlow, selection: &Selection, listing: &Listing) -> anyhow::Error {
    let view = FlowView::new(flow);
    let argument = view.argument();
    let Some(step) = selection.only else {
        return anyhow::anyhow!("no step of {} has logs; see: headworks status {argument}", view.name());
    };
    let (name, phase) = (view.dag.name(step), view.phase(step));
    let see = format!("see: headworks why {argument} {name}");
    if let Some(unknown) = unknown(selection, listing) {
        return anyhow::anyhow!("step {name:?} has {unknown}");
    }
    match phase {
        StepPhase::Pending => anyhow::anyhow!("step {name:?} has not started; {see}"),
        _ if listing.attempts.is_empty() && phase.is_final() => {
            let had = view.status(step).is_some_and(|status| status.job_ref.is_some());
            let what = if had { "its Job is gone, and its logs with it" } else { "it has no Job" };
            anyhow::anyhow!("step {name:?} is {}, and {what}; {see}", phase.as_str())
        }
        _ if listing.pods == 0 && phase.is_final() => {
            anyhow::anyhow!("the pods of step {name:?} are gone, and their logs with them")
        }
        _ => anyhow::anyhow!("no container of step {name:?} has started; {see}"),
    }
}

/// The attempt or container that was asked for and is not there, and those that are.
fn unknown(selection: &Selection, listing: &Listing) -> Option<String> {
    let Listing { attempts, containers, .. } = listing;
    if let Some(number) =
        selection.attempt.filter(|number| !attempts.is_empty() && !attempts.contains(number))
    {
        let known: Vec<String> = attempts.iter().map(ToString::to_string).collect();
        return Some(format!("no attempt {number}; there are: {}", known.join(", ")));
    }
    let name =
        selection.container.as_ref().filter(|name| !containers.is_empty() && !containers.contains(*name))?;
    let known: Vec<&str> = containers.iter().map(String::as_str).collect();
    Some(format!("no container {name:?}; it has: {}", known.join(", ")))
}
