//! Whether this pod should be called, as data: what `/readyz` is made of.

use jiff::Timestamp;
use tokio::sync::watch;

use crate::{Identity, managed::Observed};

/// The certificate's part of a pod's readiness. Clones look at the same state.
#[derive(Clone, Debug)]
pub struct Readiness {
    identity: Identity,
    trust: Option<Trust>,
}

#[derive(Clone, Debug)]
struct Trust {
    observed: watch::Receiver<Observed>,
    reported: watch::Receiver<Result<(), String>>,
    name: String,
}

/// One named line of `/readyz?verbose`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// `certificate`, `certificate-sync`, `certificate-trusted` or `certificate-reported`.
    pub name: &'static str,
    /// What is wrong, in words, if anything is.
    pub result: Result<(), String>,
}

impl Readiness {
    /// For a pair from a mounted directory: loaded, and not about to expire.
    pub fn mounted(identity: Identity) -> Self {
        Self { identity, trust: None }
    }

    pub(crate) fn managed(
        identity: Identity,
        observed: watch::Receiver<Observed>,
        reported: watch::Receiver<Result<(), String>>,
        name: String,
    ) -> Self {
        Self { identity, trust: Some(Trust { observed, reported, name }) }
    }

    /// Every check in a fixed order.
    pub fn checks(&self, now: Timestamp) -> Vec<Check> {
        let mut checks = vec![Check { name: "certificate", result: self.identity.readiness(now) }];
        if let Some(Trust { observed, reported, name }) = &self.trust {
            let observed = observed.borrow();
            checks.push(Check { name: "certificate-sync", result: observed.synced() });
            let result = match self.identity.current() {
                Some(pair) => observed.trusts(&pair, name, now),
                None => Err("no certificate loaded yet".to_owned()),
            };
            checks.push(Check { name: "certificate-trusted", result });
            // Once true it stays true: a report that fails later keeps a rotation waiting, and nobody from serving.
            checks.push(Check { name: "certificate-reported", result: reported.borrow().clone() });
        }
        checks
    }

    /// All checks at once.
    ///
    /// # Errors
    /// The first that fails, as `name: reason`.
    pub fn check(&self, now: Timestamp) -> Result<(), String> {
        self.checks(now)
            .into_iter()
            .try_for_each(|Check { name, result }| result.map_err(|reason| format!("{name}: {reason}")))
    }
}
