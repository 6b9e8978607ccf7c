//! Metrics of an identity.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::facts::Facts;
use crate::metrics::source::{BackendLabels, ReloadLabels, SourceMetrics};

pub(crate) mod source;

/// Declares a struct of metrics, one line each: field, type, full name; the doc comment is the HELP text.
macro_rules! metrics {
    (
        $(#[$attribute:meta])*
        pub struct $metrics:ident {
            $($(#[doc = $help:literal])+ $field:ident: $kind:ty = $name:literal;)+
        }
        $(shared $shared:ident: $shared_type:ty;)?
    ) => {
        $(#[$attribute])*
        #[derive(Clone, Debug, Default)]
        pub struct $metrics {
            $($(#[doc = $help])+ $field: $kind,)+
            $($shared: $shared_type,)?
        }

        impl $metrics {
            /// Creates the metrics and registers them under their full names.
            pub fn registered(registry: &mut Registry) -> Self {
                let metrics = Self::default();
                $(registry.register($name, concat!($($help),+).trim(), metrics.$field.clone());)+
                metrics
            }
        }
    };
}
pub(crate) use metrics;

metrics! {
    /// Counters and gauges of an identity, all named `headworks_cert_..` or `headworks_cabundle_..`. Clones share their
    /// values.
    pub struct Metrics {
        /// End of validity of the certificates in use, in seconds since 1970
        not_after: Family<CertLabels, Gauge> = "headworks_cert_not_after_seconds";
        /// Beginning of validity of the certificates in use, in seconds since 1970
        not_before: Family<CertLabels, Gauge> = "headworks_cert_not_before_seconds";
        /// Certificate pairs seen and loaded or rejected
        reloads: Family<ReloadLabels, Counter> = "headworks_cert_reloads";
        /// Phase of the certificate rotation: 0 stable, 1 staged, 2 published, 3 activated, 4 confirmed
        phase: Gauge = "headworks_cert_rotation_phase";
        /// Instant at which the certificate rotation entered its phase, in seconds since 1970; 0 if unknown
        phase_since: Gauge = "headworks_cert_rotation_phase_since_seconds";
        /// Times a caBundle that another tool had changed was set right
        repairs: Counter = "headworks_cabundle_repairs";
        /// Writes of the certificate Secret or a caBundle that had to wait because there were too many
        held: Counter = "headworks_cert_writes_held";
        /// 1 for the way the certificate source is being watched: api, notify or poll
        watched_by: Family<BackendLabels, Gauge> = "headworks_cert_watch_backend";
    }
    shared shown: Arc<Mutex<BTreeSet<(CertKind, String)>>>;
}

/// Purpose of a certificate: the label `kind`.
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
    /// Returns the part that every followed source has.
    pub(crate) fn source(&self) -> SourceMetrics {
        SourceMetrics { reloads: self.reloads.clone(), watched_by: self.watched_by.clone() }
    }

    /// Creates one series of each kind, for the page that lists them.
    #[doc(hidden)]
    pub fn touch(&self) {
        let labels = CertLabels { kind: "x", serial: "x".to_owned() };
        self.not_after.get_or_create(&labels).set(0);
        self.not_before.get_or_create(&labels).set(0);
        self.source().touch();
    }

    /// Shows exactly these certificates under `kind`, and removes the series of others of that kind.
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
