//! Keeps the state of the cluster: watches and this process's own writes feed it, and the served pair and the metrics
//! follow immediately.

use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::core::DynamicObject;
use tokio::sync::watch;

use crate::facts::Facts;
use crate::hooks::Hooks;
use crate::identity::Identity;
use crate::intake::Intake;
use crate::managed::config::ManagedConfig;
use crate::managed::plan::cluster::{Cached, ClusterState};
use crate::managed::plan::configuration::{Configuration, ConfigurationRef};
use crate::managed::plan::secret::State;
use crate::metrics::CertKind;
use crate::pair::{self, Pair, Rejection};

/// The one holder of a [`ClusterState`], shared by the watches, the controller and the status.
pub(crate) struct Store {
    cluster: watch::Sender<ClusterState>,
    intake: Mutex<Intake>,
    required: String,
    hooks: Hooks,
}

impl Store {
    pub(crate) fn new(
        cluster: watch::Sender<ClusterState>,
        config: &ManagedConfig,
        identity: Identity,
        hooks: Hooks,
    ) -> Self {
        let intake = Mutex::new(Intake::new(identity, hooks.clone()));
        Self { cluster, intake, required: config.names.required(), hooks }
    }

    pub(crate) fn subscribe(&self) -> watch::Receiver<ClusterState> {
        self.cluster.subscribe()
    }

    pub(crate) fn references(&self) -> Vec<ConfigurationRef> {
        self.cluster.borrow().configurations.keys().cloned().collect()
    }

    /// Stores the Secret as a watch or a read delivered it. Stale updates are ignored: they would put an old leaf back
    /// into service.
    pub(crate) fn update_secret(&self, secret: Option<Secret>) {
        let stale = match (&self.cluster.borrow().secret, &secret) {
            (Cached::Present(known), Some(update)) => is_older(&update.metadata, &known.metadata),
            _ => false,
        };
        if !stale {
            self.replace_secret(secret);
        }
    }

    /// Stores the Secret as it was read after a write was refused: it holds, whatever was cached.
    pub(crate) fn replace_secret(&self, secret: Option<Secret>) {
        let now = self.hooks.clock.now();
        let state = secret.as_ref().map(State::read).unwrap_or_default();
        // An empty Secret, or none, leaves the last good pair in service.
        if !state.is_empty() {
            let pair = self.parse(&state, now);
            self.intake.lock().unwrap_or_else(PoisonError::into_inner).take(pair);
        }
        let ca = state.ca.iter().filter_map(|ca| pair::chain(&ca.cert).ok());
        let ca: Vec<_> = ca.flatten().filter_map(|der| Facts::of(&der).ok()).collect();
        self.hooks.metrics.show(CertKind::Ca, &ca);
        self.hooks.metrics.show(CertKind::Bundle, &state.bundle_at(now).facts());
        self.hooks.metrics.phase(state.phase.number(), state.phase_since);
        let update = Cached::from(secret.map(Box::new));
        self.cluster.send_if_modified(|cluster| {
            let changed = cluster.secret != update;
            cluster.secret = update;
            changed
        });
    }

    /// Stores a configuration as a watch or a read delivered it. Stale updates are ignored.
    pub(crate) fn update_configuration(&self, reference: ConfigurationRef, object: Option<&DynamicObject>) {
        let update = Cached::from(object.map(|object| Configuration::read(reference.clone(), object)));
        if let (Some(object), Some(Cached::Present(known))) =
            (object, self.cluster.borrow().configurations.get(&reference))
            && object.metadata.uid.as_ref() == Some(&known.uid)
            && precedes(object.metadata.resource_version.as_deref(), Some(&known.version))
        {
            return;
        }
        self.cluster.send_if_modified(|cluster| {
            let before = cluster.configurations.insert(reference, update.clone());
            before != Some(update)
        });
    }

    fn parse(&self, state: &State, now: Timestamp) -> Result<Pair, Rejection> {
        let leaf = state.leaf.as_ref().ok_or(Rejection::Empty { what: "certificate" })?;
        let key = leaf.key.as_ref().ok_or(Rejection::Empty { what: "key" })?;
        Pair::parse(&leaf.cert, key.expose().as_bytes(), &[&self.required], now)
    }
}

/// Compares two versions of one object. An object that was made anew is never older.
fn is_older(update: &ObjectMeta, known: &ObjectMeta) -> bool {
    update.uid == known.uid && precedes(update.resource_version.as_deref(), known.resource_version.as_deref())
}

/// Compares resource versions: those of one object are numbers that grow (KEP-5504). Where they are no numbers, none
/// precedes another.
fn precedes(one: Option<&str>, other: Option<&str>) -> bool {
    let number = |version: Option<&str>| version?.parse::<u128>().ok();
    number(one).zip(number(other)).is_some_and(|(one, other)| one < other)
}
