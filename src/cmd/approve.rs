//! `headworks approve` and `headworks reject`: decide on a Manual step.

use std::io::Write;

use anyhow::{anyhow, bail};
use headworks::flows::api::{JobFlow, StepPhase};
use headworks::names::{APPROVED_BY_PREFIX, APPROVED_PREFIX};
use headworks::problem::suggest::did_you_mean;
use kube::api::{Patch, PatchParams};
use serde_json::json;

use super::Outcome;
use super::cluster::{Connect, block_on, flow_name};
use super::flow_view::{Standing, flow_word, is_final, word};
use super::words::{clean, list};

/// An engine writes often; a decision is tried again after that many of its writes came between.
const TRIES: usize = 20;

const EXAMPLES: &str = "\
A decision may be given before the step is reached, and changed until the step
is final. The webhook records who gave it, as the status shows.

Examples:
  headworks status nightly                  what waits for approval
  headworks approve nightly sign-off
  headworks reject -n batch nightly sign-off
  kubectl annotate jobflow nightly approved.workflow.kube-zen.io/sign-off=true
                                            the same, with kubectl";

/// Arguments of `approve` and `reject`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The flow
    #[arg(value_parser = flow_name)]
    flow: String,
    /// The Manual step
    step: String,
    #[command(flatten)]
    connect: Connect,
}

pub(super) fn run(args: &Args, approve: bool, out: &mut dyn Write) -> anyhow::Result<Outcome> {
    let Args { flow, step, connect } = args;
    block_on(async {
        let cluster = connect.cluster().await?;
        for _ in 0..TRIES {
            let seen = cluster.flow(flow).await?;
            let Some(before) = judge(&seen, step, approve)? else {
                writeln!(out, "{}", already(&seen, step, approve))?;
                return Ok(Outcome::Sound);
            };
            // Only over what was judged, so that of two people who decide at once the second is told.
            let patch = json!({"metadata": {
                "resourceVersion": seen.metadata.resource_version,
                "annotations": {format!("{APPROVED_PREFIX}{step}"): approve.to_string()},
            }});
            let params =
                PatchParams { field_manager: Some("headworks-cli".to_owned()), ..PatchParams::default() };
            let flows = cluster.api::<JobFlow>();
            match cluster.patience(flows.patch(flow, &params, &Patch::Merge(&patch))).await? {
                Ok(decided) => {
                    writeln!(out, "{}", done(&decided, step, approve, &before))?;
                    return Ok(Outcome::Sound);
                }
                Err(kube::Error::Api(status)) if status.is_conflict() => {}
                Err(error) => return Err(cluster.explain(error)),
            }
        }
        Err(anyhow!("{flow:?} was changed by others {TRIES} times meanwhile; try again"))
    })
}

/// The decision that was recorded before.
#[derive(Debug, PartialEq, Eq)]
enum Before {
    Nothing,
    Otherwise,
}

/// Checks that the decision may be written. `None`: it is recorded already.
fn judge(flow: &JobFlow, step: &str, approve: bool) -> anyhow::Result<Option<Before>> {
    let standing = Standing::new(flow);
    let name = standing.name();
    let steps = &flow.spec.steps;
    let manual: Vec<&str> =
        steps.iter().filter(|step| step.is_manual()).map(|step| step.name.as_str()).collect();
    let offer = match manual[..] {
        [] => "it has no Manual steps".to_owned(),
        _ => format!("its Manual steps: {}", list(&manual, 10)),
    };
    let Some(place) = standing.dag.find(step) else {
        let hint = did_you_mean(step, manual.iter().copied());
        let hint = hint.or_else(|| did_you_mean(step, steps.iter().map(|step| step.name.as_str())));
        bail!("{name} has no step {step:?}; {}", hint.unwrap_or(offer));
    };
    if !steps[place].is_manual() {
        bail!("the step {step:?} of {name} runs a Job, nobody has to approve it; {offer}");
    }
    let phase = standing.phase(place);
    let by = standing.status(place).and_then(|status| status.approved_by.as_deref());
    let by = by.map(|by| format!(" (decided by {})", clean(by))).unwrap_or_default();
    let same = phase == if approve { StepPhase::Succeeded } else { StepPhase::Failed };
    if is_final(phase) && !(same && is_decided(flow, step, approve)) {
        bail!("the step {step:?} of {name} is {} already{by}; that is final", word(phase));
    }
    if is_decided(flow, step, approve) {
        return Ok(None);
    }
    if let Some(over) = standing.flow_phase().filter(|_| standing.is_over()) {
        bail!("{name} is {} already; there is nothing left to decide", flow_word(over));
    }
    Ok(Some(if annotation(flow, APPROVED_PREFIX, step).is_some() {
        Before::Otherwise
    } else {
        Before::Nothing
    }))
}

fn annotation<'a>(flow: &'a JobFlow, prefix: &str, step: &str) -> Option<&'a str> {
    flow.metadata.annotations.as_ref()?.get(&format!("{prefix}{step}")).map(String::as_str)
}

fn is_decided(flow: &JobFlow, step: &str, approve: bool) -> bool {
    annotation(flow, APPROVED_PREFIX, step) == Some(if approve { "true" } else { "false" })
}

fn verb(approve: bool) -> &'static str {
    if approve { "approved" } else { "rejected" }
}

fn already(flow: &JobFlow, step: &str, approve: bool) -> String {
    let by = annotation(flow, APPROVED_BY_PREFIX, step).map(|by| format!(", by {}", clean(by)));
    let name = Standing::new(flow).name();
    format!("{step} of {name} is {} already{}", verb(approve), by.unwrap_or_default())
}

/// The line that reports the decision and its effect.
fn done(flow: &JobFlow, step: &str, approve: bool, before: &Before) -> String {
    let standing = Standing::new(flow);
    let by = match annotation(flow, APPROVED_BY_PREFIX, step) {
        Some(by) => format!("recorded as {}", clean(by)),
        None => "nobody recorded who: the webhook of headworks is not installed".to_owned(),
    };
    let change = match before {
        Before::Nothing => "",
        Before::Otherwise if approve => ", which was rejected before",
        Before::Otherwise => ", which was approved before",
    };
    let place = standing.dag.find(step);
    let waits = place.is_some_and(|place| standing.phase(place) == StepPhase::PendingApproval);
    let forgiven = place.is_some_and(|place| flow.spec.steps[place].continue_on_failure == Some(true));
    let effect = match (approve, waits, forgiven) {
        (true, true, _) => "the flow goes on",
        (true, false, _) => "the flow will not wait when it gets there",
        (false, _, true) => "the step fails, which continueOnFailure forgives",
        (false, true, false) => "the step fails, and the flow with it",
        (false, false, false) => "the step fails when the flow gets there, and the flow with it",
    };
    format!("{} {step} of {}{change} ({by}); {effect}", verb(approve), standing.name())
}

#[cfg(test)]
mod tests;
