//! Drives the pure core with watches, a clock and a bounded number of concurrent writes. Requires a client.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, PoisonError, RwLock, RwLockWriteGuard};
use std::time::Duration;

use jiff::Timestamp;
use kube::Client;
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::apply::Applier;
use super::config::Config;
use super::events::Events;
use super::metrics;
use super::metrics::Metrics;
use super::watch::{LISTINGS, Listing, Received, Watches};
use crate::leaders::plan::batch::{Outcome, WriteBatch};
use crate::leaders::plan::core::{Core, Options};
use crate::leaders::plan::key::Key;
use crate::leaders::plan::notes::Note;
use crate::leaders::plan::writes::Priority;

/// The most concurrent batches; the fairness of the API server does the rest.
const WRITES: usize = 32;
/// The most concurrent batches other than failovers, so that these always find room.
const OTHERS: usize = 16;
/// The most concurrent batches of annotations that only inform.
const PUBLISHES: usize = 4;
/// The number of changes that are taken in before the queue is looked at again.
const CHANGES_AT_A_TIME: usize = 64;

/// The one task that changes the core. Others read it through [`Driver::shared`].
pub(crate) struct Driver {
    core: Arc<RwLock<Core>>,
    changes: mpsc::Receiver<Received>,
    leads: watch::Receiver<bool>,
    synced: Arc<watch::Sender<bool>>,
    /// The kinds that were not listed yet.
    missing: HashSet<Listing>,
    writes: JoinSet<(WriteBatch, Vec<Outcome>)>,
    /// The number of batches in flight, by priority.
    running: [usize; 4],
    applier: Applier,
    watches: Watches,
    leases: HashMap<Key, JoinHandle<()>>,
    events: Events,
    metrics: Metrics,
}

impl Driver {
    pub(crate) fn new(
        client: &Client,
        config: &Config,
        metrics: Metrics,
        leads: watch::Receiver<bool>,
        synced: Arc<watch::Sender<bool>>,
    ) -> (Self, Watches) {
        let core = Arc::new(RwLock::new(Core::new(Options { node_grace: config.node_grace })));
        let (out, changes) = mpsc::channel(1_024);
        let watches = Watches::new(client.clone(), config.namespace.clone(), out);
        let driver = Self {
            core,
            changes,
            leads,
            synced,
            missing: LISTINGS.into_iter().collect(),
            writes: JoinSet::new(),
            running: [0; 4],
            applier: Applier::new(client.clone(), config.timeout),
            watches: watches.clone(),
            leases: HashMap::new(),
            events: Events::start(client.clone()),
            metrics,
        };
        (driver, watches)
    }

    /// The core, to be read only.
    pub(crate) fn shared(&self) -> Arc<RwLock<Core>> {
        self.core.clone()
    }

    fn core(&self) -> RwLockWriteGuard<'_, Core> {
        self.core.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn with<T>(&self, read: impl FnOnce(&Core) -> T) -> T {
        read(&self.core.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) async fn run(mut self, stopped: CancellationToken) {
        loop {
            self.lead();
            self.dispatch();
            self.watch_leases();
            let (sizes, waiting) = self.with(|core| (core.state.sizes(), core.waiting()));
            self.metrics.sizes(sizes, waiting);
            let due = self.due();
            tokio::select! {
                biased;
                () = stopped.cancelled() => break,
                Some(done) = self.writes.join_next(), if !self.writes.is_empty() => self.done(done),
                changed = self.leads.changed() => if changed.is_err() { break },
                received = self.changes.recv() => {
                    let Some(received) = received else { break };
                    self.receive(received);
                    for _ in 1..CHANGES_AT_A_TIME {
                        let Ok(received) = self.changes.try_recv() else { break };
                        self.receive(received);
                    }
                }
                () = sleep_until(due) => {}
            }
            self.core().tick(Timestamp::now());
            self.publish();
        }
        for task in self.leases.into_values() {
            task.abort();
        }
    }

    /// Starts writing once every kind was listed and this replica leads, or stops.
    fn lead(&mut self) {
        let leads = *self.leads.borrow_and_update() && self.missing.is_empty();
        if !leads && !self.writes.is_empty() && !*self.leads.borrow() {
            // Writes that are on their way are conditional, and lose against the replica that leads now.
            self.writes.abort_all();
            self.writes = JoinSet::new();
            self.running = [0; 4];
        }
        self.core().lead(leads, Timestamp::now());
        self.metrics.leading(leads);
    }

    fn receive(&mut self, received: Received) {
        match received {
            Received::Change(change, time) => self.core().observe(*change, time),
            Received::Listed(listing) => {
                self.missing.remove(&listing);
                if self.missing.is_empty() {
                    self.synced.send_replace(true);
                }
            }
        }
    }

    fn due(&self) -> Instant {
        let due = self.with(Core::due);
        let wait = due.map_or(Duration::from_mins(1), |due| {
            Duration::try_from(due.duration_since(Timestamp::now())).unwrap_or(Duration::ZERO)
        });
        Instant::now() + wait
    }

    /// Starts as many batches as there is room for, the most urgent first.
    fn dispatch(&mut self) {
        while let Some(most) = self.room() {
            let next = self.core().next(most, Timestamp::now());
            let Some(batch) = next else { break };
            self.running[batch.priority as usize] += 1;
            let (applier, metrics) = (self.applier.clone(), self.metrics.clone());
            self.writes.spawn(async move {
                batch.calls.iter().for_each(|call| metrics.sent(call.kind()));
                let outcomes =
                    futures::future::join_all(batch.calls.iter().map(|call| applier.call(call))).await;
                (batch, outcomes)
            });
        }
    }

    /// The least urgent priority for which there is room, if there is any.
    fn room(&self) -> Option<Priority> {
        let [failovers, repairs, cleanings, publishes] = self.running;
        let others = repairs + cleanings + publishes;
        match failovers + others {
            all if all >= WRITES => None,
            _ if others >= OTHERS => Some(Priority::Failover),
            _ if publishes >= PUBLISHES => Some(Priority::Cleaning),
            _ => Some(Priority::Publishing),
        }
    }

    fn done(&mut self, done: Result<(WriteBatch, Vec<Outcome>), tokio::task::JoinError>) {
        let Ok((batch, outcomes)) = done else { return };
        self.running[batch.priority as usize] -= 1;
        let now = Timestamp::now();
        self.metrics.reconciliation.observe(now.duration_since(batch.decided).as_secs_f64().max(0.0));
        self.core().done(&batch, outcomes, now);
    }

    /// Runs one watch for each Lease that a source names.
    fn watch_leases(&mut self) {
        let changed = self.with(|core| {
            let wanted: Vec<&Key> = core.state.wanted_leases().collect();
            let known =
                wanted.len() == self.leases.len() && wanted.iter().all(|key| self.leases.contains_key(*key));
            (!known).then(|| wanted.into_iter().cloned().collect::<HashSet<Key>>())
        });
        let Some(wanted) = changed else { return };
        self.leases.retain(|key, task| {
            let keep = wanted.contains(key);
            if !keep {
                task.abort();
            }
            keep
        });
        for key in wanted {
            let watches = &self.watches;
            self.leases.entry(key).or_insert_with_key(|key| tokio::spawn(watches.clone().lease(key.clone())));
        }
    }

    /// Publishes the notes of the core as metrics, log lines and Events.
    fn publish(&mut self) {
        let notes = self.core().notes();
        for note in notes {
            self.metrics.note(&note);
            match note {
                Note::Failover { source, cause, trigger, acknowledged, .. } => {
                    let duration = trigger.map(|trigger| acknowledged.duration_since(trigger));
                    let milliseconds =
                        duration.map_or(0.0, |time| (time.as_secs_f64() * 1_000_000.0).round() / 1_000.0);
                    tracing::info!(service = %source, cause, milliseconds, "another pod leads");
                }
                Note::Failed(kind, error) => {
                    tracing::warn!(?kind, error, "a write failed and is tried again");
                }
                Note::Limited(source, kind) => {
                    let object = metrics::object(kind);
                    tracing::warn!(service = %source, object, "written too often; once a second from now on");
                }
                Note::Event { .. } => self.events.publish(note),
                _ => {}
            }
        }
    }
}
