//! `JobFlow` and its spec.

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::data::{ArtifactStore, FlowParameter};
use super::policy::ExecutionPolicy;
use super::status::JobFlowStatus;
use super::step::Step;

/// A graph of Kubernetes Jobs that run in the order of their dependencies and hand values to each other.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "workflow.kube-zen.io",
    version = "v1alpha1",
    kind = "JobFlow",
    plural = "jobflows",
    shortname = "jf",
    shortname = "flow",
    category = "all",
    namespaced,
    status = "JobFlowStatus",
    derive = "Default",
    derive = "PartialEq",
    doc = "A graph of Kubernetes Jobs that run in the order of their dependencies and hand values to each other.",
    printcolumn = r#"{"name":"Phase","type":"string","jsonPath":".status.phase"}"#,
    printcolumn = r#"{"name":"Progress","type":"string","description":"finished steps of all steps","jsonPath":".status.progress.summary"}"#,
    printcolumn = r#"{"name":"Message","type":"string","description":"why it is not moving, or why it failed","jsonPath":".status.message"}"#,
    printcolumn = r#"{"name":"Running","type":"integer","priority":1,"jsonPath":".status.progress.runningSteps"}"#,
    printcolumn = r#"{"name":"Started","type":"date","priority":1,"jsonPath":".status.startTime"}"#,
    printcolumn = r#"{"name":"Duration","type":"string","priority":1,"jsonPath":".status.duration"}"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#
)]
#[serde(rename_all = "camelCase")]
pub struct JobFlowSpec {
    /// Inputs of the whole flow, read in expressions as `parameters.NAME`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub parameters: Vec<FlowParameter>,
    /// While true no new step starts; running steps go on. May be changed at any time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suspend: Option<bool>,
    /// Policy of the flow as a whole: concurrency, retries, deadlines, clean-up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub execution_policy: Option<ExecutionPolicy>,
    /// Objects that are created before the first step and owned by the flow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource_templates: Option<ResourceTemplates>,
    /// Store that keeps artifacts between steps; absent: the one that the controller is configured with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_store: Option<ArtifactStore>,
    /// The steps. Ready steps start in this order.
    #[schemars(
        length(min = 1, max = 5000),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"])
    )]
    pub steps: Vec<Step>,
}

/// Objects that are created as `<flow>-<name>` before the first step and owned by the flow. In expressions
/// `resources.NAME` is the real name.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ResourceTemplates {
    /// `PersistentVolumeClaim` objects; `metadata.name` and `spec` as in the core API.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), schema_with = "super::crd::preserved_list")]
    pub volume_claim_templates: Vec<Value>,
    /// `ConfigMap` objects; `metadata.name`, `data` and `binaryData` as in the core API.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), schema_with = "super::crd::preserved_list")]
    pub config_map_templates: Vec<Value>,
}
