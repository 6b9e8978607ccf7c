//! The controller without its I/O: changes go in, batches of writes come out, and their outcomes go in again.
//!
//! A source has at most one batch in flight. Sources wait in one queue, ordered by urgency and then by age, and a
//! source is decided again when its turn comes, so a batch never writes what a later change has overtaken. Timers are
//! exact: they are the instants at which decisions asked to be made again.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use jiff::{SignedDuration, Timestamp};

use super::answers::Answers;
use super::batch::{Outcome, WriteBatch};
use super::decide::Situation;
use super::incumbent::Incumbent;
use super::key::Key;
use super::memory::Memory;
use super::notes::{Note, limited, news};
use super::state::{Change, ClusterState};
use super::status::{SourceReport, Status};
use super::writes::{Call, NextWrites, Priority};
use crate::names::leader;

/// The settings of the controller that decisions depend on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Options {
    /// The time for which a node may be not Ready until its pods are given up.
    pub(crate) node_grace: SignedDuration,
}

/// The controller.
#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) state: ClusterState,
    options: Options,
    leading: bool,
    sources: HashMap<Key, SourceState>,
    queue: BTreeMap<QueuePosition, Key>,
    timers: BTreeSet<(Timestamp, Key)>,
    last_ticket: u64,
    notes: Vec<Note>,
    /// An empty set, kept for its capacity.
    touched: BTreeSet<Key>,
}

/// The urgency, and a ticket that grows with every source that is put into the queue.
type QueuePosition = (Priority, u64);

#[derive(Debug, Default)]
struct SourceState {
    memory: Memory,
    in_flight: bool,
    queued: Option<QueuePosition>,
    timer: Option<Timestamp>,
    /// The time at which the first change was received that no batch has served yet.
    trigger: Option<Timestamp>,
    report: Option<SourceReport>,
}

impl Core {
    /// A controller that has not seen any object.
    pub(crate) fn new(options: Options) -> Self {
        Self {
            state: ClusterState::default(),
            options,
            leading: false,
            sources: HashMap::new(),
            queue: BTreeMap::new(),
            timers: BTreeSet::new(),
            last_ticket: 0,
            notes: Vec::new(),
            touched: BTreeSet::new(),
        }
    }

    /// Starts or stops writing. Must not start before everything was listed once.
    pub(crate) fn lead(&mut self, leading: bool, now: Timestamp) {
        if self.leading == leading {
            return;
        }
        self.leading = leading;
        self.sources.clear();
        self.queue.clear();
        self.timers.clear();
        if leading {
            let all = self.state.all_sources();
            self.reconcile(all, now, None);
        }
    }

    /// Takes in a change that was received at `now`.
    pub(crate) fn observe(&mut self, change: Change, now: Timestamp) {
        let mut touched = std::mem::take(&mut self.touched);
        self.state.apply(change, now, &mut touched);
        let all = std::mem::take(&mut touched);
        self.touched = touched;
        self.reconcile(all, now, Some(now));
    }

    /// Reconciles every source whose timer has come.
    pub(crate) fn tick(&mut self, now: Timestamp) {
        while let Some((time, key)) = self.timers.first().cloned() {
            if time > now {
                break;
            }
            self.timers.pop_first();
            if let Some(source) = self.sources.get_mut(&key) {
                source.timer = None;
            }
            self.reconcile([key].into(), now, Some(time));
        }
    }

    /// The time of the next timer.
    pub(crate) fn due(&self) -> Option<Timestamp> {
        self.timers.first().map(|(time, _)| *time)
    }

    /// The next batch, unless only less urgent ones than `most` wait.
    pub(crate) fn next(&mut self, most: Priority, now: Timestamp) -> Option<WriteBatch> {
        loop {
            let (&(priority, _), _) = self.queue.first_key_value()?;
            if priority > most {
                return None;
            }
            let (_, key) = self.queue.pop_first()?;
            if let Some(source) = self.sources.get_mut(&key) {
                source.queued = None;
            }
            let next = self.decide(&key, now);
            if next.calls.is_empty() || next.priority > most {
                self.schedule(&key, &next, now);
                continue;
            }
            let source = self.sources.get_mut(&key)?;
            source.in_flight = true;
            for kind in next.calls.iter().map(Call::kind) {
                if source.memory.sent(kind, now) {
                    self.notes.push(Note::Delayed(kind));
                }
            }
            return Some(WriteBatch {
                source: key,
                calls: next.calls,
                priority: next.priority,
                trigger: source.trigger.take(),
                decided: now,
                cause: next.report.and_then(|report| report.cause),
                lists: self.state.lists,
            });
        }
    }

    /// The number of sources in the queue.
    pub(crate) fn waiting(&self) -> usize {
        self.queue.len()
    }

    /// Takes the notes that were made since the last call.
    pub(crate) fn notes(&mut self) -> Vec<Note> {
        std::mem::take(&mut self.notes)
    }

    /// Takes in the outcomes of a batch, one for each of its calls.
    pub(crate) fn done(&mut self, batch: &WriteBatch, outcomes: Vec<Outcome>, now: Timestamp) {
        let key = &batch.source;
        let source = self.sources.entry(key.clone()).or_default();
        source.in_flight = false;
        // From the memory, not from the objects: the watch may have delivered the new slice before the answer came.
        let before = source.memory.incumbent.clone().unwrap_or_default();
        let mut answers = Answers::new(batch, &mut self.state, &mut source.memory, now);
        for (call, outcome) in batch.calls.iter().zip(outcomes) {
            answers.take_in(call, outcome);
        }
        let (mut outcomes, mut touched) = answers.finish();
        let after = self.situation(key, now).incumbent();
        if let Some(source) = self.sources.get_mut(key).filter(|_| before != after) {
            if before.uid() != after.uid() {
                outcomes.switched = outcomes.acknowledged.then(|| (before.clone(), after.clone()));
                outcomes.last.clone_from(&source.memory.last);
            }
            source.memory.remember(after);
        }
        let uid = self.state.service(key).map(|known| known.service.meta.uid.clone());
        self.notes.extend(outcomes.notes(batch, uid.as_ref(), now));
        touched.insert(key.clone());
        self.reconcile(touched, now, None);
    }

    /// Decides for these sources, and puts those with writes into the queue.
    fn reconcile(&mut self, keys: BTreeSet<Key>, now: Timestamp, trigger: Option<Timestamp>) {
        if !self.leading {
            return;
        }
        for key in keys {
            let source = self.sources.entry(key.clone()).or_default();
            if source.trigger.is_none() {
                source.trigger = trigger;
            }
            if source.in_flight {
                // It is reconciled again when the batch is done.
                continue;
            }
            let next = self.decide(&key, now);
            self.schedule(&key, &next, now);
        }
    }

    fn situation<'a>(&'a self, key: &'a Key, now: Timestamp) -> Situation<'a> {
        static FRESH: std::sync::LazyLock<Memory> = std::sync::LazyLock::new(Memory::default);
        let memory = self.sources.get(key).map_or(&*FRESH, |source| &source.memory);
        Situation { key, state: &self.state, memory, node_grace: self.options.node_grace, now }
    }

    fn decide(&mut self, key: &Key, now: Timestamp) -> NextWrites {
        let incumbent: Incumbent = self.situation(key, now).incumbent();
        if let Some(source) = self.sources.get_mut(key) {
            source.memory.pass_time(now);
            source.memory.remember(incumbent.clone());
        }
        self.situation(key, now).next_writes(&incumbent)
    }

    /// Notes the news of a decision, sets the timer of the source, and puts it into the queue if it has writes.
    fn schedule(&mut self, key: &Key, next: &NextWrites, now: Timestamp) {
        let known = self.state.service(key).map(|known| &known.service);
        let uid = known.map(|service| service.meta.uid.clone());
        let published = known.and_then(|service| Status::read(service.annotations.get(leader::STATUS)));
        let Some(source) = self.sources.get_mut(key) else { return };
        for kind in next.held.iter().copied() {
            if source.memory.report_limit(kind) {
                self.notes.extend(limited(key, uid.as_ref(), kind));
            }
        }
        if let Some(timer) = source.timer.take() {
            self.timers.remove(&(timer, key.clone()));
        }
        if let Some(time) = next.due {
            // An instant that has passed would turn a mistake into a busy loop.
            let time = time.max(now.checked_add(SignedDuration::from_millis(1)).unwrap_or(time));
            self.timers.insert((time, key.clone()));
            source.timer = Some(time);
        }
        let queued = source.queued.take();
        if let Some(position) = queued {
            self.queue.remove(&position);
        }
        // A change of leader becomes news when its slice was written.
        if next.report.as_ref().is_none_or(|report| report.cause.is_none()) {
            let before = source.report.as_ref().map(|report| report.status.clone()).or(published);
            self.notes.extend(news(key, uid.as_ref(), before.as_ref(), next.report.as_ref()));
            source.report.clone_from(&next.report);
        }
        if !next.calls.is_empty() {
            self.last_ticket += 1;
            // With the same urgency a source keeps its place in the queue.
            let position = queued
                .filter(|(priority, _)| *priority == next.priority)
                .unwrap_or((next.priority, self.last_ticket));
            source.queued = Some(position);
            self.queue.insert(position, key.clone());
            return;
        }
        source.trigger = None;
        if next.report.is_none() && next.due.is_none() {
            self.sources.remove(key);
            self.state.stop_waiting(key);
        }
    }
}
