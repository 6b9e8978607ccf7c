//! `headworks approve` and `headworks reject`: decide on a Manual step.

use std::io::Write;

use anyhow::{anyhow, bail};
use headworks::flows::api::{JobFlow, StepPhase};
use headworks::names::{APPROVED_BY_PREFIX, APPROVED_PREFIX};
use headworks::problem::suggest::did_you_mean;
use kube::api::{Patch, PatchParams};
use serde_json::json;

use super::cluster::{Connect, block_on, flow_name};
use super::exit_status::ExitStatus;
use super::flow_view::FlowView;
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

/// A decision on a Manual step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Decision {
    Approve,
    Reject,
}

impl Decision {
    /// The value of the annotation that records it.
    fn annotation(self) -> &'static str {
        match self {
            Self::Approve => "true",
            Self::Reject => "false",
        }
    }

    /// The phase of a step that was decided on so.
    fn phase(self) -> StepPhase {
        match self {
            Self::Approve => StepPhase::Succeeded,
            Self::Reject => StepPhase::Failed,
        }
    }

    fn verb(self) -> &'static str {
        match self {
            Self::Approve => "approved",
            Self::Reject => "rejected",
        }
    }
}

pub(super) fn run(args: &Args, decision: Decision, out: &mut dyn Write) -> anyhow::Result<ExitStatus> {
    let Args { flow, step, connect } = args;
    block_on(async {
        let cluster = connect.cluster().await?;
        for _ in 0..TRIES {
            let seen = cluster.flow(flow).await?;
            let Some(before) = judge(&seen, step, decision)? else {
                writeln!(out, "{}", already(&seen, step, decision))?;
                return Ok(ExitStatus::Sound);
            };
            // The resourceVersion makes it a conflict if two people decide at the same time: the second is told.
            let patch = json!({"metadata": {
                "resourceVersion": seen.metadata.resource_version,
                "annotations": {format!("{APPROVED_PREFIX}{step}"): decision.annotation()},
            }});
            let params =
                PatchParams { field_manager: Some("headworks-cli".to_owned()), ..PatchParams::default() };
            let flows = cluster.api::<JobFlow>();
            match cluster.patience(flows.patch(flow, &params, &Patch::Merge(&patch))).await? {
                Ok(decided) => {
                    writeln!(out, "{}", done(&decided, step, decision, &before))?;
                    return Ok(ExitStatus::Sound);
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
fn judge(flow: &JobFlow, step: &str, decision: Decision) -> anyhow::Result<Option<Before>> {
    let view = FlowView::new(flow);
    let name = view.name();
    let steps = &flow.spec.steps;
    let manual: Vec<&str> =
        steps.iter().filter(|step| step.is_manual()).map(|step| step.name.as_str()).collect();
    let offer = match manual[..] {
        [] => "it has no Manual steps".to_owned(),
        _ => format!("its Manual steps: {}", list(&manual, 10)),
    };
    let Some(index) = view.dag.find(step) else {
        let hint = did_you_mean(step, manual.iter().copied());
        let hint = hint.or_else(|| did_you_mean(step, steps.iter().map(|step| step.name.as_str())));
        bail!("{name} has no step {step:?}; {}", hint.unwrap_or(offer));
    };
    if !steps[index].is_manual() {
        bail!("the step {step:?} of {name} runs a Job, nobody has to approve it; {offer}");
    }
    let phase = view.phase(index);
    let by = view.status(index).and_then(|status| status.approved_by.as_deref());
    let by = by.map(|by| format!(" (decided by {})", clean(by))).unwrap_or_default();
    let same = phase == decision.phase();
    if phase.is_final() && !(same && is_decided(flow, step, decision)) {
        bail!("the step {step:?} of {name} is {} already{by}; that is final", phase.as_str());
    }
    if is_decided(flow, step, decision) {
        return Ok(None);
    }
    if let Some(over) = view.flow_phase().filter(|_| view.is_over()) {
        bail!("{name} is {} already; there is nothing left to decide", over.as_str());
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

fn is_decided(flow: &JobFlow, step: &str, decision: Decision) -> bool {
    annotation(flow, APPROVED_PREFIX, step) == Some(decision.annotation())
}

fn already(flow: &JobFlow, step: &str, decision: Decision) -> String {
    let by = annotation(flow, APPROVED_BY_PREFIX, step).map(|by| format!(", by {}", clean(by)));
    let name = FlowView::new(flow).name();
    format!("{step} of {name} is {} already{}", decision.verb(), by.unwrap_or_default())
}

/// The line that reports the decision and its effect.
fn done(flow: &JobFlow, step: &str, decision: Decision, before: &Before) -> String {
    let view = FlowView::new(flow);
    let by = match annotation(flow, APPROVED_BY_PREFIX, step) {
        Some(by) => format!("recorded as {}", clean(by)),
        None => "nobody recorded who: the webhook of headworks is not installed".to_owned(),
    };
    let change = match before {
        Before::Nothing => "",
        Before::Otherwise if decision == Decision::Approve => ", which was rejected before",
        Before::Otherwise => ", which was approved before",
    };
    let index = view.dag.find(step);
    let waits = index.is_some_and(|index| view.phase(index) == StepPhase::PendingApproval);
    let forgiven = index.is_some_and(|index| flow.spec.steps[index].continue_on_failure == Some(true));
    let effect = match (decision, waits, forgiven) {
        (Decision::Approve, true, _) => "the flow goes on",
        (Decision::Approve, false, _) => "the flow will not wait when it gets there",
        (Decision::Reject, _, true) => "the step fails, which continueOnFailure forgives",
        (Decision::Reject, true, false) => "the step fails, and the flow with it",
        (Decision::Reject, false, false) => "the step fails when the flow gets there, and the flow with it",
    };
    format!("{} {step} of {}{change} ({by}); {effect}", decision.verb(), view.name())
}

#[cfg(test)]
mod tests;
