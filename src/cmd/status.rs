//! `headworks status`: where a flow stands, once or until it is over.

use std::io::{IsTerminal, Write};

use headworks::flows::api::{FlowPhase, JobFlow};
use jiff::Timestamp;

use super::cluster::{Cluster, Connect, block_on, flow_name};
use super::exit_status::ExitStatus;
use super::flow_view::FlowView;
use super::style::Style;
use view::View;

mod critical;
mod follow;
mod screen;
mod view;

const EXAMPLES: &str = "\
On a terminal the steps are drawn as a tree, each below the dependency that lets
it start last; else they are a list, and --watch prints what changes.
A * marks the critical path: the chain of steps that took longest so far.

Exit codes: 0, and with --watch 1 if the flow failed; 2 if it cannot be read.

Examples:
  headworks status nightly
  headworks status -n batch nightly --watch
  headworks status nightly --watch && ./publish";

/// Arguments of `status`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The flow
    #[arg(value_parser = flow_name)]
    flow: String,
    /// Go on until the flow is over
    #[arg(short, long)]
    watch: bool,
    #[command(flatten)]
    connect: Connect,
}

pub(super) fn run(args: &Args, style: Style, out: &mut dyn Write) -> anyhow::Result<ExitStatus> {
    let Args { flow, watch, connect } = args;
    block_on(async {
        let cluster = connect.cluster().await?;
        let first = cluster.flow(flow).await?;
        if *watch {
            return watched(&cluster, flow, first, style, out).await;
        }
        let view =
            View { width: screen::size().map(|size| size.width), height: None, style, tree: is_terminal() };
        write!(out, "{}", view.render(&first, Timestamp::now()))?;
        out.flush()?;
        Ok(ExitStatus::Sound)
    })
}

async fn watched(
    cluster: &Cluster,
    name: &str,
    first: JobFlow,
    style: Style,
    out: &mut dyn Write,
) -> anyhow::Result<ExitStatus> {
    let last = if is_terminal() {
        follow::drawn(cluster, name, first, style, out).await?
    } else {
        follow::listed(cluster, name, first, style, out).await?
    };
    Ok(match FlowView::new(&last).flow_phase() {
        Some(FlowPhase::Failed) => ExitStatus::Wrong,
        _ => ExitStatus::Sound,
    })
}

fn is_terminal() -> bool {
    std::io::stdout().is_terminal()
}
