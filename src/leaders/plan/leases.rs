//! The Leases that sources name, and since when each is as it is. Pure.
//!
//! A Lease is judged by the time at which we saw it change, never by the times in it: they are of its holder's clock. One
//! that is seen for the first time counts from then, as in client-go: nobody knows how old it is.

use std::collections::{BTreeSet, HashMap};

use jiff::Timestamp;

use super::choose::Held;
use super::key::Key;
use super::model::{Lease, Meta};

/// The Leases.
#[derive(Debug, Default)]
pub(crate) struct Leases {
    /// With the time at which each was seen to change.
    known: HashMap<Key, (Lease, Timestamp)>,
    users_of: HashMap<Key, BTreeSet<Key>>,
}

impl Leases {
    /// Take a Lease as it is at `now`. Adds to `touched` the sources that name it.
    pub(crate) fn put(&mut self, lease: Lease, now: Timestamp, touched: &mut BTreeSet<Key>) {
        let key = lease.meta.key.clone();
        let before = self.known.get(&key);
        if before.is_some_and(|(before, _)| lease.meta.is_older_than(&before.meta)) {
            return;
        }
        let same = before.filter(|(before, _)| lease.is_as(before)).map(|(_, changed)| *changed);
        touched.extend(self.users_of.get(&key).into_iter().flatten().cloned());
        self.known.insert(key, (lease, same.unwrap_or(now)));
    }

    pub(crate) fn remove(&mut self, meta: &Meta, touched: &mut BTreeSet<Key>) {
        if self.known.get(&meta.key).is_some_and(|(known, _)| known.meta.uid == meta.uid) {
            self.known.remove(&meta.key);
            touched.extend(self.users_of.get(&meta.key).into_iter().flatten().cloned());
        }
    }

    /// Who holds a Lease, and until when if nothing more is heard of it. Without a duration nobody does.
    pub(crate) fn held(&self, key: &Key) -> Option<Held<'_>> {
        let (lease, changed) = self.known.get(key)?;
        let until = changed.checked_add(lease.duration?).unwrap_or(Timestamp::MAX);
        Some(Held { holder: lease.holder.as_deref()?, until })
    }

    /// A source names this Lease.
    pub(crate) fn begin(&mut self, lease: Key, source: Key) {
        self.users_of.entry(lease).or_default().insert(source);
    }

    /// A source names it no more. The Lease is kept until [`Leases::drop_unused`].
    pub(crate) fn end(&mut self, lease: &Key, source: &Key) {
        super::state::take_out(&mut self.users_of, lease, source);
    }

    /// Forget the Leases that nobody names any more.
    pub(crate) fn drop_unused(&mut self) {
        let users = &self.users_of;
        self.known.retain(|key, _| users.contains_key(key));
    }

    /// The Leases that have to be watched.
    pub(crate) fn wanted(&self) -> impl Iterator<Item = &Key> {
        self.users_of.keys()
    }

    pub(crate) fn len(&self) -> usize {
        self.known.len()
    }
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_700_000_000 + second).unwrap()
    }

    /// Version, holder, and the holder's own time of renewal.
    fn lease(version: u32, holder: &str, renewed: i64) -> Lease {
        let key = Key::new("ns", "lock");
        Lease {
            meta: Meta { key, uid: "u".into(), version: version.to_string().into(), terminating: false },
            holder: (!holder.is_empty()).then(|| holder.to_owned()),
            duration: Some(SignedDuration::from_secs(10)),
            renewed: Some(at(renewed)),
            acquired: None,
            transitions: None,
        }
    }

    fn until(leases: &Leases) -> Option<i64> {
        let held = leases.held(&Key::new("ns", "lock"))?;
        Some(held.until.duration_since(at(0)).as_secs())
    }

    #[test]
    fn a_lease_counts_from_when_it_was_seen_to_change_whatever_time_is_in_it() {
        for skew in [-300, 0, 300] {
            let mut leases = Leases::default();
            leases.put(lease(1, "a", skew), at(0), &mut BTreeSet::new());
            assert_eq!(until(&leases), Some(10));
            leases.put(lease(2, "a", skew + 3), at(3), &mut BTreeSet::new());
            assert_eq!(until(&leases), Some(13));
            // A label was set, and everything was listed again: its holder has not been heard of.
            leases.put(lease(3, "a", skew + 3), at(6), &mut BTreeSet::new());
            leases.put(lease(3, "a", skew + 3), at(9), &mut BTreeSet::new());
            assert_eq!(until(&leases), Some(13));
            // Given back.
            leases.put(lease(4, "", skew + 9), at(9), &mut BTreeSet::new());
            assert_eq!(until(&leases), None);
        }
    }

    #[test]
    fn without_a_duration_nobody_holds_it() {
        let mut leases = Leases::default();
        leases.put(Lease { duration: None, ..lease(1, "a", 0) }, at(0), &mut BTreeSet::new());
        assert_eq!(until(&leases), None);
    }
}
