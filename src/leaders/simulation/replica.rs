//! A controller and its watches, each of which is late in its own way.

use std::collections::{HashSet, VecDeque};

use jiff::{SignedDuration, Timestamp};

use super::Random;
use super::server::Server;
use crate::leaders::plan::batch::{Outcome, WriteBatch};
use crate::leaders::plan::choose::{Eligibility, Question};
use crate::leaders::plan::core::{Core, Options};
use crate::leaders::plan::state::Change;
use crate::leaders::plan::writes::{Call, Priority};

pub(crate) const GRACE: SignedDuration = SignedDuration::from_secs(5);

pub(crate) struct Replica {
    pub(crate) core: Core,
    /// The events that are not delivered yet, by watch: pods, Services, slices, nodes, slices of others.
    pub(crate) inbox: [VecDeque<Change>; 5],
    /// The batches that were decided and are not sent yet.
    pub(crate) waiting: Vec<WriteBatch>,
    /// The batches whose answers are on their way.
    pub(crate) answers: Vec<(WriteBatch, Vec<Outcome>)>,
}

fn lane(change: &Change) -> usize {
    match change {
        Change::Pod(_) | Change::PodGone(_) | Change::Pods(_) => 0,
        Change::Service(_) | Change::ServiceGone(_) | Change::Services(_) => 1,
        Change::Slice(_) | Change::SliceGone(_) | Change::Slices(_) => 2,
        Change::Rival(..) | Change::RivalGone(_) | Change::Rivals(_) => 4,
        _ => 3,
    }
}

impl Replica {
    /// A controller that has just listed everything, and leads.
    pub(crate) fn start(server: &Server) -> Self {
        let core = Core::new(Options { node_grace: GRACE });
        let mut replica = Self { core, inbox: Default::default(), waiting: Vec::new(), answers: Vec::new() };
        replica.relist(server);
        replica.core.lead(true, server.now);
        replica
    }

    /// Lists everything, as a watch does that has lost its place. Its undelivered events are dropped.
    pub(crate) fn relist(&mut self, server: &Server) {
        self.inbox = Default::default();
        let now = server.now;
        let all = server
            .pods
            .values()
            .map(|pod| Change::Pod(pod.clone()))
            .chain(server.services.values().map(|service| Change::Service(service.clone())))
            .chain(server.labelled().map(|slice| Change::Slice(slice.clone())))
            .chain(server.nodes.values().map(|node| Change::Node(node.clone())))
            .chain(server.rivals.values().map(|one| Change::Rival(one.meta.clone(), Some(one.clone()))));
        for change in all {
            self.core.observe(change, now);
        }
        let keys = |keys: Vec<_>| keys.into_iter().collect::<HashSet<_>>();
        self.core.observe(Change::Pods(keys(server.pods.keys().cloned().collect())), now);
        self.core.observe(Change::Services(keys(server.services.keys().cloned().collect())), now);
        self.core.observe(
            Change::Slices(keys(server.labelled().map(|slice| slice.meta.key.clone()).collect())),
            now,
        );
        self.core.observe(Change::Rivals(keys(server.rivals.keys().cloned().collect())), now);
        self.core.observe(Change::Nodes(server.nodes.keys().cloned().collect()), now);
    }

    pub(crate) fn enqueue(&mut self, change: &Change) {
        self.inbox[lane(change)].push_back(change.clone());
    }

    /// Delivers the next event of one watch, perhaps twice, perhaps after the one behind it.
    pub(crate) fn deliver(&mut self, random: &mut Random, now: Timestamp) {
        let lane = random.below(5);
        if random.once_in(20) && self.inbox[lane].len() > 1 {
            self.inbox[lane].swap(0, 1);
        }
        let Some(change) = self.inbox[lane].pop_front() else { return };
        if random.once_in(10) {
            self.core.observe(change.clone(), now);
        }
        self.core.observe(change, now);
    }

    pub(crate) fn deliver_all(&mut self, now: Timestamp) {
        for lane in 0..5 {
            while let Some(change) = self.inbox[lane].pop_front() {
                self.core.observe(change, now);
            }
        }
    }

    /// Decides the next batch, and checks it against the state of this replica.
    pub(crate) fn decide(&mut self, now: Timestamp) -> bool {
        self.core.tick(now);
        self.core.notes();
        let Some(batch) = self.core.next(Priority::Publishing, now) else { return false };
        for call in &batch.calls {
            self.check(&batch, call, now);
        }
        self.waiting.push(batch);
        true
    }

    /// Checks that no terminating endpoint is written while another pod is a candidate.
    fn check(&self, batch: &WriteBatch, call: &Call, now: Timestamp) {
        let Call::WriteSlice(_, slice) = call else { return };
        let Some(endpoint) = slice.endpoints.first() else { return };
        if endpoint.conditions.as_ref().and_then(|conditions| conditions.terminating) != Some(true) {
            return;
        }
        let state = &self.core.state;
        let source = state.service(&batch.source).unwrap();
        let pods = state.pods.pods_of(&batch.source);
        let question = Question {
            settings: &source.source.as_ref().unwrap().settings,
            family: crate::leaders::plan::leader_service::families(&source.service)[0],
            pods: &pods,
            incumbent: None,
            down: &|node| state.down(node),
            node_grace: GRACE,
            lease: None,
            now,
        };
        for pod in &pods {
            assert_ne!(
                question.eligibility(pod),
                Eligibility::Candidate,
                "{} leads while {} may",
                batch.source,
                pod.meta.key
            );
        }
    }

    /// Sends one batch; the answers may be late, lost, or conflicts that were none.
    pub(crate) fn send(&mut self, server: &mut Server, random: &mut Random) {
        if self.waiting.is_empty() {
            return;
        }
        let batch = self.waiting.swap_remove(random.below(self.waiting.len()));
        let outcomes = batch
            .calls
            .iter()
            .map(|call| match random.below(12) {
                0 => Outcome::Failed("server"),
                1 => {
                    server.call(call);
                    Outcome::Failed("timeout")
                }
                2 => Outcome::Overtaken(current(server, call)),
                _ => server.call(call),
            })
            .collect();
        self.answers.push((batch, outcomes));
    }

    pub(crate) fn answer(&mut self, random: &mut Random, now: Timestamp) {
        if !self.answers.is_empty() {
            let (batch, outcomes) = self.answers.swap_remove(random.below(self.answers.len()));
            self.core.done(&batch, outcomes, now);
        }
    }
}

/// The present object, as it is read after a 409.
fn current(server: &Server, call: &Call) -> Option<crate::leaders::plan::batch::Current> {
    use crate::leaders::plan::batch::Current;
    match call {
        // A conflict on creation means that something is there.
        Call::CreateService(key, _) => server.services.get(key).cloned().map(Current::Service),
        Call::PatchService(meta, _) | Call::DeleteService(meta) | Call::PatchSource(meta, _) => {
            server.services.get(&meta.key).cloned().map(Current::Service)
        }
        Call::WriteSlice(key, _) => server.slices.get(key).cloned().map(Current::Slice),
        Call::DeleteSlice(meta) => server.slices.get(&meta.key).cloned().map(Current::Slice),
    }
}
