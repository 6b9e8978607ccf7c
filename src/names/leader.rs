//! Labels and annotations of leader Services, in full. [`SETTINGS`] and [`PUBLISHED`] are the one list of annotations:
//! the rules of admission and the controller both go by it.

/// Turns leader routing on for a Service.
pub const ENABLED: &str = "zen-lead.io/enabled";
/// The name of the leader Service.
pub const LEADER_SERVICE_NAME: &str = "zen-lead.io/leader-service-name";
/// `"true"` or `"false"`: whether the incumbent stays while it is a candidate.
pub const STICKY: &str = "zen-lead.io/sticky";
/// The time for which a challenger must have been Ready.
pub const MIN_READY: &str = "zen-lead.io/min-ready-duration";
/// The time for which an incumbent that is not ready keeps the lead.
pub const HOLD_DOWN: &str = "zen-lead.io/failover-min-delay";
/// The strategy that chooses among the candidates.
pub const STRATEGY: &str = "zen-lead.io/strategy";
/// Strategy lease: the Lease whose holder leads.
pub const LEASE_NAME: &str = "zen-lead.io/lease-name";
/// Label selector that narrows the candidates.
pub const CANDIDATE_SELECTOR: &str = "zen-lead.io/candidate-selector";
/// A pod that becomes the leader as soon as it is a candidate.
pub const PROMOTE: &str = "zen-lead.io/promote";
/// `"true"` or `"false"`: whether the leader Service takes the source's type.
pub const EXPOSE: &str = "zen-lead.io/expose";
/// Labels of the source that the leader Service gets too.
pub const COPY_LABELS: &str = "zen-lead.io/copy-labels";

/// Written on the source: the leader Service's name.
pub const LEADER_SERVICE: &str = "zen-lead.io/leader-service";
/// Written on the source: the status, as JSON.
pub const STATUS: &str = "zen-lead.io/status";
/// Written on the leader Service: the pod.
pub const CURRENT_LEADER: &str = "zen-lead.io/current-leader";
/// Written on the leader Service: the pod's UID.
pub const LEADER_UID: &str = "zen-lead.io/leader-pod-uid";
/// Written on the leader Service and the slices: the time at which the pod became the leader.
pub const LAST_SWITCH: &str = "zen-lead.io/leader-last-switch-time";
/// Written on the slices and the leader Service: a number that grows whenever the leader changes, also to none.
pub const EPOCH: &str = "zen-lead.io/epoch";
/// Written on the slices: the UID of the source, so that a slice whose leader Service was deleted is still known.
pub const SOURCE_UID: &str = "zen-lead.io/source-uid";

/// The annotations that a user may write on a Service.
pub const SETTINGS: [&str; 11] = [
    ENABLED,
    LEADER_SERVICE_NAME,
    STICKY,
    MIN_READY,
    HOLD_DOWN,
    STRATEGY,
    LEASE_NAME,
    CANDIDATE_SELECTOR,
    PROMOTE,
    EXPOSE,
    COPY_LABELS,
];
/// The annotations that headworks writes on a Service: on the source or on the leader Service.
pub const PUBLISHED: [&str; 6] = [LEADER_SERVICE, STATUS, CURRENT_LEADER, LEADER_UID, LAST_SWITCH, EPOCH];

/// Label of our objects: the source's name.
pub const SOURCE: &str = "zen-lead.io/source-service";
/// Label of slices: the program that manages them.
pub const SLICE_MANAGED_BY: &str = "endpointslice.kubernetes.io/managed-by";
/// The manager of the slices of Services that have a selector.
pub const SLICE_CONTROLLER: &str = "endpointslice-controller.k8s.io";
/// Label of slices: the Service they belong to.
pub const SLICE_SERVICE: &str = "kubernetes.io/service-name";
/// Annotation of slices: the time of the change that led to this version.
pub const TRIGGER_TIME: &str = "endpoints.kubernetes.io/last-change-trigger-time";
/// Label of nodes: the zone.
pub const ZONE: &str = "topology.kubernetes.io/zone";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::LEADER_PREFIX;

    #[test]
    fn every_annotation_has_the_prefix_and_is_a_setting_or_published_and_not_both() {
        let all: Vec<&str> = SETTINGS.into_iter().chain(PUBLISHED).collect();
        assert!(all.iter().all(|key| key.starts_with(LEADER_PREFIX)));
        let distinct: std::collections::BTreeSet<&&str> = all.iter().collect();
        assert_eq!(distinct.len(), all.len());
    }
}
