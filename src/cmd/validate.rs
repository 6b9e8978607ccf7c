//! `headworks validate`: the verdict of the cluster, without a cluster.

use std::io::Write;
use std::path::PathBuf;

use headworks::flows::rules::Options;

use super::exit_status::ExitStatus;
use super::input;
use super::style::Style;
use super::verdict::judge;
use report::Report;

mod github;
mod json;
mod report;
mod text;

const EXAMPLES: &str =
    "Exit code: 0 everything is sound, 1 something is wrong, 2 something could not be read.

Examples:
  headworks validate nightly.yaml
  headworks validate --strict flows/
  kustomize build . | headworks validate -
  headworks validate --output github flows/    # in a GitHub workflow";

/// Arguments of `validate`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Files, directories (all .yaml, .yml and .json below them), or - for standard input
    #[arg(required = true, value_name = "FILE|DIR|-")]
    paths: Vec<PathBuf>,
    /// The format of problems
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
    /// The controller has a default artifact store
    #[arg(long)]
    artifact_store: bool,
    /// Warnings count as errors for the exit code
    #[arg(long)]
    strict: bool,
    /// Print problems only
    #[arg(short, long)]
    quiet: bool,
}

#[derive(Clone, Copy, Debug, Default, clap::ValueEnum)]
enum Output {
    /// For people, with the line that is meant
    #[default]
    Text,
    /// Workflow commands, which GitHub shows beside the lines of a pull request
    Github,
    /// An array with one element for each object
    Json,
}

pub(super) fn run(args: &Args, style: Style, out: &mut dyn Write) -> anyhow::Result<ExitStatus> {
    let Args { paths, output, artifact_store, strict, quiet } = args;
    let options = Options { artifact_store: artifact_store.then_some(true) };
    let mut report: Box<dyn Report> = match *output {
        Output::Text => Box::new(text::Text::new(style, *quiet)),
        Output::Github => Box::new(github::Github),
        Output::Json => Box::new(json::Json::default()),
    };
    let mut status = ExitStatus::Sound;
    for source in input::open(paths) {
        let source = match source {
            Ok(source) => source,
            Err(failure) => {
                status = ExitStatus::Unreadable;
                report.failure(&failure, out)?;
                continue;
            }
        };
        for object in &source.objects {
            match object {
                Err(error) => {
                    status = ExitStatus::Unreadable;
                    report.unreadable(&source, error, out)?;
                }
                Ok(object) => {
                    let Some(verdict) = judge(object, &options) else { continue };
                    if verdict.errors() > 0 || (*strict && !verdict.problems.is_empty()) {
                        status = status.max(ExitStatus::Wrong);
                    }
                    report.verdict(&source, &verdict, out)?;
                }
            }
        }
    }
    report.finish(out)?;
    Ok(status)
}
