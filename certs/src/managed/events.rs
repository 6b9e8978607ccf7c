//! Events and log lines about the steps of the controller.

use std::fmt::Display;

use crate::hooks::Hooks;
use crate::managed::plan::configuration::ConfigurationRef;
use crate::managed::plan::step::{Due, Step};

/// Publishes what the controller does, and every lasting problem once.
pub(crate) struct StepEvents {
    hooks: Hooks,
    /// Problems published last.
    due: Vec<Due>,
    /// The replicas could not be listed the last time.
    replicas_unknown: bool,
}

impl StepEvents {
    pub(crate) fn new(hooks: Hooks) -> Self {
        Self { hooks, due: Vec::new(), replicas_unknown: false }
    }

    /// Publishes a step that was written into the Secret. `again`: the rotation was in the phase `published` before.
    pub(crate) fn written(&self, step: &Step, again: bool) {
        let (reason, message) = match step {
            Step::Generate(cause) => {
                ("CertificateAuthorityCreated", format!("new CA and certificate: {cause}"))
            }
            Step::RenewLeaf(cause) => ("CertificateRenewed", format!("new certificate: {cause}")),
            Step::Stage { cause, .. } => (
                "CertificateAuthorityStaged",
                format!("a next CA is made, and will be trusted before it is used: {cause}"),
            ),
            // A publish wait that begins anew is no news.
            Step::Date { .. } if again => return,
            Step::Date { .. } => {
                ("CertificateAuthorityPublished", "the next CA is in every caBundle".to_owned())
            }
            Step::Activate { waited: true } => {
                ("CertificateAuthorityActivated", "the next CA and certificate are in use".to_owned())
            }
            Step::Activate { waited: false } => (
                "CertificateAuthorityActivated",
                "the next CA and certificate are in use at once: there was nothing left to serve".to_owned(),
            ),
            Step::Retire => {
                ("CertificateAuthorityRetired", "the old CA is trusted and kept no more".to_owned())
            }
            Step::Confirm | Step::Publish { .. } | Step::Rest { .. } => return,
        };
        self.hooks.events.normal(reason, message);
    }

    /// Publishes that a bundle was written; `repair`: somebody else had changed it.
    pub(crate) fn bundle_written(&self, reference: &ConfigurationRef, repair: bool) {
        if repair {
            self.hooks.metrics.repaired();
            let message = format!("caBundle of {reference} had been changed, and is set right again");
            self.hooks.events.warning("CaBundleRepaired", message);
        } else {
            self.hooks.events.normal("CaBundlePublished", format!("caBundle written into {reference}"));
        }
    }

    /// Counts a write that has to wait because there were too many, and publishes the `first` of an episode.
    pub(crate) fn write_held(&self, first: bool) {
        self.hooks.metrics.held();
        if first {
            let message = "the Secret or a caBundle is written too often, and slowly from now on";
            self.hooks.events.warning("CertificateWritesHeld", message.to_owned());
        }
    }

    /// Publishes the problems of a rotation whenever they have changed.
    pub(crate) fn due(&mut self, due: &[Due]) {
        if self.due != due {
            for one in due {
                self.hooks.events.warning("CertificateRotationDue", one.to_string());
            }
            self.due = due.to_vec();
        }
    }

    /// Publishes the first failure of a step; logs those that follow it.
    pub(crate) fn failed(&self, error: &dyn Display, failures: u32, wait: std::time::Duration) {
        if failures == 1 {
            self.hooks.events.warning("CertificateWriteFailed", format!("{error}, trying again"));
        } else {
            tracing::warn!(%error, ?wait, "certificate step failed again");
        }
    }

    /// Notes that the replicas could be listed.
    pub(crate) fn replicas_listed(&mut self) {
        self.replicas_unknown = false;
    }

    /// Publishes the first failure to list the replicas.
    pub(crate) fn replicas_unknown(&mut self, error: &dyn Display) {
        if !std::mem::replace(&mut self.replicas_unknown, true) {
            let message = format!("cannot read which certificate each replica serves: {error}");
            self.hooks.events.warning("CertificateReplicasUnknown", message);
        }
    }
}
