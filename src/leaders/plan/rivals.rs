//! Slices of other programs, and the conditions that report those that name a leader Service.
//!
//! kube-proxy routes a Service by all slices with its name, so one more makes a second endpoint behind a leader Service.
//! They are not ours, so they are reported and never changed.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use super::key::Key;
use super::leader_service::slice_key;
use super::model::{Family, Meta, Rival};

/// The manager of slices that mirror an Endpoints object of a Service without a selector.
const MIRRORING: &str = "endpointslicemirroring-controller.k8s.io";
/// The number of slices that are reported by name.
const NAMED: usize = 3;

/// The slices of other programs, by the Service that they name.
#[derive(Debug, Default)]
pub(crate) struct Rivals {
    by_service: HashMap<Key, BTreeMap<Arc<str>, Rival>>,
    services: HashMap<Key, Key>,
}

impl Rivals {
    /// Records a slice; `None` if it names no Service. Gives the Services that it concerns.
    pub(crate) fn put(&mut self, meta: &Meta, rival: Option<Rival>) -> Vec<Key> {
        let known = self.services.get(&meta.key).and_then(|service| self.by_service.get(service));
        let known = known.and_then(|slices| slices.get(&meta.key.name));
        if known.is_some_and(|known| meta.is_older_than(&known.meta) || *meta == known.meta) {
            return Vec::new();
        }
        let mut concerned: Vec<Key> = self.take_out(&meta.key).into_iter().collect();
        if let Some(rival) = rival {
            let service = meta.key.sibling(rival.service.clone());
            self.services.insert(meta.key.clone(), service.clone());
            self.by_service.entry(service.clone()).or_default().insert(meta.key.name.clone(), rival);
            concerned.push(service);
        }
        concerned
    }

    /// Removes a slice. Gives the Service that it named.
    pub(crate) fn remove(&mut self, meta: &Meta) -> Option<Key> {
        let slices = self.by_service.get(self.services.get(&meta.key)?)?;
        slices.get(&meta.key.name).filter(|known| known.meta.uid == meta.uid)?;
        self.take_out(&meta.key)
    }

    /// Keeps only the listed slices. Gives the Services that the others named.
    pub(crate) fn retain(&mut self, listed: &HashSet<Key>) -> Vec<Key> {
        let gone: Vec<Key> = self.services.keys().filter(|key| !listed.contains(*key)).cloned().collect();
        gone.iter().filter_map(|key| self.take_out(key)).collect()
    }

    fn take_out(&mut self, key: &Key) -> Option<Key> {
        let service = self.services.remove(key)?;
        if let Some(slices) = self.by_service.get_mut(&service) {
            slices.remove(&key.name);
            if slices.is_empty() {
                self.by_service.remove(&service);
            }
        }
        Some(service)
    }

    /// The slices of a Service, by name.
    pub(crate) fn of(&self, service: &Key) -> impl Iterator<Item = &Rival> {
        self.by_service.get(service).into_iter().flat_map(BTreeMap::values)
    }

    pub(crate) fn len(&self) -> usize {
        self.services.len()
    }
}

/// The conditions that report other slices of this leader Service, one line each. A slice with the name of one of ours
/// is left out: writing ours fails and reports it, or it has lost a label and gets it back.
pub(crate) fn conflicts<'a>(leader: &Key, rivals: impl Iterator<Item = &'a Rival>) -> Vec<String> {
    let is_ours = |name: &str| {
        [Family::V4, Family::V6].into_iter().any(|family| *slice_key(leader, family).name == *name)
    };
    let rivals: Vec<&Rival> = rivals.filter(|rival| !is_ours(&rival.meta.key.name)).collect();
    let mut lines: Vec<String> =
        rivals.iter().take(NAMED).map(|rival| conflict(&leader.name, rival)).collect();
    if let Some(more) = rivals.len().checked_sub(NAMED).filter(|more| *more > 0) {
        lines.push(format!("NameConflict: {more} more EndpointSlices route {} too", leader.name));
    }
    lines
}

fn conflict(leader: &str, rival: &Rival) -> String {
    let name = &rival.meta.key.name;
    let fix = match rival.manager.as_deref() {
        Some(MIRRORING) => {
            format!("Kubernetes makes it from the Endpoints {leader}: delete that object")
        }
        Some(manager) => format!("its label says that {manager} keeps it: delete it there"),
        None => "nobody says who keeps it: delete it".to_owned(),
    };
    format!(
        "NameConflict: EndpointSlice {name} routes {leader} too, beside the leader; {fix}, or choose another zen-lead.io/leader-service-name"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rival(name: &str, version: u32, service: &str, manager: Option<&str>) -> Rival {
        let key = Key::new("ns", name);
        let meta = Meta { key, uid: "u".into(), version: version.to_string().into(), terminating: false };
        Rival { meta, service: service.into(), manager: manager.map(Into::into) }
    }

    #[test]
    fn a_slice_is_found_by_the_service_that_it_names_now() {
        let mut rivals = Rivals::default();
        let (one, two) = (Key::new("ns", "one"), Key::new("ns", "two"));
        let first = rival("x", 1, "one", None);
        assert_eq!(rivals.put(&first.meta.clone(), Some(first)), std::slice::from_ref(&one));
        let moved = rival("x", 2, "two", None);
        assert_eq!(rivals.put(&moved.meta.clone(), Some(moved.clone())), [one.clone(), two.clone()]);
        // The same again, or older, is no news.
        assert!(rivals.put(&moved.meta.clone(), Some(moved)).is_empty());
        assert_eq!((rivals.of(&one).count(), rivals.of(&two).count()), (0, 1));
        assert_eq!(rivals.retain(&HashSet::new()), [two]);
        assert_eq!(rivals.len(), 0);
    }

    #[test]
    fn each_is_reported_with_its_fix_and_ours_are_not() {
        let leader = Key::new("ns", "db-leader");
        let rivals = [
            rival("db-leader-abcde", 1, "db-leader", Some(MIRRORING)),
            rival("db-leader-ipv4", 1, "db-leader", None),
            rival("mine", 1, "db-leader", None),
        ];
        let lines = conflicts(&leader, rivals.iter());
        assert_eq!(lines.len(), 2, "{lines:?}");
        assert!(lines[0].contains("from the Endpoints db-leader: delete that object"), "{}", lines[0]);
        assert!(
            lines[1].starts_with("NameConflict: EndpointSlice mine routes db-leader too"),
            "{}",
            lines[1]
        );
        let many: Vec<Rival> = (0..9).map(|i| rival(&format!("x{i}"), 1, "db-leader", None)).collect();
        assert!(conflicts(&leader, many.iter()).last().unwrap().contains("6 more EndpointSlices"));
    }
}
