//! What is kept of the watched objects: small, and read at one place.

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

/// What every object has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Meta {
    /// Namespace and name; the namespace of a node is empty.
    pub key: Key,
    /// Which of the objects that had this name.
    pub uid: Arc<str>,
    /// The resourceVersion as it is sent back.
    pub version: Arc<str>,
    /// Whether it is being deleted.
    pub terminating: bool,
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

    /// The resourceVersion as a number, as API servers give them out.
    pub fn number(&self) -> Option<u64> {
        self.version.parse().ok()
    }

    /// Whether `self` tells of an earlier state of the very object `other`.
    pub fn is_older_than(&self, other: &Self) -> bool {
        self.uid == other.uid
            && matches!((self.number(), other.number()), (Some(mine), Some(theirs)) if mine < theirs)
    }
}

/// A pod.
#[derive(Clone, Debug, PartialEq)]
pub struct Pod {
    /// Names.
    pub meta: Meta,
    /// When it was created.
    pub created: Timestamp,
    /// Labels as `key=value`, sorted.
    pub labels: Box<[Arc<str>]>,
    /// Where it runs.
    pub node: Option<Arc<str>>,
    /// Whether its phase is Running.
    pub running: bool,
    /// Its addresses.
    pub addresses: Box<[IpAddr]>,
    /// Whether its condition Ready is True.
    pub ready: bool,
    /// Since when the condition Ready is what it is.
    pub since: Timestamp,
    /// Its named ports: those of containers and of restartable init containers.
    pub ports: Box<[NamedPort]>,
}

/// A port that has a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedPort {
    /// The name.
    pub name: Box<str>,
    /// The number.
    pub number: u16,
    /// TCP, UDP or SCTP.
    pub protocol: Box<str>,
}

impl Pod {
    /// The first address of a family.
    pub fn address(&self, family: Family) -> Option<IpAddr> {
        self.addresses.iter().copied().find(|address| Family::of(*address) == family)
    }

    /// The value of a label.
    pub fn label(&self, key: &str) -> Option<&str> {
        self.labels.iter().find_map(|label| label.strip_prefix(key)?.strip_prefix('='))
    }

    /// The labels as a map.
    pub fn label_map(&self) -> BTreeMap<String, String> {
        let pair =
            |label: &Arc<str>| label.split_once('=').map(|(key, value)| (key.to_owned(), value.to_owned()));
        self.labels.iter().filter_map(pair).collect()
    }

    /// The number of a named port.
    pub fn port(&self, name: &str, protocol: &str) -> Option<u16> {
        self.ports
            .iter()
            .find(|port| &*port.name == name && &*port.protocol == protocol)
            .map(|port| port.number)
    }
}

/// An address family, as EndpointSlices call it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// The family of an address.
    pub fn of(address: IpAddr) -> Self {
        if address.is_ipv4() { Self::V4 } else { Self::V6 }
    }

    /// `IPv4` or `IPv6`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::V4 => "IPv4",
            Self::V6 => "IPv6",
        }
    }

    /// Read what `as_str` gives.
    pub fn read(text: &str) -> Option<Self> {
        [Self::V4, Self::V6].into_iter().find(|family| family.as_str() == text)
    }

    /// The end of a slice's name.
    pub fn suffix(self) -> &'static str {
        match self {
            Self::V4 => "-ipv4",
            Self::V6 => "-ipv6",
        }
    }
}

/// A Service: a source, or a leader Service.
#[derive(Clone, Debug, PartialEq)]
pub struct Service {
    /// Names.
    pub meta: Meta,
    /// All labels.
    pub labels: BTreeMap<String, String>,
    /// Annotations with our prefix.
    pub annotations: BTreeMap<String, String>,
    /// Who owns it.
    pub owners: Vec<OwnerReference>,
    /// What it says.
    pub spec: Box<ServiceSpec>,
}

impl Service {
    /// The source that this leader Service names, if it is one: our label and a Service as controller.
    pub fn source(&self) -> Option<&str> {
        let source = self.labels.get(leader::SOURCE)?;
        (controller(&self.owners)?.name == *source).then_some(source)
    }
}

/// A slice with our label.
#[derive(Clone, Debug, PartialEq)]
pub struct Slice {
    /// Names.
    pub meta: Meta,
    /// All labels.
    pub labels: BTreeMap<String, String>,
    /// Annotations with our prefix, and the trigger time.
    pub annotations: BTreeMap<String, String>,
    /// Who owns it.
    pub owners: Vec<OwnerReference>,
    /// The family.
    pub family: Option<Family>,
    /// The endpoints: none or one, unless somebody else wrote.
    pub endpoints: Vec<Endpoint>,
    /// The ports.
    pub ports: Vec<EndpointPort>,
}

impl Slice {
    /// The source that this slice names, if it is one of ours: our label and a Service as controller.
    pub fn source(&self) -> Option<&str> {
        controller(&self.owners)?;
        self.labels.get(leader::SOURCE).map(String::as_str)
    }

    /// The epoch it carries.
    pub fn epoch(&self) -> u64 {
        epoch(&self.annotations)
    }

    /// The pod it routes to: name and UID.
    pub fn leader(&self) -> Option<(&str, &str)> {
        let target = self.endpoints.first()?.target_ref.as_ref()?;
        Some((target.name.as_deref()?, target.uid.as_deref()?))
    }
}

/// A slice that somebody else keeps for a Service: what it routes adds to what ours does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rival {
    /// Names.
    pub meta: Meta,
    /// The Service.
    pub service: Arc<str>,
    /// Who keeps it, as its label says.
    pub manager: Option<Box<str>>,
}

/// The epoch among annotations, 0 where there is none.
pub fn epoch(annotations: &BTreeMap<String, String>) -> u64 {
    annotations.get(leader::EPOCH).and_then(|text| text.parse().ok()).map_or(0, plausible)
}

/// An epoch as somebody wrote it, or 0 if nobody can have counted so far: a number at the end of its type, written by
/// hand, could not grow.
pub fn plausible(epoch: u64) -> u64 {
    if epoch <= u64::MAX / 2 { epoch } else { 0 }
}

/// The Service that controls an object.
pub fn controller(owners: &[OwnerReference]) -> Option<&OwnerReference> {
    owners
        .iter()
        .find(|owner| owner.kind == "Service" && owner.api_version == "v1" && owner.controller == Some(true))
}

/// A node.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// Its name.
    pub name: Arc<str>,
    /// Its zone.
    pub zone: Option<Arc<str>>,
    /// Since when its condition Ready is not True.
    pub down: Option<Timestamp>,
}

/// A Lease. Its times are of its holder's clock, and only tell whether it was written since.
#[derive(Clone, Debug, PartialEq)]
pub struct Lease {
    /// Names.
    pub meta: Meta,
    /// Who holds it.
    pub holder: Option<String>,
    /// How long it is held after each renewal.
    pub duration: Option<SignedDuration>,
    /// When the holder says that it renewed it.
    pub renewed: Option<Timestamp>,
    /// When the holder says that it took it.
    pub acquired: Option<Timestamp>,
    /// How often it changed hands.
    pub transitions: Option<i32>,
}

impl Lease {
    /// Whether its holder has written nothing since `earlier`. Labels and annotations do not count.
    pub fn is_as(&self, earlier: &Self) -> bool {
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
    /// What is kept of a slice, if it names a Service.
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
        // A node that says nothing yet is new, not dead.
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
