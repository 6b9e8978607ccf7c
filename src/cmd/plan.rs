//! `headworks plan`: the levels of a flow, and what a failure would do.

use std::io::Write;
use std::path::PathBuf;

use headworks::flows::api::{JobFlow, OnStepFailure, Step};
use headworks::flows::outline;
use headworks::flows::outline::{End, Outline};
use headworks::problem::suggest::did_you_mean;

use super::exit_status::ExitStatus;
use super::flow_file::each_flow;
use super::style::Style;

/// Arguments of `plan`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  headworks plan nightly.yaml\n  headworks plan nightly.yaml --fail load")]
pub(crate) struct Args {
    /// The file, or - for standard input
    file: PathBuf,
    /// Show what would happen if this step failed for good
    #[arg(long, value_name = "STEP")]
    fail: Option<String>,
}

pub(super) fn run(args: &Args, style: Style, out: &mut dyn Write) -> anyhow::Result<ExitStatus> {
    let Args { file, fail } = args;
    each_flow(file, style, out, &mut |flow, name, out| match fail {
        None => levels(flow, name, style, out),
        Some(step) => failure(flow, name, step, style, out),
    })
}

fn levels(flow: &JobFlow, name: &str, style: Style, out: &mut dyn Write) -> anyhow::Result<()> {
    let Some(outline) = Outline::of(&flow.spec) else { return Ok(()) };
    writeln!(out, "{}: {outline}\n", style.bold(name))?;
    let wide = widest_name(flow);
    for (i, level) in outline.levels.iter().enumerate() {
        for (nth, &step) in level.iter().enumerate() {
            let step = &flow.spec.steps[step];
            let head = if nth == 0 { format!("level {}", i + 1) } else { String::new() };
            let line = format!("{head:<9} {:<wide$}  {}", step.name, notes(step).join("; "));
            writeln!(out, "{}", line.trim_end())?;
        }
    }
    Ok(())
}

/// The settings of a step that matter for its place in the plan.
fn notes(step: &Step) -> Vec<String> {
    let mut notes = Vec::new();
    if !step.dependencies.is_empty() {
        notes.push(format!("after {}", step.dependencies.join(", ")));
    }
    if step.is_manual() {
        notes.push("waits for approval".to_owned());
    } else {
        let attempts = outline::step_retries(step) + 1;
        if attempts > 1 {
            notes.push(format!("up to {attempts} attempts"));
        }
    }
    if step.continue_on_failure == Some(true) {
        notes.push("may fail".to_owned());
    }
    if let Some(when) = step.when.as_deref().filter(|when| !when.trim().is_empty()) {
        notes.push(format!("when {}", when.split_whitespace().collect::<Vec<_>>().join(" ")));
    }
    notes
}

fn failure(flow: &JobFlow, name: &str, step: &str, style: Style, out: &mut dyn Write) -> anyhow::Result<()> {
    let steps = &flow.spec.steps;
    let Some(failing) = steps.iter().position(|candidate| candidate.name == step) else {
        let hint = did_you_mean(step, steps.iter().map(|step| step.name.as_str()));
        let hint = hint.map(|hint| format!("; {hint}")).unwrap_or_default();
        anyhow::bail!("{name} has no step {step:?}{hint}");
    };
    let failure = outline::fail(&flow.spec, failing);
    let attempts = outline::step_retries(&steps[failing]) + 1;
    let after = if attempts > 1 { format!(" {attempts} times") } else { String::new() };
    writeln!(out, "{}: if {step} failed{after}:\n", style.bold(name))?;
    let wide = widest_name(flow);
    for (step, end) in steps.iter().zip(&failure.steps) {
        let fate = match end {
            End::Fails if failure.flow_fails => style.error("Failed"),
            End::Fails => style.warning("Failed, which continueOnFailure forgives"),
            End::Done => "Succeeded before".to_owned(),
            End::Runs => style.good("runs as ever"),
            End::UpstreamFailed => style.warning("Skipped (UpstreamFailed)"),
            End::FinishesIfRunning => "finishes if it runs by then, else Skipped (FlowFailed)".to_owned(),
            End::CancelledIfRunning => "Cancelled if it runs by then, else Skipped (FlowFailed)".to_owned(),
        };
        writeln!(out, "  {:<wide$}  {fate}", step.name)?;
    }
    let result = if failure.flow_fails { style.error("Failed") } else { style.good("Succeeded") };
    let reaction = match failure.reaction {
        OnStepFailure::FinishRunning => "FinishRunning",
        OnStepFailure::CancelRunning => "CancelRunning",
        OnStepFailure::RunIndependent => "RunIndependent",
    };
    writeln!(out, "\nthe flow: {result} (onStepFailure: {reaction})")?;
    Ok(())
}

fn widest_name(flow: &JobFlow) -> usize {
    flow.spec.steps.iter().map(|step| step.name.len()).max().unwrap_or(0)
}
