//! Jobs that nobody has to look at again: what is known of them can be forgotten.

use std::collections::{HashMap, HashSet};

use super::model::JobSeen;
use super::policy::LARGE;
use super::reason::{is_final, was_stopped};
use crate::flows::api::{JobFlow, JobFlowStatus, StepPhase, StepStatus};
use crate::flows::eval;

/// The UIDs of Jobs whose steps are over, once `status` is written: it says all that is asked of them, and no step that
/// has still to end reads their result documents.
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
    // The status knows whose a Job is; its label, which others may change, is asked of those that it does not name.
    let named: HashMap<&str, &StepStatus> =
        status.steps.iter().filter_map(|step| Some((&*step.job_ref.as_ref()?.name, step))).collect();
    let told = |seen: &&JobSeen| {
        over.get(step_of(seen, &named)).is_some_and(|step| {
            // What was stopped is deleted until it is gone.
            let has_uid = step.job_ref.as_ref().is_some_and(|job| job.uid.is_some());
            (seen.gone.is_some() || !was_stopped(step)) && (has_uid || large)
        })
    };
    let mut told = jobs.filter(told).peekable();
    if told.peek().is_none() {
        return Vec::new();
    }
    let waiting = flow.spec.steps.iter().filter(|step| !over.contains_key(step.name.as_str()));
    let read: HashSet<&str> = waiting.flat_map(eval::sources).map(|(step, _)| step).collect();
    told.filter(|seen| !read.contains(step_of(seen, &named))).map(|seen| seen.job.uid.clone()).collect()
}

/// The step whose Job this is: that of the status, or else that of its label.
fn step_of<'a>(seen: &'a JobSeen, named: &HashMap<&str, &'a StepStatus>) -> &'a str {
    named.get(&*seen.job.name).map_or(&*seen.job.step, |step| step.name.as_str())
}

fn is_over(step: &StepStatus) -> bool {
    is_final(step.phase.unwrap_or(StepPhase::Pending))
}
