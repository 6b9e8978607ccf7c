//! Jobs that no later plan needs: their details can be dropped from memory.

use std::collections::{HashMap, HashSet};

use super::model::JobSeen;
use super::policy::LARGE;
use super::reason::was_stopped;
use crate::flows::api::{JobFlow, JobFlowStatus, StepPhase, StepStatus};
use crate::flows::eval;

/// Returns the UIDs of Jobs whose steps have ended, once `status` is written: the status then holds everything needed,
/// and no unfinished step reads their results.
pub fn prunable<'j>(
    flow: &JobFlow,
    status: &JobFlowStatus,
    jobs: impl IntoIterator<Item = &'j JobSeen>,
) -> Vec<Box<str>> {
    let mut jobs = jobs.into_iter().peekable();
    if jobs.peek().is_none() {
        return Vec::new();
    }
    let large = status.steps.len() > LARGE;
    let over: HashMap<&str, &StepStatus> =
        status.steps.iter().filter(|step| is_over(step)).map(|step| (step.name.as_str(), step)).collect();
    // The status names the Job of a step. Only a Job that it does not name is matched by its label, which anybody may
    // change.
    let named: HashMap<&str, &StepStatus> =
        status.steps.iter().filter_map(|step| Some((&*step.job_ref.as_ref()?.name, step))).collect();
    let recorded = |seen: &&JobSeen| {
        over.get(step_of(seen, &named)).is_some_and(|step| {
            // The deletion of a stopped step's Job is repeated until the Job is gone, so it is needed until then.
            let has_uid = step.job_ref.as_ref().is_some_and(|job| job.uid.is_some());
            (seen.gone.is_some() || !was_stopped(step)) && (has_uid || large)
        })
    };
    let mut recorded = jobs.filter(recorded).peekable();
    if recorded.peek().is_none() {
        return Vec::new();
    }
    let unfinished = flow.spec.steps.iter().filter(|step| !over.contains_key(step.name.as_str()));
    let read: HashSet<&str> = unfinished.flat_map(eval::sources).map(|(step, _)| step).collect();
    recorded.filter(|seen| !read.contains(step_of(seen, &named))).map(|seen| seen.job.uid.clone()).collect()
}

/// The step that a Job belongs to: by the status, or else by its label.
fn step_of<'a>(seen: &'a JobSeen, named: &HashMap<&str, &'a StepStatus>) -> &'a str {
    named.get(&*seen.job.name).map_or(&*seen.job.step, |step| step.name.as_str())
}

fn is_over(step: &StepStatus) -> bool {
    step.phase.is_some_and(StepPhase::is_final)
}
