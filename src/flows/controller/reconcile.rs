//! The loop: take a flow from the queue, plan, write its status, then act.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures::future::join_all;
use futures::{FutureExt, StreamExt, stream};
use jiff::{SignedDuration, Timestamp};
use kube::Api;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;
use tracing::field::Empty;

use super::engine::{Engine, Error, Round, in_time};
use super::queue::{Done, Urgency};
use super::state::Snapshot;
use super::view::FlowKey;
use super::{apply, fetch, refusal, watch};
use crate::flows::api::{JobFlow, ObjectRef};
use crate::flows::observed::view::JobView;
use crate::flows::observed::{Job, id_of};
use crate::flows::plan;
use crate::flows::plan::{Action, Observed, Plan, Refusal};

/// A Job that we created is looked for if no watch has shown it for so long. The planner plans a flow again ten seconds
/// after a Job's creation.
const UNSEEN: SignedDuration = SignedDuration::from_secs(8);
/// Actions of one flow that are carried out at the same time.
const ACTIONS: usize = 16;
/// A failed action is retried after so long; everything else that the flow needs goes on meanwhile.
const RETRY: SignedDuration = SignedDuration::from_secs(10);
/// The most plans of one reconcile: something that was read, refused or changed meanwhile asks for another one.
const ROUNDS: usize = 12;

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

/// The outcome of all actions of a plan.
enum Acted {
    /// All were done.
    All,
    /// Something is known now that the plan did not know, such as a refusal, and the status has to say so.
    Again,
    /// At least one failed, and has to be retried.
    Failed(Error),
}

/// The outcome of creating the objects of a flow's resource templates: references to them, or the first refusal.
type Resources = Result<Vec<ObjectRef>, Refusal>;

/// The resources that one round created for the next one.
struct Created {
    /// UID and generation of the flow that they were created for: templates may change until a flow starts.
    of: (Option<String>, Option<i64>),
    resources: Resources,
}

impl Created {
    /// Returns the outcome, if it is that of this flow as it is now.
    fn of(self, flow: &JobFlow) -> Option<Resources> {
        (self.of == (flow.metadata.uid.clone(), flow.metadata.generation)).then_some(self.resources)
    }
}

impl Engine {
    /// Reconciles flows until `stopped`. What is in flight then is dropped; the next leader finds out how far it came.
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

    /// Reconciles one flow after the other, as the queue gives them.
    async fn work(&self, stopped: &CancellationToken) {
        loop {
            let (key, since) = self.watches.queue.next().await;
            let guard = QueueGuard { engine: self, key: Some(key.clone()) };
            let span = tracing::debug_span!("reconcile", flow = %key, correlation = Empty, wrote = Empty, actions = Empty);
            let timed = self.metrics.reconciling();
            let reconcile = self.reconcile(&key, since, stopped).instrument(span.clone());
            // One flow must never take the others with it, whatever is wrong with it.
            let reconciled = AssertUnwindSafe(reconcile).catch_unwind().await.unwrap_or(Err(Error::Panic));
            let duration = timed.ended(if reconciled.is_ok() { "done" } else { "failed" });
            tracing::debug!(parent: &span, seconds = duration.as_secs_f64(), "looked at");
            let done = match reconciled {
                Ok(due) => Done::Until(due),
                Err(error) => {
                    tracing::warn!(flow = %key, error = %error, "a flow will be looked at again");
                    Done::Failed
                }
            };
            guard.end(done);
        }
    }

    /// Reconciles a flow until nothing is left to do for it now. Returns when to reconcile it again.
    async fn reconcile(
        &self,
        key: &FlowKey,
        since: Timestamp,
        stopped: &CancellationToken,
    ) -> Result<Option<Timestamp>, Error> {
        let cache = &self.watches.cache;
        let Some(permit) = cache.entry(key).map(|entry| self.start_permit(key, &entry)) else {
            self.watches.queue.forget(key);
            return Ok(None);
        };
        // Held to the end, so that the next flow of the group sees the start of this one in the cache.
        let _permit = match &permit {
            Some(permit) => Some(permit.lock().await),
            None => None,
        };
        let mut created: Option<Created> = None;
        for _ in 0..ROUNDS {
            let Some(Snapshot { entry, mut observed, unseen }) = cache.snapshot(key) else { return Ok(None) };
            tracing::Span::current().record("correlation", entry.uid());
            let Ok(flow) = &entry.flow else { return self.report_malformed(key, &entry).await };
            observed.resources = created.take().and_then(|created| created.of(flow));
            // No event will wake this flow for a Job that no watch has shown, so a timer has to.
            let again = match self.verify(flow, &unseen).await {
                Verified::Lost => continue,
                Verified::Unknown => Timestamp::now().checked_add(RETRY).ok(),
                Verified::There => None,
            };
            let mut plan = self.plan(flow, &mut observed).await?;
            if stopped.is_cancelled() {
                return Ok(None);
            }
            if plan.actions == [Action::CreateResources] {
                // Such a plan leaves the status as it is, so there is none to write first.
                let resources = self.create_resources(flow).await;
                created =
                    Some(Created { of: (flow.metadata.uid.clone(), flow.metadata.generation), resources });
                continue;
            }
            if let Some(until) = self.wait_to_write(key, flow, entry.id(), &plan) {
                return Ok(Some(until));
            }
            match self.write(flow, &plan).await? {
                Round::Done => {}
                Round::Again => continue,
            }
            cache.written(entry.id());
            // Counted and published from the status that was written. A lost race comes back to this point only once,
            // so nothing is counted twice.
            let decided = self.metrics.happened(&key.namespace, &plan.status, &plan.events).then_some(since);
            self.events.publish(&flow.metadata, &plan.status, std::mem::take(&mut plan.events));
            cache.prune(entry.id(), &plan.prunable);
            tracing::Span::current().record("actions", plan.actions.len());
            match self.act(flow, &observed, plan.actions, decided, stopped).await {
                Acted::Again => {}
                Acted::All => return Ok([plan.due, again].into_iter().flatten().min()),
                Acted::Failed(error) => {
                    tracing::warn!(flow = %key, error = %error, "an action failed and is tried again");
                    let again = Timestamp::now().checked_add(RETRY).unwrap_or(Timestamp::MAX);
                    return Ok(Some(plan.due.map_or(again, |due| due.min(again))));
                }
            }
        }
        Err(Error::Unsteady)
    }

    /// Returns until when the write of the plan's status has to wait: for others to share it, or since the flow has
    /// written too often.
    fn wait_to_write(&self, key: &FlowKey, flow: &JobFlow, id: &str, plan: &Plan) -> Option<Timestamp> {
        if plan.may_wait {
            let now = Timestamp::now();
            let until = self.watches.cache.waits_since(id, now) + self.batch_delay();
            if now < until {
                return Some(plan.due.map_or(until, |due| due.min(until)));
            }
        }
        if flow.status.as_ref() == Some(&plan.status) {
            return None;
        }
        let delay = self.write_delay(key, flow)?;
        Some(Timestamp::now().checked_add(delay).unwrap_or(Timestamp::MAX))
    }

    /// Looks for the Jobs that we created and that no watch has shown for a while: one may have been deleted before a
    /// watch saw it.
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

    /// Plans, and reads what the plan asks for until it asks for nothing more.
    async fn plan(&self, flow: &JobFlow, observed: &mut Observed) -> Result<Plan, Error> {
        let namespace = flow.metadata.namespace.as_deref().unwrap_or_default();
        for _ in 0..ROUNDS {
            let plan = self.metrics.planning(|| plan::plan(flow, observed, Timestamp::now()));
            if plan.needs == plan::Needs::default() {
                return Ok(plan);
            }
            for job in plan.needs.complaints {
                // It only adds to a step's message: a failed read must not stop the flow.
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

    /// Creates the objects of the flow's resource templates.
    async fn create_resources(&self, flow: &JobFlow) -> Resources {
        let created = in_time(apply::create_resources(&self.client, flow, None).map(Ok)).await;
        created.unwrap_or_else(|_| Err(refusal::late(None, Timestamp::now())))
    }

    /// Carries out the actions of a plan, each independently of the others.
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
        let (mut round, mut failed) = (Round::Done, None);
        while let Some(result) = results.next().await {
            match result {
                Ok(Round::Done) => {}
                Ok(Round::Again) => round = Round::Again,
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        match (round, failed) {
            (Round::Again, _) => Acted::Again,
            (Round::Done, Some(error)) => Acted::Failed(error),
            (Round::Done, None) => Acted::All,
        }
    }

    /// Carries out one action. It is [`Round::Again`] if the status has to say something new of it, such as a refusal.
    async fn act_once(
        &self,
        flow: &JobFlow,
        observed: &Observed,
        action: Action,
        decided: Option<Timestamp>,
        stopped: &CancellationToken,
    ) -> Result<Round, Error> {
        if stopped.is_cancelled() {
            return Ok(Round::Done);
        }
        let namespace = flow.metadata.namespace.as_deref().unwrap_or_default();
        let id = id_of(&flow.metadata);
        match action {
            // Carried out in a round of its own.
            Action::CreateResources => Ok(Round::Again),
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
                        if before.is_none() {
                            return Ok(Round::Done);
                        }
                        // The status still reports the refusal.
                        self.watches.cache.not_refused(&id, &step_name, attempt);
                        Ok(Round::Again)
                    }
                    Err(refusal) => {
                        self.watches.cache.refuse(&id, step_name, attempt, refusal);
                        Ok(Round::Again)
                    }
                }
            }
            Action::DeleteJob { name, uid } => {
                in_time(apply::delete_job(&self.client, namespace, &name, &uid)).await?;
                Ok(Round::Done)
            }
            Action::DeleteFlow => {
                in_time(apply::delete_flow(&self.client, flow)).await?;
                Ok(Round::Done)
            }
        }
    }
}

/// A key that goes back to the queue in any case: a worker that is stopped must not keep it.
struct QueueGuard<'e> {
    engine: &'e Engine,
    key: Option<FlowKey>,
}

impl QueueGuard<'_> {
    fn end(mut self, done: Done) {
        if let Some(key) = self.key.take() {
            self.engine.watches.queue.done(&key, done);
        }
    }
}

impl Drop for QueueGuard<'_> {
    fn drop(&mut self) {
        if let Some(key) = self.key.take() {
            self.engine.watches.queue.done(&key, Done::Until(None));
            self.engine.watches.queue.add(key, Urgency::Normal);
        }
    }
}
