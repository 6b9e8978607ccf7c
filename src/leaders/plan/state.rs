//! Everything that is known of the cluster, and whom a change concerns. Pure.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use jiff::Timestamp;

use super::choose::Held;
use super::ended::{Ended, Sort};
use super::index::Index;
use super::key::Key;
use super::leases::Leases;
use super::model::{Lease, Meta, Node, Pod, Rival, Service, Slice, controller};
use super::rivals::Rivals;
use super::settings;
use super::settings::{Settings, Strategy};

/// Something that was seen.
#[derive(Clone, Debug)]
pub enum Change {
    /// A pod is there.
    Pod(Pod),
    /// A pod is gone.
    PodGone(Meta),
    /// A Service is there.
    Service(Service),
    /// A Service is gone.
    ServiceGone(Meta),
    /// A slice is there.
    Slice(Slice),
    /// A slice is gone, or lost our label.
    SliceGone(Meta),
    /// This Service was deleted by us, or is not there any more.
    ServiceDeleted(Meta),
    /// This slice was deleted by us, or is not there any more.
    SliceDeleted(Meta),
    /// A node is there.
    Node(Node),
    /// A node is gone.
    NodeGone(Arc<str>),
    /// A Lease is there.
    Lease(Lease),
    /// A Lease is gone.
    LeaseGone(Meta),
    /// All pods there are.
    Pods(HashSet<Key>),
    /// All Services there are.
    Services(HashSet<Key>),
    /// All slices there are.
    Slices(HashSet<Key>),
    /// All nodes there are.
    Nodes(HashSet<Arc<str>>),
    /// Somebody else's slice is there; nothing is kept of one that names no Service.
    Rival(Meta, Option<Rival>),
    /// Somebody else's slice is gone.
    RivalGone(Meta),
    /// All slices of others there are.
    Rivals(HashSet<Key>),
    /// Nothing.
    Nothing,
}

/// A source that asks for a leader.
#[derive(Clone, Debug)]
pub struct Source {
    /// What it asks for.
    pub settings: Settings,
    /// Whether a leader can be found at all.
    pub routable: bool,
    /// What admission would refuse.
    pub faults: Vec<String>,
}

/// A Service that concerns us.
#[derive(Clone, Debug)]
pub struct Known {
    /// As it is.
    pub service: Service,
    /// If it asks for a leader.
    pub source: Option<Arc<Source>>,
    /// If it is a leader Service of ours: of which source.
    pub leads_for: Option<Arc<str>>,
}

/// The cluster as we know it.
#[derive(Debug, Default)]
pub struct World {
    /// The pods.
    pub pods: Index,
    services: HashMap<Key, Known>,
    leaders_of: HashMap<Key, BTreeSet<Key>>,
    slices: HashMap<Key, (Slice, Key)>,
    slices_of: HashMap<Key, BTreeSet<Key>>,
    nodes: HashMap<Arc<str>, (Node, bool)>,
    leases: Leases,
    rivals: Rivals,
    awaited: HashMap<Key, BTreeSet<Key>>,
    /// Services and slices that are gone, with the version at which: an answer that comes after its object's end must
    /// not bring it back.
    ended: Ended,
    /// How often Services or slices were listed: what was asked before a list is older than it.
    pub lists: u64,
}

impl World {
    /// Take a change. Adds to `touched` the sources it may matter to.
    pub fn take(&mut self, change: Change, now: Timestamp, touched: &mut BTreeSet<Key>) {
        match change {
            Change::Nothing => {}
            Change::Pod(pod) => self.pods.put(pod, touched),
            Change::PodGone(meta) => self.pods.remove(&meta, touched),
            Change::Pods(listed) => self.pods.retain(&listed, touched),
            Change::Service(service) => self.put_service(service, touched),
            Change::ServiceGone(meta) => self.remove_service(&meta, true, now, touched),
            Change::ServiceDeleted(meta) => self.remove_service(&meta, false, now, touched),
            Change::SliceDeleted(meta) => self.remove_slice(&meta, false, now, touched),
            Change::Services(listed) => {
                self.lists += 1;
                let awaited = self.awaited.keys();
                let gone: Vec<Meta> = self
                    .services
                    .values()
                    .map(|known| &known.service.meta)
                    .filter(|meta| !listed.contains(&meta.key))
                    .cloned()
                    .collect();
                let free: Vec<Key> = awaited.filter(|key| !listed.contains(key)).cloned().collect();
                for key in &free {
                    self.free(key, touched);
                }
                for meta in &gone {
                    self.remove_service(meta, true, now, touched);
                }
            }
            Change::Slice(slice) => self.put_slice(slice, touched),
            Change::SliceGone(meta) => self.remove_slice(&meta, true, now, touched),
            Change::Slices(listed) => {
                self.lists += 1;
                let metas = self.slices.values().map(|(slice, _)| &slice.meta);
                let gone: Vec<Meta> = metas.filter(|meta| !listed.contains(&meta.key)).cloned().collect();
                for meta in &gone {
                    self.remove_slice(meta, true, now, touched);
                }
            }
            Change::Node(node) => self.put_node(node, now, touched),
            Change::NodeGone(name) => self.remove_node(&name, now, touched),
            Change::Nodes(listed) => {
                let names = self.nodes.keys().filter(|name| !listed.contains(*name));
                let gone: Vec<Arc<str>> = names.cloned().collect();
                for name in &gone {
                    self.remove_node(name, now, touched);
                }
            }
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

    /// Those of these Services that are leader Services concern their sources.
    fn touch_sources_of(&self, services: &[Key], touched: &mut BTreeSet<Key>) {
        for key in services {
            let source = self.services.get(key).and_then(|known| known.leads_for.clone());
            touched.extend(source.map(|source| key.sibling(source)));
        }
    }

    fn put_service(&mut self, service: Service, touched: &mut BTreeSet<Key>) {
        if self.ended.has_ended(Sort::Service, &service.meta) {
            return;
        }
        let key = service.meta.key.clone();
        let before = self.services.get(&key);
        let is_known = |before: &Known| {
            service.meta.is_older_than(&before.service.meta)
                || service.meta.version == before.service.meta.version
        };
        if before.is_some_and(is_known) {
            return;
        }
        let read = before.filter(|before| asks_the_same(&before.service, &service));
        let read = read.and_then(|before| before.source.clone());
        // One that was ours is ours still, label or not, as long as its owner says so: losing a label is drift.
        let kept = before
            .filter(|before| before.service.meta.uid == service.meta.uid)
            .filter(|before| controller(&before.service.owners) == controller(&service.owners))
            .and_then(|before| before.leads_for.clone());
        let leads_for = service.source().map(Arc::from).or(kept);
        let asks = settings::is_enabled(&service) && leads_for.is_none() && !service.meta.terminating;
        let tells = service.annotations.keys().any(|key| is_published(key));
        self.forget_service(&key, touched);
        if let Some(users) = self.awaited.get(&key) {
            touched.extend(users.iter().cloned());
        }
        if !asks && leads_for.is_none() && !tells {
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
        self.services.insert(key, Known { service, source, leads_for });
    }

    fn remove_service(&mut self, meta: &Meta, watched: bool, now: Timestamp, touched: &mut BTreeSet<Key>) {
        self.free(&meta.key, touched);
        let known = self.services.get(&meta.key).map(|known| &known.service.meta);
        if known.is_some_and(|known| known.uid == meta.uid) {
            self.forget_service(&meta.key, touched);
            self.pods.unsubscribe(&meta.key);
            self.leases.drop_unused();
            self.ended.ends(Sort::Service, meta, watched, now);
        }
    }

    /// Nobody has this name any more: whoever waits for it may try.
    fn free(&mut self, key: &Key, touched: &mut BTreeSet<Key>) {
        touched.extend(self.awaited.remove(key).into_iter().flatten());
    }

    fn forget_service(&mut self, key: &Key, touched: &mut BTreeSet<Key>) {
        let Some(known) = self.services.remove(key) else { return };
        if let Some(source) = known.leads_for {
            let source = key.sibling(source);
            take_out(&mut self.leaders_of, &source, key);
            touched.insert(source);
        } else {
            touched.insert(key.clone());
        }
        if let Some(Strategy::Lease(lease)) = known.source.as_ref().map(|source| &source.settings.strategy) {
            self.leases.end(&key.sibling(lease.as_str()), key);
        }
    }

    fn put_slice(&mut self, slice: Slice, touched: &mut BTreeSet<Key>) {
        if self.ended.has_ended(Sort::Slice, &slice.meta) {
            return;
        }
        let key = slice.meta.key.clone();
        let before = self.slices.get(&key);
        if before.is_some_and(|(before, _)| {
            slice.meta.is_older_than(&before.meta) || slice.meta.version == before.meta.version
        }) {
            return;
        }
        let kept = before
            .filter(|(before, _)| before.meta.uid == slice.meta.uid)
            .filter(|(before, _)| controller(&before.owners) == controller(&slice.owners))
            .map(|(_, source)| source.clone());
        let source = slice.source().map(|source| key.sibling(source)).or(kept);
        self.forget_slice(&key, touched);
        let Some(source) = source else { return };
        self.slices_of.entry(source.clone()).or_default().insert(key.clone());
        touched.insert(source.clone());
        self.slices.insert(key, (slice, source));
    }

    fn remove_slice(&mut self, meta: &Meta, watched: bool, now: Timestamp, touched: &mut BTreeSet<Key>) {
        let known = self.slices.get(&meta.key).map(|(known, _)| &known.meta);
        if known.is_some_and(|known| known.uid == meta.uid) {
            self.forget_slice(&meta.key, touched);
            self.ended.ends(Sort::Slice, meta, watched, now);
        }
    }

    fn forget_slice(&mut self, key: &Key, touched: &mut BTreeSet<Key>) {
        if let Some((_, source)) = self.slices.remove(key) {
            take_out(&mut self.slices_of, &source, key);
            touched.insert(source);
        }
    }

    fn put_node(&mut self, mut node: Node, now: Timestamp, touched: &mut BTreeSet<Key>) {
        node.down = node.down.map(|since| since.min(now));
        let before = self.nodes.get(&node.name).map(|(node, _)| node);
        if before.is_none_or(|before| before.down != node.down || before.zone != node.zone) {
            self.pods.sources_on(&node.name, touched);
        }
        self.nodes.insert(node.name.clone(), (node, false));
    }

    /// The pods of a node that is gone are given up like those of one that is not Ready.
    fn remove_node(&mut self, name: &Arc<str>, now: Timestamp, touched: &mut BTreeSet<Key>) {
        let pods = &self.pods;
        self.nodes.retain(|name, (_, gone)| !*gone || pods.has_node(name));
        let Some((node, gone)) = self.nodes.get_mut(name) else { return };
        if !self.pods.has_node(name) {
            self.nodes.remove(name);
            return;
        }
        if !*gone {
            *gone = true;
            node.down.get_or_insert(now);
            self.pods.sources_on(name, touched);
        }
    }

    /// A Service that concerns us.
    pub fn service(&self, key: &Key) -> Option<&Known> {
        self.services.get(key)
    }

    /// The leader Services that name this source, whoever owns them.
    pub fn leaders_of(&self, source: &Key) -> impl Iterator<Item = &Service> {
        let keys = self.leaders_of.get(source).into_iter().flatten();
        keys.filter_map(|key| self.services.get(key)).map(|known| &known.service)
    }

    /// The slices that name this source.
    pub fn slices_of(&self, source: &Key) -> impl Iterator<Item = &Slice> {
        let keys = self.slices_of.get(source).into_iter().flatten();
        keys.filter_map(|key| self.slices.get(key)).map(|(slice, _)| slice)
    }

    /// Since when a node is down.
    pub fn down(&self, node: &str) -> Option<Timestamp> {
        self.nodes.get(node)?.0.down
    }

    /// The zone of a node.
    pub fn zone(&self, node: &str) -> Option<&str> {
        self.nodes.get(node)?.0.zone.as_deref()
    }

    /// Who holds a Lease, and until when if nothing more is heard of it.
    pub fn lease(&self, key: &Key) -> Option<Held<'_>> {
        self.leases.held(key)
    }

    /// The Leases that have to be watched.
    pub fn wanted_leases(&self) -> impl Iterator<Item = &Key> {
        self.leases.wanted()
    }

    /// The slices that others keep for the Service of this name.
    pub fn rivals_of(&self, service: &Key) -> impl Iterator<Item = &Rival> {
        self.rivals.of(service)
    }

    /// Everything that names a source, or is one.
    pub fn concerned(&self) -> BTreeSet<Key> {
        let sources = self.services.iter().filter(|(_, known)| known.leads_for.is_none()).map(|(key, _)| key);
        sources.chain(self.leaders_of.keys()).chain(self.slices_of.keys()).cloned().collect()
    }

    /// Touch this source when the Service of this name goes or changes.
    pub fn wait_for(&mut self, name: &Key, source: &Key) {
        self.awaited.entry(name.clone()).or_default().insert(source.clone());
    }

    /// Whether this source waits for that name.
    pub fn waits_for(&self, name: &Key, source: &Key) -> bool {
        self.awaited.get(name).is_some_and(|users| users.contains(source))
    }

    /// Do not wait for any name but this one.
    pub fn wait_only_for(&mut self, name: Option<&Key>, source: &Key) {
        self.awaited.retain(|key, users| {
            if Some(key) != name {
                users.remove(source);
            }
            !users.is_empty()
        });
    }

    /// How many objects are kept, by kind.
    pub fn sizes(&self) -> [(&'static str, usize); 6] {
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

/// Whether two states of a source ask for the same: what we write on it ourselves makes no difference.
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

/// What we write on a source, and take away when it opts out.
fn is_published(key: &str) -> bool {
    matches!(key, crate::names::leader::STATUS | crate::names::leader::LEADER_SERVICE)
}

pub(crate) fn take_out(map: &mut HashMap<Key, BTreeSet<Key>>, outer: &Key, inner: &Key) {
    if let Some(set) = map.get_mut(outer) {
        set.remove(inner);
        if set.is_empty() {
            map.remove(outer);
        }
    }
}
