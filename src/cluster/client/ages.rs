//! The ages of watches: when something was last heard of each, which is an event, a bookmark, its beginning or its end.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use http::{Method, Uri};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

use crate::cluster::api_calls::resource;

/// A leader whose watches are all older gives up its Lease: it has cut them off once, and fresh connections are silent, too.
pub const TOO_OLD: Duration = Duration::from_secs(45);
/// A watch that has ended is restarted within this time, or nobody wants it any more.
const BEGUN_AGAIN: Duration = Duration::from_secs(40);

/// The ages of all watches of one client. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct WatchAges(Arc<Mutex<BTreeMap<Key, Entry>>>);

/// One watch, however often it is restarted: a kind, and the part of it that is watched.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    kind: &'static str,
    of: String,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    heard: Instant,
    /// Calls for it that are under way.
    open: usize,
    /// The time at which the last one ended by itself; `None` if the caller gave it up.
    ended: Option<Instant>,
}

impl Entry {
    /// Tells whether somebody still wants this watch.
    fn is_wanted(&self, now: Instant) -> bool {
        self.open > 0 || self.ended.is_some_and(|ended| now.duration_since(ended) < BEGUN_AGAIN)
    }
}

impl WatchAges {
    /// Makes the metric and registers it.
    pub fn registered(registry: &mut Registry) -> Self {
        let ages = Self::default();
        registry.register_collector(Box::new(ages.clone()));
        ages
    }

    /// Returns how long ago something was last heard of the watches of each kind; of several, the one that is silent
    /// longest.
    pub fn by_kind(&self) -> BTreeMap<&'static str, Duration> {
        let now = Instant::now();
        let mut entries = self.lock();
        entries.retain(|_, entry| entry.is_wanted(now));
        let mut ages = BTreeMap::new();
        for (key, entry) in &*entries {
            let age = now.duration_since(entry.heard);
            ages.entry(key.kind).and_modify(|known: &mut Duration| *known = (*known).max(age)).or_insert(age);
        }
        ages
    }

    /// Tells whether anything was heard lately of any watch. A single silent kind says something about the API server, and
    /// the other replica hears nothing of it either; silence of all kinds says that this replica is cut off.
    pub fn are_fresh(&self) -> bool {
        let ages = self.by_kind();
        ages.is_empty() || ages.values().any(|age| *age < TOO_OLD)
    }

    /// Formats the ages, such as `jobs 3s, pods 0s`.
    pub fn words(&self) -> String {
        let ages = self.by_kind();
        let words: Vec<String> =
            ages.iter().map(|(kind, age)| format!("{kind} {}s", age.as_secs())).collect();
        words.join(", ")
    }

    /// Records the beginning of a call for a watch, or for the list that a watch continues from.
    pub(super) fn asked(&self, method: &Method, uri: &Uri) -> Option<Asked> {
        if *method != Method::GET {
            return None;
        }
        let query = uri.query().unwrap_or_default();
        let selects = |part: &&str| part.starts_with("labelSelector=") || part.starts_with("fieldSelector=");
        let mut selectors: Vec<&str> = query.split('&').filter(selects).collect();
        selectors.sort_unstable();
        let of = format!("{}?{}", uri.path(), selectors.join("&"));
        let key = Key { kind: resource(uri.path()), of };
        let mut entries = self.lock();
        if is_watch(query) {
            let new = Entry { heard: Instant::now(), open: 0, ended: None };
            entries.entry(key.clone()).or_insert(new).open += 1;
        } else {
            // A list counts only if it belongs to a watch that was seen before.
            entries.get_mut(&key)?.open += 1;
        }
        drop(entries);
        Some(Asked { ages: self.clone(), key, ended: false })
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Key, Entry>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, key: &Key, change: impl FnOnce(&mut Entry)) {
        if let Some(entry) = self.lock().get_mut(key) {
            change(entry);
        }
    }

    /// Makes one series, for the page that lists them.
    #[cfg(test)]
    pub(crate) fn touch(&self) {
        let entry = Entry { heard: Instant::now(), open: 1, ended: None };
        self.lock().insert(Key { kind: "x", of: "x".to_owned() }, entry);
    }
}

/// A call that is under way.
pub(super) struct Asked {
    ages: WatchAges,
    key: Key,
    ended: bool,
}

impl Asked {
    pub(super) fn kind(&self) -> &'static str {
        self.key.kind
    }

    /// Records that something was heard.
    pub(super) fn heard(&self) {
        self.ages.change(&self.key, |entry| entry.heard = Instant::now());
    }

    /// Records that the call ended or failed by itself, and was not given up by its caller.
    pub(super) fn ended(mut self) {
        self.ended = true;
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        let ended = self.ended.then(Instant::now);
        self.ages.change(&self.key, |entry| {
            entry.open = entry.open.saturating_sub(1);
            entry.ended = ended;
        });
    }
}

/// Tells whether a query is that of a watch.
pub(super) fn is_watch(query: &str) -> bool {
    query.split('&').any(|part| matches!(part, "watch=true" | "watch=1"))
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KindLabels {
    kind: &'static str,
}

impl Collector for WatchAges {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let ages = self.by_kind();
        if ages.is_empty() {
            return Ok(());
        }
        let mut family = encoder.encode_descriptor(
            "headworks_watch_age_seconds",
            "Time since something was last heard of the watches of a kind (an event, a bookmark, an end); of several the one that is silent longest",
            None,
            MetricType::Gauge,
        )?;
        for (kind, age) in ages {
            ConstGauge::new(age.as_secs_f64()).encode(family.encode_family(&KindLabels { kind })?)?;
        }
        Ok(())
    }
}
