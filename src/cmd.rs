//! The command line: one file for each subcommand. Printing, exit codes and `anyhow` live here and nowhere else.
//!
//! Exit codes: 0 sound, 1 something is wrong with what was looked at, 2 something could not be read or the command
//! was misused.

use std::io::{self, Write};
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

use exit_status::ExitStatus;
use output::{UntilClosed, is_closed, live};

mod approve;
mod attempts;
mod certs;
mod cluster;
mod crd;
mod excerpt;
mod exit_status;
mod explain;
mod flow_file;
mod flow_view;
mod graph;
mod input;
mod leader;
mod logs;
mod output;
mod plan;
mod run;
mod status;
mod style;
mod tree;
mod validate;
mod verdict;
mod why;
mod words;

/// The whole command line.
#[derive(Debug, Parser)]
#[command(
    name = "headworks",
    version,
    about = "Admits batch flows and leader Services on Kubernetes, and judges them offline"
)]
#[command(propagate_version = true, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    /// The use of colours; `auto` is on a terminal, unless `NO_COLOR` is set
    #[arg(long, global = true, value_enum, default_value_t, value_name = "WHEN", display_order = 900)]
    color: style::When,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Check JobFlows and Services in files, with the verdict that the cluster gives
    Validate(validate::Args),
    /// Show the levels of a flow, or what would happen if a step failed
    Plan(plan::Args),
    /// Draw the graph of a flow
    Graph(graph::Args),
    /// Show where a flow in the cluster stands, once or until it is over
    Status(status::Args),
    /// Tell why a step stands where it stands, and what to do
    Why(why::Args),
    /// Print what the containers of a flow's steps print
    Logs(logs::Args),
    /// Approve a Manual step that a flow waits for, or will wait for
    Approve(approve::Args),
    /// Reject a Manual step: it fails
    Reject(approve::Args),
    /// Explain a code such as HW201
    Explain(explain::Args),
    /// Print the `CustomResourceDefinition` of `JobFlow`
    Crd(crd::Args),
    /// Ask a cluster who leads and why, or promote another pod
    Leader(leader::Args),
    /// Tell where the certificates of an installation stand
    Certs(certs::Args),
    /// Serve admission in a cluster, run flows, and keep leader Services
    Run(Box<run::Run>),
    /// Print a completion script for a shell
    #[command(after_help = "Example:\n  headworks completions bash > /etc/bash_completion.d/headworks")]
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

/// Runs the command that the arguments ask for.
pub(crate) fn main() -> ExitCode {
    let cli = Cli::parse();
    let mut out = io::BufWriter::new(UntilClosed(io::stdout().lock()));
    let result = run(cli, &mut out).and_then(|status| Ok(out.flush().map(|()| status)?));
    match result {
        Ok(status) => ExitCode::from(status as u8),
        Err(error) if is_closed(&error) => ExitCode::SUCCESS,
        Err(error) => {
            // If stderr is gone as well there is nobody left to tell.
            let _ = writeln!(io::stderr(), "error: {}", with_causes(&error));
            ExitCode::from(ExitStatus::Unreadable as u8)
        }
    }
}

fn run(cli: Cli, out: &mut dyn Write) -> anyhow::Result<ExitStatus> {
    let Cli { command, color } = cli;
    let style = style::Style::new(color);
    match command {
        Command::Validate(args) => validate::run(&args, style, out),
        Command::Plan(args) => plan::run(&args, style, out),
        Command::Graph(args) => graph::run(&args, style, out),
        Command::Status(args) => status::run(&args, style, &mut live()),
        Command::Why(args) => why::run(&args, style, out),
        Command::Logs(args) => logs::run(&args, style, &mut live()),
        Command::Approve(args) => approve::run(&args, approve::Decision::Approve, out),
        Command::Reject(args) => approve::run(&args, approve::Decision::Reject, out),
        Command::Explain(args) => explain::run(&args, out),
        Command::Crd(args) => crd::run(&args, out),
        Command::Leader(args) => leader::run(&args, out),
        Command::Certs(args) => certs::run(&args, style, out),
        Command::Run(run) => run.run().map(|()| ExitStatus::Sound),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "headworks", &mut script);
            out.write_all(&script)?;
            Ok(ExitStatus::Sound)
        }
    }
}

/// An error and its causes, less those that it quotes already.
fn with_causes(error: &anyhow::Error) -> String {
    let mut text = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        if !text.contains(&cause) {
            text += &format!(": {cause}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
