//! An index from selectors to the pods that they match, kept exact by events.
//!
//! It holds, for each namespace, the pods, the pods of each label, and the selectors of all sources with the pods that
//! each matches. For the event of a pod it looks up, for each set of keys that selectors use, the one selector with the
//! values of the pod, so the cost grows with the matching selectors and not with all of them. Nothing expires.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use super::key::Key;
use super::model::{Meta, Pod};

type Name = Arc<str>;
/// `key=value`.
type Label = Arc<str>;
/// All labels that a selector asks for, sorted.
type Labels = Box<[Label]>;

#[derive(Debug, Default)]
pub(crate) struct Index {
    spaces: HashMap<Arc<str>, Space>,
    by_node: HashMap<Arc<str>, HashSet<Key>>,
    count: usize,
}

/// One namespace.
#[derive(Debug, Default)]
struct Space {
    pods: HashMap<Name, Pod>,
    by_label: HashMap<Label, BTreeSet<Name>>,
    /// The number of selectors by their keys, each as `key=`, sorted.
    shapes: HashMap<Labels, usize>,
    selected: HashMap<Labels, Selected>,
    subscribers: HashMap<Name, Labels>,
}

/// The pods that one selector matches, and the sources that have this selector.
#[derive(Debug, Default)]
struct Selected {
    pods: BTreeSet<Name>,
    subscribers: BTreeSet<Name>,
}

impl Index {
    /// Records a pod. Adds to `touched` the subscribers that select it, or selected it before. An older version of a
    /// known pod is ignored.
    pub(crate) fn put(&mut self, mut pod: Pod, touched: &mut BTreeSet<Key>) {
        let namespace = match self.spaces.get_key_value(&pod.meta.key.namespace) {
            Some((known, _)) => known.clone(),
            None => pod.meta.key.namespace.clone(),
        };
        pod.meta.key.namespace = namespace.clone();
        let space = self.spaces.entry(namespace.clone()).or_default();
        if let Some(known) = space.pods.get(&pod.meta.key.name)
            && (pod.meta.is_older_than(&known.meta) || *known == pod)
        {
            return;
        }
        if let Some(known) = space.remove(&pod.meta.key.name, &namespace, touched) {
            self.count -= 1;
            forget(&mut self.by_node, &known);
        }
        if let Some(node) = &mut pod.node {
            if let Some((known, _)) = self.by_node.get_key_value(node) {
                node.clone_from(known);
            }
            self.by_node.entry(node.clone()).or_default().insert(pod.meta.key.clone());
        }
        self.count += 1;
        space.insert(pod, &namespace, touched);
    }

    /// Removes a pod, unless the known one has another UID.
    pub(crate) fn remove(&mut self, meta: &Meta, touched: &mut BTreeSet<Key>) {
        let key = &meta.key;
        let Some(space) = self.spaces.get_mut(&key.namespace) else { return };
        if space.pods.get(&key.name).is_none_or(|known| known.meta.uid != meta.uid) {
            return;
        }
        if let Some(known) = space.remove(&key.name, &key.namespace, touched) {
            self.count -= 1;
            forget(&mut self.by_node, &known);
        }
        self.tidy(&key.namespace);
    }

    /// Keeps only the listed pods.
    pub(crate) fn retain(&mut self, listed: &HashSet<Key>, touched: &mut BTreeSet<Key>) {
        let gone: Vec<Meta> = self
            .spaces
            .values()
            .flat_map(|space| space.pods.values())
            .filter(|pod| !listed.contains(&pod.meta.key))
            .map(|pod| pod.meta.clone())
            .collect();
        for meta in gone {
            self.remove(&meta, touched);
        }
    }

    /// Subscribes a source to the pods that this selector matches, instead of its selector before. An empty selector
    /// matches nothing, as in a Service.
    pub(crate) fn subscribe(&mut self, source: &Key, selector: &BTreeMap<String, String>) {
        let labels = labels_of(selector);
        let space = self.spaces.entry(source.namespace.clone()).or_default();
        if space.subscribers.get(&source.name).is_some_and(|known| *known == labels) {
            return;
        }
        space.unsubscribe(&source.name);
        if !labels.is_empty() {
            space.subscribe(source.name.clone(), labels);
        }
        self.tidy(&source.namespace);
    }

    pub(crate) fn unsubscribe(&mut self, source: &Key) {
        if let Some(space) = self.spaces.get_mut(&source.namespace) {
            space.unsubscribe(&source.name);
            self.tidy(&source.namespace);
        }
    }

    /// The pods that a source selects, by name.
    pub(crate) fn pods_of(&self, source: &Key) -> Vec<&Pod> {
        let seen = || {
            let space = self.spaces.get(&source.namespace)?;
            let selected = space.selected.get(space.subscribers.get(&source.name)?)?;
            Some(selected.pods.iter().filter_map(|name| space.pods.get(name)).collect())
        };
        seen().unwrap_or_default()
    }

    /// The pods of a namespace that a selector matches, without a subscription. An empty selector matches nothing.
    pub(crate) fn matching(&self, namespace: &str, selector: &BTreeMap<String, String>) -> Vec<&Pod> {
        let Some(space) = self.spaces.get(namespace).filter(|_| !selector.is_empty()) else {
            return Vec::new();
        };
        let names = space.select(&labels_of(selector));
        names.iter().filter_map(|name| space.pods.get(name)).collect()
    }

    /// Adds the sources that select a pod of this node.
    pub(crate) fn sources_on(&self, node: &str, touched: &mut BTreeSet<Key>) {
        for key in self.by_node.get(node).into_iter().flatten() {
            if let Some(space) = self.spaces.get(&key.namespace)
                && let Some(pod) = space.pods.get(&key.name)
            {
                space.subscribers_of(pod, &key.namespace, touched);
            }
        }
    }

    /// Checks whether a pod runs on this node.
    pub(crate) fn has_node(&self, node: &str) -> bool {
        self.by_node.contains_key(node)
    }

    pub(crate) fn len(&self) -> usize {
        self.count
    }

    fn tidy(&mut self, namespace: &str) {
        if self
            .spaces
            .get(namespace)
            .is_some_and(|space| space.pods.is_empty() && space.subscribers.is_empty())
        {
            self.spaces.remove(namespace);
        }
    }
}

fn labels_of(selector: &BTreeMap<String, String>) -> Labels {
    let mut labels: Vec<Label> =
        selector.iter().map(|(key, value)| Arc::from(format!("{key}={value}"))).collect();
    labels.sort();
    labels.into_boxed_slice()
}

fn forget(by_node: &mut HashMap<Arc<str>, HashSet<Key>>, pod: &Pod) {
    if let Some(node) = &pod.node
        && let Some(keys) = by_node.get_mut(node)
    {
        keys.remove(&pod.meta.key);
        if keys.is_empty() {
            by_node.remove(node);
        }
    }
}

impl Space {
    fn insert(&mut self, mut pod: Pod, namespace: &Arc<str>, touched: &mut BTreeSet<Key>) {
        let name = pod.meta.key.name.clone();
        for label in &mut pod.labels {
            if let Some((known, _)) = self.by_label.get_key_value(label) {
                label.clone_from(known);
            }
            self.by_label.entry(label.clone()).or_default().insert(name.clone());
        }
        let matching: Vec<Labels> = self.matching(&pod).collect();
        for labels in matching {
            if let Some(selected) = self.selected.get_mut(&labels) {
                selected.pods.insert(name.clone());
                touched.extend(
                    selected.subscribers.iter().map(|source| Key::new(namespace.clone(), source.clone())),
                );
            }
        }
        self.pods.insert(name, pod);
    }

    fn remove(&mut self, name: &str, namespace: &Arc<str>, touched: &mut BTreeSet<Key>) -> Option<Pod> {
        let pod = self.pods.remove(name)?;
        for label in &pod.labels {
            if let Some(names) = self.by_label.get_mut(label) {
                names.remove(name);
                if names.is_empty() {
                    self.by_label.remove(label);
                }
            }
        }
        let matching: Vec<Labels> = self.matching(&pod).collect();
        for labels in matching {
            if let Some(selected) = self.selected.get_mut(&labels) {
                selected.pods.remove(name);
                touched.extend(
                    selected.subscribers.iter().map(|source| Key::new(namespace.clone(), source.clone())),
                );
            }
        }
        Some(pod)
    }

    /// The subscribed selectors that match this pod.
    fn matching<'a>(&'a self, pod: &'a Pod) -> impl Iterator<Item = Labels> + 'a {
        self.shapes.keys().filter_map(|keys| {
            let labels: Option<Labels> = keys
                .iter()
                .map(|key| pod.labels.iter().find(|label| label.starts_with(&**key)).cloned())
                .collect();
            labels.filter(|labels| self.selected.contains_key(labels))
        })
    }

    fn subscribers_of(&self, pod: &Pod, namespace: &Arc<str>, touched: &mut BTreeSet<Key>) {
        for labels in self.matching(pod) {
            let sources = self.selected.get(&labels).into_iter().flat_map(|selected| &selected.subscribers);
            touched.extend(sources.map(|source| Key::new(namespace.clone(), source.clone())));
        }
    }

    fn subscribe(&mut self, source: Name, labels: Labels) {
        if let Some(selected) = self.selected.get_mut(&labels) {
            selected.subscribers.insert(source.clone());
        } else {
            *self.shapes.entry(keys_of(&labels)).or_default() += 1;
            let pods = self.select(&labels);
            let subscribers = BTreeSet::from([source.clone()]);
            self.selected.insert(labels.clone(), Selected { pods, subscribers });
        }
        self.subscribers.insert(source, labels);
    }

    fn unsubscribe(&mut self, source: &str) {
        let Some(labels) = self.subscribers.remove(source) else { return };
        let Some(selected) = self.selected.get_mut(&labels) else { return };
        selected.subscribers.remove(source);
        if !selected.subscribers.is_empty() {
            return;
        }
        self.selected.remove(&labels);
        let keys = keys_of(&labels);
        if let Some(count) = self.shapes.get_mut(&keys) {
            *count -= 1;
            if *count == 0 {
                self.shapes.remove(&keys);
            }
        }
    }

    /// The pods with all these labels: the pods of the rarest label, less those that lack another one.
    fn select(&self, labels: &Labels) -> BTreeSet<Name> {
        let sets: Option<Vec<&BTreeSet<Name>>> =
            labels.iter().map(|label| self.by_label.get(label)).collect();
        let Some(mut sets) = sets else { return BTreeSet::new() };
        sets.sort_by_key(|set| set.len());
        let Some((rarest, others)) = sets.split_first() else { return BTreeSet::new() };
        rarest.iter().filter(|name| others.iter().all(|set| set.contains(*name))).cloned().collect()
    }
}

/// The keys of labels, each with its `=`, so that no key is a prefix of another.
fn keys_of(labels: &Labels) -> Labels {
    labels.iter().filter_map(|label| Some(Arc::from(format!("{}=", label.split_once('=')?.0)))).collect()
}

#[cfg(test)]
mod tests;
