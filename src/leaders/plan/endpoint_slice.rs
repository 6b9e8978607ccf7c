//! Builds the slices of a leader Service.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointConditions, EndpointPort, EndpointSlice};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::choose::Leader;
use super::leader_service::{owner, protocol, resolve, slice_key};
use super::model::{Family, Meta, Service, Slice};
use crate::names;
use crate::names::leader;

/// The content that all slices of a leader Service share.
pub(crate) struct Slices<'a> {
    pub(crate) source: &'a Service,
    pub(crate) leader_service: &'a Meta,
    pub(crate) leader: Option<Leader<'a>>,
    /// The zone of the leader's node.
    pub(crate) zone: Option<&'a str>,
    pub(crate) epoch: u64,
    /// The time at which the leader took over.
    pub(crate) since: Option<Timestamp>,
    pub(crate) now: Timestamp,
}

impl Slices<'_> {
    /// Builds the slice of one family. `known` is the present slice: its version makes the write conditional.
    pub(crate) fn slice(&self, family: Family, known: Option<&Slice>) -> EndpointSlice {
        let key = slice_key(&self.leader_service.key, family);
        let source = &self.source.meta;
        let text = |(key, value): (&str, &str)| (key.to_owned(), value.to_owned());
        let labels = [
            (leader::SLICE_SERVICE, &*self.leader_service.key.name),
            (leader::SLICE_MANAGED_BY, names::HEADWORKS),
            (leader::SOURCE, &*source.key.name),
        ];
        let epoch = self.epoch.to_string();
        let now = self.now.to_string();
        let annotations =
            [(leader::EPOCH, &*epoch), (leader::SOURCE_UID, &*source.uid), (leader::TRIGGER_TIME, &*now)];
        let since = self.since.map(|time| (leader::LAST_SWITCH.to_owned(), time.to_string()));
        EndpointSlice {
            address_type: family.as_str().to_owned(),
            endpoints: self.endpoint(family).into_iter().collect(),
            ports: Some(self.ports()),
            metadata: ObjectMeta {
                name: Some(key.name.to_string()),
                namespace: Some(key.namespace.to_string()),
                labels: Some(labels.into_iter().map(text).collect()),
                annotations: Some(annotations.into_iter().map(text).chain(since).collect()),
                owner_references: Some(vec![owner(self.leader_service)]),
                uid: known.map(|known| known.meta.uid.to_string()),
                resource_version: known.map(|known| known.meta.version.to_string()),
                ..ObjectMeta::default()
            },
        }
    }

    fn endpoint(&self, family: Family) -> Option<Endpoint> {
        let leader = self.leader?;
        let address = leader.pod.address(family)?;
        let meta = &leader.pod.meta;
        Some(Endpoint {
            addresses: vec![address.to_string()],
            conditions: Some(EndpointConditions {
                ready: Some(leader.ready),
                serving: Some(leader.serving),
                terminating: Some(leader.terminating),
            }),
            node_name: leader.pod.node.as_deref().map(str::to_owned),
            zone: self.zone.map(str::to_owned),
            target_ref: Some(ObjectReference {
                kind: Some("Pod".to_owned()),
                namespace: Some(meta.key.namespace.to_string()),
                name: Some(meta.key.name.to_string()),
                uid: Some(meta.uid.to_string()),
                ..ObjectReference::default()
            }),
            ..Endpoint::default()
        })
    }

    fn ports(&self) -> Vec<EndpointPort> {
        let ports = self.source.spec.ports.iter().flatten();
        ports
            .filter_map(|port| {
                Some(EndpointPort {
                    name: Some(port.name.clone().unwrap_or_default()),
                    port: Some(resolve(port, self.leader.as_ref())?.into()),
                    protocol: Some(protocol(port).to_owned()),
                    app_protocol: port.app_protocol.clone(),
                })
            })
            .collect()
    }
}

/// Checks whether the present slice differs from the wanted one in anything that is ours.
pub(crate) fn differs(wanted: &EndpointSlice, known: &Slice) -> bool {
    let metadata = &wanted.metadata;
    let has = |wanted: &Option<BTreeMap<String, String>>, known: &BTreeMap<String, String>| {
        wanted
            .iter()
            .flatten()
            .all(|(key, value)| key == leader::TRIGGER_TIME || known.get(key) == Some(value))
    };
    let ports = |ports: &[EndpointPort]| -> Vec<EndpointPort> {
        ports
            .iter()
            .map(|port| EndpointPort { name: Some(port.name.clone().unwrap_or_default()), ..port.clone() })
            .collect()
    };
    !has(&metadata.labels, &known.labels)
        || !has(&metadata.annotations, &known.annotations)
        || metadata.owner_references.as_deref() != Some(&known.owners)
        || wanted.endpoints != known.endpoints
        || ports(wanted.ports.as_deref().unwrap_or_default()) != ports(&known.ports)
}
