//! Managed mode: a small CA of our own, kept in one Secret, trusted through the webhook configurations.
//!
//! # Expected flow
//! Every replica watches the Secret and the configurations, and serves the Secret's current pair within a second of
//! a change. The replica that leads takes the next step of [`decide`] whenever something changed, and once a minute:
//! make a CA and a leaf where there are none, renew the leaf after two thirds of its life, publish the CA bundle.
//!
//! # Guarantees
//! - Every write of the Secret is a compare-and-swap on its `resourceVersion`, or a create; the loser adopts what the
//!   winner wrote. Any number of replicas that think they lead end up with one CA.
//! - A valid Secret is adopted, never replaced. A certificate from the future means a wrong clock: nothing is written.
//! - `caBundle` is written by server-side apply of nothing else, and only where it differs; the apply names the
//!   `resourceVersion` it was decided on, so it never creates a configuration nor revives a webhook entry.
//! - Foreign keys, labels and annotations of the Secret stay.
//! - The CA key is in the Secret and in memory, never in a log, an error or a file.
//!
//! # Caveats
//! - The CA itself is not yet rotated in steps: [`Due::Authority`] says when it ought to be. When its last leaf nears its
//!   end, a new CA is made and published at once, the old one still trusted: calls that reach the API server's watch
//!   before the bundle does may fail for that moment.
//! - A field that has an owner keeps the list entry it is in: a user who drops a webhook entry by *server-side* apply is
//!   told that the entry lacks `sideEffects` and so on, because our `caBundle` remains of it. `kubectl apply` without
//!   `--server-side`, a JSON patch, or deleting the configuration all remove it.
//!
//! # Permissions
//! | resource | verbs | restricted to |
//! |---|---|---|
//! | `secrets` in the own namespace | `get`, `list`, `watch`, `update` | `resourceNames: [SECRET]` |
//! | `secrets` in the own namespace | `create` | (cannot be restricted by name) |
//! | `validatingwebhookconfigurations.admissionregistration.k8s.io` | `get`, `list`, `watch`, `patch` | the configured names |
//! | `mutatingwebhookconfigurations.admissionregistration.k8s.io` | `get`, `list`, `watch`, `patch` | the configured names |
//!
//! `list` is used with the field selector `metadata.name=NAME` only, which RBAC matches against `resourceNames`.

mod api;
mod decide;
mod judge;
mod keep;
mod observe;
mod patience;
mod state;
mod trust;

#[cfg(test)]
mod tests;

use std::{fmt, sync::Arc, time::Duration};

use kube::Client;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

pub(crate) use observe::{Observed, Seen};

use crate::{Hooks, Identity, Lifetimes, Readiness, ServiceNames};

pub use api::ApiError;
pub use decide::{Cause, Due, Policy, Step, decide, mint};
pub use state::{Material, Phase, State};
pub use trust::{Configuration, ConfigurationKind, ConfigurationRef};

/// What managed mode works on.
#[derive(Clone, Debug)]
pub struct ManagedConfig {
    /// Name of the Secret, in the namespace of the Service.
    pub secret: String,
    /// The Service whose names the leaf carries.
    pub names: ServiceNames,
    /// Names of the `ValidatingWebhookConfiguration`s to publish into.
    pub validating: Vec<String>,
    /// Names of the `MutatingWebhookConfiguration`s to publish into.
    pub mutating: Vec<String>,
    /// How long certificates live.
    pub lifetimes: Lifetimes,
    /// Field manager of every write.
    pub field_manager: String,
    /// The wall clock is looked at this often: 1 minute.
    pub tick: Duration,
    /// No call to the API server may take longer: 10 seconds (kube itself sets no limit).
    pub timeout: Duration,
}

impl ManagedConfig {
    /// With the defaults, and no webhook configuration yet.
    pub fn new(secret: impl Into<String>, names: ServiceNames) -> Self {
        Self {
            secret: secret.into(),
            names,
            validating: Vec::new(),
            mutating: Vec::new(),
            lifetimes: Lifetimes::default(),
            field_manager: "headworks-certs".to_owned(),
            tick: Duration::from_mins(1),
            timeout: Duration::from_secs(10),
        }
    }

    /// All configurations to publish into.
    pub fn configurations(&self) -> Vec<ConfigurationRef> {
        let of = |kind, names: &[String]| -> Vec<_> {
            names.iter().map(|name| ConfigurationRef { kind, name: name.clone() }).collect()
        };
        let mut all = of(ConfigurationKind::Validating, &self.validating);
        all.extend(of(ConfigurationKind::Mutating, &self.mutating));
        all
    }
}

/// Managed mode, ready to run.
pub struct Managed {
    client: Client,
    config: Arc<ManagedConfig>,
    identity: Identity,
    hooks: Hooks,
    observed: watch::Sender<Observed>,
}

impl Managed {
    /// Prepares everything, calls nobody.
    pub fn new(client: Client, config: ManagedConfig, identity: Identity, hooks: Hooks) -> Self {
        let observed = watch::Sender::new(Observed::nothing_yet(config.configurations()));
        Self { client, config: Arc::new(config), identity, hooks, observed }
    }

    /// The checks for `/readyz`: a pair is loaded, watches are synced, the API server trusts the pair.
    pub fn readiness(&self) -> Readiness {
        let name = self.config.names.required();
        Readiness::managed(self.identity.clone(), self.observed.subscribe(), name)
    }

    /// Follows the Secret for ever, and writes while `leader` holds `true`. Returns after `shutdown`.
    ///
    /// A `leader` whose sender is gone keeps its last value: `watch::channel(true).1` leads always, which is safe on
    /// any number of replicas, since all writes are compare-and-swap.
    pub async fn run(self, leader: watch::Receiver<bool>, shutdown: CancellationToken) {
        let Self { client, config, identity, hooks, observed } = self;
        let api = api::Api::new(client, &config);
        let view = observe::View::new(observed, &config, identity, hooks.clone());
        let follow = observe::follow(&api, &view, config.tick);
        let keep = keep::Keeper::new(&api, &view, &config, hooks).run(leader);
        tokio::select! {
            () = shutdown.cancelled() => {}
            () = follow => {}
            () = keep => {}
        }
    }
}

impl fmt::Debug for Managed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Managed").field("config", &self.config).finish_non_exhaustive()
    }
}
