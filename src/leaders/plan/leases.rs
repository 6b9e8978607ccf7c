//! The Leases that sources name, and when each was last seen to change.
//!
//! A Lease expires by the time at which we saw it change, never by the times in it: those come from its holder's clock.
//! A Lease that is seen for the first time counts from then, as in client-go, since its age is unknown.

use std::collections::{BTreeSet, HashMap};

use jiff::Timestamp;

use super::choose::Held;
use super::key::{Key, remove_from};
use super::model::{Lease, Meta};

/// A Lease, and when we saw its record change.
#[derive(Debug)]
struct KnownLease {
    lease: Lease,
    changed: Timestamp,
}

#[derive(Debug, Default)]
pub(crate) struct Leases {
    known: HashMap<Key, KnownLease>,
    /// The sources that name each Lease.
    users_of: HashMap<Key, BTreeSet<Key>>,
}

impl Leases {
    /// Records a Lease as it was received at `now`. Adds to `touched` the sources that name it.
    pub(crate) fn put(&mut self, lease: Lease, now: Timestamp, touched: &mut BTreeSet<Key>) {
        let key = lease.meta.key.clone();
        let before = self.known.get(&key);
        if before.is_some_and(|before| lease.meta.is_older_than(&before.lease.meta)) {
            return;
        }
        let unchanged = before.filter(|before| lease.is_as(&before.lease)).map(|before| before.changed);
        touched.extend(self.users_of.get(&key).into_iter().flatten().cloned());
        self.known.insert(key, KnownLease { lease, changed: unchanged.unwrap_or(now) });
    }

    pub(crate) fn remove(&mut self, meta: &Meta, touched: &mut BTreeSet<Key>) {
        if self.known.get(&meta.key).is_some_and(|known| known.lease.meta.uid == meta.uid) {
            self.known.remove(&meta.key);
            touched.extend(self.users_of.get(&meta.key).into_iter().flatten().cloned());
        }
    }

    /// The holder of a Lease, and when it expires unless it is renewed. Without a duration nobody holds it.
    pub(crate) fn held(&self, key: &Key) -> Option<Held<'_>> {
        let KnownLease { lease, changed } = self.known.get(key)?;
        let until = changed.checked_add(lease.duration?).unwrap_or(Timestamp::MAX);
        Some(Held { holder: lease.holder.as_deref()?, until })
    }

    /// Records that a source names this Lease.
    pub(crate) fn begin(&mut self, lease: Key, source: Key) {
        self.users_of.entry(lease).or_default().insert(source);
    }

    /// Records that a source no longer names this Lease, which is kept until [`Leases::drop_unused`].
    pub(crate) fn end(&mut self, lease: &Key, source: &Key) {
        remove_from(&mut self.users_of, lease, source);
    }

    /// Drops the Leases that no source names any more.
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
            // A label was set, and everything was listed again: neither is a renewal.
            leases.put(lease(3, "a", skew + 3), at(6), &mut BTreeSet::new());
            leases.put(lease(3, "a", skew + 3), at(9), &mut BTreeSet::new());
            assert_eq!(until(&leases), Some(13));
            // Its holder releases it.
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
