//! PURE: a flow with its status, as commands show it.

use std::collections::HashMap;

use headworks::flows::api::{FlowPhase, JobFlow, StepPhase, StepStatus};
use headworks::flows::dag::Dag;
use headworks::flows::outline::step_retries;
use headworks::problem::suggest::did_you_mean;
use jiff::{SignedDuration, Timestamp};

use super::words::{clean, list};

/// The type of the condition of a flow that continues although its spec would be refused today.
const NO_LONGER_VALID: &str = "SpecNoLongerValid";

/// A flow and the statuses of its steps.
pub(crate) struct FlowView<'a> {
    pub(crate) flow: &'a JobFlow,
    pub(crate) dag: Dag<'a>,
    known: HashMap<&'a str, &'a StepStatus>,
}

/// The index of a step in its flow.
pub(crate) fn step_index(flow: &JobFlow, step: &str) -> anyhow::Result<usize> {
    let view = FlowView::new(flow);
    view.dag.find(step).ok_or_else(|| {
        let hint = did_you_mean(step, view.dag.names().iter().copied());
        let hint = hint.unwrap_or_else(|| format!("list them with: headworks status {}", view.argument()));
        anyhow::anyhow!("{} has no step {step:?}; {hint}", view.name())
    })
}

impl<'a> FlowView<'a> {
    pub(crate) fn new(flow: &'a JobFlow) -> Self {
        let steps = flow.status.iter().flat_map(|status| &status.steps);
        Self {
            flow,
            dag: Dag::new(&flow.spec.steps),
            known: steps.map(|step| (step.name.as_str(), step)).collect(),
        }
    }

    pub(crate) fn name(&self) -> &'a str {
        self.flow.metadata.name.as_deref().unwrap_or("(no name)")
    }

    pub(crate) fn namespace(&self) -> &'a str {
        self.flow.metadata.namespace.as_deref().unwrap_or("default")
    }

    /// `-n batch nightly`: how a command names this flow.
    pub(crate) fn argument(&self) -> String {
        format!("-n {} {}", self.namespace(), self.name())
    }

    /// `None` as long as nothing was written about the flow.
    pub(crate) fn flow_phase(&self) -> Option<FlowPhase> {
        self.flow.status.as_ref()?.phase
    }

    /// True once the flow will not change any more.
    pub(crate) fn is_over(&self) -> bool {
        self.flow_phase().is_some_and(FlowPhase::is_over)
    }

    /// A sentence about a flow that was admitted, and whose spec the rules of a newer version would refuse.
    pub(crate) fn no_longer_valid(&self) -> Option<String> {
        let conditions = &self.flow.status.as_ref()?.conditions;
        let condition = conditions.iter().find(|condition| condition.type_ == NO_LONGER_VALID)?;
        // headworks removes the condition once the spec is valid again, but another writer may set it to False.
        if condition.status != "True" {
            return None;
        }
        let continues = if self.is_over() { "" } else { "it continues, but " };
        let problems = clean(&condition.message);
        Some(format!("{NO_LONGER_VALID}: {continues}its spec would be refused today: {problems}"))
    }

    /// The time that the flow has been running, or ran.
    pub(crate) fn flow_took(&self, now: Timestamp) -> Option<SignedDuration> {
        let status = self.flow.status.as_ref()?;
        let end = status.completion_time.as_ref().map_or(now, |end| end.0);
        Some(end.duration_since(status.start_time.as_ref()?.0))
    }

    pub(crate) fn status(&self, step: usize) -> Option<&'a StepStatus> {
        self.known.get(self.dag.name(step)).copied()
    }

    pub(crate) fn phase(&self, step: usize) -> StepPhase {
        self.status(step).and_then(|status| status.phase).unwrap_or(StepPhase::Pending)
    }

    /// The time that a step has been running, or ran.
    pub(crate) fn took(&self, step: usize, now: Timestamp) -> Option<SignedDuration> {
        let status = self.status(step)?;
        let end = status.completion_time.as_ref().map_or(now, |end| end.0);
        Some(end.duration_since(status.start_time.as_ref()?.0))
    }

    /// The dependencies that are not final yet.
    pub(crate) fn unfinished(&self, step: usize) -> Vec<usize> {
        self.dag.dependencies(step).filter(|&dependency| !self.phase(dependency).is_final()).collect()
    }

    /// `attempt 2 of 4`, where there is more to tell than the first.
    pub(crate) fn attempt(&self, step: usize) -> Option<String> {
        let attempt = self.status(step)?.attempt.filter(|attempt| *attempt > 1)?;
        let most = step_retries(&self.flow.spec.steps[step]) + 1;
        Some(format!("attempt {attempt} of {most}"))
    }

    /// The time at which the next thing is due for a step that waits.
    pub(crate) fn due(&self, step: usize) -> Option<Timestamp> {
        if self.phase(step).is_final() {
            return None;
        }
        Some(self.status(step)?.waiting.as_ref()?.until.as_ref()?.0)
    }

    /// Details of a step beside its phase. They do not change with time alone.
    pub(crate) fn note(&self, step: usize) -> String {
        let spec = &self.flow.spec.steps[step];
        let Some(status) = self.status(step) else { return self.after(step).unwrap_or_default() };
        let mut notes = Vec::new();
        match self.phase(step) {
            StepPhase::Pending | StepPhase::Running => {
                notes.extend(self.attempt(step).into_iter().chain(self.waiting(step)));
            }
            StepPhase::PendingApproval => {
                notes.push(spec.message.as_deref().map_or_else(|| "waits for approval".to_owned(), clean));
            }
            StepPhase::Succeeded => {
                notes.extend(self.attempt(step));
                notes.extend(status.approved_by.as_deref().map(|by| format!("approved by {}", clean(by))));
            }
            StepPhase::Failed | StepPhase::Skipped | StepPhase::Cancelled | StepPhase::Unknown => {
                notes.extend(
                    status.exit_code.filter(|code| *code != 0).map(|code| format!("exit code {code}")),
                );
                notes.extend(self.attempt(step));
                notes.extend(ended(status));
                if self.phase(step) == StepPhase::Failed && spec.continue_on_failure == Some(true) {
                    notes.push("forgiven by continueOnFailure".to_owned());
                }
            }
        }
        notes.join("; ")
    }

    /// The condition that a step waits for.
    fn waiting(&self, step: usize) -> Option<String> {
        let Some(waiting) = self.status(step).and_then(|status| status.waiting.as_ref()) else {
            return self.after(step);
        };
        let said = waiting.message.as_deref().map(clean).filter(|said| !said.is_empty());
        Some(match (waiting.reason.as_str(), said) {
            ("Dependencies", said) => self.after(step).or(said).unwrap_or_else(|| "Dependencies".to_owned()),
            (reason, Some(said)) => format!("{}: {said}", clean(reason)),
            (reason, None) => clean(reason),
        })
    }

    /// `after load, check`: the dependencies that it waits for.
    fn after(&self, step: usize) -> Option<String> {
        let names: Vec<&str> = self.unfinished(step).into_iter().map(|step| self.dag.name(step)).collect();
        (self.phase(step) == StepPhase::Pending && !names.is_empty())
            .then(|| format!("after {}", list(&names, 5)))
    }
}

/// The reason for a step's end.
fn ended(status: &StepStatus) -> Option<String> {
    let said = status.message.as_deref().map(clean).filter(|said| !said.is_empty());
    let reason = match status.reason.as_deref() {
        // Reasons that say what they mean only to who knows the specification.
        Some("WhenFalse") => return Some(said.unwrap_or_else(|| "`when` was false".to_owned())),
        Some("UpstreamFailed") => {
            return Some(said.unwrap_or_else(|| "a step before it failed".to_owned()));
        }
        Some("FlowFailed") => return Some(said.unwrap_or_else(|| "the flow had failed".to_owned())),
        reason => reason.map(clean),
    };
    match (reason, said) {
        (Some(reason), Some(said)) => Some(format!("{reason}: {said}")),
        (reason, said) => reason.or(said),
    }
}
