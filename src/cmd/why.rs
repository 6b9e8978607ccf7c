//! `headworks why`: why a step stands where it stands.

use std::io::Write;

use jiff::Timestamp;

use super::cluster::{Connect, block_on, flow_name};
use super::exit_status::ExitStatus;
use super::flow_view::{FlowView, step_index};
use super::style::Style;

mod diagnose;
mod diagnosis;
mod pods;
mod seen;
mod text;

const EXAMPLES: &str = "\
Looks at the flow, the step's Jobs and pods and their last events, and says what
keeps the step or ended it, and what to do.

Examples:
  headworks why nightly load
  headworks why -n batch nightly sign-off";

/// Arguments of `why`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The flow
    #[arg(value_parser = flow_name)]
    flow: String,
    /// The step
    step: String,
    #[command(flatten)]
    connect: Connect,
}

pub(super) fn run(args: &Args, style: Style, out: &mut dyn Write) -> anyhow::Result<ExitStatus> {
    let Args { flow, step, connect } = args;
    block_on(async {
        let cluster = connect.cluster().await?;
        let flow = cluster.flow(flow).await?;
        let index = step_index(&flow, step)?;
        let seen = seen::read(&cluster, &flow, index).await;
        write!(out, "{}", text::text(&FlowView::new(&flow), index, &seen, Timestamp::now(), style))?;
        Ok(ExitStatus::Sound)
    })
}
