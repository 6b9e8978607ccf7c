//! Installs a certificate pair, or rejects it with an event: the last step of both sources.

use crate::hooks::Hooks;
use crate::identity::Identity;
use crate::metrics::CertKind;
use crate::pair::{Pair, Rejection};

/// Installs pairs in an [`Identity`], counts them, and publishes an event for every change.
#[derive(Debug)]
pub(crate) struct Intake {
    identity: Identity,
    hooks: Hooks,
    /// Category of the last rejection, until a pair is accepted.
    refused: Option<&'static str>,
}

impl Intake {
    pub(crate) fn new(identity: Identity, hooks: Hooks) -> Self {
        Self { identity, hooks, refused: None }
    }

    /// Takes the outcome of reading a pair. A rejected one leaves the last good pair in service.
    pub(crate) fn take(&mut self, outcome: Result<Pair, Rejection>) {
        let Hooks { metrics, events, .. } = &self.hooks;
        match outcome {
            Ok(pair) => {
                self.refused = None;
                let facts = pair.facts().clone();
                if self.identity.install(pair) {
                    metrics.source().loaded();
                    metrics.show(CertKind::Leaf, [&facts]);
                    let message =
                        format!("serving certificate {}, valid to {}", facts.serial, facts.not_after);
                    events.normal("CertificateLoaded", message);
                }
            }
            Err(rejection) => {
                // Counted at every attempt, so that an alert sees a failure that lasts; published once.
                metrics.source().rejected(rejection.category());
                if self.refused.replace(rejection.category()) != Some(rejection.category()) {
                    let kept = match self.identity.current() {
                        Some(pair) => format!("certificate {} stays in service", pair.serial()),
                        None => "no certificate is in service".to_owned(),
                    };
                    events.warning("CertificateRejected", format!("{rejection}; {kept}"));
                }
            }
        }
    }
}
