//! Leader election of the replicas: a campaign for one `coordination.k8s.io/v1` Lease.
//!
//! [`Election::run`] campaigns for ever and shows how it stands as a [`Claim`]; [`while_leading`] runs a future as long
//! as the claim holds, and again at the next win. Losing stops that future and nothing else: the campaign goes on.
//!
//! ```no_run
//! # use headworks::election::{Election, Timing, identity, while_leading};
//! # use tokio_util::sync::CancellationToken;
//! # async fn f(client: kube::Client) {
//! # let (stopped, controllers_ended) = (CancellationToken::new(), CancellationToken::new());
//! let election = Election::new(client, "headworks-system", "headworks", &identity(), Timing::default());
//! let claim = election.claim();
//! tokio::spawn(election.run(controllers_ended.clone()));
//! while_leading(claim, stopped, |term| async move {
//!     // Ask `term` before each write.
//!     term.cancelled().await;
//! })
//! .await;
//! controllers_ended.cancel(); // only now may the Lease be released
//! # }
//! ```
//!
//! # Guarantees
//! - At most one candidate leads at any moment, as long as no two monotonic clocks drift apart by more than a
//!   twentieth and all candidates use the same [`Timing`] (or longer leases). A claim ends at [`Claim::Leading`]'s
//!   `until` whether or not any code runs to announce it.
//! - A holder that renews keeps the Lease; one that died is replaced after the lease's duration and one retry, one
//!   that released its Lease after one retry.
//! - Every call ends: kube sets no read timeout, this module does.
//!
//! # Assumptions
//! - The monotonic clock goes on while the process is stopped. Where a machine sleeps or a virtual machine is
//!   frozen it does not: what was in flight then may be written after the thaw. Writes are guarded by the
//!   resourceVersion for that reason too.
//! - An identity names one process. [`identity`] makes such a one.
//! - Whoever edits the Lease by hand while it is held may make two leaders for one retry.
//!
//! The rules are those of client-go's `leaderelection`, and it can share a Lease with it, but for three points. The
//! renew deadline counts from the last renewal, not from the first try after it. A standby wakes exactly when the
//! lease that it watches runs out. And a holder that finds the record without its name gives up its term, rather
//! than take the Lease back and call it the same term.

use std::time::Duration;

use kube::Client;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use campaign::{Campaign, Next, Response};
use lease::{LeaseError, Leases};

mod campaign;
mod claim;
mod lease;
mod metrics;
#[cfg(test)]
mod simulation;
mod timing;

pub use claim::{Claim, while_leading};
pub use metrics::Metrics;
pub use timing::{Timing, TimingError};

/// A candidate for one Lease.
pub struct Election {
    leases: Leases,
    identity: String,
    timing: Timing,
    claim: watch::Sender<Claim>,
    metrics: Metrics,
    fit: Box<dyn Fn() -> bool + Send + Sync>,
}

impl Election {
    /// Prepares a candidate, without a call. `identity` must be no other process's: see [`identity`].
    pub fn new(client: Client, namespace: &str, name: &str, identity: &str, timing: Timing) -> Self {
        Self {
            leases: Leases::new(client, namespace, name, identity, timing),
            identity: identity.to_owned(),
            timing,
            claim: watch::Sender::new(Claim::Following { holder: None }),
            metrics: Metrics::default(),
            fit: Box::new(|| true),
        }
    }

    /// Counts in these metrics from now on.
    #[must_use]
    pub fn with_metrics(self, metrics: Metrics) -> Self {
        Self { metrics, ..self }
    }

    /// Leads only while `fit` returns true: a candidate that is not fit gives up its term, and does not write the
    /// Lease. It is not released, but runs out, so that what was on its way has ended when another leads.
    #[must_use]
    pub fn while_fit(self, fit: impl Fn() -> bool + Send + Sync + 'static) -> Self {
        Self { fit: Box::new(fit), ..self }
    }

    /// Returns the state of the campaign, now and later. Before [`run`](Self::run), and after it, nobody leads here.
    pub fn claim(&self) -> watch::Receiver<Claim> {
        self.claim.subscribe()
    }

    /// Campaigns until `stopped`, then releases the Lease if it is held, so that a successor need not wait.
    ///
    /// Stop what writes as the leader *before* `stopped`: after the release another candidate leads immediately.
    pub async fn run(self, stopped: CancellationToken) {
        let Self { mut leases, identity, timing, claim, metrics, fit } = self;
        let mut campaign = Campaign::new(identity, timing, Instant::now());
        loop {
            if campaign.stand_aside(!fit(), Instant::now()) {
                tracing::warn!("not fit to lead: watches are silent; another replica may take the Lease");
            }
            let next = campaign.next(Instant::now());
            show(&claim, &metrics, campaign.claim());
            let request = match next {
                Next::Wait { until } => {
                    tokio::select! {
                        biased;
                        () = stopped.cancelled() => break,
                        () = sleep_until(until) => continue,
                    }
                }
                Next::Send(request) => request,
            };
            let sent = Instant::now();
            let deadline = campaign.deadline(sent);
            let response = tokio::select! {
                biased;
                () = stopped.cancelled() => break,
                response = leases.send(request, deadline) => response,
            };
            let response = response.unwrap_or_else(|error| {
                metrics.failed(error.category());
                match error {
                    LeaseError::Conflict => Response::Conflict,
                    _ => Response::Unknown,
                }
            });
            campaign.handle(sent, Instant::now(), response);
        }
        show(&claim, &metrics, Claim::Following { holder: None });
        if campaign.may_hold() {
            leases.release(Instant::now() + RELEASE.min(timing.renew())).await;
        }
    }
}

/// The longest time that the release may hold up a shutdown.
const RELEASE: Duration = Duration::from_secs(3);

/// Publishes a claim if it has changed, and logs the change.
fn show(sender: &watch::Sender<Claim>, metrics: &Metrics, claim: Claim) {
    sender.send_if_modified(|known| {
        if *known == claim {
            return false;
        }
        let (was, is) = (known.term(), claim.term());
        if was != is {
            match &claim {
                Claim::Leading { .. } => tracing::info!("leading"),
                Claim::Following { holder } if was.is_some() => {
                    tracing::warn!(holder = holder.as_deref().unwrap_or(""), "lost leadership");
                }
                Claim::Following { .. } => {}
            }
        }
        if let Claim::Following { holder: Some(holder) } = &claim
            && was.is_none()
        {
            tracing::info!(holder, "following");
        }
        metrics.leads(is.is_some());
        *known = claim;
        true
    });
}

/// An identity that names this process and no other: the host's name (in a pod, the pod's) and a random tail.
pub fn identity() -> String {
    let host = std::env::var("HOSTNAME").ok().filter(|name| !name.is_empty());
    format!("{}_{:016x}", host.as_deref().unwrap_or("headworks"), chance())
}

/// A number that nobody can foresee: the standard library seeds its hash maps from the system's random source.
fn chance() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one((std::process::id(), std::time::SystemTime::now()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_identities_are_the_same() {
        assert_ne!(identity(), identity());
    }
}
