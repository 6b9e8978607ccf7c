use proptest::prelude::*;

use super::*;
use jiff::Timestamp;

fn pod(name: &str, version: u64, labels: &[(u8, u8)], node: u8) -> Pod {
    let labels: BTreeMap<u8, u8> = labels.iter().copied().collect();
    let mut labels: Vec<Arc<str>> = labels.iter().map(|(key, value)| text(*key, *value).into()).collect();
    labels.sort();
    Pod {
        meta: Meta {
            key: Key::new("ns", name),
            uid: format!("uid-{name}").into(),
            version: version.to_string().into(),
            terminating: false,
        },
        created: Timestamp::UNIX_EPOCH,
        labels: labels.into(),
        node: Some(format!("node-{node}").into()),
        running: true,
        addresses: Box::new([]),
        ready: true,
        since: Timestamp::UNIX_EPOCH,
        ports: Box::new([]),
    }
}

/// A label; one of the keys is a prefix of another.
fn text(key: u8, value: u8) -> String {
    format!("{}={value}", ["a", "a-b", "ab"][usize::from(key)])
}

#[derive(Clone, Debug)]
enum Step {
    Put(u8, Vec<(u8, u8)>, u8),
    Remove(u8),
    Retain(u8),
    Subscribe(u8, Vec<(u8, u8)>),
    Unsubscribe(u8),
}

fn step() -> impl Strategy<Value = Step> {
    let labels = || prop::collection::vec((0..3_u8, 0..2_u8), 0..4);
    prop_oneof![
        4 => (0..6_u8, labels(), 0..2_u8).prop_map(|(pod, labels, node)| Step::Put(pod, labels, node)),
        1 => (0..6_u8).prop_map(Step::Remove),
        1 => (0..64_u8).prop_map(Step::Retain),
        2 => (0..4_u8, labels()).prop_map(|(source, labels)| Step::Subscribe(source, labels)),
        1 => (0..4_u8).prop_map(Step::Unsubscribe),
    ]
}

proptest! {
    /// The index gives the same pods as a search of all of them, and touches exactly the sources that select a pod.
    #[test]
    fn the_index_is_what_brute_force_finds(steps in prop::collection::vec(step(), 1..60)) {
        let mut index = Index::default();
        let mut pods: BTreeMap<String, Pod> = BTreeMap::new();
        let mut sources: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
        let sees = |selector: &BTreeMap<String, String>, pod: &Pod| {
            let labels = pod.label_map();
            !selector.is_empty() && selector.iter().all(|(key, value)| labels.get(key) == Some(value))
        };
        for (version, step) in (1..).zip(steps) {
            let mut touched = BTreeSet::new();
            let mut concerned = BTreeSet::new();
            let mut concern = |sources: &BTreeMap<String, BTreeMap<String, String>>, pod: &Pod| {
                let seeing = sources.iter().filter(|(_, selector)| sees(selector, pod));
                concerned.extend(seeing.map(|(name, _)| Key::new("ns", name.as_str())));
            };
            match step {
                Step::Put(name, labels, node) => {
                    let pod = pod(&format!("pod-{name}"), version, &labels, node);
                    if let Some(before) = pods.insert(pod.meta.key.name.to_string(), pod.clone()) {
                        concern(&sources, &before);
                    }
                    concern(&sources, &pod);
                    index.put(pod, &mut touched);
                }
                Step::Remove(name) => {
                    if let Some(pod) = pods.remove(&format!("pod-{name}")) {
                        concern(&sources, &pod);
                        index.remove(&pod.meta, &mut touched);
                    }
                }
                Step::Retain(bits) => {
                    let kept = |name: &str| bits >> name["pod-".len()..].parse::<u8>().unwrap() & 1 == 1;
                    for pod in pods.values().filter(|pod| !kept(&pod.meta.key.name)) {
                        concern(&sources, pod);
                    }
                    pods.retain(|name, _| kept(name));
                    let listed = pods.values().map(|pod| pod.meta.key.clone()).collect();
                    index.retain(&listed, &mut touched);
                }
                Step::Subscribe(source, labels) => {
                    let pairs = labels.iter().map(|(key, value)| text(*key, *value));
                    let selector: BTreeMap<String, String> = pairs
                        .filter_map(|pair| pair.split_once('=').map(|(key, value)| (key.to_owned(), value.to_owned())))
                        .collect();
                    index.subscribe(&Key::new("ns", format!("source-{source}")), &selector);
                    sources.insert(format!("source-{source}"), selector);
                }
                Step::Unsubscribe(source) => {
                    sources.remove(&format!("source-{source}"));
                    index.unsubscribe(&Key::new("ns", format!("source-{source}")));
                }
            }
            prop_assert_eq!(&touched, &concerned);
            prop_assert_eq!(index.len(), pods.len());
            for name in (0..4).map(|source| format!("source-{source}")) {
                let found: Vec<&str> =
                    index.pods_of(&Key::new("ns", name.as_str())).iter().map(|pod| &*pod.meta.key.name).collect();
                let selector = sources.get(&name).cloned().unwrap_or_default();
                let expected: Vec<&str> =
                    pods.values().filter(|pod| sees(&selector, pod)).map(|pod| &*pod.meta.key.name).collect();
                prop_assert_eq!(found, expected, "{}", name);
            }
            for node in ["node-0", "node-1"] {
                let mut found = BTreeSet::new();
                index.sources_on(node, &mut found);
                let on = pods.values().filter(|pod| pod.node.as_deref() == Some(node));
                let expected: BTreeSet<Key> = on
                    .flat_map(|pod| sources.iter().filter(move |(_, selector)| sees(selector, pod)))
                    .map(|(name, _)| Key::new("ns", name.as_str()))
                    .collect();
                prop_assert_eq!(found, expected);
            }
        }
    }
}

#[test]
fn an_older_state_changes_nothing() {
    let mut index = Index::default();
    let mut touched = BTreeSet::new();
    index.put(pod("p", 5, &[(0, 0)], 0), &mut touched);
    index.put(pod("p", 4, &[(0, 1)], 0), &mut touched);
    index.subscribe(&Key::new("ns", "s"), &[("a".to_owned(), "0".to_owned())].into());
    assert_eq!(index.pods_of(&Key::new("ns", "s")).len(), 1);
    let mut other = pod("p", 9, &[], 0).meta;
    other.uid = "another".into();
    index.remove(&other, &mut touched);
    assert_eq!(index.len(), 1);
}

/// The cost of an event does not grow with the number of selectors that do not match.
#[test]
fn what_exists_elsewhere_costs_an_event_nothing() {
    let mut index = Index::default();
    let mut touched = BTreeSet::new();
    let name = |n: usize| [("a".to_owned(), n.to_string())].into();
    for n in 0..5_000 {
        index.subscribe(&Key::new("ns", format!("s{n}")), &name(n));
    }
    index.put(pod("p", 1, &[(0, 1)], 0), &mut touched);
    assert_eq!(touched.len(), 1);
    // One set of keys is looked up, whatever the number of selectors that use it.
    assert_eq!(index.spaces["ns"].shapes.len(), 1);
}
