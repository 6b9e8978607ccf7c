//! The command line: one file for each subcommand. Printing, exit codes and `anyhow` live here and nowhere else.
//!
//! Exit codes: 0 sound, 1 something is wrong with what was looked at, 2 something could not be read or the command
//! was misused.

use std::io::{self, Write};
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

mod crd;
mod explain;
mod graph;
mod input;
mod plan;
mod run;
mod style;
mod validate;

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
    /// When to use colours; `auto` is on a terminal, unless `NO_COLOR` is set
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
    /// Explain a code such as HW201
    Explain(explain::Args),
    /// Print the `CustomResourceDefinition` of `JobFlow`
    Crd(crd::Args),
    /// Serve admission in a cluster, and keep the certificate fresh
    Run(Box<run::Run>),
    /// Print a completion script for a shell
    #[command(after_help = "Example:\n  headworks completions bash > /etc/bash_completion.d/headworks")]
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

/// What a command found, as an exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Outcome {
    Sound = 0,
    Wrong = 1,
    Unreadable = 2,
}

/// Run the command that the arguments ask for.
pub(crate) fn main() -> ExitCode {
    let cli = Cli::parse();
    let mut out = io::BufWriter::new(UntilClosed(io::stdout().lock()));
    let result = run(cli, &mut out).and_then(|outcome| Ok(out.flush().map(|()| outcome)?));
    match result {
        Ok(outcome) => ExitCode::from(outcome as u8),
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
        Command::Explain(args) => explain::run(&args, out),
        Command::Crd(args) => crd::run(&args, out),
        Command::Run(run) => run.run().map(|()| Outcome::Sound),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "headworks", &mut script);
            out.write_all(&script)?;
            Ok(Outcome::Sound)
        }
    }
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
