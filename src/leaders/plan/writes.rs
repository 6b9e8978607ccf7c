//! The writes that a decision wants, by urgency, and which of them come first.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Service as ServiceObject;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use serde_json::Value;

use super::key::Key;
use super::memory::{Memory, WriteKind};
use super::model::Meta;
use super::status::SourceReport;

/// One write.
#[derive(Clone, Debug)]
pub(crate) enum Call {
    /// Creates the leader Service.
    CreateService(Key, Box<ServiceObject>),
    /// Repairs the leader Service; the patch carries its version.
    PatchService(Meta, Value),
    /// Deletes a leader Service of ours.
    DeleteService(Meta),
    /// Creates a slice, or replaces the one of this version.
    WriteSlice(Key, Box<EndpointSlice>),
    /// Deletes a slice of ours.
    DeleteSlice(Meta),
    /// Annotates the source; the patch carries its version.
    PatchSource(Meta, Value),
}

impl Call {
    pub(crate) fn kind(&self) -> WriteKind {
        match self {
            Self::CreateService(..) | Self::PatchService(..) | Self::DeleteService(_) => WriteKind::Service,
            Self::WriteSlice(..) | Self::DeleteSlice(_) => WriteKind::Slice,
            Self::PatchSource(..) => WriteKind::Source,
        }
    }
}

/// The urgency of writes, the most urgent first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Priority {
    /// The leader changes, or the conditions of its endpoint do.
    Failover,
    /// An object of ours differs from the desired one.
    Repair,
    /// An object of ours is obsolete.
    Cleaning,
    /// Annotations that only inform.
    Publishing,
}

/// The result of a decision.
#[derive(Clone, Debug)]
pub(crate) struct NextWrites {
    /// The writes, which do not depend on each other.
    pub(crate) calls: Vec<Call>,
    pub(crate) priority: Priority,
    /// The time at which to decide again if nothing changes meanwhile.
    pub(crate) due: Option<Timestamp>,
    /// The state of the source; absent where there is no source.
    pub(crate) report: Option<SourceReport>,
    /// Kinds of writes that have to wait because there were too many.
    pub(crate) held: Vec<WriteKind>,
}

/// All writes that a decision wants, by urgency.
#[derive(Default)]
pub(crate) struct PendingWrites {
    pub(crate) failover: Vec<Call>,
    pub(crate) repair: Vec<Call>,
    pub(crate) cleaning: Vec<Call>,
    pub(crate) publishing: Vec<Call>,
}

impl PendingWrites {
    /// Checks whether a write of this kind is wanted.
    pub(crate) fn has(&self, kind: WriteKind) -> bool {
        let all = [&self.failover, &self.repair, &self.cleaning, &self.publishing];
        all.into_iter().flatten().any(|call| call.kind() == kind)
    }

    /// Takes the most urgent writes that need not wait. `due` becomes earlier where others can be made before.
    pub(crate) fn most_urgent(
        self,
        memory: &Memory,
        now: Timestamp,
        due: Option<Timestamp>,
        report: Option<SourceReport>,
    ) -> NextWrites {
        let mut next =
            NextWrites { calls: Vec::new(), priority: Priority::Publishing, due, report, held: Vec::new() };
        for (priority, calls) in [
            (Priority::Failover, self.failover),
            (Priority::Repair, self.repair),
            (Priority::Cleaning, self.cleaning),
            (Priority::Publishing, self.publishing),
        ] {
            let (possible, waiting): (Vec<Call>, Vec<Call>) =
                calls.into_iter().partition(|call| memory.may(call.kind(), now));
            let waiting = waiting.iter().map(Call::kind);
            let ends = waiting.clone().filter_map(|kind| memory.wait(kind, now));
            next.due = next.due.into_iter().chain(ends).min();
            next.held.extend(waiting.filter(|kind| memory.is_limited(*kind, now)));
            if next.calls.is_empty() && !possible.is_empty() {
                next.calls = possible;
                next.priority = priority;
            }
        }
        next
    }
}
