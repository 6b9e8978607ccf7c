//! Invariants of every plan, whatever happens around it.

use super::case::{Case, End};
use super::world::World;
use crate::flows::api::{FlowPhase, JobFlowStatus, StepPhase, StepStatus};
use crate::flows::plan::{Action, Needs, Plan};

/// Checks a plan against the status that it starts from.
pub(super) fn of_plan(world: &World<'_>, plan: &Plan) -> Result<(), String> {
    let (before, after) = (world.status(), &plan.status);
    if plan.needs != Needs::default() {
        return Err("something is needed that the flow does not have".to_owned());
    }
    if world.is_over() && before != *after {
        return Err(format!("a flow that is over changes to {after:?}"));
    }
    if before.start_time.is_some() && before.start_time != after.start_time {
        return Err("the start of the flow moves".to_owned());
    }
    for (i, step) in after.steps.iter().enumerate() {
        if step.name != Case::name(i) {
            return Err(format!("step {i} is called {}", step.name));
        }
        if let Some(old) = before.steps.get(i) {
            step_moves_forward(old, step)?;
            outcome_is_its_jobs(world, old, step)?;
        }
        starts_may_happen(world, before.steps.get(i), step, i, after)?;
    }
    if before.steps.len() > after.steps.len() || ![0, world.case.steps.len()].contains(&after.steps.len()) {
        return Err("steps are missing from the status".to_owned());
    }
    counts_agree(after)?;
    flow_phase_agrees(world, after)?;
    actions_are_sound(plan)
}

/// Checks a state in which nothing is left to do: no Job may run that should not.
pub(super) fn at_rest(world: &World<'_>) -> Result<(), String> {
    let status = world.status();
    for job in world.jobs.iter().filter(|job| job.is_live(world.now)) {
        let seen = job.created + job.manner.lag <= world.now;
        let step = &status.steps[job.step];
        let wanted = step.phase == Some(StepPhase::Running) && step.attempt == Some(job.attempt);
        if seen && !wanted {
            return Err(format!("{} is {:?} and its Job still runs", step.name, step.phase));
        }
    }
    for (i, step) in status.steps.iter().enumerate() {
        let job = world.jobs.iter().find(|job| job.step == i && Some(job.attempt) == step.attempt);
        if step.phase == Some(StepPhase::Running) && job.is_none_or(|job| job.has_shown_its_end(world.now)) {
            return Err(format!("{} is Running and its Job is over, or never was", step.name));
        }
    }
    let done = !status.steps.is_empty() && status.steps.iter().all(is_final);
    if done != world.is_over() {
        return Err(format!("all steps are done: {done}, and the flow is {:?}", status.phase));
    }
    Ok(())
}

fn is_final(step: &StepStatus) -> bool {
    use StepPhase::{Cancelled, Failed, Skipped, Succeeded};
    matches!(step.phase, Some(Succeeded | Failed | Skipped | Cancelled))
}

fn step_moves_forward(old: &StepStatus, new: &StepStatus) -> Result<(), String> {
    let name = &new.name;
    // The UID of the Job may be recorded late.
    let mut known = old.clone();
    if let (Some(job), Some(now)) = (&mut known.job_ref, &new.job_ref) {
        job.uid = job.uid.take().or_else(|| now.uid.clone());
    }
    if is_final(old) && known != *new {
        return Err(format!("{name} is final and changes from {old:?} to {new:?}"));
    }
    if old.attempt > new.attempt {
        return Err(format!("{name} goes back from attempt {:?} to {:?}", old.attempt, new.attempt));
    }
    if old.start_time.is_some() && old.start_time != new.start_time {
        return Err(format!("the start of {name} moves"));
    }
    if old.phase == Some(StepPhase::Running) && new.phase == old.phase && old.attempt != new.attempt {
        return Err(format!("{name} starts attempt {:?} without an end of the last", new.attempt));
    }
    if is_final(new) && new.completion_time.is_none() || !is_final(new) && new.completion_time.is_some() {
        return Err(format!("{name} is {:?} and completed at {:?}", new.phase, new.completion_time));
    }
    Ok(())
}

/// Checks that the outcome of a step is that of the Job that its status names, whatever other Jobs say.
fn outcome_is_its_jobs(world: &World<'_>, old: &StepStatus, new: &StepStatus) -> Result<(), String> {
    let Some(reference) = &new.job_ref else { return Ok(()) };
    let name = &new.name;
    let Some(job) = world.jobs.iter().find(|job| job.name == reference.name) else {
        return match &reference.uid {
            Some(uid) => Err(format!("{name} names the Job {uid}, and there never was one")),
            None => Ok(()),
        };
    };
    if reference.uid.as_ref().is_some_and(|uid| *uid != job.uid) {
        return Err(format!("{name} names the Job {reference:?}, and it is {}", job.uid));
    }
    let ended =
        old.phase == Some(StepPhase::Running) && old.job_ref.as_ref().is_some_and(|old| old.name == job.name);
    let end = match (new.phase, new.reason.as_deref()) {
        (Some(StepPhase::Succeeded), _) => End::Success,
        (Some(StepPhase::Failed | StepPhase::Pending), Some("JobLost")) => End::Lost,
        (Some(StepPhase::Failed | StepPhase::Pending), Some("BackoffLimitExceeded" | "DeadlineExceeded")) => {
            End::Failure
        }
        _ => return Ok(()),
    };
    if ended && (job.end != end || !job.has_shown_its_end(world.now)) {
        return Err(format!(
            "{name} is reported to have ended in {end:?}, and its Job ended in {:?}",
            job.end
        ));
    }
    Ok(())
}

/// Checks that a step may start if this plan starts it.
fn starts_may_happen(
    world: &World<'_>,
    old: Option<&StepStatus>,
    new: &StepStatus,
    i: usize,
    after: &JobFlowStatus,
) -> Result<(), String> {
    use StepPhase::{PendingApproval, Running};
    let old = old.and_then(|old| old.phase);
    let starts = old != new.phase && matches!(new.phase, Some(Running | PendingApproval));
    if !starts {
        return Ok(());
    }
    if world.is_suspended() {
        return Err(format!("{} starts while the flow is suspended", new.name));
    }
    for &dependency in &world.case.steps[i].after {
        let step = &after.steps[dependency];
        let good = match step.phase {
            Some(StepPhase::Succeeded) => true,
            Some(StepPhase::Failed) => world.case.steps[dependency].tolerated,
            Some(StepPhase::Skipped) => {
                !matches!(step.reason.as_deref(), Some("UpstreamFailed" | "FlowFailed"))
            }
            _ => false,
        };
        if !good {
            return Err(format!("{} starts and {} is {:?}", new.name, step.name, step.phase));
        }
    }
    Ok(())
}

fn counts_agree(status: &JobFlowStatus) -> Result<(), String> {
    let Some(progress) = &status.progress else {
        return if status.steps.is_empty() { Ok(()) } else { Err("no progress".to_owned()) };
    };
    let count = |wanted: &dyn Fn(&StepStatus) -> bool| {
        i64::try_from(status.steps.iter().filter(|step| wanted(step)).count()).expect("few")
    };
    let phase = |phase: StepPhase| count(&|step| step.phase == Some(phase));
    let expected = [
        (progress.completed_steps, count(&is_final), "completedSteps"),
        (progress.successful_steps, phase(StepPhase::Succeeded), "successfulSteps"),
        (progress.failed_steps, phase(StepPhase::Failed), "failedSteps"),
        (progress.skipped_steps, phase(StepPhase::Skipped), "skippedSteps"),
        (progress.running_steps, phase(StepPhase::Running), "runningSteps"),
    ];
    match expected.iter().find(|(stated, counted, _)| stated != counted) {
        Some((stated, counted, name)) => Err(format!("{name} is {stated}, and there are {counted}")),
        None => Ok(()),
    }
}

fn flow_phase_agrees(world: &World<'_>, status: &JobFlowStatus) -> Result<(), String> {
    let running = status.steps.iter().filter(|step| step.phase == Some(StepPhase::Running)).count();
    if world.case.parallelism.is_some_and(|most| i64::try_from(running).expect("few") > most) {
        return Err(format!("{running} steps run at the same time"));
    }
    let over = matches!(status.phase, Some(FlowPhase::Succeeded | FlowPhase::Failed));
    if over != status.completion_time.is_some() {
        return Err(format!("the flow is {:?}, completed at {:?}", status.phase, status.completion_time));
    }
    let asks = status.steps.iter().any(|step| step.phase == Some(StepPhase::PendingApproval));
    match status.phase {
        Some(FlowPhase::Suspended) if !world.is_suspended() => Err("Suspended, and it is not".to_owned()),
        Some(FlowPhase::Running | FlowPhase::Paused) if world.is_suspended() => {
            Err("suspended, and its phase does not say so".to_owned())
        }
        Some(FlowPhase::Paused) if !asks || running > 0 => {
            Err(format!("Paused with {running} running, asking: {asks}"))
        }
        None => Err("no phase".to_owned()),
        _ => Ok(()),
    }
}

fn actions_are_sound(plan: &Plan) -> Result<(), String> {
    let mut created = Vec::new();
    for action in &plan.actions {
        let Action::CreateJob { step, attempt, .. } = action else { continue };
        let status = &plan.status.steps[*step];
        if status.phase != Some(StepPhase::Running) || status.attempt != Some(*attempt) {
            return Err(format!(
                "attempt {attempt} at {} is made, and its status says otherwise",
                status.name
            ));
        }
        if created.contains(step) {
            return Err(format!("two Jobs for {}", status.name));
        }
        created.push(*step);
    }
    Ok(())
}
