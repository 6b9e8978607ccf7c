//! Names of namespaced objects, cheap to clone.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::sync::Arc;

/// A namespace and a name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Key {
    pub(crate) namespace: Arc<str>,
    pub(crate) name: Arc<str>,
}

impl Key {
    pub(crate) fn new(namespace: impl Into<Arc<str>>, name: impl Into<Arc<str>>) -> Self {
        Self { namespace: namespace.into(), name: name.into() }
    }

    /// A key of another name in the same namespace.
    #[must_use]
    pub(crate) fn sibling(&self, name: impl Into<Arc<str>>) -> Self {
        Self { namespace: self.namespace.clone(), name: name.into() }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// Removes `inner` from the set of `outer`, and a set that becomes empty from the map.
pub(crate) fn remove_from(sets: &mut HashMap<Key, BTreeSet<Key>>, outer: &Key, inner: &Key) {
    if let Some(set) = sets.get_mut(outer) {
        set.remove(inner);
        if set.is_empty() {
            sets.remove(outer);
        }
    }
}
