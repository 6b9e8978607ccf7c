//! The watched objects as they are kept in memory, reduced to what is needed.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::ServiceSpec;
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointPort};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::api::ObjectMeta;

use super::key::Key;
use super::view;
use crate::names::leader;

/// The metadata that every object has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Meta {
    /// Namespace and name; the namespace of a node is empty.
    pub(crate) key: Key,
    pub(crate) uid: Arc<str>,
    /// The resourceVersion.
    pub(crate) version: Arc<str>,
    /// It has a deletionTimestamp.
    pub(crate) terminating: bool,
}

impl Meta {
    pub(crate) fn of(metadata: &ObjectMeta) -> Self {
        let text = |value: &Option<String>| Arc::from(value.as_deref().unwrap_or_default());
        Self {
            key: Key { namespace: text(&metadata.namespace), name: text(&metadata.name) },
            uid: text(&metadata.uid),
            version: text(&metadata.resource_version),
            terminating: metadata.deletion_timestamp.is_some(),
        }
    }

    /// The resourceVersion as a number, which it is on every API server.
    pub(crate) fn number(&self) -> Option<u64> {
        self.version.parse().ok()
    }

    /// Checks whether `self` is an earlier version of the same object as `other`.
    pub(crate) fn is_older_than(&self, other: &Self) -> bool {
        self.uid == other.uid
            && matches!((self.number(), other.number()), (Some(mine), Some(theirs)) if mine < theirs)
    }
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Pod {
    pub(crate) meta: Meta,
    pub(crate) created: Timestamp,
    /// Labels as `key=value`, sorted.
    pub(crate) labels: Box<[Arc<str>]>,
    pub(crate) node: Option<Arc<str>>,
    /// Its phase is Running.
    pub(crate) running: bool,
    pub(crate) addresses: Box<[IpAddr]>,
    /// Its condition Ready is True.
    pub(crate) ready: bool,
    /// The time at which the condition Ready changed last.
    pub(crate) since: Timestamp,
    /// Its named ports: those of containers and of restartable init containers.
    pub(crate) ports: Box<[NamedPort]>,
}

/// A port that has a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NamedPort {
    pub(crate) name: Box<str>,
    pub(crate) number: u16,
    /// TCP, UDP or SCTP.
    pub(crate) protocol: Box<str>,
}

impl Pod {
    /// The first address of a family.
    pub(crate) fn address(&self, family: Family) -> Option<IpAddr> {
        self.addresses.iter().copied().find(|address| Family::of(*address) == family)
    }

    /// The labels as a map.
    pub(crate) fn label_map(&self) -> BTreeMap<String, String> {
        let pair =
            |label: &Arc<str>| label.split_once('=').map(|(key, value)| (key.to_owned(), value.to_owned()));
        self.labels.iter().filter_map(pair).collect()
    }

    /// The number of a named port.
    pub(crate) fn port(&self, name: &str, protocol: &str) -> Option<u16> {
        self.ports
            .iter()
            .find(|port| &*port.name == name && &*port.protocol == protocol)
            .map(|port| port.number)
    }
}

/// An address family, as EndpointSlices call it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Family {
    V4,
    V6,
}

impl Family {
    pub(crate) fn of(address: IpAddr) -> Self {
        if address.is_ipv4() { Self::V4 } else { Self::V6 }
    }

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::V4 => "IPv4",
            Self::V6 => "IPv6",
        }
    }

    /// Reads what [`Family::as_str`] gives.
    pub(crate) fn read(text: &str) -> Option<Self> {
        [Self::V4, Self::V6].into_iter().find(|family| family.as_str() == text)
    }

    /// The end of a slice's name.
    pub(crate) fn suffix(self) -> &'static str {
        match self {
            Self::V4 => "-ipv4",
            Self::V6 => "-ipv6",
        }
    }
}

/// A Service: a source, or a leader Service.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Service {
    pub(crate) meta: Meta,
    pub(crate) labels: BTreeMap<String, String>,
    /// The annotations with our prefix; others are not kept.
    pub(crate) annotations: BTreeMap<String, String>,
    pub(crate) owners: Vec<OwnerReference>,
    pub(crate) spec: Box<ServiceSpec>,
}

impl Service {
    /// The source that this leader Service names, if it is one: our label and a Service as controller.
    pub(crate) fn source(&self) -> Option<&str> {
        let source = self.labels.get(leader::SOURCE)?;
        (controller(&self.owners)?.name == *source).then_some(source)
    }

    /// Checks whether this is a leader Service of exactly that source, not of an earlier one of its name.
    pub(crate) fn is_leader_service_of(&self, source: &Meta) -> bool {
        self.source() == Some(&*source.key.name)
            && controller(&self.owners).is_some_and(|owner| *owner.uid == *source.uid)
    }
}

/// A slice with our label.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Slice {
    pub(crate) meta: Meta,
    pub(crate) labels: BTreeMap<String, String>,
    /// The annotations with our prefix, and the trigger time; others are not kept.
    pub(crate) annotations: BTreeMap<String, String>,
    pub(crate) owners: Vec<OwnerReference>,
    pub(crate) family: Option<Family>,
    /// At most one, unless somebody else wrote the slice.
    pub(crate) endpoints: Vec<Endpoint>,
    pub(crate) ports: Vec<EndpointPort>,
}

impl Slice {
    /// The source that this slice names, if it is one of ours: our label and a Service as controller.
    pub(crate) fn source(&self) -> Option<&str> {
        controller(&self.owners)?;
        self.labels.get(leader::SOURCE).map(String::as_str)
    }

    pub(crate) fn epoch(&self) -> u64 {
        epoch(&self.annotations)
    }

    /// Name and UID of the pod that it routes to.
    pub(crate) fn leader(&self) -> Option<(&str, &str)> {
        let target = self.endpoints.first()?.target_ref.as_ref()?;
        Some((target.name.as_deref()?, target.uid.as_deref()?))
    }
}

/// A slice of another program for some Service. Its endpoints add to those of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rival {
    pub(crate) meta: Meta,
    /// The name of the Service.
    pub(crate) service: Arc<str>,
    /// The program that manages it, as its label says.
    pub(crate) manager: Option<Box<str>>,
}

/// The epoch among annotations, 0 where there is none.
pub(crate) fn epoch(annotations: &BTreeMap<String, String>) -> u64 {
    annotations.get(leader::EPOCH).and_then(|text| text.parse().ok()).map_or(0, plausible)
}

/// Gives back an epoch, or 0 if counting cannot have led there: a number at the end of its type, written by hand, could
/// not grow.
pub(crate) fn plausible(epoch: u64) -> u64 {
    if epoch <= u64::MAX / 2 { epoch } else { 0 }
}

/// The Service that controls an object.
pub(crate) fn controller(owners: &[OwnerReference]) -> Option<&OwnerReference> {
    owners
        .iter()
        .find(|owner| owner.kind == "Service" && owner.api_version == "v1" && owner.controller == Some(true))
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Node {
    pub(crate) name: Arc<str>,
    pub(crate) zone: Option<Arc<str>>,
    /// The time since which its condition Ready is not True.
    pub(crate) down: Option<Timestamp>,
}

/// A Lease. Its times come from its holder's clock; they are only compared with each other.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Lease {
    pub(crate) meta: Meta,
    /// The `holderIdentity`; absent when it is empty.
    pub(crate) holder: Option<String>,
    /// The time for which it is held after each renewal.
    pub(crate) duration: Option<SignedDuration>,
    /// The `renewTime`.
    pub(crate) renewed: Option<Timestamp>,
    /// The `acquireTime`.
    pub(crate) acquired: Option<Timestamp>,
    /// The `leaseTransitions`.
    pub(crate) transitions: Option<i32>,
}

impl Lease {
    /// Checks whether the holder has not written it since `earlier`. Labels and annotations do not count.
    pub(crate) fn is_as(&self, earlier: &Self) -> bool {
        let record = |lease: &Self| (lease.duration, lease.renewed, lease.acquired, lease.transitions);
        self.meta.uid == earlier.meta.uid && self.holder == earlier.holder && record(self) == record(earlier)
    }
}

impl From<view::Pod> for Pod {
    fn from(pod: view::Pod) -> Self {
        let view::Pod { metadata, spec, status } = pod;
        let created = metadata.creation_timestamp.as_ref().map_or(Timestamp::UNIX_EPOCH, |time| time.0);
        let ready = status.conditions.iter().find(|condition| condition.kind == "Ready");
        let mut labels: Box<[Arc<str>]> = metadata
            .labels
            .iter()
            .flatten()
            .map(|(key, value)| Arc::from(format!("{key}={value}")))
            .collect();
        labels.sort();
        let mut addresses: Vec<IpAddr> =
            status.pod_ips.iter().filter_map(|one| one.ip.as_deref()?.parse().ok()).collect();
        if let Some(first) = status.pod_ip.and_then(|text| text.parse().ok())
            && !addresses.contains(&first)
        {
            addresses.insert(0, first);
        }
        let restartable = spec
            .init_containers
            .into_iter()
            .filter(|container| container.restart_policy.as_deref() == Some("Always"));
        let ports = spec.containers.into_iter().chain(restartable).flat_map(|container| container.ports);
        Self {
            created,
            labels,
            node: spec.node_name.map(Arc::from),
            running: status.phase.as_deref() == Some("Running"),
            addresses: addresses.into_boxed_slice(),
            ready: ready.is_some_and(|condition| condition.status == "True"),
            since: ready
                .and_then(|condition| condition.last_transition_time.as_ref())
                .map_or(created, |time| time.0),
            ports: ports
                .filter_map(|port| {
                    Some(NamedPort {
                        name: port.name?.into(),
                        number: u16::try_from(port.number).ok()?,
                        protocol: port.protocol.unwrap_or_else(|| "TCP".to_owned()).into(),
                    })
                })
                .collect(),
            meta: Meta::of(&metadata),
        }
    }
}

impl From<view::Service> for Service {
    fn from(service: view::Service) -> Self {
        let view::Service { metadata, spec } = service;
        Self {
            meta: Meta::of(&metadata),
            labels: metadata.labels.unwrap_or_default(),
            annotations: metadata.annotations.unwrap_or_default(),
            owners: metadata.owner_references.unwrap_or_default(),
            spec: spec.unwrap_or_default(),
        }
    }
}

impl Rival {
    /// Reads a slice; `None` if it names no Service.
    pub(crate) fn of(slice: &view::Outsider) -> Option<Self> {
        let mut labels = slice.metadata.labels.clone().unwrap_or_default();
        Some(Self {
            meta: Meta::of(&slice.metadata),
            service: labels.remove(leader::SLICE_SERVICE)?.into(),
            manager: labels.remove(leader::SLICE_MANAGED_BY).map(String::into_boxed_str),
        })
    }
}

impl From<view::Slice> for Slice {
    fn from(slice: view::Slice) -> Self {
        let view::Slice { metadata, address_type, endpoints, ports } = slice;
        Self {
            meta: Meta::of(&metadata),
            labels: metadata.labels.unwrap_or_default(),
            annotations: metadata.annotations.unwrap_or_default(),
            owners: metadata.owner_references.unwrap_or_default(),
            family: Family::read(&address_type),
            endpoints,
            ports,
        }
    }
}

impl From<view::Node> for Node {
    fn from(node: view::Node) -> Self {
        let ready = node.status.conditions.iter().find(|condition| condition.kind == "Ready");
        // A node without this condition is new, not down.
        let down = ready.filter(|condition| condition.status != "True");
        let since = |condition: &view::Condition| {
            condition.last_transition_time.as_ref().map_or(Timestamp::UNIX_EPOCH, |time| time.0)
        };
        Self {
            down: down.map(since),
            zone: node
                .metadata
                .labels
                .as_ref()
                .and_then(|labels| labels.get(leader::ZONE))
                .map(|zone| zone.as_str().into()),
            name: node.metadata.name.unwrap_or_default().into(),
        }
    }
}

impl From<view::Lease> for Lease {
    fn from(lease: view::Lease) -> Self {
        let spec = lease.spec;
        Self {
            meta: Meta::of(&lease.metadata),
            holder: spec.holder_identity.filter(|holder| !holder.is_empty()),
            duration: spec.lease_duration_seconds.map(|seconds| SignedDuration::from_secs(seconds.into())),
            renewed: spec.renew_time.map(|time| time.0),
            acquired: spec.acquire_time.map(|time| time.0),
            transitions: spec.lease_transitions,
        }
    }
}
