//! Client required: takes the steps that [`decide`] names, one at a time, while this replica leads.
//!
//! What makes them safe although every writer has a view of its own, and that view may be old:
//! - a write of the Secret is refused if the Secret is not as it was seen;
//! - a caBundle is written only after the Secret has been read once more, and is refused if the configuration is not as
//!   it was seen: a writer with an old view of the Secret never takes a CA out of a bundle that a later one has put in;
//! - before the next leaf is activated, every configuration is read once more.

use std::{collections::BTreeSet, time::Duration};

use k8s_openapi::api::core::v1::Secret;
use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};

use super::{
    ApiError, ConfigurationRef, Due, ManagedConfig, Observed, Phase, Policy, Seen, Served, Sight, State,
    Step, Wait, api::Api, decide, mint, observe::View, replicas::Roll,
};
use crate::{Hooks, Identity, IssueError};
use pace::Pace;
use repairs::Repairs;
use vigil::Vigil;

mod pace;
mod patience;
mod repairs;
mod tell;
pub(super) mod vigil;

const FIRST_RETRY: Duration = Duration::from_millis(500);
/// A mistake in deciding must not become a flood of writes.
const BETWEEN_WRITES: Duration = Duration::from_millis(250);
const LAST_RETRY: Duration = Duration::from_secs(30);
/// While a rotation waits for replicas, they are looked at this often.
const ROLL_CALL: Duration = Duration::from_secs(1);

/// The writing half.
pub(crate) struct Keeper<'a> {
    api: &'a Api,
    view: &'a View,
    config: &'a ManagedConfig,
    policy: Policy,
    identity: Identity,
    hooks: Hooks,
    failures: u32,
    told: Vec<Due>,
    written: Option<Instant>,
    pace: Pace,
    repairs: Repairs,
    vigil: Vigil,
    roll: Roll,
    called: Option<(Instant, Vec<Served>)>,
    unknown: bool,
}

#[derive(Debug, thiserror::Error)]
enum StepError {
    #[error(transparent)]
    Api(#[from] ApiError),
    #[error(transparent)]
    Issue(#[from] IssueError),
}

/// When to look again if nothing changes meanwhile.
type Next = Result<Option<Instant>, StepError>;

impl<'a> Keeper<'a> {
    pub(crate) fn new(
        api: &'a Api,
        view: &'a View,
        config: &'a ManagedConfig,
        identity: Identity,
        hooks: Hooks,
    ) -> Self {
        Self {
            api,
            view,
            config,
            policy: Policy { names: config.names.clone(), lifetimes: config.lifetimes },
            identity,
            hooks,
            failures: 0,
            told: Vec::new(),
            written: None,
            pace: Pace::default(),
            repairs: Repairs::new(config.configurations()),
            vigil: Vigil::default(),
            roll: Roll::default(),
            called: None,
            unknown: false,
        }
    }

    pub(crate) async fn run(mut self, mut leader: watch::Receiver<bool>) {
        let mut observed = self.view.subscribe();
        let mut retry_at = Instant::now();
        loop {
            let now = Instant::now();
            let seen = observed.borrow_and_update().clone();
            let leads = *leader.borrow_and_update();
            let mut wake = now + self.config.tick;
            // A replica that does not lead keeps watch as well, and can go on at once when it does.
            let since = self.watch(&seen, now);
            if now < retry_at {
                wake = wake.min(retry_at);
            } else if leads {
                match self.step(&seen, since, now).await {
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

    /// Since when the publication that the Secret tells of has been seen unbroken.
    fn watch(&mut self, seen: &Observed, now: Instant) -> Option<Instant> {
        let state = seen.state();
        let configurations: Vec<_> = seen.present().cloned().collect();
        let time = self.hooks.clock.now();
        let whole = seen.synced().is_ok()
            && state.as_ref().is_some_and(|state| {
                let bundle = state.bundle_at(time).to_pem();
                configurations.iter().all(|one| one.carries(&bundle))
            });
        self.vigil.look(state.as_ref(), &configurations, whole, now)
    }

    /// Looks once, writes at most one thing (or one bundle into several configurations).
    async fn step(&mut self, seen: &Observed, since: Option<Instant>, now: Instant) -> Next {
        let known = match &seen.secret {
            Seen::Unknown => return Ok(None),
            Seen::Absent => None,
            Seen::Present(secret) => Some(secret.as_ref()),
        };
        let state = seen.state();
        let configurations: Vec<_> = seen.present().cloned().collect();
        let over = since.map(|since| since + self.config.publish_wait);
        let replicas = match &state {
            Some(state) if state.phase == Phase::Activated => self.call_roll(now).await,
            _ => None,
        };
        let sight = Sight {
            configurations: &configurations,
            complete: seen.synced().is_ok(),
            waited: over.is_some_and(|over| over <= now),
            replicas: replicas.as_deref(),
        };
        let time = self.hooks.clock.now();
        let step = decide(state.as_ref(), &sight, &self.policy, time);
        match &step {
            Step::Publish { bundle, into } => {
                self.repairs.note(seen, bundle, now);
                let current = self.api.get_secret().await?;
                if version(current.as_ref()) != version(known) {
                    self.view.adopt(current);
                    return Ok(Some(now));
                }
                self.publish(seen, bundle, into, now).await
            }
            Step::Rest { due, wait } => {
                let bundle = state.map(|state| state.bundle_at(time).to_pem()).unwrap_or_default();
                self.repairs.note(seen, &bundle, now);
                self.tell_due(due);
                Ok(match wait {
                    Wait::Trust => over,
                    Wait::Replicas(_) => Some(now + ROLL_CALL),
                    Wait::Nothing | Wait::Sight => None,
                })
            }
            _ => self.write(&step, seen, known, state.as_ref(), now).await,
        }
    }

    async fn write(
        &mut self,
        step: &Step,
        seen: &Observed,
        known: Option<&Secret>,
        state: Option<&State>,
        now: Instant,
    ) -> Next {
        if let Some(at) = self.written.map(|at| at + BETWEEN_WRITES).filter(|at| now < *at) {
            return Ok(Some(at));
        }
        let published = matches!(step, Step::Date { .. } | Step::Activate { waited: true });
        if published && self.moved(seen).await? {
            return Ok(Some(now));
        }
        if let Some(at) = self.too_fast(now) {
            return Ok(Some(at));
        }
        self.written = Some(now);
        let Some(next) = mint(step, state, &self.policy, self.hooks.clock.now())? else { return Ok(None) };
        match self.api.put_secret(known, &next).await {
            Ok(written) => {
                self.tell_written(step, state.is_some_and(|state| state.phase == Phase::Published));
                self.view.secret(Some(written));
            }
            Err(ApiError::Lost) => {
                tracing::debug!("another replica wrote the certificate Secret first: adopting");
                self.view.adopt(self.api.get_secret().await?);
            }
            Err(error) => return Err(error.into()),
        }
        Ok(Some(Instant::now())) // look again at once: there may be a next step
    }

    /// Reads every configuration once more; says whether one is not as it was seen.
    async fn moved(&self, seen: &Observed) -> Result<bool, ApiError> {
        let mut moved = false;
        for (reference, known) in &seen.configurations {
            let current = self.api.get_configuration(reference).await?;
            let read = Seen::from(
                current.as_ref().map(|object| super::Configuration::read(reference.clone(), object)),
            );
            moved |= read != *known;
            self.view.configuration(reference.clone(), current.as_ref());
        }
        Ok(moved)
    }

    async fn publish(
        &mut self,
        seen: &Observed,
        bundle: &str,
        into: &[ConfigurationRef],
        now: Instant,
    ) -> Next {
        let wrong: BTreeSet<_> = into.iter().collect();
        let mut again: Option<Instant> = None;
        let mut failure = None;
        for configuration in seen.present().filter(|one| wrong.contains(&one.reference)) {
            let reference = &configuration.reference;
            let repair = self.repairs.due(reference);
            if let Some(at) = repair.filter(|at| now < *at) {
                again = Some(again.map_or(at, |other| other.min(at)));
                continue;
            }
            if let Some(at) = self.too_fast(now) {
                again = Some(again.map_or(at, |other| other.min(at)));
                break;
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

    /// Who is there and what each serves. `None` where that cannot be read: the rotation waits then until the old
    /// leaf has expired, and an alert on its phase tells.
    async fn call_roll(&mut self, now: Instant) -> Option<Vec<Served>> {
        if let Some((at, replicas)) = &self.called
            && now.duration_since(*at) < ROLL_CALL / 2
        {
            return Some(replicas.clone());
        }
        match self.api.census().await {
            Ok(census) => {
                let own = self.config.replica.is_none().then(|| Served {
                    name: "this process".to_owned(),
                    serial: self.identity.current().map(|pair| pair.serial().to_owned()),
                });
                let replicas = self.roll.call(&census, own, now);
                self.called = Some((now, replicas.clone()));
                self.unknown = false;
                Some(replicas)
            }
            Err(error) => {
                if !std::mem::replace(&mut self.unknown, true) {
                    let message = format!("cannot read which certificate each replica serves: {error}");
                    self.hooks.events.warning("CertificateReplicasUnknown", message);
                }
                None
            }
        }
    }
}

fn version(secret: Option<&Secret>) -> Option<&String> {
    secret.and_then(|secret| secret.metadata.resource_version.as_ref())
}

/// Resolves when leadership changes. With the sender gone it never does: the last word stands.
async fn changed(leader: &mut watch::Receiver<bool>) {
    if leader.changed().await.is_err() {
        std::future::pending::<()>().await;
    }
}
