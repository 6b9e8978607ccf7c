//! What the writer tells of its steps.

use std::time::Duration;

use tokio::time::Instant;

use super::{FIRST_RETRY, Keeper, LAST_RETRY, StepError};
use crate::managed::{ConfigurationRef, Due, Step};

impl Keeper<'_> {
    pub(super) fn tell_written(&self, step: &Step, again: bool) {
        let (reason, message) = match step {
            Step::Generate(cause) => {
                ("CertificateAuthorityCreated", format!("new CA and certificate: {cause}"))
            }
            Step::RenewLeaf(cause) => ("CertificateRenewed", format!("new certificate: {cause}")),
            Step::Stage { cause, .. } => (
                "CertificateAuthorityStaged",
                format!("a next CA is made, and will be trusted before it is used: {cause}"),
            ),
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

    pub(super) fn tell_published(&self, reference: &ConfigurationRef, repair: bool) {
        if repair {
            self.hooks.metrics.repaired();
            let message = format!("caBundle of {reference} had been changed, and is set right again");
            self.hooks.events.warning("CaBundleRepaired", message);
        } else {
            self.hooks.events.normal("CaBundlePublished", format!("caBundle written into {reference}"));
        }
    }

    /// Until when the next write has to wait, if there were too many of late.
    pub(super) fn too_fast(&mut self, now: Instant) -> Option<Instant> {
        let held = self.pace.take(now).err()?;
        self.hooks.metrics.held();
        if held.first {
            let message = "the Secret or a caBundle is written too often, and slowly from now on";
            self.hooks.events.warning("CertificateWritesHeld", message.to_owned());
        }
        Some(held.until)
    }

    pub(super) fn tell_due(&mut self, due: &[Due]) {
        if self.told != due {
            for one in due {
                self.hooks.events.warning("CertificateRotationDue", one.to_string());
            }
            self.told = due.to_vec();
        }
    }

    /// Says how long to wait: doubling from half a second to half a minute.
    pub(super) fn failed(&mut self, error: &StepError) -> Duration {
        let wait = FIRST_RETRY.saturating_mul(1 << self.failures.min(10)).min(LAST_RETRY);
        self.failures = self.failures.saturating_add(1);
        if self.failures == 1 {
            self.hooks.events.warning("CertificateWriteFailed", format!("{error}, trying again"));
        } else {
            tracing::warn!(%error, ?wait, "certificate step failed again");
        }
        wait
    }
}
