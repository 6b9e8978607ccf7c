//! Jobs and pods as they are read from the API server: only the fields that [`Job`](super::Job) and
//! [`Pod`](super::Pod) are made from.
//!
//! They stand in for `k8s-openapi`'s types in watches: `Api<JobView>` lists and watches Jobs. A pod template, managed
//! fields and volumes are skipped by the parser, so that they never cost an allocation. Every field may be absent: an
//! odd object is ignored, and never ends a watch.

use std::collections::BTreeMap;
use std::fmt;

use k8s_openapi::api::{batch, core};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference, Time};
use kube::Resource;
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::{Map, Value};

/// A Job.
#[derive(Clone, Debug, Default, Deserialize, Resource)]
#[resource(inherit = batch::v1::Job)]
#[expect(missing_docs, reason = "the API's own fields")]
pub struct JobView {
    #[serde(default, deserialize_with = "lean")]
    pub metadata: ObjectMeta,
    #[serde(default)]
    pub spec: JobSpecView,
    #[serde(default)]
    pub status: Map<String, Value>,
}

/// A Job's spec.
#[derive(Clone, Debug, Default)]
pub struct JobSpecView {
    /// Every field but the selector and the pod template, newer ones included: they belong to the result document.
    pub fields: Map<String, Value>,
    /// The pod template's `restartPolicy`.
    pub restart_policy: Option<String>,
    /// The names of the pod template's containers, init containers last.
    pub containers: Vec<String>,
}

/// A pod.
#[derive(Clone, Debug, Default, Deserialize, Resource)]
#[resource(inherit = core::v1::Pod)]
#[expect(missing_docs, reason = "the API's own fields")]
pub struct PodView {
    #[serde(default, deserialize_with = "lean")]
    pub metadata: ObjectMeta,
    #[serde(default)]
    pub spec: PodSpecView,
    #[serde(default)]
    pub status: PodStatusView,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[expect(missing_docs, reason = "the API's own fields")]
pub struct PodSpecView {
    pub node_name: Option<String>,
    pub containers: Vec<ContainerView>,
    pub init_containers: Vec<ContainerView>,
    pub ephemeral_containers: Vec<IgnoredAny>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[expect(missing_docs, reason = "the API's own fields")]
pub struct ContainerView {
    pub name: String,
    pub restart_policy: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[expect(missing_docs, reason = "the API's own fields")]
pub struct PodStatusView {
    pub phase: Option<String>,
    pub reason: Option<String>,
    pub message: Option<String>,
    pub conditions: Vec<PodConditionView>,
    pub container_statuses: Vec<ContainerStatusView>,
    pub init_container_statuses: Vec<ContainerStatusView>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[expect(missing_docs, reason = "the API's own fields")]
pub struct PodConditionView {
    #[serde(rename = "type")]
    pub type_: String,
    pub status: String,
    pub reason: Option<String>,
    pub message: Option<String>,
    pub last_transition_time: Option<Time>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[expect(missing_docs, reason = "the API's own fields")]
pub struct ContainerStatusView {
    pub name: String,
    pub restart_count: i64,
    pub state: ContainerStateView,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "the API's own fields")]
pub struct ContainerStateView {
    pub waiting: Option<WaitingView>,
    pub terminated: Option<TerminatedView>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "the API's own fields")]
pub struct WaitingView {
    pub reason: Option<String>,
    pub message: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[expect(missing_docs, reason = "the API's own fields")]
pub struct TerminatedView {
    pub exit_code: i64,
    pub reason: Option<String>,
    pub message: Option<String>,
    pub started_at: Option<Time>,
    pub finished_at: Option<Time>,
}

/// The part of the metadata that is read; `managedFields`, often the largest part of an object, is not.
pub(crate) fn lean<'de, D: Deserializer<'de>>(deserializer: D) -> Result<ObjectMeta, D::Error> {
    #[derive(Default, Deserialize)]
    #[serde(rename_all = "camelCase", default)]
    struct Lean {
        name: Option<String>,
        namespace: Option<String>,
        uid: Option<String>,
        generate_name: Option<String>,
        generation: Option<i64>,
        resource_version: Option<String>,
        creation_timestamp: Option<Time>,
        deletion_timestamp: Option<Time>,
        finalizers: Option<Vec<String>>,
        labels: Option<BTreeMap<String, String>>,
        annotations: Option<BTreeMap<String, String>>,
        owner_references: Option<Vec<OwnerReference>>,
    }
    let lean = Lean::deserialize(deserializer)?;
    Ok(ObjectMeta {
        name: lean.name,
        namespace: lean.namespace,
        uid: lean.uid,
        generate_name: lean.generate_name,
        generation: lean.generation,
        resource_version: lean.resource_version,
        creation_timestamp: lean.creation_timestamp,
        deletion_timestamp: lean.deletion_timestamp,
        finalizers: lean.finalizers,
        labels: lean.labels,
        annotations: lean.annotations,
        owner_references: lean.owner_references,
        ..ObjectMeta::default()
    })
}

// By hand, since serde's `flatten` would first keep the whole template in memory.
impl<'de> Deserialize<'de> for JobSpecView {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Default, Deserialize)]
        #[serde(default)]
        struct Template {
            spec: TemplateSpec,
        }
        #[derive(Default, Deserialize)]
        #[serde(rename_all = "camelCase", default)]
        struct TemplateSpec {
            restart_policy: Option<String>,
            containers: Vec<Named>,
            init_containers: Vec<Named>,
        }
        #[derive(Default, Deserialize)]
        #[serde(default)]
        struct Named {
            name: String,
        }
        struct Fields;
        impl<'de> Visitor<'de> for Fields {
            type Value = JobSpecView;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the spec of a Job")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<JobSpecView, A::Error> {
                let mut spec = JobSpecView::default();
                while let Some(field) = map.next_key::<String>()? {
                    match field.as_str() {
                        "selector" => drop(map.next_value::<IgnoredAny>()?),
                        "template" => {
                            let template = map.next_value::<Template>()?.spec;
                            spec.restart_policy = template.restart_policy;
                            let containers = template.containers.into_iter().chain(template.init_containers);
                            spec.containers = containers.map(|container| container.name).collect();
                        }
                        _ => drop(spec.fields.insert(field, map.next_value()?)),
                    }
                }
                Ok(spec)
            }
        }
        deserializer.deserialize_map(Fields)
    }
}
