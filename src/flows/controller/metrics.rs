//! The metrics of the flows' controller.
//!
//! Counters are incremented only after the status write succeeds, so a retried reconcile is never counted twice. Gauges
//! are derived from the cache at each scrape (`gauges.rs`), so that a series goes with its last flow. Labels are namespaces
//! and bounded words of ours, never names of flows or steps.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use super::watch::Watches;
use crate::cluster::api_calls::ApiCalls;
use crate::flows::api::{JobFlowStatus, StepStatus};
use crate::flows::plan::Event;

mod gauges;

use gauges::{FlowGauges, NamespaceLabels, PhaseLabels, Shared};

/// Buckets for the times of steps and people, in seconds: 10 ms to 6 h.
const LONG: [f64; 18] = [
    0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1_800.0, 3_600.0,
    7_200.0, 21_600.0,
];
/// Buckets for our own times, in seconds: 50 us to 10 s.
const SHORT: [f64; 15] = [
    0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 10.0,
];
/// Buckets for the time from an outcome to the next Job, in seconds; the finest ones where it should be.
const DISPATCH: [f64; 18] = [
    0.001, 0.002, 0.003, 0.004, 0.005, 0.006, 0.008, 0.01, 0.015, 0.02, 0.03, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5,
    10.0,
];

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TimeoutLabels {
    namespace: String,
    of: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ResultLabels {
    result: &'static str,
}

type Histograms<L> = Family<L, Histogram, fn() -> Histogram>;

/// A struct of metrics; the doc comment of each is its HELP text.
macro_rules! metrics {
    ($($(#[doc = $help:literal])+ $field:ident: $kind:ty = $name:literal, $new:expr;)+) => {
        /// Counters and histograms of the engine. Clones share their values.
        #[derive(Clone, Debug)]
        pub struct Metrics {
            $($(#[doc = $help])+ $field: $kind,)+
            shared: Arc<Shared>,
        }

        impl Default for Metrics {
            fn default() -> Self {
                Self { $($field: $new,)+ shared: Arc::default() }
            }
        }

        impl Metrics {
            fn register(&self, registry: &mut Registry) {
                $(registry.register($name, concat!($($help),+).trim(), self.$field.clone());)+
            }
        }
    };
}

metrics! {
    /// Time from the first start of a step to its end, by the phase it ended in
    step_duration: Histograms<PhaseLabels> = "zen_flow_step_duration_seconds", long();
    /// Time of one look at a flow, with its calls to the API server, by result: done or failed
    reconciliation_duration: Histograms<ResultLabels> = "zen_flow_reconciliation_duration_seconds", short();
    /// Time to decide what to do next for a flow; no calls are made meanwhile
    dag_computation_duration: Histogram = "zen_flow_dag_computation_duration_seconds", Histogram::new(SHORT);
    /// Time of one write of a status, by result: written or refused
    status_update_duration: Histograms<ResultLabels> = "zen_flow_status_update_duration_seconds", short();
    /// Times that a step or a whole flow was not done in time
    timeouts: Family<TimeoutLabels, Counter> = "zen_flow_timeouts", Family::default();
    /// Attempts at a step that failed and were followed by another
    step_retries: Family<NamespaceLabels, Counter> = "zen_flow_step_retries", Family::default();
    /// Time from the start of a Manual step to its approval or rejection
    approval_latency: Histograms<NamespaceLabels> = "zen_flow_approval_latency_seconds", long();
    /// Time from the news of an outcome (a pod or Job ended, a timer struck) to the creation of each Job that follows
    dispatch_latency: Histogram = "headworks_dispatch_latency_seconds", Histogram::new(DISPATCH);
    /// Events that were not written because too many waited
    events_dropped: Counter = "headworks_events_dropped", Counter::default();
    /// Writes of a status that had to wait because that flow's had been written too often
    writes_held: Counter = "headworks_status_writes_held", Counter::default();
}

fn long<L: Clone + Eq + std::hash::Hash>() -> Histograms<L> {
    Family::new_with_constructor(|| Histogram::new(LONG))
}

fn short<L: Clone + Eq + std::hash::Hash>() -> Histograms<L> {
    Family::new_with_constructor(|| Histogram::new(SHORT))
}

impl Metrics {
    /// Makes the metrics and registers them under their full names. `calls` are those of the engine's client.
    pub fn registered(registry: &mut Registry, calls: &ApiCalls) -> Self {
        let metrics = Self::default();
        metrics.register(registry);
        let counters = metrics.clone();
        let forget = move |namespace: &str| counters.forget(namespace);
        registry.register_collector(Box::new(FlowGauges::new(metrics.shared.clone(), calls.clone(), forget)));
        metrics
    }

    /// Returns the counter of Events that are dropped.
    pub fn events_dropped(&self) -> Counter {
        self.events_dropped.clone()
    }

    /// Counts a status write that has to wait.
    pub(super) fn held(&self) {
        self.writes_held.inc();
    }

    /// Derives the gauges from the cache of `watches`.
    pub(super) fn derive_from(&self, watches: &Watches) {
        self.shared.derive_from(watches.clone());
    }

    /// Marks this process as the one that runs flows, until the guard is dropped.
    pub(super) fn at_work(&self) -> impl Drop + use<> {
        self.shared.at_work.fetch_add(1, Ordering::Relaxed);
        AtWork(self.shared.clone())
    }

    /// Begins to time a reconcile.
    pub(super) fn reconciling(&self) -> Timed<'_> {
        Timed { durations: &self.reconciliation_duration, started: Instant::now() }
    }

    /// Begins to time a status write.
    pub(super) fn writing(&self) -> Timed<'_> {
        Timed { durations: &self.status_update_duration, started: Instant::now() }
    }

    /// Times a plan.
    pub(super) fn planning<T>(&self, plan: impl FnOnce() -> T) -> T {
        let started = Instant::now();
        let plan = plan();
        self.dag_computation_duration.observe(started.elapsed().as_secs_f64());
        plan
    }

    /// Observes the time to the creation of a Job. `decided`: when the news came of the outcome that the Job follows.
    pub(super) fn dispatched(&self, decided: Option<Timestamp>) {
        if let Some(decided) = decided {
            let duration = Timestamp::now().duration_since(decided);
            self.dispatch_latency.observe(duration.as_secs_f64().max(0.0));
        }
    }

    /// Counts the transitions that led to `status`, which is written. Returns whether a step has ended.
    pub(super) fn happened(&self, namespace: &str, status: &JobFlowStatus, events: &[Event]) -> bool {
        if !events.is_empty() {
            self.shared.saw(namespace);
        }
        let namespace = || namespace.to_owned();
        let mut ended = false;
        for event in events {
            let step = event.step.and_then(|index| status.steps.get(index));
            match (event.reason, step) {
                ("StepRetry", _) => {
                    self.step_retries.get_or_create(&NamespaceLabels { namespace: namespace() }).inc();
                    ended = true;
                }
                ("FlowFailed", _) if timed_out(status) => {
                    let labels = TimeoutLabels { namespace: namespace(), of: "flow" };
                    self.timeouts.get_or_create(&labels).inc();
                }
                (_, Some(step)) if step.completion_time.is_some() => {
                    self.step_ended(namespace(), event.reason, step);
                    ended = true;
                }
                _ => {}
            }
        }
        ended
    }

    fn step_ended(&self, namespace: String, reason: &str, step: &StepStatus) {
        if step.job_ref.is_some() {
            self.shared.steps.fetch_add(1, Ordering::Relaxed);
        }
        if reason == "StepTimeout" {
            let labels = TimeoutLabels { namespace: namespace.clone(), of: "step" };
            self.timeouts.get_or_create(&labels).inc();
        }
        // A skipped step has not started.
        let (Some(started), Some(ended), Some(phase)) = (&step.start_time, &step.completion_time, step.phase)
        else {
            return;
        };
        let duration = ended.0.duration_since(started.0).as_secs_f64().max(0.0);
        if matches!(reason, "StepApproved" | "StepRejected") {
            let labels = NamespaceLabels { namespace: namespace.clone() };
            self.approval_latency.get_or_create(&labels).observe(duration);
        }
        let labels = PhaseLabels { namespace, phase: gauges::step_phase(Some(phase)) };
        self.step_duration.get_or_create(&labels).observe(duration);
    }

    /// Makes one series of each kind, for the page that lists them.
    #[cfg(test)]
    fn touch(&self) {
        let namespace = || "x".to_owned();
        let labels = PhaseLabels { namespace: namespace(), phase: "x" };
        self.step_duration.get_or_create(&labels).observe(1.0);
        for durations in [&self.reconciliation_duration, &self.status_update_duration] {
            durations.get_or_create(&ResultLabels { result: "x" }).observe(1.0);
        }
        self.timeouts.get_or_create(&TimeoutLabels { namespace: namespace(), of: "x" }).inc();
        self.step_retries.get_or_create(&NamespaceLabels { namespace: namespace() }).inc();
        self.approval_latency.get_or_create(&NamespaceLabels { namespace: namespace() }).observe(1.0);
    }

    /// Removes the series of a namespace.
    fn forget(&self, namespace: &str) {
        let labels = NamespaceLabels { namespace: namespace.to_owned() };
        self.step_retries.remove(&labels);
        self.approval_latency.remove(&labels);
        for of in ["step", "flow"] {
            self.timeouts.remove(&TimeoutLabels { namespace: namespace.to_owned(), of });
        }
        for &phase in crate::flows::api::StepPhase::NAMES {
            self.step_duration.remove(&PhaseLabels { namespace: namespace.to_owned(), phase });
        }
    }
}

/// Tells whether a flow that failed had run out of time.
fn timed_out(status: &JobFlowStatus) -> bool {
    status.conditions.iter().any(|condition| condition.reason == "ActiveDeadlineExceeded")
}

/// A running timer, whose time is counted once it has ended.
pub(super) struct Timed<'m> {
    durations: &'m Histograms<ResultLabels>,
    started: Instant,
}

impl Timed<'_> {
    /// Counts the time, and returns it.
    pub(super) fn ended(self, result: &'static str) -> Duration {
        let duration = self.started.elapsed();
        self.durations.get_or_create(&ResultLabels { result }).observe(duration.as_secs_f64());
        duration
    }
}

struct AtWork(Arc<Shared>);

impl Drop for AtWork {
    fn drop(&mut self) {
        self.0.at_work.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests;
