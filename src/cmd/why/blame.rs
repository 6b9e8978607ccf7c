//! PURE: the reason why a step stands where it stands, and the cure.

use std::collections::BTreeSet;

use headworks::flows::api::{StepPhase, StepStatus};
use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;

use super::pods::trouble;
use super::seen::Seen;
use crate::cmd::standing::{Standing, flow_word, word};
use crate::cmd::words::{clean, list, span};

/// A reason and what to do about it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Blame {
    pub(super) why: String,
    /// Sentences and commands, the best first.
    pub(super) cures: Vec<String>,
    /// Whether the logs tell more.
    pub(super) logs: bool,
}

impl Blame {
    pub(super) fn new(why: impl Into<String>) -> Self {
        Self { why: why.into(), ..Self::default() }
    }

    pub(super) fn cure(mut self, cure: impl Into<String>) -> Self {
        self.cures.push(cure.into());
        self
    }

    pub(super) fn logs(mut self) -> Self {
        self.logs = true;
        self
    }
}

/// Why `step` stands where it stands.
pub(super) fn blame(standing: &Standing<'_>, step: usize, seen: &Seen, now: Timestamp) -> Blame {
    let Some(phase) = standing.flow_phase() else {
        return Blame::new("headworks has not looked at this flow")
            .cure("does it run? kubectl -n headworks-system get pods");
    };
    let empty = StepStatus::default();
    let status = standing.status(step).unwrap_or(&empty);
    let mut blame = match standing.phase(step) {
        StepPhase::Pending => pending(standing, step, status, now),
        StepPhase::Running => running(standing, step, status, seen, now),
        StepPhase::PendingApproval => approval(standing, step, status, now),
        StepPhase::Succeeded => succeeded(status),
        StepPhase::Failed => failed(standing, step, status, seen),
        StepPhase::Skipped | StepPhase::Cancelled => passed_over(standing, step, status),
        StepPhase::Unknown => Blame::new("its phase was written by another version of headworks")
            .cure("ask with the headworks that runs in the cluster: headworks --version"),
    };
    if blame.why.is_empty() {
        blame.why = format!("nothing more is known; the flow is {}", flow_word(phase));
    }
    if blame.logs {
        let command = format!("headworks logs {} {}", standing.argument(), standing.dag.name(step));
        blame.cures.insert(0, command);
    }
    blame
}

fn pending(standing: &Standing<'_>, step: usize, status: &StepStatus, now: Timestamp) -> Blame {
    let waiting = status.waiting.as_ref();
    let said =
        waiting.and_then(|waiting| waiting.message.as_deref()).map(clean).filter(|said| !said.is_empty());
    let with = |text: &str| said.as_ref().map_or_else(|| text.to_owned(), |said| format!("{text}: {said}"));
    let argument = standing.argument();
    let patch =
        |spec: &str| format!("kubectl patch jobflow {argument} --type=merge -p '{{\"spec\":{spec}}}'");
    let due = standing.due(step).filter(|due| *due > now);
    let due = due.map(|due| format!(", in {}", span(due.duration_since(now)))).unwrap_or_default();
    match waiting.map(|waiting| waiting.reason.as_str()) {
        Some("Suspended") => {
            Blame::new(with("the flow is suspended")).cure(format!("go on: {}", patch("{\"suspend\":false}")))
        }
        Some("Concurrency") => Blame::new(with("another flow of the same concurrencyKey goes first"))
            .cure("wait for it, or delete it"),
        Some("Parallelism") => Blame::new(with("as many steps run as executionPolicy.parallelism allows"))
            .cure("wait, or allow more")
            .cure(patch("{\"executionPolicy\":{\"parallelism\":N}}")),
        Some("Retry") => Blame::new(format!("{}{due}", with("it waits for its next attempt"))).logs(),
        Some("Quota") => Blame::new(with("the namespace's quota is used up"))
            .cure("free some, or have it raised; it is tried again by itself")
            .cure(format!("kubectl -n {} describe resourcequota", standing.namespace())),
        Some("Reference") if said.as_ref().is_some_and(|said| said.contains("may not read")) => {
            Blame::new(with("a ConfigMap or Secret cannot be read"))
                .cure("grant the right; the step starts by itself then")
        }
        Some("Reference") => {
            Blame::new(with("a ConfigMap or Secret that it reads is missing, or cannot be read"))
                .cure("create it, or correct what the message names; the step then starts by itself")
        }
        Some("Unavailable") => {
            Blame::new(format!("{}{due}", with("the API server did not take its Job, and is asked again")))
        }
        reason => match blockers(standing, step) {
            blockers if !blockers.is_empty() => waits_for(standing, &blockers, now),
            _ => match reason {
                Some(reason) => Blame::new(with(&clean(reason))),
                None => Blame::new("nothing keeps it: it is about to start"),
            },
        },
    }
}

/// The unfinished ancestors that wait for no other step: what all the waiting comes down to.
fn blockers(standing: &Standing<'_>, step: usize) -> Vec<usize> {
    let (mut seen, mut found, mut stack) = (BTreeSet::new(), BTreeSet::new(), standing.unfinished(step));
    while let Some(step) = stack.pop() {
        if !seen.insert(step) {
            continue;
        }
        match standing.unfinished(step) {
            none if none.is_empty() => _ = found.insert(step),
            more => stack.extend(more),
        }
    }
    found.into_iter().collect()
}

fn waits_for(standing: &Standing<'_>, blockers: &[usize], now: Timestamp) -> Blame {
    let told: Vec<String> = blockers
        .iter()
        .map(|&step| {
            let since =
                standing.took(step, now).map(|took| format!(" for {}", span(took))).unwrap_or_default();
            format!("{} ({}{since})", standing.dag.name(step), word(standing.phase(step)))
        })
        .collect();
    let told: Vec<&str> = told.iter().map(String::as_str).collect();
    let mut blame = Blame::new(format!("it waits for {}", list(&told, 5)));
    for &step in blockers.iter().take(3) {
        let name = standing.dag.name(step);
        blame = blame.cure(match standing.phase(step) {
            StepPhase::PendingApproval => format!("headworks approve {} {name}", standing.argument()),
            _ => format!("headworks why {} {name}", standing.argument()),
        });
    }
    blame
}

fn running(standing: &Standing<'_>, step: usize, status: &StepStatus, seen: &Seen, now: Timestamp) -> Blame {
    if let Some(blame) = seen.pods.iter().rev().find_map(|pod| trouble(pod, seen.last_job(), &seen.events)) {
        return blame;
    }
    if let Some(waiting) = &status.waiting {
        let said = waiting.message.as_deref().map(|said| format!(": {}", clean(said))).unwrap_or_default();
        return Blame::new(format!("{}{said}", clean(&waiting.reason)));
    }
    let Some(last) = seen.attempts.last() else {
        // A look that was refused tells nothing.
        return if seen.unread.is_empty() {
            Blame::new("its Job is about to be created")
        } else {
            Blame::new("its Job may not be looked at")
        };
    };
    if last.job.spec.as_ref().is_some_and(|spec| spec.suspend == Some(true)) {
        return Blame::new("its Job is suspended").cure(format!(
            "kubectl -n {} patch job {} --type=merge -p '{{\"spec\":{{\"suspend\":false}}}}'",
            standing.namespace(),
            last.job.metadata.name.as_deref().unwrap_or_default()
        ));
    }
    if seen.pods.is_empty() {
        let refused = seen.events.iter().rev().find(|event| event.reason.as_deref() == Some("FailedCreate"));
        return match refused.and_then(|event| event.message.as_deref()) {
            Some(said) => Blame::new(format!("its pod cannot be created: {}", clean(said)))
                .cure("mend what refuses it: a quota, an admission webhook, or the step's template"),
            None => Blame::new("its Job has no pod yet"),
        };
    }
    let took = standing.took(step, now).map(|took| format!(" for {}", span(took))).unwrap_or_default();
    let blame = Blame::new(format!("it runs{took}, and nothing is wrong with its pods")).logs();
    match standing.flow.spec.steps[step].timeout_seconds {
        Some(limit) => blame.cure(format!("it is ended after {limit} s (timeoutSeconds)")),
        None => blame,
    }
}

fn approval(standing: &Standing<'_>, step: usize, status: &StepStatus, now: Timestamp) -> Blame {
    let asks = standing.flow.spec.steps[step].message.as_deref();
    let asks = asks.map(|asks| format!(": {}", clean(asks))).unwrap_or_default();
    let until = status.waiting.as_ref().and_then(|waiting| waiting.until.as_ref()).map(|until| until.0);
    let until = until
        .filter(|until| *until > now)
        .map(|until| format!("; it fails in {} (timeoutSeconds)", span(until.duration_since(now))));
    let (argument, name) = (standing.argument(), standing.dag.name(step));
    Blame::new(format!("somebody has to approve it{asks}{}", until.unwrap_or_default()))
        .cure(format!("headworks approve {argument} {name}"))
        .cure(format!("headworks reject {argument} {name}"))
}

fn succeeded(status: &StepStatus) -> Blame {
    Blame::new(match &status.approved_by {
        Some(by) => format!("it was approved by {}", clean(by)),
        None => "it did what it should".to_owned(),
    })
}

fn failed(standing: &Standing<'_>, step: usize, status: &StepStatus, seen: &Seen) -> Blame {
    let said = status.message.as_deref().map(clean).filter(|said| !said.is_empty());
    let reason = status.reason.as_deref().unwrap_or_default();
    let told = match (reason, said) {
        ("", None) => String::new(),
        ("", Some(said)) => said,
        (reason, None) => clean(reason),
        (reason, Some(said)) => format!("{}: {said}", clean(reason)),
    };
    let again = "a step that failed stays so; mend it and create the flow anew";
    match reason {
        "JobLost" => {
            Blame::new(told)
                .cure("find out who deleted it: the API server's audit log knows; a policy may do so to every Job that ends")
                .cure(again)
        }
        "NameConflict" => Blame::new(told).cure("delete or rename that object").cure(again),
        "JobRefused" => Blame::new(told).cure("mend the step's template").cure(again),
        "Rejected" => Blame::new(told),
        "StepTimeout" => {
            let limit = standing.flow.spec.steps[step].timeout_seconds;
            let limit = limit.map(|limit| format!(" (timeoutSeconds: {limit})")).unwrap_or_default();
            Blame::new(format!("{told}{limit}")).cure("give it more time, or let it do less").logs()
        }
        _ => {
            let mut blame = seen.pods.iter().rev().find_map(|pod| trouble(pod, seen.last_job(), &seen.events));
            if let (Some(blame), false) = (&mut blame, told.is_empty()) {
                blame.why = format!("{told}; {}", blame.why);
            }
            let fallback = match status.exit_code {
                Some(code) if code != 0 => format!("{told} (exit code {code})").trim().to_owned(),
                _ => told,
            };
            let blame = blame.unwrap_or_else(|| Blame::new(fallback));
            if seen.attempts.is_empty() { blame } else { blame.logs() }
        }
    }
}

fn passed_over(standing: &Standing<'_>, step: usize, status: &StepStatus) -> Blame {
    let mut blame = Blame::new(standing.note(step));
    if status.reason.as_deref() == Some("WhenFalse") {
        blame.why += "; the expression and what it saw stand below";
        return blame;
    }
    // Back to where it began.
    let (mut seen, mut stack) = (BTreeSet::new(), vec![step]);
    while let Some(step) = stack.pop() {
        for before in standing.dag.dependencies(step).filter(|&before| seen.insert(before)) {
            match standing.phase(before) {
                StepPhase::Failed | StepPhase::Cancelled => {
                    let name = standing.dag.name(before);
                    blame = blame.cure(format!("headworks why {} {name}", standing.argument()));
                }
                StepPhase::Skipped => stack.push(before),
                _ => {}
            }
        }
    }
    if blame.cures.is_empty() && matches!(status.reason.as_deref(), Some("FlowFailed" | "UpstreamFailed")) {
        let forgiven = |step: usize| standing.flow.spec.steps[step].continue_on_failure == Some(true);
        let first = (0..standing.dag.len())
            .find(|&step| standing.phase(step) == StepPhase::Failed && !forgiven(step));
        if let Some(first) = first {
            blame = blame.cure(format!("headworks why {} {}", standing.argument(), standing.dag.name(first)));
        }
    }
    blame
}

/// What a Job says of itself.
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
