//! The loop: take a flow from the queue, plan, write, act.

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use futures::future::join_all;
use futures::{FutureExt, StreamExt, stream};
use jiff::{SignedDuration, Timestamp};
use kube::{Api, Client};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;
use tracing::field::Empty;

use super::events::Events;
use super::metrics::Metrics;
use super::pace::Pace;
use super::queue::{Done, Urgency};
use super::state::{FlowEntry, Snapshot};
use super::view;
use super::view::FlowKey;
use super::watch;
use super::watch::Watches;
use super::{apply, fetch, refusal};
use crate::flows::api::JobFlow;
use crate::flows::observed::view::JobView;
use crate::flows::observed::{Job, id_of};
use crate::flows::plan;
use crate::flows::plan::{Action, Observed, Plan};
use crate::flows::rules::Options;

/// A call that takes longer is given up; what it may have done is found out by looking.
const CALL: Duration = Duration::from_secs(30);
/// How long a watch may take to show a Job that we created, before it is looked for. The planner looks at the flow again
/// ten seconds after a Job's creation.
const UNSEEN: SignedDuration = SignedDuration::from_secs(8);
/// How long a change of the status that nothing follows from waits for others to share its write, at least and at most:
/// steps beside each other often end together, and a write costs the API server more than all else that a step does.
const GATHER: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));
/// Creations and deletions of one flow at one time.
const ACTIONS: usize = 16;
/// An action that failed is tried again after so long; what else the flow needs is not kept waiting.
const AGAIN: SignedDuration = SignedDuration::from_secs(10);
/// How often one look at a flow plans anew, because of something that was read, refused or changed meanwhile.
const ROUNDS: usize = 12;

/// How the engine is run.
#[derive(Clone, Debug)]
pub struct Config {
    /// Flows that are worked on at one time.
    pub workers: usize,
    /// What the validator is told.
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
    events: Events,
    pub(super) metrics: Metrics,
    pub(super) config: Config,
    /// Flows of one line start one after the other: each has to see that the one before it has.
    lines: Mutex<HashMap<(String, String), Weak<Turn>>>,
    pace: Mutex<Pace>,
    /// How long the last write of a status took, in milliseconds.
    pub(super) wrote_in: AtomicU64,
}

/// Who has it may start.
type Turn = tokio::sync::Mutex<()>;

/// The outcome of looking for Jobs that no watch shows.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Verified {
    /// All of them are there.
    There,
    /// At least one could not be read; it has to be asked for again.
    Unknown,
    /// At least one is gone, and the cache knows.
    Lost,
}

/// Why a look at a flow came to nothing; it is looked at again later.
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
    /// A controller on what `watches` see.
    pub fn new(client: Client, watches: Watches, events: Events, config: Config) -> Self {
        Self {
            client,
            watches,
            events,
            metrics: Metrics::default(),
            config,
            lines: Mutex::default(),
            pace: Mutex::default(),
            wrote_in: AtomicU64::new(0),
        }
    }

    /// Count in `metrics`.
    #[must_use]
    pub fn with_metrics(mut self, metrics: Metrics) -> Self {
        metrics.derive_from(&self.watches);
        self.metrics = metrics;
        self
    }

    /// Work until `stopped`; what is in flight then is given up, and whoever works next finds out how far it came.
    pub async fn run(self: Arc<Self>, stopped: CancellationToken) {
        let _at_work = self.metrics.at_work();
        watch::add_all(&self.watches);
        let workers = (0..self.config.workers.max(1)).map(|_| {
            let engine = self.clone();
            let stopped = stopped.clone();
            tokio::spawn(async move {
                let work = engine.work(&stopped);
                tokio::select! {
                    () = work => {}
                    () = stopped.cancelled() => {}
                }
            })
        });
        join_all(workers).await;
    }

    async fn work(&self, stopped: &CancellationToken) {
        loop {
            let (key, since) = self.watches.queue.next().await;
            let taken = Taken { engine: self, key: Some(key.clone()) };
            // One flow must never take the others with it, whatever is wrong with it.
            let span = tracing::debug_span!("reconcile", flow = %key, correlation = Empty, wrote = Empty, actions = Empty);
            let timed = self.metrics.reconciling();
            let look = self.look(&key, since, stopped).instrument(span.clone());
            let looked = AssertUnwindSafe(look).catch_unwind().await.unwrap_or(Err(Error::Panic));
            let took = timed.ended(if looked.is_ok() { "done" } else { "failed" });
            tracing::debug!(parent: &span, seconds = took.as_secs_f64(), "looked at");
            let done = match looked {
                Ok(due) => Done::Until(due),
                Err(error) => {
                    tracing::warn!(flow = %key, error = %error, "a flow will be looked at again");
                    Done::Failed
                }
            };
            taken.end(done);
        }
    }

    /// Look at a flow until there is nothing to do for it now; when to look again.
    async fn look(
        &self,
        key: &FlowKey,
        since: Timestamp,
        stopped: &CancellationToken,
    ) -> Result<Option<Timestamp>, Error> {
        let cache = &self.watches.cache;
        let Some(line) = cache.entry(key).map(|entry| self.line(key, &entry)) else {
            self.watches.queue.forget(key);
            return Ok(None);
        };
        let _turn = match &line {
            Some(line) => Some(line.lock().await),
            None => None,
        };
        for _ in 0..ROUNDS {
            let Some(Snapshot { entry, mut observed, unseen }) = cache.snapshot(key) else { return Ok(None) };
            tracing::Span::current().record("correlation", entry.uid());
            let Ok(flow) = &entry.flow else { return self.tell_malformed(key, &entry).await };
            // Nothing else may wake the flow of a Job that no watch has shown.
            let again = match self.verify(flow, &unseen).await {
                Verified::Lost => continue,
                Verified::Unknown => Timestamp::now().checked_add(AGAIN).ok(),
                Verified::There => None,
            };
            let plan = self.plan(flow, &mut observed).await?;
            if stopped.is_cancelled() {
                return Ok(None);
            }
            if plan.may_wait {
                let now = Timestamp::now();
                let until = cache.waits_since(entry.id(), now) + self.gather();
                if now < until {
                    return Ok(Some(plan.due.map_or(until, |due| due.min(until))));
                }
            }
            if flow.status.as_ref() != Some(&plan.status)
                && let Some(wait) = self.too_fast(key, flow)
            {
                let until = Timestamp::now().checked_add(wait).unwrap_or(Timestamp::MAX);
                return Ok(Some(until));
            }
            if !self.write(flow, &plan).await? {
                continue;
            }
            cache.written(entry.id());
            // Of what is written, not of what was read: the events name what has come to be. A look that is taken again
            // finds the outcome in the status: nothing is counted twice.
            let decided = self.metrics.happened(&key.namespace, &plan.status, &plan.events).then_some(since);
            self.events.tell(&flow.metadata, &plan.status, plan.events);
            cache.spend(entry.id(), &plan.prunable);
            tracing::Span::current().record("actions", plan.actions.len());
            match self.act(flow, &observed, plan.actions, decided, stopped).await {
                Acted::Refused => {}
                Acted::All => return Ok([plan.due, again].into_iter().flatten().min()),
                Acted::Failed(error) => {
                    tracing::warn!(flow = %key, error = %error, "an action failed and is tried again");
                    let again = Timestamp::now().checked_add(AGAIN).unwrap_or(Timestamp::MAX);
                    return Ok(Some(plan.due.map_or(again, |due| due.min(again))));
                }
            }
        }
        Err(Error::Unsteady)
    }

    /// How long the flow's next write has to wait, if it has written too often: a second wall, behind which a mistake of
    /// ours costs one write a second and not all that the API server can take.
    fn too_fast(&self, key: &FlowKey, flow: &JobFlow) -> Option<Duration> {
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

    /// How long a change of a status may wait now: longer where the API server has much to do.
    fn gather(&self) -> Duration {
        let took = Duration::from_millis(self.wrote_in.load(Ordering::Relaxed));
        took.saturating_mul(2).clamp(GATHER.0, GATHER.1)
    }

    /// Looks for the Jobs that we created and that no watch shows after a while: one may have been deleted before a watch
    /// saw it.
    async fn verify(&self, flow: &JobFlow, unseen: &[Arc<Job>]) -> Verified {
        let api: Api<JobView> =
            Api::namespaced(self.client.clone(), flow.metadata.namespace.as_deref().unwrap_or_default());
        let mut verified = Verified::There;
        for job in unseen.iter().filter(|job| Timestamp::now().duration_since(job.created) > UNSEEN) {
            let there = match in_time(api.get_opt(&job.name)).await {
                Ok(there) => there,
                // Not known is not deleted.
                Err(error) => {
                    tracing::debug!(job = %job.name, %error, "whether a Job is there could not be read");
                    verified = verified.max(Verified::Unknown);
                    continue;
                }
            };
            if there.is_none_or(|there| there.metadata.uid.as_deref() != Some(&job.uid)) {
                self.watches.cache.job_missed(&job.id());
                verified = Verified::Lost;
            }
        }
        verified
    }

    /// Plan, reading what the plan asks for.
    async fn plan(&self, flow: &JobFlow, observed: &mut Observed) -> Result<Plan, Error> {
        let namespace = flow.metadata.namespace.as_deref().unwrap_or_default();
        for _ in 0..ROUNDS {
            let plan = self.metrics.planning(|| plan::plan(flow, observed, Timestamp::now()));
            if plan.needs == plan::Needs::default() {
                return Ok(plan);
            }
            if plan.needs.resources {
                let created = in_time(fetch::create_resources(&self.client, flow, None).map(Ok)).await;
                observed.resources =
                    Some(created.unwrap_or_else(|_| Err(refusal::late(None, Timestamp::now()))));
            }
            for job in plan.needs.complaints {
                // It would tell more of a step; that it cannot be read keeps nothing from going on.
                let complaint = in_time(fetch::read_complaint(&self.client, namespace, &job)).await;
                let complaint = complaint.unwrap_or_else(|error| {
                    tracing::debug!(%error, "what the Job controller says could not be read");
                    None
                });
                observed.complaints.insert(job, complaint);
            }
            let id = id_of(&flow.metadata);
            let memory = (&*self.watches.cache, &*id);
            let sources = &mut observed.sources;
            fetch::read_sources(&self.client, namespace, plan.needs.sources, memory, sources).await;
        }
        Err(Error::Unsteady)
    }

    /// Do what the plan wants done, each whatever becomes of the others.
    async fn act(
        &self,
        flow: &JobFlow,
        observed: &Observed,
        actions: Vec<Action>,
        decided: Option<Timestamp>,
        stopped: &CancellationToken,
    ) -> Acted {
        let mut results = stream::iter(actions)
            .map(|action| self.act_once(flow, observed, action, decided, stopped))
            .buffer_unordered(ACTIONS);
        let (mut all, mut failed) = (true, None);
        while let Some(result) = results.next().await {
            match result {
                Ok(done) => all &= done,
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        match failed {
            _ if !all => Acted::Refused,
            Some(error) => Acted::Failed(error),
            None => Acted::All,
        }
    }

    /// One of them. `false`: it was refused.
    async fn act_once(
        &self,
        flow: &JobFlow,
        observed: &Observed,
        action: Action,
        decided: Option<Timestamp>,
        stopped: &CancellationToken,
    ) -> Result<bool, Error> {
        if stopped.is_cancelled() {
            return Ok(true);
        }
        let namespace = flow.metadata.namespace.as_deref().unwrap_or_default();
        let id = id_of(&flow.metadata);
        match action {
            Action::CreateJob { step, attempt, name, rendered } => {
                let step_name = flow.spec.steps[step].name.clone();
                let before = observed.refused.get(&(step_name.clone(), attempt));
                let created = apply::create_job(&self.client, flow, step, attempt, &name, &rendered, before);
                let span = tracing::debug_span!("step", step = step_name, attempt, job = name);
                let created = in_time(created.map(Ok)).instrument(span).await;
                match created.unwrap_or_else(|_| Err(refusal::late(before, Timestamp::now()))) {
                    Ok(job) => {
                        self.metrics.dispatched(decided);
                        if job.is_some_and(|job| self.watches.cache.job_created(job)) {
                            self.watches.queue.add(FlowKey::of(&flow.metadata), Urgency::High);
                        }
                        if before.is_some() {
                            self.watches.cache.not_refused(&id, &step_name, attempt);
                        }
                        // What was told of the refusal has to be taken back.
                        Ok(before.is_none())
                    }
                    Err(refusal) => {
                        self.watches.cache.refuse(&id, step_name, attempt, refusal);
                        Ok(false)
                    }
                }
            }
            Action::DeleteJob { name, uid } => {
                in_time(apply::delete_job(&self.client, namespace, &name, &uid)).await?;
                Ok(true)
            }
            Action::DeleteFlow => {
                in_time(apply::delete_flow(&self.client, flow)).await?;
                Ok(true)
            }
        }
    }

    /// The turn of a flow that has still to start and stands in line with others.
    fn line(&self, key: &FlowKey, entry: &FlowEntry) -> Option<Arc<Turn>> {
        let flow = entry.flow.as_ref().ok().filter(|flow| !view::has_started(flow))?;
        let line = (key.namespace.clone(), view::concurrency_key(flow)?.to_owned());
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines.retain(|_, turn| turn.strong_count() > 0);
        if let Some(turn) = lines.get(&line).and_then(Weak::upgrade) {
            return Some(turn);
        }
        let turn = Arc::default();
        lines.insert(line, Arc::downgrade(&turn));
        Some(turn)
    }
}

/// What came of the actions of a plan.
enum Acted {
    /// All were done.
    All,
    /// Something was refused, and the status has to say so.
    Refused,
    /// One failed, and has to be tried again.
    Failed(Error),
}

/// A key that is handed back whatever happens: a worker that is stopped must not keep it.
struct Taken<'e> {
    engine: &'e Engine,
    key: Option<FlowKey>,
}

impl Taken<'_> {
    fn end(mut self, done: Done) {
        if let Some(key) = self.key.take() {
            self.engine.watches.queue.done(&key, done);
        }
    }
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        if let Some(key) = self.key.take() {
            self.engine.watches.queue.done(&key, Done::Until(None));
            self.engine.watches.queue.add(key, Urgency::Normal);
        }
    }
}

/// A call, or the end of our patience.
pub(super) async fn in_time<T>(call: impl Future<Output = kube::Result<T>>) -> Result<T, Error> {
    tokio::time::timeout(CALL, call).await.map_err(|_| Error::Timeout)?.map_err(Error::Api)
}
