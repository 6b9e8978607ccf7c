//! PURE: finds the reason for a step's phase, and the fixes.

use std::collections::BTreeSet;

use headworks::flows::api::{StepPhase, StepStatus};
use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;

use super::diagnosis::Diagnosis;
use super::pods::trouble;
use super::seen::Seen;
use crate::cmd::flow_view::FlowView;
use crate::cmd::words::{clean, list, span};

/// Finds the reason for the phase of `step`.
pub(super) fn diagnose(view: &FlowView<'_>, step: usize, seen: &Seen, now: Timestamp) -> Diagnosis {
    let Some(phase) = view.flow_phase() else {
        return Diagnosis::new("headworks has not looked at this flow")
            .fix("does it run? kubectl -n headworks-system get pods");
    };
    let empty = StepStatus::default();
    let status = view.status(step).unwrap_or(&empty);
    let mut diagnosis = match view.phase(step) {
        StepPhase::Pending => pending(view, step, status, now),
        StepPhase::Running => running(view, step, status, seen, now),
        StepPhase::PendingApproval => approval(view, step, status, now),
        StepPhase::Succeeded => succeeded(status),
        StepPhase::Failed => failed(view, step, status, seen),
        StepPhase::Skipped | StepPhase::Cancelled => passed_over(view, step, status),
        StepPhase::Unknown => Diagnosis::new("its phase was written by another version of headworks")
            .fix("ask with the headworks that runs in the cluster: headworks --version"),
    };
    if diagnosis.why.is_empty() {
        diagnosis.why = format!("nothing more is known; the flow is {}", phase.as_str());
    }
    if diagnosis.logs {
        let command = format!("headworks logs {} {}", view.argument(), view.dag.name(step));
        diagnosis.fixes.insert(0, command);
    }
    diagnosis
}

fn pending(view: &FlowView<'_>, step: usize, status: &StepStatus, now: Timestamp) -> Diagnosis {
    let waiting = status.waiting.as_ref();
    let said =
        waiting.and_then(|waiting| waiting.message.as_deref()).map(clean).filter(|said| !said.is_empty());
    let with = |text: &str| said.as_ref().map_or_else(|| text.to_owned(), |said| format!("{text}: {said}"));
    let argument = view.argument();
    let patch =
        |spec: &str| format!("kubectl patch jobflow {argument} --type=merge -p '{{\"spec\":{spec}}}'");
    let due = view.due(step).filter(|due| *due > now);
    let due = due.map(|due| format!(", in {}", span(due.duration_since(now)))).unwrap_or_default();
    match waiting.map(|waiting| waiting.reason.as_str()) {
        Some("Suspended") => Diagnosis::new(with("the flow is suspended"))
            .fix(format!("go on: {}", patch("{\"suspend\":false}"))),
        Some("Concurrency") => Diagnosis::new(with("another flow of the same concurrencyKey goes first"))
            .fix("wait for it, or delete it"),
        Some("Parallelism") => {
            Diagnosis::new(with("as many steps run as executionPolicy.parallelism allows"))
                .fix("wait, or allow more")
                .fix(patch("{\"executionPolicy\":{\"parallelism\":N}}"))
        }
        Some("Retry") => Diagnosis::new(format!("{}{due}", with("it waits for its next attempt"))).logs(),
        Some("Quota") => Diagnosis::new(with("the namespace's quota is used up"))
            .fix("free some, or have it raised; it is tried again by itself")
            .fix(format!("kubectl -n {} describe resourcequota", view.namespace())),
        Some("Reference") if said.as_ref().is_some_and(|said| said.contains("may not read")) => {
            Diagnosis::new(with("a ConfigMap or Secret cannot be read"))
                .fix("grant the right; the step starts by itself then")
        }
        Some("Reference") => {
            Diagnosis::new(with("a ConfigMap or Secret that it reads is missing, or cannot be read"))
                .fix("create it, or correct what the message names; the step then starts by itself")
        }
        Some("Unavailable") => Diagnosis::new(format!(
            "{}{due}",
            with("the API server did not take its Job, and is asked again")
        )),
        reason => match blockers(view, step) {
            blockers if !blockers.is_empty() => waits_for(view, &blockers, now),
            _ => match reason {
                Some(reason) => Diagnosis::new(with(&clean(reason))),
                None => Diagnosis::new("nothing keeps it: it is about to start"),
            },
        },
    }
}

/// The unfinished ancestors that wait for no other step: what all the waiting comes down to.
fn blockers(view: &FlowView<'_>, step: usize) -> Vec<usize> {
    let (mut seen, mut found, mut stack) = (BTreeSet::new(), BTreeSet::new(), view.unfinished(step));
    while let Some(step) = stack.pop() {
        if !seen.insert(step) {
            continue;
        }
        match view.unfinished(step) {
            none if none.is_empty() => _ = found.insert(step),
            more => stack.extend(more),
        }
    }
    found.into_iter().collect()
}

fn waits_for(view: &FlowView<'_>, blockers: &[usize], now: Timestamp) -> Diagnosis {
    let names: Vec<String> = blockers
        .iter()
        .map(|&step| {
            let since = view.took(step, now).map(|took| format!(" for {}", span(took))).unwrap_or_default();
            format!("{} ({}{since})", view.dag.name(step), view.phase(step).as_str())
        })
        .collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut diagnosis = Diagnosis::new(format!("it waits for {}", list(&names, 5)));
    for &step in blockers.iter().take(3) {
        let name = view.dag.name(step);
        diagnosis = diagnosis.fix(match view.phase(step) {
            StepPhase::PendingApproval => format!("headworks approve {} {name}", view.argument()),
            _ => format!("headworks why {} {name}", view.argument()),
        });
    }
    diagnosis
}

fn running(view: &FlowView<'_>, step: usize, status: &StepStatus, seen: &Seen, now: Timestamp) -> Diagnosis {
    if let Some(diagnosis) =
        seen.pods.iter().rev().find_map(|pod| trouble(pod, seen.last_job(), &seen.events))
    {
        return diagnosis;
    }
    if let Some(waiting) = &status.waiting {
        let said = waiting.message.as_deref().map(|said| format!(": {}", clean(said))).unwrap_or_default();
        return Diagnosis::new(format!("{}{said}", clean(&waiting.reason)));
    }
    let Some(last) = seen.attempts.last() else {
        // If the Jobs could not be read, their absence means nothing.
        return if seen.unread.is_empty() {
            Diagnosis::new("its Job is about to be created")
        } else {
            Diagnosis::new("its Job may not be looked at")
        };
    };
    if last.job.spec.as_ref().is_some_and(|spec| spec.suspend == Some(true)) {
        return Diagnosis::new("its Job is suspended").fix(format!(
            "kubectl -n {} patch job {} --type=merge -p '{{\"spec\":{{\"suspend\":false}}}}'",
            view.namespace(),
            last.job.metadata.name.as_deref().unwrap_or_default()
        ));
    }
    if seen.pods.is_empty() {
        let refused = seen.events.iter().rev().find(|event| event.reason.as_deref() == Some("FailedCreate"));
        return match refused.and_then(|event| event.message.as_deref()) {
            Some(said) => Diagnosis::new(format!("its pod cannot be created: {}", clean(said)))
                .fix("mend what refuses it: a quota, an admission webhook, or the step's template"),
            None => Diagnosis::new("its Job has no pod yet"),
        };
    }
    let took = view.took(step, now).map(|took| format!(" for {}", span(took))).unwrap_or_default();
    let diagnosis = Diagnosis::new(format!("it runs{took}, and nothing is wrong with its pods")).logs();
    match view.flow.spec.steps[step].timeout_seconds {
        Some(limit) => diagnosis.fix(format!("it is ended after {limit} s (timeoutSeconds)")),
        None => diagnosis,
    }
}

fn approval(view: &FlowView<'_>, step: usize, status: &StepStatus, now: Timestamp) -> Diagnosis {
    let asks = view.flow.spec.steps[step].message.as_deref();
    let asks = asks.map(|asks| format!(": {}", clean(asks))).unwrap_or_default();
    let until = status.waiting.as_ref().and_then(|waiting| waiting.until.as_ref()).map(|until| until.0);
    let until = until
        .filter(|until| *until > now)
        .map(|until| format!("; it fails in {} (timeoutSeconds)", span(until.duration_since(now))));
    let (argument, name) = (view.argument(), view.dag.name(step));
    Diagnosis::new(format!("somebody has to approve it{asks}{}", until.unwrap_or_default()))
        .fix(format!("headworks approve {argument} {name}"))
        .fix(format!("headworks reject {argument} {name}"))
}

fn succeeded(status: &StepStatus) -> Diagnosis {
    Diagnosis::new(match &status.approved_by {
        Some(by) => format!("it was approved by {}", clean(by)),
        None => "it succeeded".to_owned(),
    })
}

fn failed(view: &FlowView<'_>, step: usize, status: &StepStatus, seen: &Seen) -> Diagnosis {
    let said = status.message.as_deref().map(clean).filter(|said| !said.is_empty());
    let reason = status.reason.as_deref().unwrap_or_default();
    let message = match (reason, said) {
        ("", None) => String::new(),
        ("", Some(said)) => said,
        (reason, None) => clean(reason),
        (reason, Some(said)) => format!("{}: {said}", clean(reason)),
    };
    let again = "a failed step is final; fix the flow and create it again";
    match reason {
        "JobLost" => {
            Diagnosis::new(message)
                .fix("find out who deleted it: the API server's audit log knows; a policy may do so to every Job that ends")
                .fix(again)
        }
        "NameConflict" => Diagnosis::new(message).fix("delete or rename that object").fix(again),
        "JobRefused" => Diagnosis::new(message).fix("mend the step's template").fix(again),
        "Rejected" => Diagnosis::new(message),
        "StepTimeout" => {
            let limit = view.flow.spec.steps[step].timeout_seconds;
            let limit = limit.map(|limit| format!(" (timeoutSeconds: {limit})")).unwrap_or_default();
            Diagnosis::new(format!("{message}{limit}")).fix("give it more time, or let it do less").logs()
        }
        _ => {
            let mut diagnosis = seen.pods.iter().rev().find_map(|pod| trouble(pod, seen.last_job(), &seen.events));
            if let (Some(diagnosis), false) = (&mut diagnosis, message.is_empty()) {
                diagnosis.why = format!("{message}; {}", diagnosis.why);
            }
            let fallback = match status.exit_code {
                Some(code) if code != 0 => format!("{message} (exit code {code})").trim().to_owned(),
                _ => message,
            };
            let diagnosis = diagnosis.unwrap_or_else(|| Diagnosis::new(fallback));
            if seen.attempts.is_empty() { diagnosis } else { diagnosis.logs() }
        }
    }
}

fn passed_over(view: &FlowView<'_>, step: usize, status: &StepStatus) -> Diagnosis {
    let mut diagnosis = Diagnosis::new(view.note(step));
    if status.reason.as_deref() == Some("WhenFalse") {
        diagnosis.why += "; the expression and what it saw stand below";
        return diagnosis;
    }
    // Back to where it began.
    let (mut seen, mut stack) = (BTreeSet::new(), vec![step]);
    while let Some(step) = stack.pop() {
        for before in view.dag.dependencies(step).filter(|&before| seen.insert(before)) {
            match view.phase(before) {
                StepPhase::Failed | StepPhase::Cancelled => {
                    let name = view.dag.name(before);
                    diagnosis = diagnosis.fix(format!("headworks why {} {name}", view.argument()));
                }
                StepPhase::Skipped => stack.push(before),
                _ => {}
            }
        }
    }
    if diagnosis.fixes.is_empty() && matches!(status.reason.as_deref(), Some("FlowFailed" | "UpstreamFailed"))
    {
        let forgiven = |step: usize| view.flow.spec.steps[step].continue_on_failure == Some(true);
        let first =
            (0..view.dag.len()).find(|&step| view.phase(step) == StepPhase::Failed && !forgiven(step));
        if let Some(first) = first {
            diagnosis = diagnosis.fix(format!("headworks why {} {}", view.argument(), view.dag.name(first)));
        }
    }
    diagnosis
}

/// The state of a Job by its own status.
pub(super) fn job_state(job: &Job) -> String {
    let Some(status) = &job.status else { return "just created".to_owned() };
    let on = |kind: &str| {
        let conditions = status.conditions.iter().flatten();
        conditions.into_iter().find(|condition| condition.type_ == kind && condition.status == "True")
    };
    if let Some(failed) = on("Failed") {
        let reason = failed.reason.as_deref().map(clean).unwrap_or_default();
        return format!("Failed  {reason}").trim_end().to_owned();
    }
    if on("Complete").is_some() {
        return "Complete".to_owned();
    }
    let count = |n: Option<i32>, what: &str| n.filter(|n| *n > 0).map(|n| format!("{n} {what}"));
    let counts = [
        count(status.active, "active"),
        count(status.succeeded, "succeeded"),
        count(status.failed, "failed"),
    ];
    let counts: Vec<String> = counts.into_iter().flatten().collect();
    if counts.is_empty() { "no pods".to_owned() } else { counts.join(", ") }
}
