//! The API server as far as the controller depends on it: versions, UIDs, preconditions, watches, garbage collection.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::ServiceSpec;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use serde_json::{Value, json};

use crate::leaders::controller::apply::{service_of, slice_of};
use crate::leaders::plan::batch::{Current, Outcome};
use crate::leaders::plan::key::Key;
use crate::leaders::plan::leader_service::families;
use crate::leaders::plan::model::{Meta, Node, Pod, Rival, Service, Slice, controller};
use crate::leaders::plan::state::Change;
use crate::leaders::plan::view;
use crate::leaders::plan::writes::Call;
use crate::names;
use crate::names::leader;

#[derive(Clone)]
pub(crate) struct Server {
    pub(crate) now: Timestamp,
    pub(crate) version: u64,
    pub(crate) services: BTreeMap<Key, Service>,
    pub(crate) slices: BTreeMap<Key, Slice>,
    pub(crate) pods: BTreeMap<Key, Pod>,
    pub(crate) nodes: BTreeMap<Arc<str>, Node>,
    /// The slices of other programs.
    pub(crate) rivals: BTreeMap<Key, Rival>,
    /// The events that watches have not delivered yet, in order.
    pub(crate) events: Vec<Change>,
    /// The last epoch that headworks wrote into each slice, with the pod that it named.
    epochs: HashMap<Key, (u64, Option<String>)>,
    pub(crate) writes: usize,
    pub(crate) verbose: bool,
}

pub(crate) fn key(name: &str) -> Key {
    Key::new("ns", name)
}

impl Server {
    pub(crate) fn new() -> Self {
        Self {
            now: Timestamp::from_second(1_700_000_000).unwrap(),
            version: 100,
            services: BTreeMap::new(),
            slices: BTreeMap::new(),
            pods: BTreeMap::new(),
            nodes: BTreeMap::new(),
            rivals: BTreeMap::new(),
            events: Vec::new(),
            epochs: HashMap::new(),
            writes: 0,
            verbose: false,
        }
    }

    pub(crate) fn pass(&mut self, milliseconds: i64) {
        self.now = self.now.checked_add(SignedDuration::from_millis(milliseconds)).unwrap();
    }

    fn stamp(&mut self, meta: &mut Meta) {
        self.version += 1;
        if meta.uid.is_empty() {
            meta.uid = format!("uid-{}", self.version).into();
        }
        meta.version = self.version.to_string().into();
    }

    pub(crate) fn put_pod(&mut self, mut pod: Pod) {
        self.stamp(&mut pod.meta);
        self.events.push(Change::Pod(pod.clone()));
        self.pods.insert(pod.meta.key.clone(), pod);
    }

    pub(crate) fn remove_pod(&mut self, key: &Key) {
        if let Some(mut pod) = self.pods.remove(key) {
            self.stamp(&mut pod.meta);
            self.events.push(Change::PodGone(pod.meta));
        }
    }

    pub(crate) fn put_service(&mut self, mut service: Service) {
        self.stamp(&mut service.meta);
        self.events.push(Change::Service(service.clone()));
        self.services.insert(service.meta.key.clone(), service);
    }

    pub(crate) fn remove_service(&mut self, key: &Key) {
        if let Some(mut service) = self.services.remove(key) {
            self.stamp(&mut service.meta);
            self.events.push(Change::ServiceGone(service.meta));
        }
    }

    pub(crate) fn put_slice(&mut self, mut slice: Slice) {
        self.stamp(&mut slice.meta);
        self.events.push(if is_labelled(&slice) {
            Change::Slice(slice.clone())
        } else {
            Change::SliceGone(slice.meta.clone())
        });
        self.slices.insert(slice.meta.key.clone(), slice);
    }

    pub(crate) fn remove_slice(&mut self, key: &Key) {
        if let Some(mut slice) = self.slices.remove(key) {
            self.stamp(&mut slice.meta);
            self.events.push(Change::SliceGone(slice.meta));
            // If it is deleted before its epoch is written anywhere else, the epoch may start again.
            self.epochs.remove(key);
        }
    }

    pub(crate) fn put_node(&mut self, node: Node) {
        self.events.push(Change::Node(node.clone()));
        self.nodes.insert(node.name.clone(), node);
    }

    pub(crate) fn put_rival(&mut self, mut rival: Rival) {
        self.stamp(&mut rival.meta);
        self.events.push(Change::Rival(rival.meta.clone(), Some(rival.clone())));
        self.rivals.insert(rival.meta.key.clone(), rival);
    }

    pub(crate) fn remove_rival(&mut self, key: &Key) {
        if let Some(mut rival) = self.rivals.remove(key) {
            self.stamp(&mut rival.meta);
            self.events.push(Change::RivalGone(rival.meta));
        }
    }

    /// Forgets the epochs, since somebody wrote a slice by hand.
    pub(crate) fn forget_epochs(&mut self) {
        self.epochs.clear();
    }

    /// The slices that a watch for our label delivers.
    pub(crate) fn labelled(&self) -> impl Iterator<Item = &Slice> {
        self.slices.values().filter(|slice| is_labelled(slice))
    }

    /// Deletes every object whose owner is gone.
    pub(crate) fn collect_garbage(&mut self) {
        loop {
            let alive: Vec<Arc<str>> =
                self.services.values().map(|service| service.meta.uid.clone()).collect();
            let dead = |owners: &[_]| {
                controller(owners).is_some_and(|owner| !alive.iter().any(|uid| **uid == *owner.uid))
            };
            let services: Vec<Key> = self
                .services
                .values()
                .filter(|one| dead(&one.owners))
                .map(|one| one.meta.key.clone())
                .collect();
            let slices: Vec<Key> = self
                .slices
                .values()
                .filter(|one| dead(&one.owners))
                .map(|one| one.meta.key.clone())
                .collect();
            if services.is_empty() && slices.is_empty() {
                return;
            }
            for key in &services {
                self.remove_service(key);
            }
            for key in &slices {
                self.remove_slice(key);
            }
        }
    }

    /// Carries out a call, with the outcome that the client of headworks would give.
    pub(crate) fn call(&mut self, call: &Call) -> Outcome {
        self.writes += 1;
        if self.verbose {
            let text: String = format!("{call:?}").replace("None", "-").chars().take(700).collect();
            println!("{} {} {text}", self.now, self.version);
        }
        match call {
            Call::CreateService(key, object) => {
                if let Some(there) = self.services.get(key) {
                    return Outcome::Overtaken(Some(Current::Service(there.clone())));
                }
                self.put_service(service_of((**object).clone()));
                Outcome::Service(self.services[key].clone())
            }
            Call::PatchService(meta, patch) => self.patch_service(meta, patch, true),
            Call::PatchSource(meta, patch) => self.patch_service(meta, patch, false),
            Call::DeleteService(meta) => self.delete_service(meta),
            Call::WriteSlice(key, object) => self.write_slice(key, object),
            Call::DeleteSlice(meta) => self.delete_slice(meta),
        }
    }

    fn patch_service(&mut self, meta: &Meta, patch: &Value, must_be_ours: bool) -> Outcome {
        let Some(there) = self.services.get(&meta.key) else { return Outcome::Gone };
        let wanted = &patch["metadata"];
        if wanted["uid"] != *there.meta.uid || wanted["resourceVersion"] != *there.meta.version {
            return Outcome::Overtaken(Some(Current::Service(there.clone())));
        }
        let is_ours = controller(&there.owners).is_some();
        assert!(is_ours || !must_be_ours, "a foreign Service is patched: {}", meta.key);
        let patched = patched(there, patch);
        self.put_service(patched);
        Outcome::Service(self.services[&meta.key].clone())
    }

    fn delete_service(&mut self, meta: &Meta) -> Outcome {
        let Some(there) = self.services.get(&meta.key) else { return Outcome::Gone };
        if there.meta.uid != meta.uid || there.meta.version != meta.version {
            return Outcome::Overtaken(Some(Current::Service(there.clone())));
        }
        assert!(controller(&there.owners).is_some(), "a foreign Service is deleted: {}", meta.key);
        self.remove_service(&meta.key);
        Outcome::Gone
    }

    fn write_slice(&mut self, key: &Key, object: &EndpointSlice) -> Outcome {
        let metadata = &object.metadata;
        let there = self.slices.get(key);
        let matches = match (&metadata.resource_version, there) {
            (None, None) => true,
            (Some(version), Some(there)) => {
                *there.meta.version == **version && metadata.uid.as_deref() == Some(&*there.meta.uid)
            }
            (Some(_), None) => return Outcome::Gone,
            (None, Some(_)) => false,
        };
        if !matches {
            return Outcome::Overtaken(there.cloned().map(Current::Slice));
        }
        assert!(there.is_none_or(|there| controller(&there.owners).is_some()), "a foreign slice: {key}");
        let slice = slice_of(object.clone());
        self.check(&slice);
        self.put_slice(slice);
        Outcome::Slice(self.slices[key].clone())
    }

    fn delete_slice(&mut self, meta: &Meta) -> Outcome {
        let Some(there) = self.slices.get(&meta.key) else { return Outcome::Gone };
        if there.meta.uid != meta.uid || there.meta.version != meta.version {
            return Outcome::Overtaken(Some(Current::Slice(there.clone())));
        }
        assert!(controller(&there.owners).is_some(), "a foreign slice is deleted: {}", meta.key);
        self.remove_slice(&meta.key);
        Outcome::Gone
    }

    fn is_secondary(&self, slice: &Slice) -> bool {
        let source = slice.source().and_then(|source| self.services.get(&key(source)));
        source.is_some_and(|source| slice.family != Some(families(source)[0]))
    }

    /// Checks a slice that headworks writes.
    fn check(&mut self, slice: &Slice) {
        assert!(slice.endpoints.len() <= 1, "two endpoints");
        let (epoch, uid) = (slice.epoch(), slice.leader().map(|(_, uid)| uid.to_owned()));
        if let Some((before, led)) = self.epochs.get(&slice.meta.key) {
            assert!(epoch >= *before, "the epoch shrinks from {before} to {epoch}");
            // The leader got an address of the second family, or lost it: it is the same leader.
            let same = uid == *led || (self.is_secondary(slice) && (uid.is_none() || led.is_none()));
            assert!(same || epoch > *before, "a new leader with an old epoch {epoch}");
        }
        self.epochs.insert(slice.meta.key.clone(), (epoch, uid));
    }
}

fn is_labelled(slice: &Slice) -> bool {
    slice.labels.get(leader::SLICE_MANAGED_BY).is_some_and(|by| by == names::HEADWORKS)
}

/// A Service after a merge patch.
fn patched(service: &Service, patch: &Value) -> Service {
    let mut service = service.clone();
    let merge = |into: &mut BTreeMap<String, String>, from: &Value| {
        for (key, value) in from.as_object().into_iter().flatten() {
            match value.as_str() {
                Some(value) => _ = into.insert(key.clone(), value.to_owned()),
                None => _ = into.remove(key),
            }
        }
    };
    merge(&mut service.annotations, &patch["metadata"]["annotations"]);
    merge(&mut service.labels, &patch["metadata"]["labels"]);
    if let Some(owners) = patch["metadata"].get("ownerReferences") {
        service.owners = serde_json::from_value(owners.clone()).unwrap();
    }
    if let Some(spec) = patch.get("spec") {
        let mut now = serde_json::to_value(&service.spec).unwrap();
        json_patch::merge(&mut now, spec);
        service.spec = serde_json::from_value(now).unwrap();
    }
    service
}

/// A Service as a user would write it.
pub(crate) fn service(name: &str, annotations: &[(&str, &str)], spec: &Value) -> Service {
    let spec: ServiceSpec = serde_json::from_value(spec.clone()).unwrap();
    let annotations: BTreeMap<String, String> =
        annotations.iter().map(|(key, value)| (format!("zen-lead.io/{key}"), (*value).to_owned())).collect();
    let metadata = json!({"name": name, "namespace": "ns", "annotations": annotations});
    let wire =
        view::Service { metadata: serde_json::from_value(metadata).unwrap(), spec: Some(Box::new(spec)) };
    wire.into()
}
