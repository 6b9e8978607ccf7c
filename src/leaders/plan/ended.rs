//! Ends of objects, remembered for a while.
//!
//! The answer to a write may come after the watch has told of the object's end, and must not bring it back.

use std::collections::HashMap;

use jiff::{SignedDuration, Timestamp};

use super::key::Key;
use super::model::Meta;

/// How long an end is remembered: longer than any answer is waited for.
const KEPT_FOR: SignedDuration = SignedDuration::from_mins(2);
/// How many are remembered before old ones are looked for.
const MANY: usize = 1_024;

/// What ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Sort {
    Service,
    Slice,
}

/// The versions at which objects ended.
#[derive(Debug, Default)]
pub(crate) struct Ended(HashMap<(Sort, Key), (u64, Timestamp)>);

impl Ended {
    /// An object ended. `watched`: the version is that of the end, not the last one before it. It may also be the loss
    /// of our label, and then the object of that very version is there still.
    pub(crate) fn ends(&mut self, sort: Sort, meta: &Meta, watched: bool, now: Timestamp) {
        if self.0.len() >= MANY {
            self.0.retain(|_, (_, time)| now.duration_since(*time) < KEPT_FOR);
        }
        if let Some(version) = meta.number().map(|version| version.saturating_sub(watched.into())) {
            let ended = self.0.entry((sort, meta.key.clone())).or_insert((version, now));
            *ended = (ended.0.max(version), now);
        }
    }

    /// Whether this was seen to end already. What is newer than that end is another.
    pub(crate) fn has_ended(&mut self, sort: Sort, meta: &Meta) -> bool {
        if self.0.is_empty() {
            return false;
        }
        let entry = (sort, meta.key.clone());
        let ended = self.0.get(&entry).is_some_and(|(end, _)| meta.number().is_some_and(|mine| mine <= *end));
        if !ended {
            self.0.remove(&entry);
        }
        ended
    }
}
