//! Builds the leader Service, and compares it with the present one.
//!
//! Only the fields that are ours are compared, one by one: the API server fills in others, and a field that is right
//! already is not written.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Service as ServiceObject, ServicePort, ServiceSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use serde_json::{Map, Value, json};

use super::choose::Leader;
use super::key::Key;
use super::model::{Family, Meta, Service};
use super::settings::Settings;
use crate::names;
use crate::names::LEADER_PREFIX;
use crate::names::leader;

const HEADLESS: &str = "None";

/// The families of a source, the primary one first.
pub(crate) fn families(source: &Service) -> Vec<Family> {
    let families = source.spec.ip_families.iter().flatten();
    let families: Vec<Family> = families.filter_map(|family| Family::read(family)).collect();
    if families.is_empty() { vec![Family::V4] } else { families }
}

/// The owner reference of an object that this Service controls. It does not block the owner's deletion: that would
/// need a right on Services' finalizers, and is of no use here.
pub(crate) fn owner(meta: &Meta) -> OwnerReference {
    OwnerReference {
        api_version: "v1".to_owned(),
        kind: "Service".to_owned(),
        name: meta.key.name.to_string(),
        uid: meta.uid.to_string(),
        controller: Some(true),
        block_owner_deletion: None,
    }
}

/// The name of a leader Service's slice of one family.
pub(crate) fn slice_key(leader: &Key, family: Family) -> Key {
    leader.sibling(format!("{}{}", leader.name, family.suffix()))
}

/// The leader as the annotations of the leader Service name it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Published {
    /// The pod and its UID; both absent where nobody leads.
    pub(crate) pod: Option<(String, String)>,
    /// The time at which it took over.
    pub(crate) since: Option<Timestamp>,
    pub(crate) epoch: u64,
}

impl Published {
    fn annotations(&self) -> BTreeMap<&'static str, Option<String>> {
        let (pod, uid) = self.pod.clone().unzip();
        BTreeMap::from([
            (leader::CURRENT_LEADER, pod),
            (leader::LEADER_UID, uid),
            (leader::LAST_SWITCH, self.since.map(|time| time.to_string())),
            (leader::EPOCH, (self.epoch > 0).then(|| self.epoch.to_string())),
        ])
    }
}

/// The desired leader Service.
#[derive(Clone, Debug)]
pub(crate) struct LeaderService {
    labels: BTreeMap<String, String>,
    owner: OwnerReference,
    spec: ServiceSpec,
    headless: bool,
}

/// The difference between the present leader Service and the desired one.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Difference {
    /// A merge patch; the object's version is in it.
    pub(crate) patch: Value,
    /// The difference is in more than annotations.
    pub(crate) routes: bool,
}

impl LeaderService {
    /// Builds the leader Service of a source. Named ports are resolved by `leader`, else as in the present one,
    /// `known`.
    pub(crate) fn of(
        source: &Service,
        settings: &Settings,
        leader: Option<&Leader<'_>>,
        known: Option<&Service>,
    ) -> Self {
        let mut labels: BTreeMap<String, String> = settings
            .copy_labels
            .iter()
            .filter_map(|key| source.labels.get_key_value(key))
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect();
        labels.insert(names::APP_MANAGED_BY_LABEL.to_owned(), names::HEADWORKS.to_owned());
        labels.insert(leader::SOURCE.to_owned(), source.meta.key.name.to_string());
        let from = &source.spec;
        let headless = from.cluster_ip.as_deref() == Some(HEADLESS);
        let kind = from
            .type_
            .as_deref()
            .filter(|kind| settings.expose && matches!(*kind, "NodePort" | "LoadBalancer"));
        let known = |port: &ServicePort| {
            let ports = known.into_iter().flat_map(|known| known.spec.ports.iter().flatten());
            ports.filter(|one| one.name == port.name).find_map(|one| number(one.target_port.as_ref()))
        };
        let ports = from.ports.iter().flatten().map(|port| ServicePort {
            name: port.name.clone(),
            port: port.port,
            protocol: Some(protocol(port).to_owned()),
            app_protocol: port.app_protocol.clone(),
            target_port: resolve(port, leader)
                .map(i32::from)
                .or_else(|| known(port))
                .map(IntOrString::Int)
                .or(Some(IntOrString::Int(port.port))),
            node_port: None,
        });
        let spec = ServiceSpec {
            type_: Some(kind.unwrap_or("ClusterIP").to_owned()),
            cluster_ip: headless.then(|| HEADLESS.to_owned()),
            ports: Some(ports.collect()),
            ip_families: from.ip_families.clone(),
            ip_family_policy: from.ip_family_policy.clone(),
            session_affinity: from.session_affinity.clone(),
            session_affinity_config: from.session_affinity_config.clone(),
            // Local would drop what clients on every node send but that of the one endpoint.
            internal_traffic_policy: Some("Cluster".to_owned()),
            traffic_distribution: from.traffic_distribution.clone(),
            ..ServiceSpec::default()
        };
        Self { labels, owner: owner(&source.meta), spec, headless }
    }

    /// The object to create.
    pub(crate) fn object(&self, key: &Key) -> ServiceObject {
        ServiceObject {
            metadata: ObjectMeta {
                name: Some(key.name.to_string()),
                namespace: Some(key.namespace.to_string()),
                labels: Some(self.labels.clone()),
                owner_references: Some(vec![self.owner.clone()]),
                ..ObjectMeta::default()
            },
            spec: Some(self.spec.clone()),
            status: None,
        }
    }

    /// Checks whether the present one can never become this one, since the API server lets nobody change these fields.
    /// In a source they can change, by way of an `ExternalName`.
    pub(crate) fn needs_another(&self, known: &Service) -> bool {
        let first = |spec: &ServiceSpec| spec.ip_families.as_ref().and_then(|all| all.first().cloned());
        let families = first(&self.spec).zip(first(&known.spec));
        self.headless != (known.spec.cluster_ip.as_deref() == Some(HEADLESS))
            || families.is_some_and(|(wanted, known)| wanted != known)
    }

    /// Compares the present leader Service with this one.
    pub(crate) fn difference(&self, known: &Service, published: &Published) -> Option<Difference> {
        let mut metadata = Map::new();
        let labels = changes(
            self.labels.iter().map(|(key, value)| (key.as_str(), Some(value.as_str()))),
            &known.labels,
            |key| !self.labels.contains_key(key),
        );
        let mut spec = Map::new();
        self.spec_changes(&known.spec, &mut spec);
        if !labels.is_empty() {
            metadata.insert("labels".to_owned(), labels.into());
        }
        if known.owners.len() != 1 || known.owners.first() != Some(&self.owner) {
            metadata.insert("ownerReferences".to_owned(), json!([self.owner]));
        }
        let published = published.annotations();
        // Annotations of ours that would make it a source, or that we do not write.
        let stray = |key: &str| key.starts_with(LEADER_PREFIX) && !published.contains_key(key);
        let routes =
            !metadata.is_empty() || !spec.is_empty() || known.annotations.keys().any(|key| stray(key));
        let annotations =
            changes(published.iter().map(|(key, value)| (*key, value.as_deref())), &known.annotations, stray);
        if !annotations.is_empty() {
            metadata.insert("annotations".to_owned(), annotations.into());
        }
        if metadata.is_empty() && spec.is_empty() {
            return None;
        }
        metadata.insert("resourceVersion".to_owned(), json!(&*known.meta.version));
        metadata.insert("uid".to_owned(), json!(&*known.meta.uid));
        let mut patch = json!({"metadata": metadata});
        if !spec.is_empty() {
            patch["spec"] = spec.into();
        }
        Some(Difference { patch, routes })
    }

    fn spec_changes(&self, known: &ServiceSpec, out: &mut Map<String, Value>) {
        let wanted = &self.spec;
        let mut set = |field: &str, value: Value| {
            out.insert(field.to_owned(), value);
        };
        if known.selector.as_ref().is_some_and(|selector| !selector.is_empty()) {
            set("selector", Value::Null);
        }
        if known.type_ != wanted.type_ {
            set("type", json!(wanted.type_));
        }
        let ports = |spec: &ServiceSpec| -> Vec<ServicePort> {
            let ports = spec.ports.iter().flatten().cloned();
            ports
                .map(|port| ServicePort {
                    node_port: None,
                    protocol: Some(protocol(&port).to_owned()),
                    ..port
                })
                .collect()
        };
        if ports(known) != ports(wanted) {
            set("ports", json!(wanted.ports));
        }
        // Absent in the source means the API server's default: nothing to hold the leader Service to.
        if wanted.ip_families.is_some() && known.ip_families != wanted.ip_families {
            set("ipFamilies", json!(wanted.ip_families));
        }
        if wanted.ip_family_policy.is_some() && known.ip_family_policy != wanted.ip_family_policy {
            set("ipFamilyPolicy", json!(wanted.ip_family_policy));
        }
        if wanted.session_affinity.is_some() && known.session_affinity != wanted.session_affinity {
            set("sessionAffinity", json!(wanted.session_affinity));
        }
        if known.session_affinity_config != wanted.session_affinity_config {
            set("sessionAffinityConfig", json!(wanted.session_affinity_config));
        }
        if known.internal_traffic_policy != wanted.internal_traffic_policy {
            set("internalTrafficPolicy", json!(wanted.internal_traffic_policy));
        }
        if known.traffic_distribution != wanted.traffic_distribution {
            set("trafficDistribution", json!(wanted.traffic_distribution));
        }
    }
}

/// The entries that a merge patch has to set or, as null, to remove.
fn changes<'a>(
    wanted: impl Iterator<Item = (&'a str, Option<&'a str>)>,
    known: &BTreeMap<String, String>,
    remove: impl Fn(&str) -> bool,
) -> Map<String, Value> {
    let set = wanted
        .filter(|(key, value)| known.get(*key).map(String::as_str) != *value)
        .map(|(key, value)| (key.to_owned(), json!(value)));
    let gone = known.keys().filter(|key| remove(key)).map(|key| (key.clone(), Value::Null));
    gone.chain(set).collect()
}

pub(crate) fn protocol(port: &ServicePort) -> &str {
    port.protocol.as_deref().unwrap_or("TCP")
}

fn number(target: Option<&IntOrString>) -> Option<i32> {
    if let Some(IntOrString::Int(number)) = target { Some(*number) } else { None }
}

/// The number of a port on the leader. A name is looked up among the leader's containers, with the protocol.
pub(crate) fn resolve(port: &ServicePort, leader: Option<&Leader<'_>>) -> Option<u16> {
    match &port.target_port {
        Some(IntOrString::Int(number)) if *number != 0 => u16::try_from(*number).ok(),
        None | Some(IntOrString::Int(_)) => u16::try_from(port.port).ok(),
        Some(IntOrString::String(name)) => leader?.pod.port(name, protocol(port)),
    }
}

/// The named ports of a source that its leader does not have, as `port (target)`.
pub(crate) fn unresolved(source: &Service, leader: Option<&Leader<'_>>) -> Vec<String> {
    let ports = source.spec.ports.iter().flatten();
    ports
        .filter(|port| leader.is_some() && resolve(port, leader).is_none())
        .map(|port| {
            let target = match &port.target_port {
                Some(IntOrString::String(name)) => name.clone(),
                _ => String::new(),
            };
            format!("{}/{} ({target})", port.port, protocol(port))
        })
        .collect()
}

/// The families of a source in which its leader has no address, as conditions.
pub(crate) fn unaddressed(families: &[Family], leader: Option<&Leader<'_>>) -> Vec<String> {
    let Some(Leader { pod, .. }) = leader else { return Vec::new() };
    let lacking = families.iter().filter(|family| pod.address(**family).is_none());
    let line = |family: &Family| {
        let (name, family) = (&pod.meta.key.name, family.as_str());
        format!("NoAddress: {name} leads without an {family} address: clients of that family reach nobody")
    };
    lacking.map(line).collect()
}

#[cfg(test)]
mod tests;
