//! The last step of both sources: a pair read somewhere is served, or refused aloud.

use crate::{CertKind, Hooks, Identity, Pair, Rejection};

/// Hands pairs to an [`Identity`], counts them, and tells of every change once.
#[derive(Debug)]
pub(crate) struct Intake {
    identity: Identity,
    hooks: Hooks,
    refused: Option<&'static str>,
}

impl Intake {
    pub(crate) fn new(identity: Identity, hooks: Hooks) -> Self {
        Self { identity, hooks, refused: None }
    }

    /// Takes the outcome of reading a pair. A rejected one leaves the last good pair where it is.
    pub(crate) fn take(&mut self, outcome: Result<Pair, Rejection>) {
        let Hooks { metrics, events, .. } = &self.hooks;
        match outcome {
            Ok(pair) => {
                self.refused = None;
                let facts = pair.facts().clone();
                if self.identity.install(pair) {
                    metrics.source.loaded();
                    metrics.show(CertKind::Leaf, [&facts]);
                    let message =
                        format!("serving certificate {}, valid to {}", facts.serial, facts.not_after);
                    events.normal("CertificateLoaded", message);
                }
            }
            Err(rejection) => {
                // Counted at every attempt, so that an alert sees a failure that lasts; told once.
                metrics.source.rejected(rejection.category());
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
