//! In-memory state of the cluster: the Secret and the webhook configurations, as the watches saw them last.

use std::collections::BTreeMap;
use std::fmt;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;

use crate::managed::plan::configuration::{Configuration, ConfigurationRef};
use crate::managed::plan::secret::State;
use crate::pair::Pair;

/// Every object that managed mode watches.
#[derive(Clone)]
pub(crate) struct ClusterState {
    /// The Secret with CA and leaf.
    pub(crate) secret: Cached<Box<Secret>>,
    /// The configurations, by kind and name.
    pub(crate) configurations: BTreeMap<ConfigurationRef, Cached<Configuration>>,
}

/// Shows how much is cached and not its content: the Secret holds keys.
impl fmt::Debug for ClusterState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClusterState").field("synced", &self.synced()).finish_non_exhaustive()
    }
}

/// One object, as far as it is known.
#[derive(Clone, PartialEq)]
pub(crate) enum Cached<T> {
    /// The object has not been read yet.
    Unknown,
    /// The object does not exist.
    Absent,
    /// The object exists, in this form.
    Present(T),
}

impl ClusterState {
    /// Creates the state before anything has been read.
    pub(crate) fn unread(configurations: Vec<ConfigurationRef>) -> Self {
        Self {
            secret: Cached::Unknown,
            configurations: configurations.into_iter().map(|one| (one, Cached::Unknown)).collect(),
        }
    }

    /// Checks that every watch has delivered.
    ///
    /// # Errors
    /// The first object that has not been read.
    pub(crate) fn synced(&self) -> Result<(), String> {
        if matches!(self.secret, Cached::Unknown) {
            return Err("the certificate Secret has not been read yet".to_owned());
        }
        match self.configurations.iter().find(|(_, cached)| matches!(cached, Cached::Unknown)) {
            Some((reference, _)) => Err(format!("{reference} has not been read yet")),
            None => Ok(()),
        }
    }

    /// Checks that the API server accepts `pair` as `name` for every webhook of every configuration. A configuration
    /// that does not exist sends no calls, and needs nothing.
    pub(crate) fn trusts(&self, pair: &Pair, name: &str, now: Timestamp) -> Result<(), String> {
        self.present().try_for_each(|configuration| configuration.trusts(pair, name, now))
    }

    /// Reads the state of the rotation from the Secret, if it exists.
    pub(crate) fn state(&self) -> Option<State> {
        match &self.secret {
            Cached::Present(secret) => Some(State::read(secret)),
            Cached::Unknown | Cached::Absent => None,
        }
    }

    /// Returns the `resourceVersion` of the Secret.
    pub(crate) fn version(&self) -> Option<String> {
        match &self.secret {
            Cached::Present(secret) => secret.metadata.resource_version.clone(),
            Cached::Unknown | Cached::Absent => None,
        }
    }

    /// Returns the configurations that exist.
    pub(crate) fn present(&self) -> impl Iterator<Item = &Configuration> {
        self.configurations.values().filter_map(|cached| match cached {
            Cached::Present(configuration) => Some(configuration),
            Cached::Unknown | Cached::Absent => None,
        })
    }
}

impl<T> From<Option<T>> for Cached<T> {
    fn from(object: Option<T>) -> Self {
        object.map_or(Self::Absent, Self::Present)
    }
}
