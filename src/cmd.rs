//! The command line: one file for each subcommand. Printing, exit codes and `anyhow` live here and nowhere else.
//!
//! Exit codes: 0 sound, 1 something is wrong with what was looked at, 2 something could not be read or the command
//! was misused.

use std::io::{self, Write};
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

mod approve;
mod attempts;
mod certs;
mod cluster;
mod crd;
mod explain;
mod graph;
mod input;
mod leader;
mod logs;
mod plan;
mod run;
mod flow_view;
mod status;
mod style;
mod tree;
mod validate;
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

/// The result of a command, as an exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Outcome {
    Sound = 0,
    Wrong = 1,
    Unreadable = 2,
}

/// Runs the command that the arguments ask for.
pub(crate) fn main() -> ExitCode {
    let cli = Cli::parse();
    let mut out = io::BufWriter::new(UntilClosed(io::stdout().lock()));
    let result = run(cli, &mut out).and_then(|outcome| Ok(out.flush().map(|()| outcome)?));
    match result {
        Ok(outcome) => ExitCode::from(outcome as u8),
        Err(error) if is_closed(&error) => ExitCode::SUCCESS,
        Err(error) => {
            // If stderr is gone as well there is nobody left to tell.
            let _ = writeln!(io::stderr(), "error: {}", told(&error));
            ExitCode::from(Outcome::Unreadable as u8)
        }
    }
}

fn run(cli: Cli, out: &mut dyn Write) -> anyhow::Result<Outcome> {
    let Cli { command, color } = cli;
    let style = style::Style::new(color);
    match command {
        Command::Validate(args) => validate::run(&args, style, out),
        Command::Plan(args) => plan::run(&args, style, out),
        Command::Graph(args) => graph::run(&args, style, out),
        Command::Status(args) => status::run(&args, style, &mut live()),
        Command::Why(args) => why::run(&args, style, out),
        Command::Logs(args) => logs::run(&args, style, &mut live()),
        Command::Approve(args) => approve::run(&args, true, out),
        Command::Reject(args) => approve::run(&args, false, out),
        Command::Explain(args) => explain::run(&args, out),
        Command::Crd(args) => crd::run(&args, out),
        Command::Leader(args) => leader::run(&args, out),
        Command::Certs(args) => certs::run(&args, style, out),
        Command::Run(run) => run.run().map(|()| Outcome::Sound),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "headworks", &mut script);
            out.write_all(&script)?;
            Ok(Outcome::Sound)
        }
    }
}

/// The output of commands that go on for long: it ends them when its reader closes it.
fn live() -> impl Write {
    io::BufWriter::new(io::stdout())
}

/// True if the output's reader has closed it.
fn is_closed(error: &anyhow::Error) -> bool {
    let closed = |error: &io::Error| error.kind() == io::ErrorKind::BrokenPipe;
    error.downcast_ref::<io::Error>().is_some_and(closed)
}

/// An output whose reader may close it: it has read enough then, and what was found is found all the same.
struct UntilClosed<W>(W);

impl<W: Write> Write for UntilClosed<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.0.write(bytes) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(bytes.len()),
            other => other,
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self.0.flush() {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            other => other,
        }
    }
}

/// An error and its causes, less those that it quotes already.
fn told(error: &anyhow::Error) -> String {
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
