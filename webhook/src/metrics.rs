//! Metrics of the server. Label values are bounded: kinds are those that some [`Admit`](crate::Admit) declares, all
//! others are fixed words.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::respond::{Answer, Decision};
use crate::review::Operation;

/// Seconds: 0.25 ms to 10 s.
const BUCKETS: [f64; 15] =
    [0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// Declares a struct of metrics, one line each: field, type, full name, initial value; the doc comment is the HELP text.
macro_rules! metrics {
    ($(#[doc = $help:literal] $field:ident: $kind:ty = $name:literal, $new:expr;)+) => {
        /// The server's metrics, all named `headworks_webhook_...`. Clones share their values.
        #[derive(Clone, Debug)]
        pub struct Metrics {
            $(#[doc = $help] pub(crate) $field: $kind,)+
        }

        impl Metrics {
            /// Creates the metrics and registers them; `registry` should have no prefix of its own.
            pub fn new(registry: &mut Registry) -> Self {
                let metrics = Self { $($field: $new,)+ };
                let registry = registry.sub_registry_with_prefix("headworks_webhook");
                $(registry.register($name, $help.trim(), metrics.$field.clone());)+
                metrics
            }
        }
    };
}

type Reviews = Family<ReviewLabels, Histogram, fn() -> Histogram>;

metrics! {
    /// Time from the head of a review's request to its answer
    reviews: Reviews = "review_duration_seconds", Family::new_with_constructor(|| Histogram::new(BUCKETS));
    /// Requests answered with an HTTP error, by status
    refused: Family<RefusedLabels, Counter> = "refused", Family::default();
    /// Bodies that were no AdmissionReview
    malformed: Counter = "malformed", Counter::default();
    /// Reviews in which a rule panicked
    panics: Counter = "panics", Counter::default();
    /// Requests told to come back because too many were waiting
    overload: Counter = "overload", Counter::default();
    /// Requests not answered within their deadline
    deadline: Counter = "deadline_exceeded", Counter::default();
    /// Failures to accept a connection
    accept_errors: Counter = "accept_errors", Counter::default();
    /// TLS handshakes that failed, by reason
    handshake_failures: Family<HandshakeLabels, Counter> = "handshake_failures", Family::default();
    /// Connections let in from callers that could not be identified
    unknown_callers: Counter = "unknown_callers", Counter::default();
    /// Requests being answered
    in_flight: Gauge = "in_flight", Gauge::default();
    /// Connections open
    connections: Gauge = "connections", Gauge::default();
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
    /// Creates one series of each kind, for the page that lists them.
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
            operation: answer.operation.map_or("unknown", Operation::as_str),
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
