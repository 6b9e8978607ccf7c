//! Deletions of objects, remembered for a while.
//!
//! The answer to a write may arrive after the watch has reported that the object is gone, and must not bring it back.

use std::collections::HashMap;

use jiff::{SignedDuration, Timestamp};

use super::key::Key;
use super::model::Meta;

/// The time for which a deletion is remembered: longer than the timeout of any call.
const KEPT_FOR: SignedDuration = SignedDuration::from_mins(2);
/// The number of deletions above which old ones are dropped.
const MANY: usize = 1_024;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum ObjectKind {
    Service,
    Slice,
}

/// The last version of each deleted object, and the time at which the deletion was recorded.
#[derive(Debug, Default)]
pub(crate) struct Ended(HashMap<(ObjectKind, Key), (u64, Timestamp)>);

impl Ended {
    /// Records a deletion. `watched`: `meta.version` is the version of the delete event itself. Such an event may also
    /// mean that the object lost our label, and then it still exists with that very version.
    pub(crate) fn ends(&mut self, kind: ObjectKind, meta: &Meta, watched: bool, now: Timestamp) {
        if self.0.len() >= MANY {
            self.0.retain(|_, (_, time)| now.duration_since(*time) < KEPT_FOR);
        }
        if let Some(version) = meta.number().map(|version| version.saturating_sub(watched.into())) {
            let ended = self.0.entry((kind, meta.key.clone())).or_insert((version, now));
            *ended = (ended.0.max(version), now);
        }
    }

    /// Checks whether the deletion of this object was recorded. A newer version belongs to another object of that name,
    /// and makes the record obsolete.
    pub(crate) fn has_ended(&mut self, kind: ObjectKind, meta: &Meta) -> bool {
        if self.0.is_empty() {
            return false;
        }
        let entry = (kind, meta.key.clone());
        let ended = self.0.get(&entry).is_some_and(|(end, _)| meta.number().is_some_and(|mine| mine <= *end));
        if !ended {
            self.0.remove(&entry);
        }
        ended
    }
}
