//! Gauges, derived from the cache at each scrape: flows, steps, approvals, the queue.
//!
//! Only the replica that runs flows exports those of flows: the others know the same flows, and a sum would count them
//! twice.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeGaugeValue, EncodeLabelSet};
use prometheus_client::metrics::MetricType;

use crate::cluster::api_calls::ApiCalls;
use crate::flows::api::{FlowPhase, StepPhase};
use crate::flows::controller::watch::Watches;

/// Counters of a namespace without flows are kept for so long, so that they are scraped.
const KEPT: Duration = Duration::from_hours(1);

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct NamespaceLabels {
    pub(super) namespace: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct PhaseLabels {
    pub(super) namespace: String,
    pub(super) phase: &'static str,
}

/// State that is not exported as a series.
#[derive(Default)]
pub(super) struct Shared {
    /// Engines at work in this process: one or none.
    pub(super) at_work: AtomicU64,
    /// Steps with a Job that ended.
    pub(super) steps: AtomicU64,
    /// Set once the engine is made.
    watches: OnceLock<Watches>,
    /// The time at which each namespace last had a flow or an event.
    seen: Mutex<HashMap<String, Instant>>,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Shared")
    }
}

impl Shared {
    /// Sets the watches whose cache the gauges are derived from.
    pub(super) fn derive_from(&self, watches: Watches) {
        // A second engine on the same metrics would be a second set of watches on the same flows.
        let _ = self.watches.set(watches);
    }

    /// Records that something is counted for this namespace.
    pub(super) fn saw(&self, namespace: &str) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        match seen.get_mut(namespace) {
            Some(last) => *last = Instant::now(),
            None => _ = seen.insert(namespace.to_owned(), Instant::now()),
        }
    }
}

/// The collector of the gauges.
pub(super) struct FlowGauges {
    shared: Arc<Shared>,
    calls: ApiCalls,
    /// Removes the counters of a namespace.
    forget: Box<dyn Fn(&str) + Send + Sync>,
}

impl fmt::Debug for FlowGauges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FlowGauges")
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
    cached: Vec<(&'static str, usize)>,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct KindLabels {
    kind: &'static str,
}

impl FlowGauges {
    pub(super) fn new(
        shared: Arc<Shared>,
        calls: ApiCalls,
        forget: impl Fn(&str) + Send + Sync + 'static,
    ) -> Self {
        Self { shared, calls, forget: Box::new(forget) }
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
            for index in 0..flow.spec.steps.len() {
                let step = status.and_then(|status| status.steps.get(index));
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

    /// Removes the counters of namespaces some time after their last flow.
    fn forget(&self, sums: &Sums, now: Instant) {
        for namespace in sums.approvals.keys() {
            self.shared.saw(namespace);
        }
        let mut seen = self.shared.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.retain(|namespace, last| {
            let keep = now.duration_since(*last) < KEPT;
            if !keep {
                (self.forget)(namespace);
            }
            keep
        });
    }
}

impl Collector for FlowGauges {
    fn encode(&self, encoder: DescriptorEncoder) -> fmt::Result {
        let shared = &self.shared;
        let Some(watches) = shared.watches.get() else { return Ok(()) };
        // Only the leader exports flows, or every replica would count each.
        if shared.at_work.load(Ordering::Relaxed) == 0 {
            return cached(&mut Out(encoder), watches.cache.sizes());
        }
        let mut sums = Self::sums(watches);
        self.forget(&sums, Instant::now());
        sums.queue_depth = i64::try_from(watches.queue.len()).unwrap_or(i64::MAX);
        sums.cached = watches.cache.sizes().to_vec();
        sums.queue_age = watches.queue.age().as_secs_f64();
        let steps = shared.steps.load(Ordering::Relaxed);
        #[expect(clippy::cast_precision_loss, reason = "a ratio")]
        if steps > 0 {
            sums.writes_per_step = self.calls.writes() as f64 / steps as f64;
        }
        sums.encode(encoder)
    }
}

fn cached(out: &mut Out<'_>, sizes: impl IntoIterator<Item = (&'static str, usize)>) -> fmt::Result {
    let sizes = sizes.into_iter();
    out.gauges(
        "headworks_cached_objects",
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
        cached(&mut out, self.cached)?;
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

/// Returns the phase of a flow as a label; a flow without one is Pending.
fn flow_phase(phase: Option<FlowPhase>) -> &'static str {
    phase.unwrap_or(FlowPhase::Pending).as_str()
}

/// Returns the phase of a step as a label; a step without one is Pending.
pub(super) fn step_phase(phase: Option<StepPhase>) -> &'static str {
    phase.unwrap_or(StepPhase::Pending).as_str()
}

#[cfg(test)]
impl Collector for Sums {
    fn encode(&self, encoder: DescriptorEncoder) -> fmt::Result {
        self.clone().encode(encoder)
    }
}

/// Returns the text of a scrape with a series of each kind.
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
        cached: vec![("x", 1)],
        ..Sums::default()
    }));
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
    text
}
