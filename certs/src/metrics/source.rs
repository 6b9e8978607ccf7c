//! Metrics of a source that is followed: of a certificate pair, or of a client CA.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;

/// The way a source is being watched: the label `backend`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    /// A watch of the API server.
    Api,
    /// File notifications of the kernel, with polling besides.
    Notify,
    /// Polling only.
    Poll,
}

/// Reloads of a source, and the way it is watched. Each kind of source registers them under names of its own.
#[derive(Clone, Debug, Default)]
pub(crate) struct SourceMetrics {
    pub(crate) reloads: Family<ReloadLabels, Counter>,
    pub(crate) watched_by: Family<BackendLabels, Gauge>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct ReloadLabels {
    result: &'static str,
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct BackendLabels {
    backend: &'static str,
}

impl SourceMetrics {
    /// Creates one series of each kind.
    pub(crate) fn touch(&self) {
        self.rejected("x");
        self.watched_by.get_or_create(&BackendLabels { backend: "x" }).set(0);
    }

    pub(crate) fn loaded(&self) {
        self.reloads.get_or_create(&ReloadLabels { result: "loaded", reason: "" }).inc();
    }

    pub(crate) fn rejected(&self, reason: &'static str) {
        self.reloads.get_or_create(&ReloadLabels { result: "rejected", reason }).inc();
    }

    pub(crate) fn backend(&self, backend: Backend) {
        for one in [Backend::Api, Backend::Notify, Backend::Poll] {
            let labels = BackendLabels { backend: one.as_str() };
            if one == backend {
                self.watched_by.get_or_create(&labels).set(1);
            } else {
                self.watched_by.remove(&labels);
            }
        }
    }
}

impl Backend {
    fn as_str(self) -> &'static str {
        match self {
            Self::Api => "api",
            Self::Notify => "notify",
            Self::Poll => "poll",
        }
    }
}
