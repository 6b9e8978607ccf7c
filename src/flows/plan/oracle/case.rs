//! A case: a flow, and the script that its Jobs and approvers follow.
//!
//! Steps are known by their index. Times of the script are milliseconds since the flow was created.

use std::fmt;

use crate::flows::api::{BackoffType, OnStepFailure, StepPhase};

/// A flow and its script.
#[derive(Clone, Debug, Default)]
pub(super) struct Case {
    pub(super) steps: Vec<Step>,
    pub(super) backoff_limit: Option<i64>,
    pub(super) parallelism: Option<i64>,
    /// `activeDeadlineSeconds`.
    pub(super) deadline: Option<i64>,
    pub(super) reaction: Option<OnStepFailure>,
    /// The times in which `suspend` is true: from the first instant until before the second. Ascending, with gaps.
    pub(super) suspended: Vec<(i64, i64)>,
    /// `ttlSecondsAfterFinished`.
    pub(super) ttl: Option<i64>,
}

/// A step and its script.
#[derive(Clone, Debug, Default)]
pub(super) struct Step {
    pub(super) manual: bool,
    pub(super) after: Vec<usize>,
    pub(super) when: Option<When>,
    pub(super) tolerated: bool,
    /// `timeoutSeconds`.
    pub(super) timeout: Option<i64>,
    pub(super) retry: Option<Retry>,
    /// `backoffLimit` of the Job's template.
    pub(super) job_backoff_limit: Option<i64>,
    /// The attempts; the last entry stands for all that follow. Without any: a second, and success.
    pub(super) attempts: Vec<Attempt>,
    /// The time at which the flow is annotated with a decision on this step, and the decision.
    pub(super) verdict: Option<(i64, bool)>,
}

/// A `when`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum When {
    Always,
    Never,
    /// True if an earlier step has this phase.
    Is(usize, StepPhase),
    /// True if it has another one.
    IsNot(usize, StepPhase),
}

/// A `retryPolicy`; what is `None` is not written.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Retry {
    pub(super) limit: Option<i64>,
    pub(super) kind: Option<BackoffType>,
    pub(super) factor: Option<f64>,
    /// Milliseconds.
    pub(super) wait: Option<i64>,
    /// Milliseconds.
    pub(super) longest: Option<i64>,
}

/// One attempt: the running time of its Job, and its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Attempt {
    pub(super) lasts: i64,
    pub(super) end: End,
}

/// The end of a Job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Success,
    Failure,
    /// Somebody deletes it.
    Lost,
}

impl Case {
    /// Tells whether the flow is suspended at this instant, in milliseconds.
    pub(super) fn is_suspended(&self, at: i64) -> bool {
        self.suspended.iter().any(|&(from, until)| from <= at && at < until)
    }

    /// The name of a step.
    pub(super) fn name(step: usize) -> String {
        format!("s{step}")
    }

    /// Lists every step that is done before `step` starts.
    pub(super) fn ancestors(&self, step: usize) -> Vec<usize> {
        let mut found = Vec::new();
        let mut next = self.steps[step].after.clone();
        while let Some(step) = next.pop() {
            if !found.contains(&step) {
                found.push(step);
                next.extend(&self.steps[step].after);
            }
        }
        found.sort_unstable();
        found
    }
}

impl Step {
    /// The script of an attempt, counted from 1.
    pub(super) fn attempt(&self, number: i64) -> Attempt {
        let index = usize::try_from(number - 1).expect("attempts count from 1");
        let all = &self.attempts;
        all.get(index).or(all.last()).copied().unwrap_or(Attempt { lasts: 1_000, end: End::Success })
    }
}

/// One line for the policy and one for each step: enough to follow the case by hand.
impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "flow: backoffLimit {:?}, parallelism {:?}, deadline {:?} s, {:?}, suspended {:?} ms, ttl {:?} s",
            self.backoff_limit, self.parallelism, self.deadline, self.reaction, self.suspended, self.ttl
        )?;
        for (i, step) in self.steps.iter().enumerate() {
            write!(f, "\n  {}: {}", Self::name(i), if step.manual { "Manual" } else { "Job" })?;
            let names: Vec<String> = step.after.iter().map(|&i| Self::name(i)).collect();
            if !names.is_empty() {
                write!(f, ", after {}", names.join(" "))?;
            }
            if let Some(when) = step.when {
                write!(f, ", when {when:?}")?;
            }
            if step.tolerated {
                write!(f, ", continueOnFailure")?;
            }
            if let Some(timeout) = step.timeout {
                write!(f, ", timeout {timeout} s")?;
            }
            if let Some(retry) = step.retry {
                write!(f, ", {retry:?}")?;
            }
            if let Some(limit) = step.job_backoff_limit {
                write!(f, ", the Job's backoffLimit {limit}")?;
            }
            if step.manual {
                write!(f, ", verdict {:?}", step.verdict)?;
            } else {
                for attempt in &step.attempts {
                    write!(f, ", {} ms {:?}", attempt.lasts, attempt.end)?;
                }
            }
        }
        Ok(())
    }
}
