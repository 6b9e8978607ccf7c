//! Client required: takes the steps that [`decide`] returns, one at a time, while this replica leads.
//!
//! Every writer has its own cached state of the cluster, which may be stale. These rules make its writes safe all the same:
//! - a write of the Secret is refused if the Secret is not as it was cached;
//! - a caBundle is written only after the Secret has been read once more, and is refused if the configuration is not as
//!   it was cached: a writer with a stale Secret never takes a CA out of a bundle that a later writer has put in;
//! - before the next leaf is activated, every configuration is read once more.

use std::collections::BTreeSet;
use std::future::pending;
use std::time::Duration;

use k8s_openapi::api::core::v1::Secret;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use crate::backoff::Backoff;
use crate::hooks::Hooks;
use crate::identity::Identity;
use crate::issue::IssueError;
use crate::managed::apply::{Api, ApiError};
use crate::managed::build::mint::mint;
use crate::managed::config::ManagedConfig;
use crate::managed::events::StepEvents;
use crate::managed::fetch;
use crate::managed::plan::cluster::{Cached, ClusterState};
use crate::managed::plan::configuration::{Configuration, ConfigurationRef};
use crate::managed::plan::decide::{Observation, decide};
use crate::managed::plan::policy::Policy;
use crate::managed::plan::repairs::Repairs;
use crate::managed::plan::replicas::{ReplicaTracker, Served};
use crate::managed::plan::secret::{Phase, State};
use crate::managed::plan::step::{Step, Wait};
use crate::managed::plan::timer::PublishTimer;
use crate::managed::state::Store;
use crate::pace::TokenBucket;

/// Wait before a failed step is tried again.
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(500), Duration::from_secs(30));
/// Shortest time between two writes of the Secret: a mistake in `decide` must not become a flood of writes.
const BETWEEN_WRITES: Duration = Duration::from_millis(250);
/// Writes that may follow each other immediately: several rotations, and repairs against another tool.
const WRITE_BURST: u32 = 60;
/// Time for each further write. A mistake in `decide` so costs one write in ten seconds, and is reported.
const WRITE_INTERVAL: Duration = Duration::from_secs(10);
/// Interval at which the replicas are listed while a rotation waits for them.
const LIST_REPLICAS: Duration = Duration::from_secs(1);

/// The reconcile loop of the replica that leads.
pub(crate) struct Controller<'a> {
    api: &'a Api,
    store: &'a Store,
    config: &'a ManagedConfig,
    policy: Policy,
    identity: Identity,
    hooks: Hooks,
    events: StepEvents,
    /// Steps that have failed in a row.
    failures: u32,
    /// Time of the last write of the Secret.
    written: Option<Instant>,
    writes: TokenBucket<Instant>,
    repairs: Repairs,
    timer: PublishTimer,
    replicas: ReplicaTracker,
    /// The replicas as they were listed last.
    listed: Option<(Instant, Vec<Served>)>,
}

#[derive(Debug, thiserror::Error)]
enum StepError {
    #[error(transparent)]
    Api(#[from] ApiError),
    #[error(transparent)]
    Issue(#[from] IssueError),
}

/// Time at which to reconcile again if nothing changes before. `None`: at the next tick.
type Requeue = Result<Option<Instant>, StepError>;

impl<'a> Controller<'a> {
    pub(crate) fn new(
        api: &'a Api,
        store: &'a Store,
        config: &'a ManagedConfig,
        identity: Identity,
        hooks: Hooks,
    ) -> Self {
        Self {
            api,
            store,
            config,
            policy: Policy { names: config.names.clone(), lifetimes: config.lifetimes },
            identity,
            events: StepEvents::new(hooks.clone()),
            hooks,
            failures: 0,
            written: None,
            writes: TokenBucket::new(WRITE_BURST, WRITE_INTERVAL),
            repairs: Repairs::new(config.configurations()),
            timer: PublishTimer::default(),
            replicas: ReplicaTracker::default(),
            listed: None,
        }
    }

    /// Reconciles forever: at every change of the cluster, at the tick, and when a step asks for it.
    pub(crate) async fn run(mut self, mut leader: watch::Receiver<bool>) {
        let mut cluster_changes = self.store.subscribe();
        let mut retry_at = Instant::now();
        loop {
            let now = Instant::now();
            let cluster = cluster_changes.borrow_and_update().clone();
            let leads = *leader.borrow_and_update();
            let mut wake = now + self.config.tick;
            // A replica that does not lead keeps the timer too, so that a new leader need not begin the wait anew.
            let since = self.published_since(&cluster, now);
            if now < retry_at {
                wake = wake.min(retry_at);
            } else if leads {
                match self.reconcile(&cluster, since, now).await {
                    Ok(next) => {
                        self.failures = 0;
                        wake = next.map_or(wake, |next| wake.min(next));
                    }
                    Err(error) => {
                        retry_at = Instant::now() + self.record_failure(&error);
                        wake = wake.min(retry_at);
                    }
                }
            }
            tokio::select! {
                _ = cluster_changes.changed() => {}
                () = changed(&mut leader) => {}
                () = sleep_until(wake) => {}
            }
        }
    }

    /// Returns since when the publication in the Secret has been observed without a break.
    fn published_since(&mut self, cluster: &ClusterState, now: Instant) -> Option<Instant> {
        let state = cluster.state();
        let configurations: Vec<_> = cluster.present().cloned().collect();
        let time = self.hooks.clock.now();
        let whole = cluster.synced().is_ok()
            && state.as_ref().is_some_and(|state| {
                let bundle = state.bundle_at(time).to_pem();
                configurations.iter().all(|one| one.carries(&bundle))
            });
        self.timer.observe(state.as_ref(), &configurations, whole, now)
    }

    /// Decides on the next step and takes it: writes the Secret once, or one bundle into several configurations, or
    /// nothing.
    async fn reconcile(&mut self, cluster: &ClusterState, since: Option<Instant>, now: Instant) -> Requeue {
        let known = match &cluster.secret {
            Cached::Unknown => return Ok(None),
            Cached::Absent => None,
            Cached::Present(secret) => Some(secret.as_ref()),
        };
        let state = cluster.state();
        let configurations: Vec<_> = cluster.present().cloned().collect();
        let wait_over = since.map(|since| since + self.config.publish_wait);
        let replicas = match &state {
            Some(state) if state.phase == Phase::Activated => self.list_replicas(now).await,
            _ => None,
        };
        let observation = Observation {
            configurations: &configurations,
            complete: cluster.synced().is_ok(),
            waited: wait_over.is_some_and(|at| at <= now),
            replicas: replicas.as_deref(),
        };
        let time = self.hooks.clock.now();
        let step = decide(state.as_ref(), &observation, &self.policy, time);
        match &step {
            Step::Publish { bundle, into } => {
                self.repairs.note(cluster, bundle, now);
                let current = self.api.get_secret().await?;
                if version(current.as_ref()) != version(known) {
                    self.store.replace_secret(current);
                    return Ok(Some(now));
                }
                self.publish(cluster, bundle, into, now).await
            }
            Step::Rest { due, wait } => {
                let bundle = state.map(|state| state.bundle_at(time).to_pem()).unwrap_or_default();
                self.repairs.note(cluster, &bundle, now);
                self.events.due(due);
                Ok(match wait {
                    Wait::Trust => wait_over,
                    Wait::Replicas(_) => Some(now + LIST_REPLICAS),
                    Wait::Nothing | Wait::Observation => None,
                })
            }
            _ => self.write(&step, cluster, known, state.as_ref(), now).await,
        }
    }

    /// Writes the Secret as it is after the step, if nothing forbids it.
    async fn write(
        &mut self,
        step: &Step,
        cluster: &ClusterState,
        known: Option<&Secret>,
        state: Option<&State>,
        now: Instant,
    ) -> Requeue {
        if let Some(at) = self.written.map(|at| at + BETWEEN_WRITES).filter(|at| now < *at) {
            return Ok(Some(at));
        }
        let published = matches!(step, Step::Date { .. } | Step::Activate { waited: true });
        if published && self.has_changed(cluster).await? {
            return Ok(Some(now));
        }
        if let Some(at) = self.hold_write(now) {
            return Ok(Some(at));
        }
        self.written = Some(now);
        let Some(next) = mint(step, state, &self.policy, self.hooks.clock.now())? else { return Ok(None) };
        match self.api.put_secret(known, &next).await {
            Ok(written) => {
                self.events.written(step, state.is_some_and(|state| state.phase == Phase::Published));
                self.store.update_secret(Some(written));
            }
            Err(ApiError::Lost) => {
                tracing::debug!("another replica wrote the certificate Secret first: adopting");
                self.store.replace_secret(self.api.get_secret().await?);
            }
            Err(error) => return Err(error.into()),
        }
        Ok(Some(Instant::now())) // reconcile again immediately: there may be a next step
    }

    /// Reads every configuration once more. Returns true if one is not as it was cached.
    async fn has_changed(&self, cluster: &ClusterState) -> Result<bool, ApiError> {
        let mut changed = false;
        for (reference, known) in &cluster.configurations {
            let current = self.api.get_configuration(reference).await?;
            let read =
                Cached::from(current.as_ref().map(|object| Configuration::read(reference.clone(), object)));
            changed |= read != *known;
            self.store.update_configuration(reference.clone(), current.as_ref());
        }
        Ok(changed)
    }

    /// Writes a bundle into those configurations, each as soon as it may be repaired.
    async fn publish(
        &mut self,
        cluster: &ClusterState,
        bundle: &str,
        into: &[ConfigurationRef],
        now: Instant,
    ) -> Requeue {
        let wrong: BTreeSet<_> = into.iter().collect();
        let mut again: Option<Instant> = None;
        let mut failure = None;
        for configuration in cluster.present().filter(|one| wrong.contains(&one.reference)) {
            let reference = &configuration.reference;
            let repair = self.repairs.due(reference);
            if let Some(at) = repair.filter(|at| now < *at) {
                again = Some(again.map_or(at, |other| other.min(at)));
                continue;
            }
            if let Some(at) = self.hold_write(now) {
                again = Some(again.map_or(at, |other| other.min(at)));
                break;
            }
            match self.api.publish(configuration, bundle).await {
                Ok(written) => {
                    self.events.bundle_written(reference, repair.is_some());
                    self.store.update_configuration(reference.clone(), Some(&written));
                }
                Err(ApiError::Lost) => {
                    let current = self.api.get_configuration(reference).await?;
                    self.store.update_configuration(reference.clone(), current.as_ref());
                    again = Some(again.map_or(now + BACKOFF.first, |other| other.min(now + BACKOFF.first)));
                }
                // A configuration that refuses does not keep the others from being repaired.
                Err(error) => failure = Some(error),
            }
        }
        failure.map_or(Ok(again), |error| Err(error.into()))
    }

    /// Returns until when the next write has to wait, if there were too many of late.
    fn hold_write(&mut self, now: Instant) -> Option<Instant> {
        let held = self.writes.take(now).err()?;
        self.events.write_held(held.first);
        Some(held.until)
    }

    /// Counts and reports a failure. Returns the wait before the next try.
    fn record_failure(&mut self, error: &StepError) -> Duration {
        self.failures = self.failures.saturating_add(1);
        let wait = BACKOFF.after(self.failures);
        self.events.failed(error, self.failures, wait);
        wait
    }

    /// Lists the replicas and what each serves. `None` where they cannot be listed: the rotation then waits until the
    /// old leaf has expired, and an alert on its phase fires.
    async fn list_replicas(&mut self, now: Instant) -> Option<Vec<Served>> {
        if let Some((at, replicas)) = &self.listed
            && now.duration_since(*at) < LIST_REPLICAS / 2
        {
            return Some(replicas.clone());
        }
        match fetch::replicas(self.api).await {
            Ok(list) => {
                let own = self.config.replica.is_none().then(|| Served {
                    name: "this process".to_owned(),
                    serial: self.identity.current().map(|pair| pair.serial().to_owned()),
                });
                let replicas = self.replicas.update(&list, own, now);
                self.listed = Some((now, replicas.clone()));
                self.events.replicas_listed();
                Some(replicas)
            }
            Err(error) => {
                self.events.replicas_unknown(&error);
                None
            }
        }
    }
}

fn version(secret: Option<&Secret>) -> Option<&String> {
    secret.and_then(|secret| secret.metadata.resource_version.as_ref())
}

/// Resolves when leadership changes. With the sender gone it never does: the last value stands.
async fn changed(leader: &mut watch::Receiver<bool>) {
    if leader.changed().await.is_err() {
        pending::<()>().await;
    }
}
