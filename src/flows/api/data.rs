//! Data between steps: parameters, outputs, artifacts.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The inputs that a step reads.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Inputs {
    /// Values, read in expressions as `parameters.NAME`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub parameters: Vec<InputParameter>,
    /// Files and directories that are there before the step's containers start.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub artifacts: Vec<InputArtifact>,
}

/// The outputs that a step passes on.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Outputs {
    /// Values taken from the step's result document when it succeeds.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub parameters: Vec<OutputParameter>,
    /// Files and directories that are kept when the step succeeds.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub artifacts: Vec<OutputArtifact>,
}

/// The type that a value is read as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[expect(missing_docs, reason = "the names say it")]
pub enum ValueType {
    String,
    Int,
    Double,
    Bool,
    Json,
}

/// An input of the whole flow: exactly one of `value` and `valueFrom`, or a `default` alone.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [
    {"rule": "!(has(self.value) && has(self.valueFrom))", "message": "value and valueFrom exclude each other"}
]))]
pub struct FlowParameter {
    /// A letter or `_`, then letters, digits, `_` and `-`; at most 63.
    #[schemars(length(min = 1, max = 63))]
    pub name: String,
    /// The value, taken literally.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// Source of the value, read when the flow starts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value_from: Option<FlowValueSource>,
    /// The value if its source has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<String>,
    /// The type that expressions see; default string.
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    pub type_: Option<ValueType>,
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub description: Option<String>,
}

/// Source of a flow's parameter: exactly one.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FlowValueSource {
    /// A key of a ConfigMap in the flow's namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_map_key_ref: Option<KeyRef>,
    /// A key of a Secret in the flow's namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_key_ref: Option<KeyRef>,
}

/// An input of a step: exactly one of `value` and `valueFrom`, or a `default` alone.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [
    {"rule": "!(has(self.value) && has(self.valueFrom))", "message": "value and valueFrom exclude each other"}
]))]
pub struct InputParameter {
    /// A letter or `_`, then letters, digits, `_` and `-`; at most 63.
    #[schemars(length(min = 1, max = 63))]
    pub name: String,
    /// The value, taken literally, braces included.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// Source of the value, read when the step starts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value_from: Option<InputValueSource>,
    /// The value if its source has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<String>,
    /// The type that expressions see; default string.
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    pub type_: Option<ValueType>,
}

/// Source of a step's input: exactly one.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct InputValueSource {
    /// `STEP:PATH`, read from the result document of STEP; without `STEP:` of the only dependency.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub json_path: Option<String>,
    /// A key of a ConfigMap in the flow's namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_map_key_ref: Option<KeyRef>,
    /// A key of a Secret in the flow's namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_key_ref: Option<KeyRef>,
    /// A CEL expression.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 4096))]
    pub expression: Option<String>,
}

/// A value that a step hands on.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct OutputParameter {
    /// A letter or `_`, then letters, digits, `_` and `-`; at most 63.
    #[schemars(length(min = 1, max = 63))]
    pub name: String,
    /// Place of the value in the step's result document.
    pub value_from: OutputValueSource,
    /// The value if the path matches nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<String>,
    /// The type that expressions see; default string.
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    pub type_: Option<ValueType>,
}

/// Place from which an output is read.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct OutputValueSource {
    /// A path in the result document: RFC 9535, or kubectl's `{.a.b}`.
    pub json_path: String,
    /// The container whose output is the document's `output`; absent: the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container: Option<String>,
}

/// A key of a ConfigMap or Secret.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct KeyRef {
    /// The object's name.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// The key.
    #[schemars(length(min = 1, max = 253))]
    pub key: String,
    /// True if the object or key may be missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub optional: Option<bool>,
}

/// A file or directory that a step reads: exactly one of `from`, `http`, `s3`, `configMap`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct InputArtifact {
    /// A letter or `_`, then letters, digits, `_` and `-`; at most 63.
    #[schemars(length(min = 1, max = 63))]
    pub name: String,
    /// Absolute path where it is put. Default `/tmp/artifacts/<name>`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// `STEP/ARTIFACT`: an output artifact of an earlier step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// A download.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http: Option<HttpSource>,
    /// An object of an S3 store.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub s3: Option<S3Location>,
    /// A key of a ConfigMap in the flow's namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_map: Option<KeyRef>,
    /// True if it may be absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub optional: Option<bool>,
    /// Permission bits of the file, such as 0644 in octal notation (420 in decimal).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 511))]
    pub mode: Option<i64>,
}

/// A download over HTTP.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct HttpSource {
    /// An http or https URL.
    #[schemars(length(max = 8192))]
    pub url: String,
    /// Request headers: a list of {name, value} or {name, secretKeyRef}. A map is the deprecated spelling.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "super::crd::preserved_any")]
    pub headers: Option<Value>,
    /// The expected SHA-256 in hexadecimal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
}

/// An object, or a prefix, in an S3 store.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct S3Location {
    /// The server, as a URL or host.
    pub endpoint: String,
    /// The region; some servers want one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// The bucket.
    pub bucket: String,
    /// The key; default: made from flow, step and artifact.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// True if the bucket stands in the path instead of the host name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path_style: Option<bool>,
    /// The access key's id.
    #[serde(rename = "accessKeyIDSecretRef", default, skip_serializing_if = "Option::is_none")]
    pub access_key_id_secret_ref: Option<KeyRef>,
    /// The access key's secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_access_key_secret_ref: Option<KeyRef>,
    /// The token of temporary credentials.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_token_secret_ref: Option<KeyRef>,
}

/// A file or directory that a step hands on.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct OutputArtifact {
    /// A letter or `_`, then letters, digits, `_` and `-`; at most 63.
    #[schemars(length(min = 1, max = 63))]
    pub name: String,
    /// Absolute path where it is found.
    pub path: String,
    /// True if it may be missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub optional: Option<bool>,
    /// Format in which it is packed; default: a directory as tar and gzip, a file as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub archive: Option<Archive>,
    /// Store in which it is kept; default: the flow's store.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub s3: Option<S3Location>,
}

/// Format in which an artifact is packed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Archive {
    /// tar, zip, or none for a single file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<ArchiveFormat>,
    /// gzip, zstd or none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compression: Option<Compression>,
}

/// Format that makes files one object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[expect(missing_docs, reason = "the names say it")]
pub enum ArchiveFormat {
    Tar,
    Zip,
    None,
}

/// Compression of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[expect(missing_docs, reason = "the names say it")]
pub enum Compression {
    Gzip,
    Zstd,
    None,
}

/// Store of a flow's artifacts: exactly one.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [
    {"rule": "has(self.s3) != has(self.volumeClaim)", "message": "exactly one of s3 and volumeClaim is needed"}
]))]
pub struct ArtifactStore {
    /// An S3 store.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub s3: Option<S3Location>,
    /// A volume that all steps can mount.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub volume_claim: Option<VolumeClaimStore>,
}

/// A volume as a store.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct VolumeClaimStore {
    /// The claim's name.
    #[schemars(length(min = 1, max = 253))]
    pub claim_name: String,
}
