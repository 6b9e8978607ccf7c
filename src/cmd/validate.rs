//! `headworks validate`: the verdict of the cluster, without a cluster.

use std::io::Write;
use std::path::PathBuf;

use headworks::flows::api::JobFlow;
use headworks::flows::rules::{self, Options};
use headworks::leaders;
use headworks::manifest::Position;
use headworks::names;
use headworks::problem::Problem;
use headworks::problem::code;
use headworks::problem::field_path::Place;
use headworks::problem::suggest::did_you_mean;

use super::Outcome;
use super::input::{self, Failure, Object};
use super::style::Style;

mod github;
mod json;
pub(super) mod text;

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

/// An object that was looked at.
#[derive(Debug)]
pub(super) struct Verdict {
    pub document: usize,
    pub kind: String,
    pub namespace: String,
    pub name: String,
    pub problems: Vec<(Problem, Option<Position>)>,
    /// The flow, if it is one.
    pub flow: Option<JobFlow>,
}

impl Verdict {
    pub(super) fn errors(&self) -> usize {
        self.problems.iter().filter(|(problem, _)| problem.is_error()).count()
    }

    pub(super) fn warnings(&self) -> usize {
        self.problems.len() - self.errors()
    }
}

/// Prints the results for all files, in one format.
trait Report {
    /// A file that cannot be opened.
    fn failure(&mut self, failure: &Failure, out: &mut dyn Write) -> std::io::Result<()>;
    /// A document that cannot be read.
    fn unreadable(
        &mut self,
        source: &input::Source,
        error: &headworks::manifest::Unreadable,
        out: &mut dyn Write,
    ) -> std::io::Result<()>;
    /// An object that was looked at.
    fn verdict(
        &mut self,
        source: &input::Source,
        verdict: &Verdict,
        out: &mut dyn Write,
    ) -> std::io::Result<()>;
    /// The end.
    fn finish(&mut self, out: &mut dyn Write) -> std::io::Result<()>;
}

pub(super) fn run(args: &Args, style: Style, out: &mut dyn Write) -> anyhow::Result<Outcome> {
    let Args { paths, output, artifact_store, strict, quiet } = args;
    let options = Options { artifact_store: artifact_store.then_some(true) };
    let mut report: Box<dyn Report> = match *output {
        Output::Text => Box::new(text::Text::new(style, *quiet)),
        Output::Github => Box::new(github::Github),
        Output::Json => Box::new(json::Json::default()),
    };
    let mut outcome = Outcome::Sound;
    for source in input::open(paths) {
        let source = match source {
            Ok(source) => source,
            Err(failure) => {
                outcome = Outcome::Unreadable;
                report.failure(&failure, out)?;
                continue;
            }
        };
        for object in &source.objects {
            match object {
                Err(error) => {
                    outcome = Outcome::Unreadable;
                    report.unreadable(&source, error, out)?;
                }
                Ok(object) => {
                    let Some(verdict) = judge(object, &options) else { continue };
                    if verdict.errors() > 0 || (*strict && !verdict.problems.is_empty()) {
                        outcome = outcome.max(Outcome::Wrong);
                    }
                    report.verdict(&source, &verdict, out)?;
                }
            }
        }
    }
    report.finish(out)?;
    Ok(outcome)
}

/// The verdict on a `JobFlow` or Service, or on what stands in their place; `None` for anything else.
pub(super) fn judge(object: &Object, options: &Options) -> Option<Verdict> {
    let (problems, flow) = if object.is_flow() {
        let checked = rules::flow(&object.value, options);
        (checked.problems, Some(checked.flow))
    } else if object.is_service() {
        (leaders::rules::offline(&object.value), None)
    } else {
        (vec![unknown_kind(object)?], None)
    };
    let problems = problems.into_iter().map(|problem| {
        // An unknown field is wrong by its name, not by its value.
        let by_key = matches!(problem.code, code::UNKNOWN_FIELD | code::UNKNOWN_TEMPLATE_FIELD);
        let position = object.positions.locate(&problem.field, by_key);
        (problem, position)
    });
    let kind = match object.text("/kind") {
        "" => "(no kind)",
        kind => kind,
    };
    Some(Verdict {
        document: object.document,
        kind: kind.to_owned(),
        namespace: object.text("/metadata/namespace").to_owned(),
        name: object.name(),
        problems: problems.collect(),
        flow,
    })
}

/// Something of our API group that is no `JobFlow`: passed over, a misspelt kind would look sound.
fn unknown_kind(object: &Object) -> Option<Problem> {
    let kind = object.text("/kind");
    if object.text("/apiVersion").split('/').next() != Some(names::GROUP) || kind == "JobFlowList" {
        return None;
    }
    let place = Place::ROOT;
    let place = place.field("kind");
    Some(if kind.is_empty() {
        Problem::required(code::MISSING_FIELD, &place, "nothing says what this is").hint("write \"JobFlow\"")
    } else {
        let what = format!("must be \"JobFlow\", the only kind of {}", names::GROUP);
        Problem::not_supported(code::UNSUPPORTED_VALUE, &place, kind, what)
            .maybe_hint(did_you_mean(kind, ["JobFlow"]))
    })
}
