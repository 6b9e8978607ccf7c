//! The sound flows of a file.

use std::io::Write;
use std::path::Path;

use headworks::flows::api::JobFlow;
use headworks::flows::rules::Options;

use super::excerpt;
use super::exit_status::ExitStatus;
use super::input;
use super::output::UntilClosed;
use super::style::Style;
use super::verdict::judge;

/// The function that is called with each flow and its name.
type Visit<'a> = dyn FnMut(&JobFlow, &str, &mut dyn Write) -> anyhow::Result<()> + 'a;

/// Calls `visit` with every sound flow of a file. The problems of the others are printed on standard error, so that
/// they neither get into a drawing nor are lost with one.
pub(crate) fn each_flow(
    file: &Path,
    style: Style,
    out: &mut dyn Write,
    visit: &mut Visit<'_>,
) -> anyhow::Result<ExitStatus> {
    let (mut status, mut seen) = (ExitStatus::Sound, false);
    for source in input::open(&[file.to_owned()]) {
        let source = source.map_err(|failure| anyhow::anyhow!("{}: {}", failure.name, failure.message))?;
        for object in &source.objects {
            let object = match object {
                Ok(object) if object.is_flow() => object,
                Ok(_) => continue,
                Err(e) => anyhow::bail!("{}:{}:{}: {e}", source.name, e.line, e.column),
            };
            let Some(verdict) = judge(object, &Options::default()) else { continue };
            if verdict.errors() > 0 {
                status = ExitStatus::Wrong;
                let style = style.for_stderr();
                let mut problems = UntilClosed(std::io::stderr().lock());
                for (problem, position) in verdict.problems.iter().filter(|(problem, _)| problem.is_error()) {
                    excerpt::problem(style, &source, problem, *position, &mut problems)?;
                }
            } else if let Some(flow) = &verdict.flow {
                if std::mem::replace(&mut seen, true) {
                    writeln!(out)?;
                }
                visit(flow, &verdict.name, out)?;
            }
        }
    }
    if !seen && status == ExitStatus::Sound {
        anyhow::bail!("{}: there is no JobFlow in it", file.display());
    }
    Ok(status)
}
