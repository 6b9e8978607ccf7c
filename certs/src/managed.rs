//! Managed mode: a small CA of our own, kept in one Secret, trusted through the webhook configurations.
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
//!   [`ManagedConfig::publish_wait`]; no CA leaves the bundle before every replica serves a leaf that does without it,
//!   or all its leaves have expired. Emergencies (nothing is left that could be served) skip the wait, nothing else does.
//! - A valid Secret is adopted, never replaced. A certificate from the future means a wrong clock: nothing is written.
//! - `caBundle` is written by server-side apply of nothing else, and only where it differs; the apply names the
//!   `resourceVersion` it was decided on, so it never creates a configuration nor revives a webhook entry.
//! - Foreign keys, labels and annotations of the Secret stay.
//! - The CA key is in the Secret and in memory, never in a log, an error or a file.
//!
//! # Caveats
//! - A Secret that is deleted, or whose CA and leaf are both spoilt, is an emergency: a new CA is made, served and published
//!   at once. Calls that reach the API server's watch before the bundle does may fail for that moment.
//! - A rotation waits as long as another tool keeps changing a caBundle. It goes on without the wait when the current
//!   leaf has expired.
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
//! | `leases.coordination.k8s.io` in the own namespace | `create`, `patch`, `list`, `delete` | (named after pods) |
//! | `endpointslices.discovery.k8s.io` in the own namespace | `list` | (read while a rotation waits for replicas) |
//!
//! For the objects that have names `list` is used with the field selector `metadata.name=NAME` only, which RBAC matches
//! against `resourceNames`.

mod api;
mod decide;
pub mod inspect;
mod judge;
mod keep;
mod mint;
mod notary;
mod observe;
mod replicas;
mod report;
mod state;
mod step;
mod trust;

#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;

use std::{fmt, sync::Arc, time::Duration};

use kube::Client;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

pub(crate) use observe::{Observed, Seen};

use crate::{Hooks, Identity, Lifetimes, Readiness, ServiceNames};

pub use api::ApiError;
pub use decide::{Policy, Sight, decide, fingerprint};
pub use mint::mint;
pub use replicas::Served;
pub use report::{NOT_AFTER_ANNOTATION, REPORT_LABEL, SECRET_ANNOTATION, SERIAL_ANNOTATION};
pub use state::{Material, Phase, Published, State};
pub use step::{Cause, Due, Step, Wait};
pub use trust::{Configuration, ConfigurationKind, ConfigurationRef};

/// A process that stops does not wait longer for its report to be deleted.
const LAST_WORDS: Duration = Duration::from_secs(2);

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
    /// How long a bundle is published before a leaf needs it, so that every API server has seen it: 30 seconds.
    pub publish_wait: Duration,
    /// The pod that this process is, under which it reports what it serves. `None`: it is none, and reports nothing.
    pub replica: Option<ReplicaRef>,
    /// Field manager of every write.
    pub field_manager: String,
    /// The wall clock is looked at this often: 1 minute.
    pub tick: Duration,
    /// No call to the API server may take longer: 10 seconds (kube itself sets no limit).
    pub timeout: Duration,
}

/// A pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplicaRef {
    /// Its name.
    pub pod: String,
    /// Its UID. With it the report is owned by the pod, and goes with it.
    pub uid: Option<String>,
}

impl ReplicaRef {
    /// The name of the Lease it reports in.
    pub fn lease(&self) -> String {
        format!("{}.certificate", self.pod)
    }
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
            publish_wait: Duration::from_secs(30),
            replica: None,
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
    reported: report::Reported,
}

impl Managed {
    /// Prepares everything, calls nobody.
    pub fn new(client: Client, config: ManagedConfig, identity: Identity, hooks: Hooks) -> Self {
        let observed = watch::Sender::new(Observed::nothing_yet(config.configurations()));
        let reported = match config.replica {
            Some(_) => Err("the serial has not been reported yet".to_owned()),
            None => Ok(()),
        };
        let reported = watch::Sender::new(reported);
        Self { client, config: Arc::new(config), identity, hooks, observed, reported }
    }

    /// The checks for `/readyz`: a pair is loaded, watches are synced, the API server trusts the pair, its serial has been
    /// reported once.
    pub fn readiness(&self) -> Readiness {
        let name = self.config.names.required();
        let (observed, reported) = (self.observed.subscribe(), self.reported.subscribe());
        Readiness::managed(self.identity.clone(), observed, reported, name)
    }

    /// Follows the Secret for ever, and writes while `leader` holds `true`. Returns after `shutdown`, which is to come
    /// when nothing is served any more: it withdraws the report of what is.
    ///
    /// A `leader` whose sender is gone keeps its last value: `watch::channel(true).1` leads always, which is safe on
    /// any number of replicas, since all writes are compare-and-swap.
    pub async fn run(self, leader: watch::Receiver<bool>, shutdown: CancellationToken) {
        let Self { client, config, identity, hooks, observed, reported } = self;
        let api = api::Api::new(client, &config);
        let pairs = identity.subscribe();
        let view = observe::View::new(observed, &config, identity.clone(), hooks.clone());
        let follow = observe::follow(&api, &view, config.tick);
        let keep = keep::Keeper::new(&api, &view, &config, identity, hooks).run(leader);
        let report = async {
            match &config.replica {
                Some(replica) => report::report(&api, &view, replica, pairs, &reported).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = shutdown.cancelled() => {}
            () = follow => {}
            () = keep => {}
            () = report => {}
        }
        if let Some(replica) = &config.replica
            && let Ok(Err(error)) = tokio::time::timeout(LAST_WORDS, api.withdraw(replica)).await
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
