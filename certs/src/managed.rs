//! Managed mode: a small CA of headworks' own, kept in one Secret, trusted through the webhook configurations.
//!
//! # Expected flow
//! Every replica watches the Secret and the configurations, and serves the Secret's current pair within a second of
//! a change. The replica that leads takes the next step of [`decide`] whenever something changed, and once a minute:
//! make a CA and a leaf where there are none, renew the leaf after two thirds of its life, publish the CA bundle, and
//! replace the CA after two thirds of its life, in steps: stage, publish, activate, confirm, retire (see [`Phase`]).
//!
//! # Guarantees
//! - Every write of the Secret is a compare-and-swap on its `resourceVersion`, or a create; the loser adopts what the
//!   winner wrote. Any number of replicas that think they lead end up with one CA.
//! - All state is in the Secret: a writer that dies between any two steps is followed by one that goes on from there.
//! - No leaf is activated before every configuration has carried a bundle that verifies it, unbroken, for
//!   [`ManagedConfig::publish_wait`]; no CA leaves the bundle while a replica still serves one of its leaves that is
//!   valid. Only an emergency (nothing is left that could be served) skips the wait.
//! - A valid Secret is adopted, never replaced. A certificate that is not valid yet means a wrong clock: nothing is written.
//! - `caBundle` is written by server-side apply of nothing else, and only where it differs; the apply names the
//!   `resourceVersion` it was decided on, so it never creates a configuration nor revives a webhook entry.
//! - Foreign keys, labels and annotations of the Secret stay.
//! - The CA key is in the Secret and in memory, never in a log, an error or a file.
//!
//! # Caveats
//! - A Secret that is deleted, or whose CA and leaf are both unusable, is an emergency: a new CA is made, served and
//!   published immediately. Webhook calls may fail until the API servers have seen the new bundle.
//! - A rotation waits as long as another tool keeps changing a caBundle. It continues without the wait when the current
//!   leaf has expired.
//! - A field that has an owner keeps the list entry it is in: a user who drops a webhook entry by *server-side* apply gets
//!   an error that the entry lacks `sideEffects` and so on, because our `caBundle` remains of it. `kubectl apply` without
//!   `--server-side`, a JSON patch, or deleting the configuration all remove it.
//!
//! # Permissions
//! | resource | verbs | restricted to |
//! |---|---|---|
//! | `secrets` in the own namespace | `get`, `list`, `watch`, `update` | `resourceNames: [SECRET]` |
//! | `secrets` in the own namespace | `create` | (cannot be restricted by name) |
//! | `validatingwebhookconfigurations.admissionregistration.k8s.io` | `get`, `list`, `watch`, `patch` | the configured names |
//! | `mutatingwebhookconfigurations.admissionregistration.k8s.io` | `get`, `list`, `watch`, `patch` | the configured names |
//! | `leases.coordination.k8s.io` in the own namespace | `create`, `patch`, `list`, `delete` | (named after pods) |
//! | `endpointslices.discovery.k8s.io` in the own namespace | `list` | (read while a rotation waits for replicas) |
//!
//! For the objects that have names `list` is used with the field selector `metadata.name=NAME` only, which RBAC matches
//! against `resourceNames`.

mod apply;
mod build;
mod config;
mod events;
mod fetch;
pub mod inspect;
pub(crate) mod plan;
mod reconcile;
mod state;
mod status;
mod watch;

#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;

use std::fmt;
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use kube::Client;
use tokio::sync::watch as channel;
use tokio_util::sync::CancellationToken;

use crate::hooks::Hooks;
use crate::identity::Identity;
use crate::managed::plan::cluster::ClusterState;
use crate::managed::reconcile::Controller;
use crate::managed::state::Store;
use crate::metrics::source::Backend;
use crate::readiness::Readiness;

pub use crate::managed::apply::ApiError;
pub use crate::managed::build::lease::{
    NOT_AFTER_ANNOTATION, REPORT_LABEL, SECRET_ANNOTATION, SERIAL_ANNOTATION,
};
pub use crate::managed::build::mint::mint;
pub use crate::managed::config::{ManagedConfig, ReplicaRef};
pub use crate::managed::plan::configuration::{Configuration, ConfigurationKind, ConfigurationRef};
pub use crate::managed::plan::decide::{Observation, decide, fingerprint};
pub use crate::managed::plan::policy::Policy;
pub use crate::managed::plan::replicas::Served;
pub use crate::managed::plan::secret::{Material, Phase, Published, State};
pub use crate::managed::plan::step::{Cause, Due, Step, Wait};

/// Longest time that a process waits at shutdown for its report to be deleted.
const WITHDRAWAL: Duration = Duration::from_secs(2);

/// Managed mode, ready to run.
pub struct Managed {
    client: Client,
    config: Arc<ManagedConfig>,
    identity: Identity,
    hooks: Hooks,
    cluster: channel::Sender<ClusterState>,
    reported: status::Reported,
}

impl Managed {
    /// Prepares everything; calls nobody.
    pub fn new(client: Client, config: ManagedConfig, identity: Identity, hooks: Hooks) -> Self {
        let cluster = channel::Sender::new(ClusterState::unread(config.configurations()));
        let reported = match config.replica {
            Some(_) => Err("the serial has not been reported yet".to_owned()),
            None => Ok(()),
        };
        let reported = channel::Sender::new(reported);
        Self { client, config: Arc::new(config), identity, hooks, cluster, reported }
    }

    /// Returns the checks for `/readyz`: a pair is loaded, watches are synced, the API server trusts the pair, its serial
    /// has been reported once.
    pub fn readiness(&self) -> Readiness {
        let name = self.config.names.required();
        let (cluster, reported) = (self.cluster.subscribe(), self.reported.subscribe());
        Readiness::managed(self.identity.clone(), cluster, reported, name)
    }

    /// Follows the Secret until `shutdown`, and writes while `leader` holds `true`. Cancel `shutdown` when nothing is
    /// served any more: `run` then deletes this replica's report before it returns.
    ///
    /// A `leader` whose sender is gone keeps its last value: `watch::channel(true).1` leads always, which is safe on
    /// any number of replicas, since all writes are compare-and-swap.
    pub async fn run(self, leader: channel::Receiver<bool>, shutdown: CancellationToken) {
        let Self { client, config, identity, hooks, cluster, reported } = self;
        let api = apply::Api::new(client, &config);
        let pairs = identity.subscribe();
        hooks.metrics.source().backend(Backend::Api);
        let store = Store::new(cluster, &config, identity.clone(), hooks.clone());
        let watch = watch::watch(&api, &store, config.tick);
        let control = Controller::new(&api, &store, &config, identity, hooks).run(leader);
        let report = async {
            match &config.replica {
                Some(replica) => status::report(&api, &store, replica, pairs, &reported).await,
                None => pending().await,
            }
        };
        tokio::select! {
            () = shutdown.cancelled() => {}
            () = watch => {}
            () = control => {}
            () = report => {}
        }
        if let Some(replica) = &config.replica
            && let Ok(Err(error)) = tokio::time::timeout(WITHDRAWAL, api.withdraw(replica)).await
        {
            tracing::debug!(%error, "the report could not be withdrawn; it goes with the pod");
        }
    }
}

impl fmt::Debug for Managed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Managed").field("config", &self.config).finish_non_exhaustive()
    }
}
