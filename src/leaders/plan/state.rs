//! The in-memory state of the cluster, and which sources a change affects.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use jiff::Timestamp;

use super::choose::Held;
use super::ended::{Ended, ObjectKind};
use super::index::Index;
use super::key::{Key, remove_from};
use super::leases::Leases;
use super::model::{Lease, Meta, Node, Pod, Rival, Service, Slice, controller};
use super::rivals::Rivals;
use super::settings;
use super::settings::{Settings, Strategy};
use crate::names::leader;

/// A change of the cluster, from a watch or from the answer to a write.
#[derive(Clone, Debug)]
pub(crate) enum Change {
    Pod(Pod),
    PodGone(Meta),
    Service(Service),
    ServiceGone(Meta),
    Slice(Slice),
    /// The slice is gone, or lost our label.
    SliceGone(Meta),
    /// The Service was deleted by us, or a write found that it is gone; the version is the last one before.
    ServiceDeleted(Meta),
    /// The slice was deleted by us, or a write found that it is gone; the version is the last one before.
    SliceDeleted(Meta),
    Node(Node),
    NodeGone(Arc<str>),
    Lease(Lease),
    LeaseGone(Meta),
    /// A list of pods is complete: those that it lacks are gone.
    Pods(HashSet<Key>),
    /// A list of Services is complete.
    Services(HashSet<Key>),
    /// A list of our slices is complete.
    Slices(HashSet<Key>),
    /// A list of nodes is complete.
    Nodes(HashSet<Arc<str>>),
    /// A slice of somebody else; nothing is kept of one that names no Service.
    Rival(Meta, Option<Rival>),
    RivalGone(Meta),
    /// A list of the slices of others is complete.
    Rivals(HashSet<Key>),
}

/// A source that asks for a leader.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    pub(crate) settings: Settings,
    /// True if the Service can have a leader: it selects pods.
    pub(crate) routable: bool,
    /// The faults for which admission would refuse it, one line each.
    pub(crate) faults: Vec<String>,
}

/// A Service that asks for a leader, is a leader Service, or carries our annotations.
#[derive(Clone, Debug)]
pub(crate) struct KnownService {
    pub(crate) service: Service,
    /// Present if it asks for a leader.
    pub(crate) source: Option<Arc<Source>>,
    /// The name of its source, if it is a leader Service of ours.
    pub(crate) leads_for: Option<Arc<str>>,
}

/// One of our slices.
#[derive(Debug)]
struct KnownSlice {
    slice: Slice,
    source: Key,
}

#[derive(Debug)]
struct KnownNode {
    node: Node,
    /// The node was deleted. It is kept while a pod is bound to it, and counts as not Ready since then.
    deleted: bool,
}

/// The in-memory state of the cluster.
#[derive(Debug, Default)]
pub(crate) struct ClusterState {
    pub(crate) pods: Index,
    services: HashMap<Key, KnownService>,
    leaders_of: HashMap<Key, BTreeSet<Key>>,
    slices: HashMap<Key, KnownSlice>,
    slices_of: HashMap<Key, BTreeSet<Key>>,
    nodes: HashMap<Arc<str>, KnownNode>,
    leases: Leases,
    rivals: Rivals,
    /// Names that foreign Services have, with the sources that wait for them.
    awaited: HashMap<Key, BTreeSet<Key>>,
    /// Services and slices that are gone, with their last versions: a late answer must not bring an object back.
    ended: Ended,
    /// The number of lists of Services or slices so far: an answer to a call that was sent before a list is older than
    /// the list.
    pub(crate) lists: u64,
}

impl ClusterState {
    /// Applies a change. Adds to `touched` the sources that it may affect.
    pub(crate) fn apply(&mut self, change: Change, now: Timestamp, touched: &mut BTreeSet<Key>) {
        match change {
            Change::Pod(pod) => self.pods.put(pod, touched),
            Change::PodGone(meta) => self.pods.remove(&meta, touched),
            Change::Pods(listed) => self.pods.retain(&listed, touched),
            Change::Service(service) => self.put_service(service, touched),
            Change::ServiceGone(meta) => self.remove_service(&meta, true, now, touched),
            Change::ServiceDeleted(meta) => self.remove_service(&meta, false, now, touched),
            Change::SliceDeleted(meta) => self.remove_slice(&meta, false, now, touched),
            Change::Services(listed) => self.retain_services(&listed, now, touched),
            Change::Slice(slice) => self.put_slice(slice, touched),
            Change::SliceGone(meta) => self.remove_slice(&meta, true, now, touched),
            Change::Slices(listed) => self.retain_slices(&listed, now, touched),
            Change::Node(node) => self.put_node(node, now, touched),
            Change::NodeGone(name) => self.remove_node(&name, now, touched),
            Change::Nodes(listed) => self.retain_nodes(&listed, now, touched),
            Change::Lease(lease) => self.leases.put(lease, now, touched),
            Change::LeaseGone(meta) => self.leases.remove(&meta, touched),
            Change::Rival(meta, rival) => {
                let services = self.rivals.put(&meta, rival);
                self.touch_sources_of(&services, touched);
            }
            Change::RivalGone(meta) => {
                let service = self.rivals.remove(&meta);
                self.touch_sources_of(service.as_slice(), touched);
            }
            Change::Rivals(listed) => {
                let services = self.rivals.retain(&listed);
                self.touch_sources_of(&services, touched);
            }
        }
    }

    /// Adds the sources of those of these Services that are leader Services.
    fn touch_sources_of(&self, services: &[Key], touched: &mut BTreeSet<Key>) {
        for key in services {
            let source = self.services.get(key).and_then(|known| known.leads_for.clone());
            touched.extend(source.map(|source| key.sibling(source)));
        }
    }

    fn put_service(&mut self, service: Service, touched: &mut BTreeSet<Key>) {
        if self.ended.has_ended(ObjectKind::Service, &service.meta) {
            return;
        }
        let key = service.meta.key.clone();
        let before = self.services.get(&key);
        let is_known = |before: &KnownService| {
            service.meta.is_older_than(&before.service.meta)
                || service.meta.version == before.service.meta.version
        };
        if before.is_some_and(is_known) {
            return;
        }
        // Reading the annotations again is the expensive part, and our own status changes none of them.
        let read = before.filter(|before| asks_the_same(&before.service, &service));
        let read = read.and_then(|before| before.source.clone());
        // A leader Service that lost its label stays ours while its owner is the same: the label is drift to repair.
        let kept = before
            .filter(|before| before.service.meta.uid == service.meta.uid)
            .filter(|before| controller(&before.service.owners) == controller(&service.owners))
            .and_then(|before| before.leads_for.clone());
        let leads_for = service.source().map(Arc::from).or(kept);
        let asks = settings::is_enabled(&service) && leads_for.is_none() && !service.meta.terminating;
        let is_annotated = service.annotations.keys().any(|key| is_published(key));
        self.forget_service(&key, touched);
        if let Some(users) = self.awaited.get(&key) {
            touched.extend(users.iter().cloned());
        }
        if !asks && leads_for.is_none() && !is_annotated {
            self.pods.unsubscribe(&key);
            self.leases.drop_unused();
            return;
        }
        if let Some(source) = &leads_for {
            let source = key.sibling(source.clone());
            self.leaders_of.entry(source.clone()).or_default().insert(key.clone());
            touched.insert(source);
        } else {
            touched.insert(key.clone());
        }
        let source = asks.then(|| read.unwrap_or_else(|| Arc::new(Source::read(&service))));
        if let Some(source) = source.as_deref().filter(|source| source.routable) {
            if let Some(selector) = &service.spec.selector {
                self.pods.subscribe(&key, selector);
            }
            if let Strategy::Lease(lease) = &source.settings.strategy {
                self.leases.begin(key.sibling(lease.as_str()), key.clone());
            }
        } else {
            self.pods.unsubscribe(&key);
        }
        self.leases.drop_unused();
        self.services.insert(key, KnownService { service, source, leads_for });
    }

    fn remove_service(&mut self, meta: &Meta, watched: bool, now: Timestamp, touched: &mut BTreeSet<Key>) {
        self.free(&meta.key, touched);
        let known = self.services.get(&meta.key).map(|known| &known.service.meta);
        if known.is_some_and(|known| known.uid == meta.uid) {
            self.forget_service(&meta.key, touched);
            self.pods.unsubscribe(&meta.key);
            self.leases.drop_unused();
            self.ended.ends(ObjectKind::Service, meta, watched, now);
        }
    }

    /// The name is free: every source that waits for it may try.
    fn free(&mut self, key: &Key, touched: &mut BTreeSet<Key>) {
        touched.extend(self.awaited.remove(key).into_iter().flatten());
    }

    fn forget_service(&mut self, key: &Key, touched: &mut BTreeSet<Key>) {
        let Some(known) = self.services.remove(key) else { return };
        if let Some(source) = known.leads_for {
            let source = key.sibling(source);
            remove_from(&mut self.leaders_of, &source, key);
            touched.insert(source);
        } else {
            touched.insert(key.clone());
        }
        if let Some(Strategy::Lease(lease)) = known.source.as_ref().map(|source| &source.settings.strategy) {
            self.leases.end(&key.sibling(lease.as_str()), key);
        }
    }

    fn retain_services(&mut self, listed: &HashSet<Key>, now: Timestamp, touched: &mut BTreeSet<Key>) {
        self.lists += 1;
        let metas = self.services.values().map(|known| &known.service.meta);
        let gone: Vec<Meta> = metas.filter(|meta| !listed.contains(&meta.key)).cloned().collect();
        let awaited = self.awaited.keys();
        let free: Vec<Key> = awaited.filter(|key| !listed.contains(key)).cloned().collect();
        for key in &free {
            self.free(key, touched);
        }
        for meta in &gone {
            self.remove_service(meta, true, now, touched);
        }
    }

    fn put_slice(&mut self, slice: Slice, touched: &mut BTreeSet<Key>) {
        if self.ended.has_ended(ObjectKind::Slice, &slice.meta) {
            return;
        }
        let key = slice.meta.key.clone();
        let before = self.slices.get(&key);
        if before.is_some_and(|KnownSlice { slice: before, .. }| {
            slice.meta.is_older_than(&before.meta) || slice.meta.version == before.meta.version
        }) {
            return;
        }
        let kept = before
            .filter(|before| before.slice.meta.uid == slice.meta.uid)
            .filter(|before| controller(&before.slice.owners) == controller(&slice.owners))
            .map(|before| before.source.clone());
        let source = slice.source().map(|source| key.sibling(source)).or(kept);
        self.forget_slice(&key, touched);
        let Some(source) = source else { return };
        self.slices_of.entry(source.clone()).or_default().insert(key.clone());
        touched.insert(source.clone());
        self.slices.insert(key, KnownSlice { slice, source });
    }

    fn remove_slice(&mut self, meta: &Meta, watched: bool, now: Timestamp, touched: &mut BTreeSet<Key>) {
        let known = self.slices.get(&meta.key).map(|known| &known.slice.meta);
        if known.is_some_and(|known| known.uid == meta.uid) {
            self.forget_slice(&meta.key, touched);
            self.ended.ends(ObjectKind::Slice, meta, watched, now);
        }
    }

    fn forget_slice(&mut self, key: &Key, touched: &mut BTreeSet<Key>) {
        if let Some(KnownSlice { source, .. }) = self.slices.remove(key) {
            remove_from(&mut self.slices_of, &source, key);
            touched.insert(source);
        }
    }

    fn retain_slices(&mut self, listed: &HashSet<Key>, now: Timestamp, touched: &mut BTreeSet<Key>) {
        self.lists += 1;
        let metas = self.slices.values().map(|known| &known.slice.meta);
        let gone: Vec<Meta> = metas.filter(|meta| !listed.contains(&meta.key)).cloned().collect();
        for meta in &gone {
            self.remove_slice(meta, true, now, touched);
        }
    }

    fn put_node(&mut self, mut node: Node, now: Timestamp, touched: &mut BTreeSet<Key>) {
        node.down = node.down.map(|since| since.min(now));
        let before = self.nodes.get(&node.name).map(|known| &known.node);
        if before.is_none_or(|before| before.down != node.down || before.zone != node.zone) {
            self.pods.sources_on(&node.name, touched);
        }
        self.nodes.insert(node.name.clone(), KnownNode { node, deleted: false });
    }

    /// The pods of a deleted node are given up like those of a node that is not Ready.
    fn remove_node(&mut self, name: &Arc<str>, now: Timestamp, touched: &mut BTreeSet<Key>) {
        let pods = &self.pods;
        self.nodes.retain(|name, known| !known.deleted || pods.has_node(name));
        let Some(known) = self.nodes.get_mut(name) else { return };
        if !self.pods.has_node(name) {
            self.nodes.remove(name);
            return;
        }
        if !known.deleted {
            known.deleted = true;
            known.node.down.get_or_insert(now);
            self.pods.sources_on(name, touched);
        }
    }

    fn retain_nodes(&mut self, listed: &HashSet<Arc<str>>, now: Timestamp, touched: &mut BTreeSet<Key>) {
        let names = self.nodes.keys().filter(|name| !listed.contains(*name));
        let gone: Vec<Arc<str>> = names.cloned().collect();
        for name in &gone {
            self.remove_node(name, now, touched);
        }
    }

    pub(crate) fn service(&self, key: &Key) -> Option<&KnownService> {
        self.services.get(key)
    }

    /// The leader Services whose labels name this source, also those of an earlier Service of that name.
    pub(crate) fn leaders_of(&self, source: &Key) -> impl Iterator<Item = &Service> {
        let keys = self.leaders_of.get(source).into_iter().flatten();
        keys.filter_map(|key| self.services.get(key)).map(|known| &known.service)
    }

    /// The slices of ours whose labels name this source.
    pub(crate) fn slices_of(&self, source: &Key) -> impl Iterator<Item = &Slice> {
        let keys = self.slices_of.get(source).into_iter().flatten();
        keys.filter_map(|key| self.slices.get(key)).map(|known| &known.slice)
    }

    /// The time since which a node is not Ready, or deleted.
    pub(crate) fn down(&self, node: &str) -> Option<Timestamp> {
        self.nodes.get(node)?.node.down
    }

    pub(crate) fn zone(&self, node: &str) -> Option<&str> {
        self.nodes.get(node)?.node.zone.as_deref()
    }

    /// The holder of a Lease, and when it expires unless it is renewed.
    pub(crate) fn lease(&self, key: &Key) -> Option<Held<'_>> {
        self.leases.held(key)
    }

    /// The Leases that have to be watched.
    pub(crate) fn wanted_leases(&self) -> impl Iterator<Item = &Key> {
        self.leases.wanted()
    }

    /// The slices of others for the Service of this name.
    pub(crate) fn rivals_of(&self, service: &Key) -> impl Iterator<Item = &Rival> {
        self.rivals.of(service)
    }

    /// Every source, and every name that one of our objects gives as its source.
    pub(crate) fn all_sources(&self) -> BTreeSet<Key> {
        let sources = self.services.iter().filter(|(_, known)| known.leads_for.is_none()).map(|(key, _)| key);
        sources.chain(self.leaders_of.keys()).chain(self.slices_of.keys()).cloned().collect()
    }

    /// Makes a source wait: it is touched when the Service of this name goes or changes.
    pub(crate) fn wait_for(&mut self, name: &Key, source: &Key) {
        self.awaited.entry(name.clone()).or_default().insert(source.clone());
    }

    /// Checks whether this source waits for that name.
    pub(crate) fn waits_for(&self, name: &Key, source: &Key) -> bool {
        self.awaited.get(name).is_some_and(|users| users.contains(source))
    }

    /// Makes a source wait for no name any more.
    pub(crate) fn stop_waiting(&mut self, source: &Key) {
        self.awaited.retain(|_, users| {
            users.remove(source);
            !users.is_empty()
        });
    }

    /// The number of objects in memory, by kind.
    pub(crate) fn sizes(&self) -> [(&'static str, usize); 6] {
        [
            ("pods", self.pods.len()),
            ("services", self.services.len()),
            ("endpointslices", self.slices.len()),
            ("foreign_endpointslices", self.rivals.len()),
            ("nodes", self.nodes.len()),
            ("leases", self.leases.len()),
        ]
    }
}

/// Checks whether two versions of a source ask for the same. The annotations that we publish on it make no difference.
fn asks_the_same(one: &Service, other: &Service) -> bool {
    let asked = |service: &Service| -> Vec<(String, String)> {
        let annotations = service.annotations.iter().filter(|(key, _)| !is_published(key));
        annotations.map(|(key, value)| (key.clone(), value.clone())).collect()
    };
    one.spec == other.spec && asked(one) == asked(other)
}

impl Source {
    fn read(service: &Service) -> Self {
        Self {
            settings: Settings::read(&service.meta.key.name, &service.annotations),
            routable: settings::is_routable(service),
            faults: settings::faults(service),
        }
    }
}

/// Checks whether this is an annotation that we write on a source, and remove when it opts out.
fn is_published(key: &str) -> bool {
    matches!(key, leader::STATUS | leader::LEADER_SERVICE)
}
