//! The policies of a flow with their defaults filled in, and the wait between attempts.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;

use crate::flows::api::{
    Backoff, BackoffType, ConcurrencyPolicy, ExecutionPolicy, JobFlowSpec, OnStepFailure, RetryPolicy,
    defaults,
};
use crate::k8s::duration;
use crate::k8s::hash;

/// A flow with more steps than this stores less of each in its status.
pub(super) const LARGE: usize = 250;

/// `spec.executionPolicy` with its defaults.
#[derive(Clone, Copy, Debug)]
pub(super) struct Policy<'a> {
    pub(super) concurrency: ConcurrencyPolicy,
    pub(super) key: Option<&'a str>,
    pub(super) ttl: SignedDuration,
    pub(super) backoff_limit: i64,
    pub(super) deadline: Option<SignedDuration>,
    pub(super) parallelism: usize,
    pub(super) reaction: OnStepFailure,
}

impl<'a> Policy<'a> {
    pub(super) fn of(spec: &'a JobFlowSpec) -> Self {
        static NONE: ExecutionPolicy = ExecutionPolicy {
            concurrency_policy: None,
            concurrency_key: None,
            ttl_seconds_after_finished: None,
            backoff_limit: None,
            active_deadline_seconds: None,
            parallelism: None,
            on_step_failure: None,
            pod_failure_policy: None,
        };
        let policy = spec.execution_policy.as_ref().unwrap_or(&NONE);
        Self {
            concurrency: policy.concurrency_policy.unwrap_or(ConcurrencyPolicy::Forbid),
            key: policy.concurrency_key.as_deref(),
            ttl: SignedDuration::from_secs(
                policy.ttl_seconds_after_finished.unwrap_or(defaults::TTL_SECONDS),
            ),
            backoff_limit: policy.backoff_limit.unwrap_or(defaults::BACKOFF_LIMIT),
            deadline: policy.active_deadline_seconds.map(SignedDuration::from_secs),
            parallelism: policy
                .parallelism
                .and_then(|limit| usize::try_from(limit).ok())
                .unwrap_or(usize::MAX),
            reaction: policy.on_step_failure.unwrap_or(OnStepFailure::FinishRunning),
        }
    }
}

/// Returns the wait after a failed attempt before retry number `retry`, counted from 0.
///
/// Fixed d; Linear d (n + 1); Exponential d factor^n, with a jitter of at most 10 % either way. The jitter is derived
/// from the flow, the step and the retry, so that planning again gives the same instant. None is longer than
/// `maxDuration`.
pub fn backoff(policy: &RetryPolicy, flow_uid: &str, step: &str, retry: i64) -> SignedDuration {
    let none = Backoff::default();
    let backoff = policy.backoff.as_ref().unwrap_or(&none);
    let read = |text: Option<&str>, default: &str| {
        let nanoseconds =
            text.and_then(|text| duration::parse(text).ok()).or_else(|| duration::parse(default).ok());
        nanoseconds.unwrap_or(duration::SECOND).max(0)
    };
    let first = read(backoff.duration.as_deref(), defaults::BACKOFF_DURATION);
    let longest = read(backoff.max_duration.as_deref(), defaults::BACKOFF_MAX_DURATION);
    let wait = match backoff.type_.unwrap_or(BackoffType::Exponential) {
        BackoffType::Fixed => first,
        BackoffType::Linear => first.saturating_mul(retry.saturating_add(1)),
        BackoffType::Exponential => {
            let factor = backoff.factor.unwrap_or(defaults::BACKOFF_FACTOR).max(1.0);
            let exponent = i32::try_from(retry).unwrap_or(i32::MAX);
            let seed = hash::fnv(&format!("{flow_uid}/{step}/{retry}"));
            #[expect(clippy::cast_precision_loss, reason = "a thousandth of the jitter is enough")]
            let jitter = 0.9 + (seed % 1_000) as f64 / 5_000.0;
            #[expect(clippy::cast_precision_loss, reason = "exact up to 104 days; the cap is 30")]
            let wait = first as f64 * factor.powi(exponent) * jitter;
            #[expect(
                clippy::cast_possible_truncation,
                reason = "a cast of f64 saturates, and infinity is capped"
            )]
            let wait = wait as i64;
            wait
        }
    };
    SignedDuration::from_nanos(wait.min(longest))
}

/// Truncates a time to the microseconds that a status stores, so that a planned status equals the one read back.
pub(super) fn microseconds(time: Timestamp) -> Timestamp {
    Timestamp::from_microsecond(time.as_microsecond()).unwrap_or(time)
}

/// Adds a span to a time; the latest representable time if that overflows.
pub(super) fn after(time: Timestamp, span: SignedDuration) -> Timestamp {
    time.checked_add(span).map_or(Timestamp::MAX, microseconds)
}

/// Converts a number of seconds of the API to a span.
pub(super) fn seconds(seconds: i64) -> SignedDuration {
    SignedDuration::from_secs(seconds)
}

/// Converts a time to the form of a status field.
#[expect(clippy::unnecessary_wraps, reason = "times of a status are optional")]
pub(super) fn stamp(time: Timestamp) -> Option<MicroTime> {
    Some(MicroTime(time))
}

/// The longest message of a step, in bytes: a thousand of them have to fit into one status.
pub(super) const LONGEST_MESSAGE: usize = 512;

/// Cuts a text to at most `longest` bytes; the last three of a text that was cut are dots.
pub(super) fn cut(text: &str, longest: usize) -> String {
    if text.len() <= longest {
        return text.to_owned();
    }
    format!("{}...", &text[..text.floor_char_boundary(longest - 3)])
}
