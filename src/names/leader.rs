//! Labels and annotations of leader routing, in full.

/// Turns leader routing on for a Service.
pub const ENABLED: &str = "zen-lead.io/enabled";
/// The name of the leader Service.
pub const LEADER_SERVICE_NAME: &str = "zen-lead.io/leader-service-name";
/// Whether the incumbent stays while it is a candidate.
pub const STICKY: &str = "zen-lead.io/sticky";
/// How long a challenger must have been Ready.
pub const MIN_READY: &str = "zen-lead.io/min-ready-duration";
/// How long an incumbent that is not ready is waited for.
pub const HOLD_DOWN: &str = "zen-lead.io/failover-min-delay";
/// How the best candidate is found.
pub const STRATEGY: &str = "zen-lead.io/strategy";
/// Strategy lease: the Lease whose holder leads.
pub const LEASE_NAME: &str = "zen-lead.io/lease-name";
/// Narrows the candidates.
pub const CANDIDATE_SELECTOR: &str = "zen-lead.io/candidate-selector";
/// A pod that shall lead as soon as it can.
pub const PROMOTE: &str = "zen-lead.io/promote";
/// Whether the leader Service takes the source's type.
pub const EXPOSE: &str = "zen-lead.io/expose";
/// Labels of the source that the leader Service gets too.
pub const COPY_LABELS: &str = "zen-lead.io/copy-labels";

/// Written on the source: the leader Service's name.
pub const LEADER_SERVICE: &str = "zen-lead.io/leader-service";
/// Written on the source: how things are, as JSON.
pub const STATUS: &str = "zen-lead.io/status";
/// Written on the leader Service: the pod.
pub const CURRENT_LEADER: &str = "zen-lead.io/current-leader";
/// Written on the leader Service: the pod's UID.
pub const LEADER_UID: &str = "zen-lead.io/leader-pod-uid";
/// Written on the leader Service: when it took over.
pub const LAST_SWITCH: &str = "zen-lead.io/leader-last-switch-time";
/// Written on the slices and the leader Service: grows whenever the lead changes, also to nobody.
pub const EPOCH: &str = "zen-lead.io/epoch";
/// Written on the slices: the UID of the source, so that a slice whose leader Service was deleted is still known.
pub const SOURCE_UID: &str = "zen-lead.io/source-uid";

/// Label of our objects: the source's name.
pub const SOURCE: &str = "zen-lead.io/source-service";
/// Label of leader Services.
pub const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
/// Label of slices: who writes them.
pub const SLICE_MANAGED_BY: &str = "endpointslice.kubernetes.io/managed-by";
/// Who writes the slices of Services that have a selector.
pub const SLICE_CONTROLLER: &str = "endpointslice-controller.k8s.io";
/// Label of slices: the Service they belong to.
pub const SLICE_SERVICE: &str = "kubernetes.io/service-name";
/// Annotation of slices: when what they tell of happened.
pub const TRIGGER_TIME: &str = "endpoints.kubernetes.io/last-change-trigger-time";
/// We.
pub const US: &str = "headworks";
/// Where a node is.
pub const ZONE: &str = "topology.kubernetes.io/zone";
