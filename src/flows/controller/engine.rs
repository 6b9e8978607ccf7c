//! The controller's parts and settings, and the words in which its stages answer. The loop is in
//! [`reconcile`](super::reconcile).

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use kube::Client;

use super::events::Events;
use super::metrics::Metrics;
use super::pace::Pace;
use super::state::FlowEntry;
use super::view;
use super::view::FlowKey;
use super::watch::Watches;
use crate::flows::api::JobFlow;
use crate::flows::rules::Options;

/// A call that takes longer is given up; a later reconcile finds out how far it came.
const CALL: Duration = Duration::from_secs(30);
/// Shortest and longest delay for batching status changes that trigger no action: parallel steps often end together, and
/// a write costs the API server more than anything else that a step does.
const BATCH_DELAY: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));

/// The controller's settings.
#[derive(Clone, Debug)]
pub struct Config {
    /// Flows that are reconciled at the same time.
    pub workers: usize,
    /// Options for the validator.
    pub options: Options,
}

impl Default for Config {
    fn default() -> Self {
        Self { workers: 32, options: Options::default() }
    }
}

/// The controller.
pub struct Engine {
    pub(super) client: Client,
    pub(super) watches: Watches,
    pub(super) events: Events,
    pub(super) metrics: Metrics,
    pub(super) config: Config,
    /// One permit for each concurrency group, by namespace and key: flows of a group start one after the other, since
    /// each has to see that the one before it has started.
    start_permits: Mutex<HashMap<(String, String), Weak<StartPermit>>>,
    pace: Mutex<Pace>,
    /// Duration of the last status write, in milliseconds.
    pub(super) last_write: AtomicU64,
}

/// Held by the flow of a concurrency group that is allowed to start.
pub(super) type StartPermit = tokio::sync::Mutex<()>;

/// Tells the loop what follows from a stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Round {
    /// The stage is done: go on with the next one.
    Done,
    /// The cache knows more than the plan did: plan again.
    Again,
}

/// The cause of a failed reconcile, which is retried with backoff.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error("the API server refused: {0}")]
    Api(#[source] kube::Error),
    #[error("the API server did not answer in time")]
    Timeout,
    #[error("it changed each time it was looked at")]
    Unsteady,
    #[error("a panic; please report it")]
    Panic,
}

impl Engine {
    /// Makes a controller that works from the state that `watches` keep.
    pub fn new(client: Client, watches: Watches, events: Events, config: Config) -> Self {
        Self {
            client,
            watches,
            events,
            metrics: Metrics::default(),
            config,
            start_permits: Mutex::default(),
            pace: Mutex::default(),
            last_write: AtomicU64::new(0),
        }
    }

    /// Counts in `metrics`.
    #[must_use]
    pub fn with_metrics(mut self, metrics: Metrics) -> Self {
        metrics.derive_from(&self.watches);
        self.metrics = metrics;
        self
    }

    /// Returns the delay of a flow's next status write, if it has written too often: a second line of defence, behind
    /// which a bug of ours costs one write a second instead of all that the API server can take.
    pub(super) fn write_delay(&self, key: &FlowKey, flow: &JobFlow) -> Option<Duration> {
        let uid = flow.metadata.uid.as_deref().unwrap_or_default();
        let mut pace = self.pace.lock().unwrap_or_else(PoisonError::into_inner);
        let held = pace.take(uid, flow.spec.steps.len(), Instant::now()).err()?;
        drop(pace);
        self.metrics.held();
        if held.first {
            tracing::warn!(flow = %key, "the status is written too often; it is written slowly from now on");
        }
        Some(held.wait)
    }

    /// Returns how long a status change may wait now: longer while the API server is slow.
    pub(super) fn batch_delay(&self) -> Duration {
        let last = Duration::from_millis(self.last_write.load(Ordering::Relaxed));
        last.saturating_mul(2).clamp(BATCH_DELAY.0, BATCH_DELAY.1)
    }

    /// Returns the permit that a flow needs to start: none once it has started, or if it is in no concurrency group.
    pub(super) fn start_permit(&self, key: &FlowKey, entry: &FlowEntry) -> Option<Arc<StartPermit>> {
        let flow = entry.flow.as_ref().ok().filter(|flow| !view::has_started(flow))?;
        let group = (key.namespace.clone(), view::concurrency_key(flow)?.to_owned());
        let mut permits = self.start_permits.lock().unwrap_or_else(PoisonError::into_inner);
        // Permits that no flow waits for any more.
        permits.retain(|_, permit| permit.strong_count() > 0);
        if let Some(permit) = permits.get(&group).and_then(Weak::upgrade) {
            return Some(permit);
        }
        let permit = Arc::default();
        permits.insert(group, Arc::downgrade(&permit));
        Some(permit)
    }
}

/// Runs a call with the engine's timeout.
pub(super) async fn in_time<T>(call: impl Future<Output = kube::Result<T>>) -> Result<T, Error> {
    tokio::time::timeout(CALL, call).await.map_err(|_| Error::Timeout)?.map_err(Error::Api)
}
