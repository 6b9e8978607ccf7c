//! The numbers of a client CA.

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};

use crate::Backend;

/// Counters and gauges. Clones share their values.
#[derive(Clone, Debug, Default)]
pub struct ClientCaMetrics {
    reloads: Family<ReloadLabels, Counter>,
    backend: Family<BackendLabels, Gauge>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReloadLabels {
    result: &'static str,
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct BackendLabels {
    backend: &'static str,
}

impl ClientCaMetrics {
    /// Makes the metrics and registers them under their full names, `headworks_client_ca_..`.
    pub fn registered(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        registry.register(
            "headworks_client_ca_reloads",
            "Files of client CAs seen and loaded or rejected",
            metrics.reloads.clone(),
        );
        registry.register(
            "headworks_client_ca_watch_backend",
            "1 for the way the client CA is being watched: notify or poll",
            metrics.backend.clone(),
        );
        metrics
    }

    /// One series of each kind, for the page that names them.
    #[doc(hidden)]
    pub fn touch(&self) {
        self.rejected("x");
        self.backend.get_or_create(&BackendLabels { backend: "x" }).set(0);
    }

    pub(super) fn loaded(&self) {
        self.reloads.get_or_create(&ReloadLabels { result: "loaded", reason: "" }).inc();
    }

    pub(super) fn rejected(&self, reason: &'static str) {
        self.reloads.get_or_create(&ReloadLabels { result: "rejected", reason }).inc();
    }

    pub(super) fn backend(&self, backend: Backend) {
        for one in [Backend::Notify, Backend::Poll] {
            let labels = BackendLabels { backend: one.as_str() };
            if one == backend {
                self.backend.get_or_create(&labels).set(1);
            } else {
                self.backend.remove(&labels);
            }
        }
    }
}
