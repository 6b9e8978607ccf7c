//! The controller without its I/O: changes go in, writes come out, and what became of them goes in again. Pure.
//!
//! One source has at most one job at a time. Jobs wait in one line, ordered by urgency and then by age, and are planned
//! anew when their turn comes, so a job never writes what has been overtaken. Timers are exact: they are the instants at
//! which plans asked to be made again.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use jiff::{SignedDuration, Timestamp};

use super::batch::{Current, Job, Outcome};
use super::decide::{Situation, View, is_owned};
use super::key::Key;
use super::memory::{Kind, Memory};
use super::notes::{Note, Outcomes, limited, news};
use super::state::{Change, World};
use super::status::Status;
use super::writes::{Call, Plan, Priority};

/// What a replica is told.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// How long a node may be not Ready until its pods are given up.
    pub node_grace: SignedDuration,
}

/// The controller.
#[derive(Debug)]
pub struct Core {
    /// What is known.
    pub world: World,
    options: Options,
    leading: bool,
    states: HashMap<Key, State>,
    line: BTreeMap<(Priority, u64), Key>,
    timers: BTreeSet<(Timestamp, Key)>,
    ticket: u64,
    notes: Vec<Note>,
    touched: BTreeSet<Key>,
}

/// One source.
#[derive(Debug, Default)]
struct State {
    memory: Memory,
    in_flight: bool,
    place: Option<(Priority, u64)>,
    timer: Option<Timestamp>,
    /// When the first event came that is not served yet.
    trigger: Option<Timestamp>,
    view: Option<View>,
}

impl Core {
    /// One that knows nothing yet.
    pub fn new(options: Options) -> Self {
        Self {
            world: World::default(),
            options,
            leading: false,
            states: HashMap::new(),
            line: BTreeMap::new(),
            timers: BTreeSet::new(),
            ticket: 0,
            notes: Vec::new(),
            touched: BTreeSet::new(),
        }
    }

    /// Begin or cease to write. Must not begin before everything was listed once.
    pub fn lead(&mut self, leading: bool, now: Timestamp) {
        if self.leading == leading {
            return;
        }
        self.leading = leading;
        self.states.clear();
        self.line.clear();
        self.timers.clear();
        if leading {
            let all = self.world.concerned();
            self.ask(all, now, None);
        }
    }

    /// Take a change that was received at `now`.
    pub fn take(&mut self, change: Change, now: Timestamp) {
        let mut touched = std::mem::take(&mut self.touched);
        self.world.take(change, now, &mut touched);
        let all = std::mem::take(&mut touched);
        self.touched = touched;
        self.ask(all, now, Some(now));
    }

    /// Let time pass.
    pub fn tick(&mut self, now: Timestamp) {
        while let Some((time, key)) = self.timers.first().cloned() {
            if time > now {
                break;
            }
            self.timers.pop_first();
            if let Some(state) = self.states.get_mut(&key) {
                state.timer = None;
            }
            self.ask([key].into(), now, Some(time));
        }
    }

    /// When time changes something next.
    pub fn due(&self) -> Option<Timestamp> {
        self.timers.first().map(|(time, _)| *time)
    }

    /// The next job, unless only less urgent ones than `most` wait.
    pub fn next(&mut self, most: Priority, now: Timestamp) -> Option<Job> {
        loop {
            let (&(priority, _), _) = self.line.first_key_value()?;
            if priority > most {
                return None;
            }
            let (_, key) = self.line.pop_first()?;
            if let Some(state) = self.states.get_mut(&key) {
                state.place = None;
            }
            let plan = self.plan(&key, now);
            if plan.calls.is_empty() || plan.priority > most {
                self.settle(&key, &plan, now);
                continue;
            }
            let state = self.states.get_mut(&key)?;
            state.in_flight = true;
            for kind in plan.calls.iter().map(Call::kind) {
                if state.memory.sent(kind, now) {
                    self.notes.push(Note::Delayed(kind));
                }
            }
            return Some(Job {
                source: key,
                calls: plan.calls,
                priority: plan.priority,
                trigger: state.trigger.take(),
                decided: now,
                cause: plan.view.and_then(|view| view.cause),
                lists: self.world.lists,
            });
        }
    }

    /// How many jobs wait.
    pub fn waiting(&self) -> usize {
        self.line.len()
    }

    /// Whether nothing is being written and nothing waits to be.
    pub fn is_idle(&self) -> bool {
        self.line.is_empty() && self.states.values().all(|state| !state.in_flight)
    }

    /// What happened since this was asked last.
    pub fn notes(&mut self) -> Vec<Note> {
        std::mem::take(&mut self.notes)
    }

    /// Take what became of a job.
    pub fn done(&mut self, job: &Job, outcomes: Vec<Outcome>, now: Timestamp) {
        let key = &job.source;
        let mut told = Outcomes::default();
        // Not what the world says: its watch may have been quicker than the answer.
        let before =
            self.states.get(key).and_then(|state| state.memory.incumbent.clone()).unwrap_or_default();
        let mut touched = BTreeSet::new();
        for (call, outcome) in job.calls.iter().zip(outcomes) {
            self.learn(job, call, outcome, now, &mut told, &mut touched);
        }
        if let Some(state) = self.states.get_mut(key) {
            state.in_flight = false;
        }
        let after = self.situation(key, now).incumbent();
        if let Some(state) = self.states.get_mut(key).filter(|_| before != after) {
            if before.pod.as_ref().map(|(_, uid)| uid) != after.pod.as_ref().map(|(_, uid)| uid) {
                told.switched = told.acknowledged.then(|| (before.clone(), after.clone()));
                told.last = state.memory.last.clone();
            }
            state.memory.last = after.pod.clone().or_else(|| state.memory.last.take());
            state.memory.incumbent = Some(after);
        }
        self.note_outcomes(job, &told, now);
        touched.insert(key.clone());
        self.ask(touched, now, None);
    }

    /// Put what came of one call into the world and the memory.
    fn learn(
        &mut self,
        job: &Job,
        call: &Call,
        outcome: Outcome,
        now: Timestamp,
        told: &mut Outcomes,
        touched: &mut BTreeSet<Key>,
    ) {
        let key = &job.source;
        let kind = call.kind();
        // What was listed meanwhile is newer, and what is newer still, the watch will tell.
        let is_late = job.lists != self.world.lists;
        let owner = self.world.service(key).map(|known| known.service.meta.clone());
        let Self { world, states, .. } = self;
        let state = states.entry(key.clone()).or_default();
        let memory = &mut state.memory;
        match outcome {
            Outcome::Service(service) => {
                memory.worked(kind);
                told.created |= matches!(call, Call::CreateService(..));
                if kind == Kind::Source {
                    memory.told_at = Some(now);
                }
                if !is_late {
                    world.take(Change::Service(service), now, touched);
                }
            }
            Outcome::Slice(slice) => {
                memory.worked(kind);
                told.acknowledged = true;
                if !is_late {
                    world.take(Change::Slice(slice), now, touched);
                }
            }
            Outcome::Gone => {
                memory.worked(kind);
                match call {
                    Call::DeleteService(meta) | Call::PatchService(meta, _) | Call::PatchSource(meta, _) => {
                        world.take(Change::ServiceDeleted(meta.clone()), now, touched);
                    }
                    Call::DeleteSlice(meta) => world.take(Change::SliceDeleted(meta.clone()), now, touched),
                    // Only the very one that was to be replaced: another may have its name by now.
                    Call::WriteSlice(name, wanted) => {
                        let known =
                            world.slices_of(key).map(|known| &known.meta).find(|meta| meta.key == *name);
                        let known = known.filter(|meta| wanted.metadata.uid.as_deref() == Some(&*meta.uid));
                        if let Some(meta) = known.cloned() {
                            world.take(Change::SliceDeleted(meta), now, touched);
                        }
                    }
                    Call::CreateService(..) => memory.failed(kind, now),
                }
            }
            Outcome::Overtaken(current) => {
                told.overtaken = true;
                memory.lost(kind, now);
                let current = current.filter(|_| !is_late);
                match (call, current) {
                    (Call::CreateService(name, _), Some(Current::Service(service))) => {
                        if owner.is_some_and(|owner| is_owned(&service, &owner)) {
                            world.take(Change::Service(service), now, touched);
                        } else {
                            memory.worked(kind);
                            world.wait_for(name, key);
                        }
                    }
                    (Call::WriteSlice(name, wanted), Some(Current::Slice(slice))) => {
                        let uid =
                            |owners: &[_]| super::model::controller(owners).map(|owner| owner.uid.clone());
                        let ours = slice.source() == Some(&*key.name)
                            && (uid(&slice.owners)
                                == uid(wanted.metadata.owner_references.as_deref().unwrap_or_default())
                                || owner.is_some_and(|owner| {
                                    slice
                                        .annotations
                                        .get(crate::names::leader::SOURCE_UID)
                                        .is_some_and(|uid| **uid == *owner.uid)
                                }));
                        if ours {
                            world.take(Change::Slice(slice), now, touched);
                        } else {
                            let what =
                                format!("NameConflict: EndpointSlice {} exists and is not ours", name.name);
                            memory.set_trouble(kind, what);
                            told.failed = Some((kind, "conflict"));
                            (0..20).for_each(|_| memory.failed(kind, now));
                        }
                    }
                    (_, Some(Current::Service(service))) => {
                        world.take(Change::Service(service), now, touched);
                    }
                    (_, Some(Current::Slice(slice))) => world.take(Change::Slice(slice), now, touched),
                    (_, None) => {}
                }
            }
            Outcome::Failed(word) => {
                memory.failed(kind, now);
                told.failed = Some((kind, word));
                memory.set_trouble(kind, format!("WriteRefused: {} ({word})", kind.what()));
            }
        }
    }

    fn note_outcomes(&mut self, job: &Job, told: &Outcomes, now: Timestamp) {
        let uid = self.world.service(&job.source).map(|known| known.service.meta.uid.clone());
        self.notes.extend(told.notes(job, uid.as_ref(), now));
    }

    /// Plan for these sources, and put what is to be written into the line.
    fn ask(&mut self, keys: BTreeSet<Key>, now: Timestamp, trigger: Option<Timestamp>) {
        if !self.leading {
            return;
        }
        for key in keys {
            let state = self.states.entry(key.clone()).or_default();
            if state.trigger.is_none() {
                state.trigger = trigger;
            }
            if state.in_flight {
                // It is asked again when the job is done.
                continue;
            }
            let plan = self.plan(&key, now);
            self.settle(&key, &plan, now);
        }
    }

    fn situation<'a>(&'a self, key: &'a Key, now: Timestamp) -> Situation<'a> {
        static FRESH: std::sync::LazyLock<Memory> = std::sync::LazyLock::new(Memory::default);
        let memory = self.states.get(key).map_or(&*FRESH, |state| &state.memory);
        Situation { key, world: &self.world, memory, node_grace: self.options.node_grace, now }
    }

    fn plan(&mut self, key: &Key, now: Timestamp) -> Plan {
        let seen = self.situation(key, now).incumbent();
        if let Some(state) = self.states.get_mut(key) {
            state.memory.look(now);
            if state.memory.incumbent.as_ref() != Some(&seen) {
                state.memory.last = seen.pod.clone().or_else(|| state.memory.last.take());
                state.memory.incumbent = Some(seen);
            }
        }
        self.situation(key, now).plan()
    }

    /// Note what a plan says, set its timer, and put its writes into the line.
    fn settle(&mut self, key: &Key, plan: &Plan, now: Timestamp) {
        let known = self.world.service(key).map(|known| &known.service);
        let uid = known.map(|service| service.meta.uid.clone());
        let published =
            known.and_then(|service| Status::read(service.annotations.get(crate::names::leader::STATUS)));
        let Some(state) = self.states.get_mut(key) else { return };
        for kind in plan.held.iter().copied() {
            if state.memory.tell_limit(kind) {
                self.notes.extend(limited(key, uid.as_ref(), kind));
            }
        }
        if let Some(timer) = state.timer.take() {
            self.timers.remove(&(timer, key.clone()));
        }
        if let Some(time) = plan.due {
            // An instant that has passed would make a busy loop of a mistake.
            let time = time.max(now.checked_add(SignedDuration::from_millis(1)).unwrap_or(time));
            self.timers.insert((time, key.clone()));
            state.timer = Some(time);
        }
        let place = state.place.take();
        if let Some(place) = place {
            self.line.remove(&place);
        }
        // What is not written yet is no news yet.
        if plan.view.as_ref().is_none_or(|view| view.cause.is_none()) {
            let before = state.view.as_ref().map(|view| view.status.clone()).or(published);
            self.notes.extend(news(key, uid.as_ref(), before.as_ref(), plan.view.as_ref()));
            state.view.clone_from(&plan.view);
        }
        if !plan.calls.is_empty() {
            self.ticket += 1;
            let place =
                place.filter(|place| place.0 == plan.priority).unwrap_or((plan.priority, self.ticket));
            state.place = Some(place);
            self.line.insert(place, key.clone());
            return;
        }
        state.trigger = None;
        if plan.view.is_none() && plan.due.is_none() {
            self.states.remove(key);
            self.world.wait_only_for(None, key);
        }
    }
}
