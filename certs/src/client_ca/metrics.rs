//! The numbers of a client CA.

use prometheus_client::registry::Registry;

use crate::metrics::SourceMetrics;

/// Counters and gauges. Clones share their values.
#[derive(Clone, Debug, Default)]
pub struct ClientCaMetrics {
    pub(super) source: SourceMetrics,
}

impl ClientCaMetrics {
    /// Makes the metrics and registers them under their full names, `headworks_client_ca_..`.
    pub fn registered(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        registry.register(
            "headworks_client_ca_reloads",
            "Files of client CAs seen and loaded or rejected",
            metrics.source.reloads.clone(),
        );
        registry.register(
            "headworks_client_ca_watch_backend",
            "1 for the way the client CA is being watched: notify or poll",
            metrics.source.watched_by.clone(),
        );
        metrics
    }

    /// One series of each kind, for the page that names them.
    #[doc(hidden)]
    pub fn touch(&self) {
        self.source.touch();
    }
}
