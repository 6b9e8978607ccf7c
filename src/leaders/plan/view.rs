//! The watched kinds as they are deserialized, with only the fields that leader Services need.
//!
//! All other fields are skipped while they are parsed, so they never take memory.

use std::collections::BTreeMap;

use k8s_openapi::api::coordination::v1::Lease as LeaseObject;
use k8s_openapi::api::core::v1::{
    Node as NodeObject, Pod as PodObject, Service as ServiceObject, ServiceSpec,
};
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointPort, EndpointSlice};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, OwnerReference, Time};
use kube::Resource;
use kube::api::ObjectMeta;
use serde::{Deserialize, Deserializer};

use crate::names::leader;

#[derive(Clone, Debug, Deserialize, Resource)]
#[resource(inherit = PodObject)]
pub(crate) struct Pod {
    #[serde(deserialize_with = "lean")]
    pub(crate) metadata: ObjectMeta,
    #[serde(default)]
    pub(crate) spec: PodSpec,
    #[serde(default)]
    pub(crate) status: PodStatus,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct PodSpec {
    pub(crate) node_name: Option<String>,
    pub(crate) containers: Vec<Container>,
    pub(crate) init_containers: Vec<Container>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Container {
    pub(crate) ports: Vec<ContainerPort>,
    pub(crate) restart_policy: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct ContainerPort {
    pub(crate) name: Option<String>,
    #[serde(rename = "containerPort")]
    pub(crate) number: i32,
    pub(crate) protocol: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct PodStatus {
    pub(crate) phase: Option<String>,
    #[serde(rename = "podIP")]
    pub(crate) pod_ip: Option<String>,
    #[serde(rename = "podIPs")]
    pub(crate) pod_ips: Vec<PodIp>,
    pub(crate) conditions: Vec<Condition>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct PodIp {
    pub(crate) ip: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Condition {
    #[serde(rename = "type")]
    pub(crate) kind: String,
    pub(crate) status: String,
    pub(crate) last_transition_time: Option<Time>,
}

/// A Service, without its status.
#[derive(Clone, Debug, Deserialize, Resource)]
#[resource(inherit = ServiceObject)]
pub(crate) struct Service {
    #[serde(deserialize_with = "lean")]
    pub(crate) metadata: ObjectMeta,
    #[serde(default)]
    pub(crate) spec: Option<Box<ServiceSpec>>,
}

#[derive(Clone, Debug, Deserialize, Resource)]
#[resource(inherit = EndpointSlice)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Slice {
    #[serde(deserialize_with = "lean")]
    pub(crate) metadata: ObjectMeta,
    pub(crate) address_type: String,
    #[serde(default, deserialize_with = "or_default")]
    pub(crate) endpoints: Vec<Endpoint>,
    #[serde(default, deserialize_with = "or_default")]
    pub(crate) ports: Vec<EndpointPort>,
}

/// A slice of another program; its labels name the program and the Service.
#[derive(Clone, Debug, Deserialize, Resource)]
#[resource(inherit = EndpointSlice)]
pub(crate) struct Outsider {
    #[serde(deserialize_with = "lean")]
    pub(crate) metadata: ObjectMeta,
}

#[derive(Clone, Debug, Deserialize, Resource)]
#[resource(inherit = NodeObject)]
pub(crate) struct Node {
    #[serde(deserialize_with = "lean")]
    pub(crate) metadata: ObjectMeta,
    #[serde(default)]
    pub(crate) status: NodeStatus,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct NodeStatus {
    pub(crate) conditions: Vec<Condition>,
}

#[derive(Clone, Debug, Deserialize, Resource)]
#[resource(inherit = LeaseObject)]
pub(crate) struct Lease {
    #[serde(deserialize_with = "lean")]
    pub(crate) metadata: ObjectMeta,
    #[serde(default)]
    pub(crate) spec: LeaseSpec,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct LeaseSpec {
    pub(crate) holder_identity: Option<String>,
    pub(crate) lease_duration_seconds: Option<i32>,
    pub(crate) renew_time: Option<MicroTime>,
    pub(crate) acquire_time: Option<MicroTime>,
    pub(crate) lease_transitions: Option<i32>,
}

/// Reads metadata without managed fields, and of the annotations only ours.
fn lean<'de, D: Deserializer<'de>>(deserializer: D) -> Result<ObjectMeta, D::Error> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Lean {
        name: Option<String>,
        namespace: Option<String>,
        uid: Option<String>,
        resource_version: Option<String>,
        creation_timestamp: Option<Time>,
        deletion_timestamp: Option<Time>,
        labels: Option<BTreeMap<String, String>>,
        #[serde(default, deserialize_with = "ours")]
        annotations: BTreeMap<String, String>,
        owner_references: Option<Vec<OwnerReference>>,
    }
    let lean = Lean::deserialize(deserializer)?;
    Ok(ObjectMeta {
        name: lean.name,
        namespace: lean.namespace,
        uid: lean.uid,
        resource_version: lean.resource_version,
        creation_timestamp: lean.creation_timestamp,
        deletion_timestamp: lean.deletion_timestamp,
        labels: lean.labels,
        annotations: (!lean.annotations.is_empty()).then_some(lean.annotations),
        owner_references: lean.owner_references,
        ..ObjectMeta::default()
    })
}

/// Checks whether this is an annotation that the controller reads or writes.
pub(crate) fn is_ours(key: &str) -> bool {
    key.starts_with(crate::names::LEADER_PREFIX) || key == leader::TRIGGER_TIME
}

fn ours<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<String, String>, D::Error> {
    struct Ours;
    impl<'de> serde::de::Visitor<'de> for Ours {
        type Value = BTreeMap<String, String>;

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("a map of strings or null")
        }

        fn visit_unit<E>(self) -> Result<Self::Value, E> {
            Ok(BTreeMap::new())
        }

        fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut kept = BTreeMap::new();
            while let Some(key) = map.next_key::<String>()? {
                if is_ours(&key) {
                    kept.insert(key, map.next_value()?);
                } else {
                    map.next_value::<serde::de::IgnoredAny>()?;
                }
            }
            Ok(kept)
        }
    }
    deserializer.deserialize_any(Ours)
}

fn or_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(
    deserializer: D,
) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}
