//! The outline of a flow: its levels, its width, the most pods that it may create, and the effect of a failure.
//!
//! ```
//! # use headworks::flows::{api::{JobFlowSpec, JobTemplate, Step}, outline::Outline};
//! let step = |name: &str, after: &[&str]| Step {
//!     name: name.into(), dependencies: after.iter().map(ToString::to_string).collect(), ..Step::default()
//! };
//! let spec = JobFlowSpec { steps: vec![step("a", &[]), step("b", &["a"]), step("c", &["a"])], ..Default::default() };
//! let outline = Outline::of(&spec).unwrap();
//! assert_eq!(outline.to_string(), "plan: 3 steps, 2 levels, at most 2 in parallel, up to 21 pods");
//! ```

use std::cmp::Reverse;
use std::fmt;

use super::api::{JobFlowSpec, JobTemplate, Step, defaults};
use super::dag::Dag;

mod failure;
mod width;

pub use failure::{End, Failure, fail};

/// The outline of a valid flow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outline {
    /// Steps by level: the first wait for nothing, each other one for at least one step of the level before. In
    /// document order.
    pub levels: Vec<Vec<usize>>,
    /// The most steps that can run at once: the largest set of steps none of which waits for another, and no more
    /// than `executionPolicy.parallelism`. Above 2,000 steps the widest level stands for it.
    pub width: usize,
    /// The most pods, if everything fails as often as it may: see [`pods`].
    pub pods: u64,
}

impl Outline {
    /// Computes the outline of a spec; `None` if its dependencies form a cycle.
    pub fn of(spec: &JobFlowSpec) -> Option<Self> {
        let dag = Dag::new(&spec.steps);
        let level = dag.levels()?;
        let mut levels = vec![Vec::new(); level.iter().max().map_or(0, |deepest| deepest + 1)];
        for (step, &level) in level.iter().enumerate() {
            levels[level].push(step);
        }
        let policy = spec.execution_policy.as_ref();
        let limit =
            policy.and_then(|policy| policy.parallelism).and_then(|limit| usize::try_from(limit).ok());
        let width = width::widest(&dag, &levels).min(limit.unwrap_or(usize::MAX));
        Some(Self { levels, width, pods: pods(spec) })
    }
}

impl fmt::Display for Outline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let steps = self.levels.iter().map(Vec::len).sum::<usize>();
        write!(
            f,
            "plan: {}, {}, at most {} in parallel, up to {}",
            count(steps as u64, "step"),
            count(self.levels.len() as u64, "level"),
            self.width,
            count(self.pods, "pod")
        )
    }
}

/// Formats a count: `1 step`, `2 steps`.
pub fn count(n: u64, noun: &str) -> String {
    format!("{n} {noun}{}", if n == 1 { "" } else { "s" })
}

/// Computes the most pods that a flow may create.
///
/// A Job creates one pod for each completion and one more for each failure that its `backoffLimit` forgives (which
/// counts for the whole Job; absent it is 0 for a step with a retryPolicy and else Kubernetes' 6), or, with
/// `backoffLimitPerIndex`, forgives for each index. A retry of the step creates that many again; all steps together are
/// retried at most `executionPolicy.backoffLimit` times, and the retries with most pods are counted. Manual steps
/// create none.
pub fn pods(spec: &JobFlowSpec) -> u64 {
    let policy = spec.execution_policy.as_ref();
    let budget = policy.and_then(|policy| policy.backoff_limit).unwrap_or(defaults::BACKOFF_LIMIT);
    let mut budget = u64::try_from(budget).unwrap_or(0);
    let mut total: u64 = 0;
    let mut retries: Vec<(u64, u64)> = Vec::new();
    for step in spec.steps.iter().filter(|step| !step.is_manual()) {
        let pods = attempt_pods(step);
        total = total.saturating_add(pods);
        retries.push((pods, step_retries(step)));
    }
    retries.sort_unstable_by_key(|(pods, _)| Reverse(*pods));
    for (pods, times) in retries {
        let times = times.min(budget);
        budget -= times;
        total = total.saturating_add(pods.saturating_mul(times));
    }
    total
}

/// Returns how often a step may be retried.
pub fn step_retries(step: &Step) -> u64 {
    let limit = step.retry_policy.as_ref().map(|policy| policy.limit.unwrap_or(defaults::RETRY_LIMIT));
    limit.and_then(|limit| u64::try_from(limit).ok()).unwrap_or(0)
}

/// Computes the most pods of one attempt at a step.
pub fn attempt_pods(step: &Step) -> u64 {
    let template = step.template.as_ref().map(JobTemplate::value).unwrap_or_default();
    let number = |name: &str| template["spec"][name].as_u64();
    let completions = number("completions").or_else(|| number("parallelism")).unwrap_or(1).max(1);
    if let Some(limit) = number("backoffLimitPerIndex") {
        return completions.saturating_mul(limit.saturating_add(1));
    }
    let kubernetes = if step.retry_policy.is_some() { 0 } else { 6 };
    completions.saturating_add(number("backoffLimit").unwrap_or(kubernetes))
}

#[cfg(test)]
mod tests;
