//! Client required: takes the steps that [`decide`] names, one at a time, while this replica leads.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};

use super::{
    ApiError, Cause, ConfigurationRef, Due, ManagedConfig, Observed, Policy, Seen, State, Step, api::Api,
    decide, mint, observe::View, patience::Patience,
};
use crate::{Hooks, IssueError};

const FIRST_RETRY: Duration = Duration::from_millis(500);
/// A mistake in deciding must not become a flood of writes.
const BETWEEN_WRITES: Duration = Duration::from_millis(250);
const LAST_RETRY: Duration = Duration::from_secs(30);

/// The writing half.
pub(crate) struct Keeper<'a> {
    api: &'a Api,
    view: &'a View,
    policy: Policy,
    tick: Duration,
    hooks: Hooks,
    failures: u32,
    told: Vec<Due>,
    written: Option<Instant>,
    trust: BTreeMap<ConfigurationRef, Watched>,
}

/// What we remember of one configuration.
#[derive(Debug, Default)]
struct Watched {
    /// The bundle it had, and ought to have had, when last seen right.
    right: Option<String>,
    /// It has lost that same bundle since, by somebody else's hand, and may be repaired from then on.
    repair: Option<Instant>,
    patience: Patience,
}

#[derive(Debug, thiserror::Error)]
enum StepError {
    #[error(transparent)]
    Api(#[from] ApiError),
    #[error(transparent)]
    Issue(#[from] IssueError),
}

impl<'a> Keeper<'a> {
    pub(crate) fn new(api: &'a Api, view: &'a View, config: &ManagedConfig, hooks: Hooks) -> Self {
        let policy = Policy { names: config.names.clone(), lifetimes: config.lifetimes };
        let trust = config.configurations().into_iter().map(|one| (one, Watched::default())).collect();
        let tick = config.tick;
        Self { api, view, policy, tick, hooks, failures: 0, told: Vec::new(), written: None, trust }
    }

    pub(crate) async fn run(mut self, mut leader: watch::Receiver<bool>) {
        let mut observed = self.view.subscribe();
        let mut retry_at = Instant::now();
        loop {
            let now = Instant::now();
            let seen = observed.borrow_and_update().clone();
            let leads = *leader.borrow_and_update();
            let mut wake = now + self.tick;
            if now < retry_at {
                wake = wake.min(retry_at);
            } else if leads {
                match self.step(&seen, now).await {
                    Ok(next) => {
                        self.failures = 0;
                        wake = next.map_or(wake, |next| wake.min(next));
                    }
                    Err(error) => {
                        retry_at = Instant::now() + self.failed(&error);
                        wake = wake.min(retry_at);
                    }
                }
            }
            tokio::select! {
                _ = observed.changed() => {}
                () = changed(&mut leader) => {}
                () = sleep_until(wake) => {}
            }
        }
    }

    /// Looks once, writes at most one thing (or one bundle into several configurations). Says when to look again if
    /// nothing changes meanwhile.
    async fn step(&mut self, seen: &Observed, now: Instant) -> Result<Option<Instant>, StepError> {
        let (known, state) = match &seen.secret {
            Seen::Unknown => return Ok(None),
            Seen::Absent => (None, None),
            Seen::Present(secret) => (Some(secret.as_ref()), Some(State::read(secret))),
        };
        let configurations: Vec<_> = seen.present().cloned().collect();
        let time = self.hooks.clock.now();
        let step = decide(state.as_ref(), &configurations, &self.policy, time);
        match &step {
            Step::Generate(cause) | Step::RenewLeaf(cause) => {
                if let Some(at) = self.written.map(|at| at + BETWEEN_WRITES).filter(|at| now < *at) {
                    return Ok(Some(at));
                }
                self.written = Some(now);
                let Some(next) = mint(&step, state.as_ref(), &self.policy, time)? else { return Ok(None) };
                match self.api.put_secret(known, &next).await {
                    Ok(written) => {
                        self.tell_written(&step, cause);
                        self.view.secret(Some(written));
                    }
                    Err(ApiError::Lost) => {
                        tracing::debug!("another replica wrote the certificate Secret first: adopting");
                        self.view.secret(self.api.get_secret().await?);
                    }
                    Err(error) => return Err(error.into()),
                }
                Ok(Some(Instant::now())) // look again at once: the next step is to publish
            }
            Step::Publish { bundle, into } => {
                self.note(seen, bundle, now);
                self.publish(seen, bundle, into, now).await
            }
            Step::Rest { due } => {
                let bundle = state.map(|state| state.bundle_at(time).to_pem()).unwrap_or_default();
                self.note(seen, &bundle, now);
                self.tell_due(due);
                Ok(None)
            }
        }
    }

    async fn publish(
        &mut self,
        seen: &Observed,
        bundle: &str,
        into: &[ConfigurationRef],
        now: Instant,
    ) -> Result<Option<Instant>, StepError> {
        let wrong: BTreeSet<_> = into.iter().collect();
        let mut again: Option<Instant> = None;
        let mut failure = None;
        for configuration in seen.present().filter(|one| wrong.contains(&one.reference)) {
            let reference = &configuration.reference;
            let repair = self.trust.get(reference).and_then(|watched| watched.repair);
            if let Some(at) = repair.filter(|at| now < *at) {
                again = Some(again.map_or(at, |other| other.min(at)));
                continue;
            }
            match self.api.publish(configuration, bundle).await {
                Ok(written) => {
                    self.tell_published(reference, repair.is_some());
                    self.view.configuration(reference.clone(), Some(&written));
                }
                Err(ApiError::Lost) => {
                    let current = self.api.get_configuration(reference).await?;
                    self.view.configuration(reference.clone(), current.as_ref());
                    again = Some(again.map_or(now + FIRST_RETRY, |other| other.min(now + FIRST_RETRY)));
                }
                // One that refuses does not keep the others from being repaired.
                Err(error) => failure = Some(error),
            }
        }
        failure.map_or(Ok(again), |error| Err(error.into()))
    }

    /// Remembers which configurations were right: one that was, and has lost the very bundle that it still ought to
    /// have, has been changed by somebody else. One that lacks a new bundle has not.
    fn note(&mut self, seen: &Observed, bundle: &str, now: Instant) {
        for (reference, watched) in &mut self.trust {
            let Some(Seen::Present(configuration)) = seen.configurations.get(reference) else {
                (watched.right, watched.repair) = (None, None);
                continue;
            };
            if configuration.carries(bundle) {
                (watched.right, watched.repair) = (Some(bundle.to_owned()), None);
            } else if watched.right.take().is_some_and(|right| right == bundle) {
                watched.repair = Some(watched.patience.strike(now));
            }
        }
    }

    fn tell_written(&self, step: &Step, cause: &Cause) {
        if matches!(step, Step::Generate(_)) {
            self.hooks
                .events
                .normal("CertificateAuthorityCreated", format!("new CA and certificate: {cause}"));
        } else {
            self.hooks.events.normal("CertificateRenewed", format!("new certificate: {cause}"));
        }
    }

    fn tell_published(&self, reference: &ConfigurationRef, repair: bool) {
        if repair {
            self.hooks.metrics.repaired();
            let message = format!("caBundle of {reference} had been changed, and is set right again");
            self.hooks.events.warning("CaBundleRepaired", message);
        } else {
            self.hooks.events.normal("CaBundlePublished", format!("caBundle written into {reference}"));
        }
    }

    fn tell_due(&mut self, due: &[Due]) {
        if self.told != due {
            for one in due {
                self.hooks.events.warning("CertificateRotationDue", one.to_string());
            }
            self.told = due.to_vec();
        }
    }

    /// Says how long to wait: doubling from half a second to half a minute.
    fn failed(&mut self, error: &StepError) -> Duration {
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

/// Resolves when leadership changes. With the sender gone it never does: the last word stands.
async fn changed(leader: &mut watch::Receiver<bool>) {
    if leader.changed().await.is_err() {
        std::future::pending::<()>().await;
    }
}
