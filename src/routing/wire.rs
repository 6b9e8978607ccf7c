//! The watched kinds as they come over the wire, with only the fields that routing reads.
//!
//! Everything else is skipped while it is parsed, so ten thousand pods cost what is kept of them and no more.

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

/// A pod.
#[derive(Clone, Debug, Deserialize, Resource)]
#[resource(inherit = PodObject)]
pub(super) struct Pod {
    #[serde(deserialize_with = "lean")]
    pub(super) metadata: ObjectMeta,
    #[serde(default)]
    pub(super) spec: PodSpec,
    #[serde(default)]
    pub(super) status: PodStatus,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct PodSpec {
    pub(super) node_name: Option<String>,
    pub(super) containers: Vec<Container>,
    pub(super) init_containers: Vec<Container>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Container {
    pub(super) ports: Vec<ContainerPort>,
    pub(super) restart_policy: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct ContainerPort {
    pub(super) name: Option<String>,
    #[serde(rename = "containerPort")]
    pub(super) number: i32,
    pub(super) protocol: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct PodStatus {
    pub(super) phase: Option<String>,
    #[serde(rename = "podIP")]
    pub(super) pod_ip: Option<String>,
    #[serde(rename = "podIPs")]
    pub(super) pod_ips: Vec<PodIp>,
    pub(super) conditions: Vec<Condition>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct PodIp {
    pub(super) ip: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Condition {
    #[serde(rename = "type")]
    pub(super) kind: String,
    pub(super) status: String,
    pub(super) last_transition_time: Option<Time>,
}

/// A Service, without its status.
#[derive(Clone, Debug, Deserialize, Resource)]
#[resource(inherit = ServiceObject)]
pub(super) struct Service {
    #[serde(deserialize_with = "lean")]
    pub(super) metadata: ObjectMeta,
    #[serde(default)]
    pub(super) spec: Option<Box<ServiceSpec>>,
}

/// A slice.
#[derive(Clone, Debug, Deserialize, Resource)]
#[resource(inherit = EndpointSlice)]
#[serde(rename_all = "camelCase")]
pub(super) struct Slice {
    #[serde(deserialize_with = "lean")]
    pub(super) metadata: ObjectMeta,
    pub(super) address_type: String,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) endpoints: Vec<Endpoint>,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) ports: Vec<EndpointPort>,
}

/// A slice that is not ours: who keeps it, and for which Service.
#[derive(Clone, Debug, Deserialize, Resource)]
#[resource(inherit = EndpointSlice)]
pub(super) struct Outsider {
    #[serde(deserialize_with = "lean")]
    pub(super) metadata: ObjectMeta,
}

/// A node.
#[derive(Clone, Debug, Deserialize, Resource)]
#[resource(inherit = NodeObject)]
pub(super) struct Node {
    #[serde(deserialize_with = "lean")]
    pub(super) metadata: ObjectMeta,
    #[serde(default)]
    pub(super) status: NodeStatus,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct NodeStatus {
    pub(super) conditions: Vec<Condition>,
}

/// A Lease.
#[derive(Clone, Debug, Deserialize, Resource)]
#[resource(inherit = LeaseObject)]
pub(super) struct Lease {
    #[serde(deserialize_with = "lean")]
    pub(super) metadata: ObjectMeta,
    #[serde(default)]
    pub(super) spec: LeaseSpec,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct LeaseSpec {
    pub(super) holder_identity: Option<String>,
    pub(super) lease_duration_seconds: Option<i32>,
    pub(super) renew_time: Option<MicroTime>,
    pub(super) acquire_time: Option<MicroTime>,
    pub(super) lease_transitions: Option<i32>,
}

/// The metadata that routing reads: no managed fields, and of the annotations only ours.
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

/// The annotations that routing reads or writes.
pub(super) fn is_ours(key: &str) -> bool {
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
