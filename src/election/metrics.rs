//! The numbers of a campaign. The doc comment of a field is its HELP text.

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};

/// Counters and gauges. Clones share their values.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    /// 1 while this replica leads, else 0
    leader: Gauge,
    /// Calls about the Lease that failed, by reason: conflict, timeout, refused or unreachable
    failures: Family<FailureLabels, Counter>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct FailureLabels {
    reason: &'static str,
}

impl Metrics {
    /// Makes the metrics and registers them under their full names.
    pub fn registered(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        let Self { leader, failures } = metrics.clone();
        registry.register("headworks_leader", "1 while this replica leads, else 0", leader);
        registry.register(
            "headworks_lease_failures",
            "Calls about the Lease that failed, by reason: conflict, timeout, refused or unreachable",
            failures,
        );
        metrics
    }

    /// One series of each kind, for the page that names them.
    #[cfg(test)]
    pub(crate) fn touch(&self) {
        self.failures.get_or_create(&FailureLabels { reason: "x" }).inc();
    }

    pub(super) fn leads(&self, leads: bool) {
        self.leader.set(i64::from(leads));
    }

    pub(super) fn failed(&self, reason: &'static str) {
        self.failures.get_or_create(&FailureLabels { reason }).inc();
    }
}
