//! `headworks why`: why a step stands where it stands.

use std::io::Write;

use headworks::flows::api::JobFlow;
use headworks::problem::suggest::did_you_mean;
use jiff::Timestamp;

use super::Outcome;
use super::cluster::{Connect, block_on, flow_name};
use super::flow_view::Standing;
use super::style::Style;

mod diagnose;
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

pub(super) fn run(args: &Args, style: Style, out: &mut dyn Write) -> anyhow::Result<Outcome> {
    let Args { flow, step, connect } = args;
    block_on(async {
        let cluster = connect.cluster().await?;
        let flow = cluster.flow(flow).await?;
        let place = place(&flow, step)?;
        let seen = seen::look(&cluster, &flow, place).await;
        write!(out, "{}", text::text(&Standing::new(&flow), place, &seen, Timestamp::now(), style))?;
        Ok(Outcome::Sound)
    })
}

/// The index of a step in its flow.
pub(super) fn place(flow: &JobFlow, step: &str) -> anyhow::Result<usize> {
    let standing = Standing::new(flow);
    standing.dag.find(step).ok_or_else(|| {
        let hint = did_you_mean(step, standing.dag.names().iter().copied());
        let hint =
            hint.unwrap_or_else(|| format!("list them with: headworks status {}", standing.argument()));
        anyhow::anyhow!("{} has no step {step:?}; {hint}", standing.name())
    })
}
