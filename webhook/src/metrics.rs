//! What is counted, and under which names. Label values are bounded: kinds are those that some
//! [`Admit`](crate::Admit) declares, all else is ours.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::respond::{Answer, Decision};

/// Seconds: 0.25 ms to 10 s.
const BUCKETS: [f64; 15] =
    [0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// The server's metrics, all named `headworks_webhook_...`. Clones share their values.
#[derive(Clone, Debug)]
pub struct Metrics {
    pub(crate) reviews: Family<ReviewLabels, Histogram, fn() -> Histogram>,
    pub(crate) refused: Family<RefusedLabels, Counter>,
    pub(crate) malformed: Counter,
    pub(crate) panics: Counter,
    pub(crate) overload: Counter,
    pub(crate) deadline: Counter,
    pub(crate) accept_errors: Counter,
    pub(crate) handshake_failures: Family<HandshakeLabels, Counter>,
    pub(crate) strangers: Counter,
    pub(crate) in_flight: Gauge,
    pub(crate) connections: Gauge,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct ReviewLabels {
    pub kind: &'static str,
    pub operation: &'static str,
    pub decision: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct RefusedLabels {
    pub code: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct HandshakeLabels {
    pub reason: &'static str,
}

impl Metrics {
    /// Creates the metrics and registers them; `registry` should have no prefix of its own.
    pub fn new(registry: &mut Registry) -> Self {
        let metrics = Self {
            reviews: Family::new_with_constructor(|| Histogram::new(BUCKETS)),
            refused: Family::default(),
            malformed: Counter::default(),
            panics: Counter::default(),
            overload: Counter::default(),
            deadline: Counter::default(),
            accept_errors: Counter::default(),
            handshake_failures: Family::default(),
            strangers: Counter::default(),
            in_flight: Gauge::default(),
            connections: Gauge::default(),
        };
        let registry = registry.sub_registry_with_prefix("headworks_webhook");
        registry.register(
            "review_duration_seconds",
            "Time from the head of a review's request to its answer",
            metrics.reviews.clone(),
        );
        registry.register(
            "refused",
            "Requests answered with an HTTP error, by status",
            metrics.refused.clone(),
        );
        registry.register("malformed", "Bodies that were no AdmissionReview", metrics.malformed.clone());
        registry.register("panics", "Reviews in which a rule panicked", metrics.panics.clone());
        registry.register(
            "overload",
            "Requests told to come back because too many were waiting",
            metrics.overload.clone(),
        );
        registry.register(
            "deadline_exceeded",
            "Requests not answered within their deadline",
            metrics.deadline.clone(),
        );
        registry.register("accept_errors", "Failures to accept a connection", metrics.accept_errors.clone());
        registry.register(
            "handshake_failures",
            "TLS handshakes that failed, by reason",
            metrics.handshake_failures.clone(),
        );
        registry.register(
            "unknown_callers",
            "Connections let in from callers that could not be identified",
            metrics.strangers.clone(),
        );
        registry.register("in_flight", "Requests being answered", metrics.in_flight.clone());
        registry.register("connections", "Connections open", metrics.connections.clone());
        metrics
    }

    /// One series of each kind, for the page that names them.
    #[doc(hidden)]
    pub fn touch(&self) {
        let labels = ReviewLabels { kind: "x", operation: "x", decision: "x" };
        self.reviews.get_or_create(&labels).observe(0.0);
        self.refused.get_or_create(&RefusedLabels { code: 0 }).inc();
        self.handshake_failures.get_or_create(&HandshakeLabels { reason: "x" }).inc();
    }

    /// Counts one judged review that took `seconds`. `kinds` are those a label may name.
    pub(crate) fn reviewed(&self, answer: &Answer, kinds: &[&'static str], seconds: f64) {
        let labels = ReviewLabels {
            kind: kinds.iter().find(|kind| **kind == answer.kind).copied().unwrap_or("other"),
            operation: answer.operation.map_or("unknown", crate::Operation::as_str),
            decision: answer.decision.as_str(),
        };
        self.reviews.get_or_create(&labels).observe(seconds);
        match answer.decision {
            Decision::Malformed => _ = self.malformed.inc(),
            Decision::Panicked => _ = self.panics.inc(),
            _ => {}
        }
    }
}

/// Counts one in a gauge for as long as it lives.
#[derive(Debug)]
pub(crate) struct Counted(Gauge);

impl Counted {
    pub(crate) fn in_gauge(gauge: &Gauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.dec();
    }
}
