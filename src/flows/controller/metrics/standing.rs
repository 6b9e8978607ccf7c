//! What stands at the time of a scrape: flows, steps, approvals, the queue.
//!
//! Only the replica that runs flows tells it: the others know the same flows, and a sum would count them twice.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::atomic::Ordering;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeGaugeValue, EncodeLabelSet};
use prometheus_client::metrics::MetricType;

use super::{ApiCalls, Metrics, NamespaceLabels, PhaseLabels};
use crate::flows::api::{FlowPhase, StepPhase};
use crate::flows::controller::watch::Watches;

/// How long the counters of a namespace without flows are kept: long enough to be scraped.
const KEPT: Duration = Duration::from_hours(1);

/// What is looked at.
#[derive(Default)]
pub(super) struct Source {
    /// Nothing before the engine is made.
    watches: OnceLock<Watches>,
    /// When each namespace was last heard of.
    seen: Mutex<HashMap<String, Instant>>,
}

impl Source {
    pub(super) fn set(&self, watches: Watches) {
        // A second engine on the same metrics would be a second set of watches on the same flows.
        let _ = self.watches.set(watches);
    }

    /// Something is counted for this namespace.
    pub(super) fn heard_of(&self, namespace: &str) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        match seen.get_mut(namespace) {
            Some(last) => *last = Instant::now(),
            None => _ = seen.insert(namespace.to_owned(), Instant::now()),
        }
    }
}

/// The collector.
pub(super) struct Standing {
    metrics: Metrics,
    calls: ApiCalls,
}

impl fmt::Debug for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Standing")
    }
}

/// Sums over all flows.
#[derive(Clone, Debug, Default)]
struct Sums {
    queue_depth: i64,
    queue_age: f64,
    writes_per_step: f64,
    flows: BTreeMap<(String, &'static str), i64>,
    steps: BTreeMap<(String, &'static str), i64>,
    approvals: BTreeMap<String, i64>,
    malformed: BTreeMap<String, i64>,
    remembered: Vec<(&'static str, usize)>,
}

/// What is remembered.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct KindLabels {
    kind: &'static str,
}

impl Standing {
    pub(super) fn new(metrics: Metrics, calls: ApiCalls) -> Self {
        Self { metrics, calls }
    }

    fn sums(watches: &Watches) -> Sums {
        let mut sums = Sums::default();
        watches.cache.each_flow(|key, flow| {
            let namespace = || key.namespace.clone();
            let Some(flow) = flow else {
                *sums.malformed.entry(namespace()).or_default() += 1;
                return;
            };
            let status = flow.status.as_ref();
            let phase = flow_phase(status.and_then(|status| status.phase));
            *sums.flows.entry((namespace(), phase)).or_default() += 1;
            *sums.approvals.entry(namespace()).or_default() += 0;
            let mut by_phase = BTreeMap::<&str, i64>::new();
            // A flow that has not started has no steps in its status yet.
            for place in 0..flow.spec.steps.len() {
                let step = status.and_then(|status| status.steps.get(place));
                *by_phase.entry(step_phase(step.and_then(|step| step.phase))).or_default() += 1;
            }
            for (phase, count) in by_phase {
                *sums.steps.entry((namespace(), phase)).or_default() += count;
                if phase == "PendingApproval" {
                    *sums.approvals.entry(namespace()).or_default() += count;
                }
            }
        });
        sums
    }

    /// Counters of a namespace go some time after its last flow.
    fn forget(&self, sums: &Sums, now: Instant) {
        let source = &self.metrics.shared.standing;
        for namespace in sums.approvals.keys() {
            source.heard_of(namespace);
        }
        let mut seen = source.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.retain(|namespace, last| {
            let keep = now.duration_since(*last) < KEPT;
            if !keep {
                self.metrics.forget(namespace);
            }
            keep
        });
    }
}

impl Collector for Standing {
    fn encode(&self, encoder: DescriptorEncoder) -> fmt::Result {
        let shared = &self.metrics.shared;
        let Some(watches) = shared.standing.watches.get() else { return Ok(()) };
        // Of flows the leader alone tells, or each would be counted by every replica.
        if shared.at_work.load(Ordering::Relaxed) == 0 {
            return remembered(&mut Out(encoder), watches.cache.sizes());
        }
        let mut sums = Self::sums(watches);
        self.forget(&sums, Instant::now());
        sums.queue_depth = i64::try_from(watches.queue.len()).unwrap_or(i64::MAX);
        sums.remembered = watches.cache.sizes().to_vec();
        sums.queue_age = watches.queue.age().as_secs_f64();
        let steps = shared.steps.load(Ordering::Relaxed);
        #[expect(clippy::cast_precision_loss, reason = "a ratio")]
        if steps > 0 {
            sums.writes_per_step = self.calls.writes() as f64 / steps as f64;
        }
        sums.encode(encoder)
    }
}

fn remembered(out: &mut Out<'_>, sizes: impl IntoIterator<Item = (&'static str, usize)>) -> fmt::Result {
    let sizes = sizes.into_iter();
    out.gauges(
        "headworks_remembered",
        "Objects that each replica keeps in memory, by kind; of a Job whose step is over (spent) its UID alone",
        sizes.map(|(kind, count)| (KindLabels { kind }, i64::try_from(count).unwrap_or(i64::MAX))),
    )
}

impl Sums {
    fn encode(self, encoder: DescriptorEncoder) -> fmt::Result {
        let mut out = Out(encoder);
        let by_phase = |((namespace, phase), count): ((String, &'static str), i64)| {
            (PhaseLabels { namespace, phase }, count)
        };
        let by_namespace = |(namespace, count): (String, i64)| (NamespaceLabels { namespace }, count);
        out.gauges("zen_flow_jobflows", "Flows, by phase", self.flows.into_iter().map(by_phase))?;
        out.gauges("zen_flow_steps", "Steps of all flows, by phase", self.steps.into_iter().map(by_phase))?;
        out.gauges(
            "zen_flow_approvals_pending",
            "Manual steps that wait for approval",
            self.approvals.into_iter().map(by_namespace),
        )?;
        out.gauges(
            "headworks_malformed_flows",
            "Flows that cannot be read and are not run",
            self.malformed.into_iter().map(by_namespace),
        )?;
        remembered(&mut out, self.remembered)?;
        out.gauge(
            "zen_flow_step_execution_queue_depth",
            "Flows that wait for a worker to take their next steps",
            &self.queue_depth,
        )?;
        out.gauge(
            "headworks_queue_age_seconds",
            "How long the flow that has waited longest for a worker has waited",
            &self.queue_age,
        )?;
        out.gauge(
            "headworks_writes_per_step",
            "Writes to the API server about flows, Jobs and Events, for each step with a Job that ended, since this process started",
            &self.writes_per_step,
        )
    }
}

struct Out<'a>(DescriptorEncoder<'a>);

impl Out<'_> {
    fn gauges<L: EncodeLabelSet>(
        &mut self,
        name: &str,
        help: &str,
        series: impl Iterator<Item = (L, i64)>,
    ) -> fmt::Result {
        let mut series = series.peekable();
        if series.peek().is_none() {
            return Ok(());
        }
        let mut family = self.0.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for (labels, value) in series {
            family.encode_family(&labels)?.encode_gauge(&value)?;
        }
        Ok(())
    }

    fn gauge(&mut self, name: &str, help: &str, value: &impl EncodeGaugeValue) -> fmt::Result {
        self.0.encode_descriptor(name, help, None, MetricType::Gauge)?.encode_gauge(value)
    }
}

/// The phase of a flow as a label; what has none yet is Pending.
fn flow_phase(phase: Option<FlowPhase>) -> &'static str {
    phase.unwrap_or(FlowPhase::Pending).as_str()
}

/// The phase of a step as a label; what has none yet is Pending.
pub(super) fn step_phase(phase: Option<StepPhase>) -> &'static str {
    phase.unwrap_or(StepPhase::Pending).as_str()
}

#[cfg(test)]
impl Collector for Sums {
    fn encode(&self, encoder: DescriptorEncoder) -> fmt::Result {
        self.clone().encode(encoder)
    }
}

/// The text of a scrape in which every kind of series stands.
#[cfg(test)]
pub(super) fn example() -> String {
    let by_phase: BTreeMap<_, _> = [(("x".to_owned(), "x"), 1)].into();
    let by_namespace: BTreeMap<_, _> = [("x".to_owned(), 1)].into();
    let mut registry = prometheus_client::registry::Registry::default();
    registry.register_collector(Box::new(Sums {
        flows: by_phase.clone(),
        steps: by_phase,
        approvals: by_namespace.clone(),
        malformed: by_namespace,
        remembered: vec![("x", 1)],
        ..Sums::default()
    }));
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
    text
}
