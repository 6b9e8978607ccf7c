//! Names that are part of the API: groups, labels, annotations, prefixes, field managers. Those of leader Services are
//! in [`leader`].

pub mod leader;

/// The name of this program: field manager, reporting controller, and value of the managed-by labels of Kubernetes.
pub const HEADWORKS: &str = "headworks";

/// The API group of `JobFlow`.
pub const GROUP: &str = "workflow.kube-zen.io";
/// The served version.
pub const VERSION: &str = "v1alpha1";
/// `group/version`, as manifests write it.
pub const API_VERSION: &str = "workflow.kube-zen.io/v1alpha1";
/// The kind of a flow.
pub const KIND: &str = "JobFlow";

/// Annotation prefix with which a user approves (`"true"`) or rejects (`"false"`) a Manual step: `<prefix><step>`.
pub const APPROVED_PREFIX: &str = "approved.workflow.kube-zen.io/";
/// Annotation prefix under which admission records who set an approval. Users cannot write it.
pub const APPROVED_BY_PREFIX: &str = "approved-by.workflow.kube-zen.io/";
/// Annotation in which admission records who created a flow. Users cannot write it.
pub const INITIATED_BY: &str = "initiated-by.workflow.kube-zen.io";

/// Label of Jobs and pods: the flow's name, cut and hashed where it is too long for a label.
pub const FLOW_LABEL: &str = "workflow.kube-zen.io/flow";
/// Label of Jobs and pods: the step's name, which always fits.
pub const STEP_LABEL: &str = "workflow.kube-zen.io/step";
/// Label of Jobs and pods that zen-flow wrote, kept for selectors that look for it.
pub const MANAGED_BY_LABEL: &str = "workflow.kube-zen.io/managed-by";
/// The value of [`MANAGED_BY_LABEL`].
pub const MANAGED_BY: &str = "zen-flow";
/// Kubernetes' recommended label for the program that manages an object; ours have the value [`HEADWORKS`].
pub const APP_MANAGED_BY_LABEL: &str = "app.kubernetes.io/managed-by";
/// Annotation of Jobs: the attempt at the step, counted from 1.
pub const ATTEMPT_ANNOTATION: &str = "workflow.kube-zen.io/attempt";
/// Annotation of Jobs: the containers of the step's template, separated by commas, init containers last. The result of
/// the step comes from the first one, also where admission adds containers to its pods.
pub const CONTAINERS_ANNOTATION: &str = "workflow.kube-zen.io/containers";
/// Annotation of Jobs: a hash of the content from which the Job was created. A Job with the right name and another hash
/// belongs to somebody else.
pub const RENDERED_ANNOTATION: &str = "workflow.kube-zen.io/rendered-hash";

/// Label and annotation prefixes that belong to headworks on Jobs and pods.
pub const RESERVED_PREFIXES: [&str; 4] = [
    "workflow.kube-zen.io/",
    "approved.workflow.kube-zen.io/",
    "approved-by.workflow.kube-zen.io/",
    "headworks.kube-zen.io/",
];
/// Prefix of the container and volume names that belong to headworks in a step's pod.
pub const RESERVED_NAME_PREFIX: &str = "headworks-";

/// Prefix of all annotations of a Service with a leader.
pub const LEADER_PREFIX: &str = "zen-lead.io/";

/// The greatest length of a DNS label (RFC 1123), and so of the name of a step, Job or Service.
pub const MAX_LABEL: usize = 63;
/// The greatest number of steps of a flow.
pub const MAX_STEPS: usize = 5_000;
