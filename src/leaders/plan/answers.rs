//! Takes the outcomes of a batch into the state and the memory, one function for each kind of outcome.

use std::collections::BTreeSet;

use jiff::Timestamp;
use k8s_openapi::api::discovery::v1::EndpointSlice;

use super::batch::{Current, Outcome, WriteBatch};
use super::key::Key;
use super::memory::{Memory, WriteKind};
use super::model::{Meta, Service, Slice, controller};
use super::notes::Outcomes;
use super::state::{Change, ClusterState};
use super::writes::Call;
use crate::names::leader;

/// The outcomes of one batch, as they are taken in.
pub(crate) struct Answers<'a> {
    source: &'a Key,
    state: &'a mut ClusterState,
    memory: &'a mut Memory,
    now: Timestamp,
    /// A list was received after the batch was decided. It is newer than the answers, and the watch delivers what is
    /// newer still, so objects in the answers are ignored.
    is_late: bool,
    outcomes: Outcomes,
    touched: BTreeSet<Key>,
}

impl<'a> Answers<'a> {
    pub(crate) fn new(
        batch: &'a WriteBatch,
        state: &'a mut ClusterState,
        memory: &'a mut Memory,
        now: Timestamp,
    ) -> Self {
        let is_late = batch.lists != state.lists;
        let (outcomes, touched) = (Outcomes::default(), BTreeSet::new());
        Self { source: &batch.source, state, memory, now, is_late, outcomes, touched }
    }

    /// The summary for notes, and the sources that the outcomes concern.
    pub(crate) fn finish(self) -> (Outcomes, BTreeSet<Key>) {
        (self.outcomes, self.touched)
    }

    pub(crate) fn take_in(&mut self, call: &Call, outcome: Outcome) {
        match outcome {
            Outcome::Service(service) => self.service_written(call, service),
            Outcome::Slice(slice) => self.slice_written(call, slice),
            Outcome::Gone => self.gone(call),
            Outcome::Overtaken(current) => self.overtaken(call, current),
            Outcome::Failed(reason) => self.failed(call.kind(), reason),
        }
    }

    fn apply(&mut self, change: Change) {
        self.state.apply(change, self.now, &mut self.touched);
    }

    fn service_written(&mut self, call: &Call, service: Service) {
        let kind = call.kind();
        self.memory.worked(kind);
        self.outcomes.created |= matches!(call, Call::CreateService(..));
        if kind == WriteKind::Source {
            self.memory.status_written_at = Some(self.now);
        }
        if !self.is_late {
            self.apply(Change::Service(service));
        }
    }

    fn slice_written(&mut self, call: &Call, slice: Slice) {
        self.memory.worked(call.kind());
        self.outcomes.acknowledged = true;
        if !self.is_late {
            self.apply(Change::Slice(slice));
        }
    }

    fn gone(&mut self, call: &Call) {
        self.memory.worked(call.kind());
        match call {
            Call::DeleteService(meta) | Call::PatchService(meta, _) | Call::PatchSource(meta, _) => {
                self.apply(Change::ServiceDeleted(meta.clone()));
            }
            Call::DeleteSlice(meta) => self.apply(Change::SliceDeleted(meta.clone())),
            Call::WriteSlice(name, wanted) => {
                // Only the very slice that was to be replaced: another one may have its name by now.
                let uid = wanted.metadata.uid.as_deref();
                let is_replaced = |meta: &&Meta| meta.key == *name && uid == Some(&*meta.uid);
                let slices = self.state.slices_of(self.source);
                let replaced = slices.map(|known| &known.meta).find(is_replaced).cloned();
                if let Some(meta) = replaced {
                    self.apply(Change::SliceDeleted(meta));
                }
            }
            // The namespace is gone, or is about to be.
            Call::CreateService(..) => self.memory.failed(call.kind(), self.now),
        }
    }

    fn overtaken(&mut self, call: &Call, current: Option<Current>) {
        self.outcomes.overtaken = true;
        self.memory.lost(call.kind(), self.now);
        let Some(current) = current.filter(|_| !self.is_late) else { return };
        match (call, current) {
            (Call::CreateService(name, _), Current::Service(service)) if !self.is_our_service(&service) => {
                // No failure: the source waits until the name is free.
                self.memory.worked(call.kind());
                self.state.wait_for(name, self.source);
            }
            (Call::WriteSlice(name, wanted), Current::Slice(slice)) if !self.is_our_slice(&slice, wanted) => {
                self.foreign_slice(call.kind(), name);
            }
            (_, Current::Service(service)) => self.apply(Change::Service(service)),
            (_, Current::Slice(slice)) => self.apply(Change::Slice(slice)),
        }
    }

    /// A slice of the wanted name that is not ours is in the way.
    fn foreign_slice(&mut self, kind: WriteKind, name: &Key) {
        let trouble = format!("NameConflict: EndpointSlice {} exists and is not ours", name.name);
        self.memory.set_trouble(kind, trouble);
        self.outcomes.failed = Some((kind, "conflict"));
        self.memory.give_up(kind, self.now);
    }

    fn failed(&mut self, kind: WriteKind, reason: &'static str) {
        self.memory.failed(kind, self.now);
        self.outcomes.failed = Some((kind, reason));
        self.memory.set_trouble(kind, format!("WriteRefused: {} ({reason})", kind.object()));
    }

    /// The source Service, if it is still there.
    fn owner(&self) -> Option<&Meta> {
        self.state.service(self.source).map(|known| &known.service.meta)
    }

    fn is_our_service(&self, service: &Service) -> bool {
        self.owner().is_some_and(|owner| service.is_leader_service_of(owner))
    }

    /// Checks whether a slice is ours: it names the source, and has the wanted owner or carries the UID of the source.
    fn is_our_slice(&self, slice: &Slice, wanted: &EndpointSlice) -> bool {
        let owner_of = |owners: &[_]| controller(owners).map(|owner| owner.uid.clone());
        let wanted_owners = wanted.metadata.owner_references.as_deref().unwrap_or_default();
        let carries =
            |owner: &Meta| slice.annotations.get(leader::SOURCE_UID).is_some_and(|uid| **uid == *owner.uid);
        slice.source() == Some(&*self.source.name)
            && (owner_of(&slice.owners) == owner_of(wanted_owners) || self.owner().is_some_and(carries))
    }
}
