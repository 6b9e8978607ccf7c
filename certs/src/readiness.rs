//! Readiness of this pod, as data: the checks of `/readyz`.

use jiff::Timestamp;
use tokio::sync::watch;

use crate::identity::Identity;
use crate::managed::plan::cluster::ClusterState;

/// The certificate's part of a pod's readiness. Clones share their state.
#[derive(Clone, Debug)]
pub struct Readiness {
    identity: Identity,
    trust: Option<Trust>,
}

#[derive(Clone, Debug)]
struct Trust {
    cluster: watch::Receiver<ClusterState>,
    reported: watch::Receiver<Result<(), String>>,
    name: String,
}

/// One named line of `/readyz?verbose`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// `certificate`, `certificate-sync`, `certificate-trusted` or `certificate-reported`.
    pub name: &'static str,
    /// A sentence on what is wrong, if anything is.
    pub result: Result<(), String>,
}

impl Readiness {
    /// Creates the readiness of a pair from a mounted directory: loaded, and not about to expire.
    pub fn mounted(identity: Identity) -> Self {
        Self { identity, trust: None }
    }

    pub(crate) fn managed(
        identity: Identity,
        cluster: watch::Receiver<ClusterState>,
        reported: watch::Receiver<Result<(), String>>,
        name: String,
    ) -> Self {
        Self { identity, trust: Some(Trust { cluster, reported, name }) }
    }

    /// Runs every check, in a fixed order.
    pub fn checks(&self, now: Timestamp) -> Vec<Check> {
        let mut checks = vec![Check { name: "certificate", result: self.identity.readiness(now) }];
        if let Some(Trust { cluster, reported, name }) = &self.trust {
            let cluster = cluster.borrow();
            checks.push(Check { name: "certificate-sync", result: cluster.synced() });
            let result = match self.identity.current() {
                Some(pair) => cluster.trusts(&pair, name, now),
                None => Err("no certificate loaded yet".to_owned()),
            };
            checks.push(Check { name: "certificate-trusted", result });
            // Once true it stays true: a report that fails later delays a rotation, and takes no replica out of service.
            checks.push(Check { name: "certificate-reported", result: reported.borrow().clone() });
        }
        checks
    }

    /// Runs every check.
    ///
    /// # Errors
    /// The first that fails, as `name: reason`.
    pub fn check(&self, now: Timestamp) -> Result<(), String> {
        self.checks(now)
            .into_iter()
            .try_for_each(|Check { name, result }| result.map_err(|reason| format!("{name}: {reason}")))
    }
}
