//! The metrics of leader Services, under the names of zen-lead. The HELP text describes each.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::leaders::plan::key::Key;
use crate::leaders::plan::memory::WriteKind;
use crate::leaders::plan::notes::Note;

/// Seconds: 1 ms to 60 s.
const LATENCY: [f64; 14] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0];
/// Seconds: a second to a month.
const DURATION: [f64; 10] =
    [1.0, 10.0, 60.0, 600.0, 3_600.0, 21_600.0, 86_400.0, 604_800.0, 1_209_600.0, 2_592_000.0];

/// The metrics. Clones share their values.
#[derive(Clone, Debug)]
pub struct Metrics {
    latency: Family<StageLabels, Histogram, fn() -> Histogram>,
    failovers: Family<ReasonLabels, Counter>,
    led: Histogram,
    available: Family<SourceLabels, Gauge>,
    stable: Family<SourceLabels, Gauge>,
    unserved: Family<SourceLabels, Gauge>,
    unresolved: Counter,
    errors: Family<ErrorLabels, Counter>,
    retries: Counter,
    pub(crate) reconciliation: Histogram,
    cache: Family<KindLabels, Gauge>,
    writes: Family<WriteLabels, Counter>,
    delayed: Family<WriteLabels, Counter>,
    waiting: Gauge,
    leading: Gauge,
    shown: Arc<Mutex<HashSet<SourceLabels>>>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StageLabels {
    stage: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabels {
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct SourceLabels {
    namespace: String,
    service: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ErrorLabels {
    object: &'static str,
    error: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KindLabels {
    kind: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct WriteLabels {
    object: &'static str,
}

impl Metrics {
    fn new() -> Self {
        Self {
            latency: Family::new_with_constructor(|| Histogram::new(LATENCY)),
            failovers: Family::default(),
            led: Histogram::new(DURATION),
            available: Family::default(),
            stable: Family::default(),
            unserved: Family::default(),
            unresolved: Counter::default(),
            errors: Family::default(),
            retries: Counter::default(),
            reconciliation: Histogram::new(LATENCY),
            cache: Family::default(),
            writes: Family::default(),
            delayed: Family::default(),
            waiting: Gauge::default(),
            leading: Gauge::default(),
            shown: Arc::default(),
        }
    }

    /// Creates the metrics and registers them.
    pub fn registered(registry: &mut Registry) -> Self {
        let metrics = Self::new();
        let all = metrics.clone();
        let registry = registry.sub_registry_with_prefix("zen_lead");
        registry.register(
            "failover_latency_seconds",
            "Time of a change of leader: event (received to decided), decision (decided to written), ack (received to acknowledged)",
            all.latency,
        );
        registry.register(
            "failover_count",
            "Changes of leader, by why the leader before was left",
            all.failovers,
        );
        registry.register("leader_duration_seconds", "How long leaders led that lead no more", all.led);
        registry.register("pods_available", "Pods of a Service that could lead", all.available);
        registry.register("leader_stable", "1 while a Service has a leader that answers", all.stable);
        registry.register(
            "leader_service_without_endpoints",
            "1 while the leader Service has nobody to route to",
            all.unserved,
        );
        registry.register(
            "port_resolution_failures",
            "Named ports that a leader did not have",
            all.unresolved,
        );
        registry.register("endpoint_write_errors", "Writes that failed, by object and error", all.errors);
        registry.register("retry_attempts", "Writes that are tried again", all.retries);
        registry.register(
            "reconciliation_duration_seconds",
            "Time from decision to the end of a job's writes",
            all.reconciliation,
        );
        registry.register("cache_size", "Objects kept in memory, by kind", all.cache);
        registry.register("writes", "Writes sent to the API server, by object", all.writes);
        registry.register(
            "writes_delayed",
            "Writes that had to wait because the objects of one Service were written too often, by object",
            all.delayed,
        );
        registry.register("queue_depth", "Jobs that wait", all.waiting);
        registry.register("leading", "1 while this replica writes", all.leading);
        metrics
    }

    /// Creates one series of each metric, for the page that lists them.
    #[cfg(test)]
    pub(crate) fn touch(&self) {
        let source = SourceLabels { namespace: "x".to_owned(), service: "x".to_owned() };
        self.latency.get_or_create(&StageLabels { stage: "x" }).observe(0.0);
        self.failovers.get_or_create(&ReasonLabels { reason: "x" }).inc();
        for gauge in [&self.available, &self.stable, &self.unserved] {
            gauge.get_or_create(&source).set(0);
        }
        self.errors.get_or_create(&ErrorLabels { object: "x", error: "x" }).inc();
        self.cache.get_or_create(&KindLabels { kind: "x" }).set(0);
        self.writes.get_or_create(&WriteLabels { object: "x" }).inc();
        self.delayed.get_or_create(&WriteLabels { object: "x" }).inc();
    }

    pub(crate) fn note(&self, note: &Note) {
        match note {
            Note::Failover { cause, trigger, decided, acknowledged, led_since, .. } => {
                self.failovers.get_or_create(&ReasonLabels { reason: cause }).inc();
                if let Some(since) = led_since {
                    self.led.observe(seconds(*since, *acknowledged));
                }
                let observe = |stage, from, to| {
                    self.latency.get_or_create(&StageLabels { stage }).observe(seconds(from, to));
                };
                observe("decision", *decided, *acknowledged);
                if let Some(trigger) = trigger {
                    observe("event", *trigger, *decided);
                    observe("ack", *trigger, *acknowledged);
                }
            }
            Note::Failed(kind, error) => {
                self.errors.get_or_create(&ErrorLabels { object: object(*kind), error }).inc();
            }
            Note::Retry => _ = self.retries.inc(),
            Note::Unresolved(_, count) => {
                self.unresolved.inc_by(u64::try_from(*count).unwrap_or_default());
            }
            Note::Gauges { source, candidates, served } => {
                let labels = labels(source);
                self.available.get_or_create(&labels).set(i64::try_from(*candidates).unwrap_or(i64::MAX));
                self.stable.get_or_create(&labels).set((*served).into());
                self.unserved.get_or_create(&labels).set((!*served).into());
                self.shown().insert(labels);
            }
            Note::Forgotten(source) => self.forget(&labels(source)),
            Note::Delayed(kind) => {
                self.delayed.get_or_create(&WriteLabels { object: object(*kind) }).inc();
            }
            Note::Event { .. } | Note::Limited(..) => {}
        }
    }

    fn forget(&self, labels: &SourceLabels) {
        if self.shown().remove(labels) {
            self.available.remove(labels);
            self.stable.remove(labels);
            self.unserved.remove(labels);
        }
    }

    fn shown(&self) -> std::sync::MutexGuard<'_, HashSet<SourceLabels>> {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn sent(&self, kind: WriteKind) {
        self.writes.get_or_create(&WriteLabels { object: object(kind) }).inc();
    }

    /// The number of writes that were sent.
    pub fn writes(&self) -> u64 {
        let of = |kind| self.writes.get_or_create(&WriteLabels { object: object(kind) }).get();
        [WriteKind::Slice, WriteKind::Service, WriteKind::Source].into_iter().map(of).sum()
    }

    pub(crate) fn sizes(&self, sizes: [(&'static str, usize); 6], waiting: usize) {
        for (kind, size) in sizes {
            self.cache.get_or_create(&KindLabels { kind }).set(i64::try_from(size).unwrap_or(i64::MAX));
        }
        self.waiting.set(i64::try_from(waiting).unwrap_or(i64::MAX));
    }

    /// Records whether this replica writes. One that does not must not show series of Services, which change elsewhere.
    pub(crate) fn leading(&self, leading: bool) {
        self.leading.set(leading.into());
        if !leading {
            let all: Vec<SourceLabels> = self.shown().iter().cloned().collect();
            for labels in &all {
                self.forget(labels);
            }
        }
    }
}

fn labels(source: &Key) -> SourceLabels {
    SourceLabels { namespace: source.namespace.to_string(), service: source.name.to_string() }
}

pub(crate) fn object(kind: WriteKind) -> &'static str {
    match kind {
        WriteKind::Slice => "endpointslice",
        WriteKind::Service => "leader_service",
        WriteKind::Source => "service",
    }
}

fn seconds(from: Timestamp, to: Timestamp) -> f64 {
    to.duration_since(from).as_secs_f64().max(0.0)
}
