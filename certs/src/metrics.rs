//! The numbers of an identity. The doc comment of a field is its HELP text.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
};

use jiff::Timestamp;
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};

use crate::Facts;

mod source;

pub use source::Backend;
pub(crate) use source::SourceMetrics;

/// Counters and gauges. Clones share their values.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    /// End of validity of the certificates in use, in seconds since 1970
    not_after: Family<CertLabels, Gauge>,
    /// Beginning of validity of the certificates in use, in seconds since 1970
    not_before: Family<CertLabels, Gauge>,
    /// Certificate pairs seen, and the way they are watched
    pub(crate) source: SourceMetrics,
    /// Phase of the certificate rotation: 0 stable, 1 staged, 2 published, 3 activated, 4 confirmed
    phase: Gauge,
    /// Instant at which the certificate rotation entered its phase, in seconds since 1970; 0 if unknown
    phase_since: Gauge,
    /// Times a caBundle that another tool had changed was set right
    repairs: Counter,
    /// Writes of the certificate Secret or a caBundle that had to wait because there were too many
    held: Counter,
    shown: Arc<Mutex<BTreeSet<(CertKind, String)>>>,
}

/// What a certificate is for: the label `kind`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CertKind {
    /// Being served.
    Leaf,
    /// Signs the leaves.
    Ca,
    /// Trusted by the API server.
    Bundle,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CertLabels {
    kind: &'static str,
    serial: String,
}

impl Metrics {
    /// Makes the metrics and registers them under their full names, `headworks_cert_..`.
    pub fn registered(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        let Self { not_after, not_before, source, phase, phase_since, repairs, held, shown: _ } =
            metrics.clone();
        registry.register(
            "headworks_cert_not_after_seconds",
            "End of validity of the certificates in use, in seconds since 1970",
            not_after,
        );
        registry.register(
            "headworks_cert_not_before_seconds",
            "Beginning of validity of the certificates in use, in seconds since 1970",
            not_before,
        );
        registry.register(
            "headworks_cert_reloads",
            "Certificate pairs seen and loaded or rejected",
            source.reloads,
        );
        registry.register(
            "headworks_cert_rotation_phase",
            "Phase of the certificate rotation: 0 stable, 1 staged, 2 published, 3 activated, 4 confirmed",
            phase,
        );
        registry.register(
            "headworks_cert_rotation_phase_since_seconds",
            "Instant at which the certificate rotation entered its phase, in seconds since 1970; 0 if unknown",
            phase_since,
        );
        registry.register(
            "headworks_cabundle_repairs",
            "Times a caBundle that another tool had changed was set right",
            repairs,
        );
        registry.register(
            "headworks_cert_writes_held",
            "Writes of the certificate Secret or a caBundle that had to wait because there were too many",
            held,
        );
        registry.register(
            "headworks_cert_watch_backend",
            "1 for the way the certificate source is being watched: api, notify or poll",
            source.watched_by,
        );
        metrics
    }

    /// One series of each kind, for the page that names them.
    #[doc(hidden)]
    pub fn touch(&self) {
        let labels = CertLabels { kind: "x", serial: "x".to_owned() };
        self.not_after.get_or_create(&labels).set(0);
        self.not_before.get_or_create(&labels).set(0);
        self.source.touch();
    }

    /// Shows exactly these certificates under `kind`; series of others of that kind go.
    pub(crate) fn show<'a>(&self, kind: CertKind, certificates: impl IntoIterator<Item = &'a Facts>) {
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        let mut gone: BTreeSet<_> = shown.iter().filter(|(k, _)| *k == kind).cloned().collect();
        for facts in certificates {
            let labels = CertLabels { kind: kind.as_str(), serial: facts.serial.clone() };
            self.not_after.get_or_create(&labels).set(facts.not_after.as_second());
            self.not_before.get_or_create(&labels).set(facts.not_before.as_second());
            gone.remove(&(kind, facts.serial.clone()));
            shown.insert((kind, facts.serial.clone()));
        }
        for (kind, serial) in gone {
            let labels = CertLabels { kind: kind.as_str(), serial: serial.clone() };
            self.not_after.remove(&labels);
            self.not_before.remove(&labels);
            shown.remove(&(kind, serial));
        }
    }

    pub(crate) fn phase(&self, number: u8, since: Option<Timestamp>) {
        self.phase.set(i64::from(number));
        self.phase_since.set(since.map_or(0, Timestamp::as_second));
    }

    pub(crate) fn held(&self) {
        self.held.inc();
    }

    pub(crate) fn repaired(&self) {
        self.repairs.inc();
    }
}

impl CertKind {
    fn as_str(self) -> &'static str {
        match self {
            Self::Leaf => "leaf",
            Self::Ca => "ca",
            Self::Bundle => "bundle",
        }
    }
}
