//! Metrics of a client CA.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::metrics::metrics;
use crate::metrics::source::{BackendLabels, ReloadLabels, SourceMetrics};

metrics! {
    /// Counters and gauges of a client CA, all named `headworks_client_ca_..`. Clones share their values.
    pub struct ClientCaMetrics {
        /// Files of client CAs seen and loaded or rejected
        reloads: Family<ReloadLabels, Counter> = "headworks_client_ca_reloads";
        /// 1 for the way the client CA is being watched: notify or poll
        watched_by: Family<BackendLabels, Gauge> = "headworks_client_ca_watch_backend";
    }
}

impl ClientCaMetrics {
    /// Returns the part that every followed source has.
    pub(crate) fn source(&self) -> SourceMetrics {
        SourceMetrics { reloads: self.reloads.clone(), watched_by: self.watched_by.clone() }
    }

    /// Creates one series of each kind, for the page that lists them.
    #[doc(hidden)]
    pub fn touch(&self) {
        self.source().touch();
    }
}
