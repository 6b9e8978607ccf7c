//! Writes, how urgent they are, and which of several comes first. Pure.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Service as ServiceObject;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use serde_json::Value;

use super::decide::View;
use super::key::Key;
use super::memory::{Kind, Memory};
use super::model::Meta;

/// One write.
#[derive(Clone, Debug)]
pub enum Call {
    /// Make the leader Service.
    CreateService(Key, Box<ServiceObject>),
    /// Set it right; the patch carries its version.
    PatchService(Meta, Value),
    /// Remove one of ours.
    DeleteService(Meta),
    /// Make a slice, or replace the one of this version.
    WriteSlice(Key, Box<EndpointSlice>),
    /// Remove one of ours.
    DeleteSlice(Meta),
    /// Tell on the source; the patch carries its version.
    PatchSource(Meta, Value),
}

impl Call {
    /// Which failures keep it waiting.
    pub fn kind(&self) -> Kind {
        match self {
            Self::CreateService(..) | Self::PatchService(..) | Self::DeleteService(_) => Kind::Service,
            Self::WriteSlice(..) | Self::DeleteSlice(_) => Kind::Slice,
            Self::PatchSource(..) => Kind::Source,
        }
    }
}

/// What comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Priority {
    /// The leader changes, or what its endpoint says.
    Failover,
    /// Our objects are not as they should be.
    Repair,
    /// Something of ours is left over.
    Cleaning,
    /// Annotations for people.
    Telling,
}

/// What to do.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The writes, which do not depend on each other.
    pub calls: Vec<Call>,
    /// How urgent they are.
    pub priority: Priority,
    /// When to ask again if nothing changes.
    pub due: Option<Timestamp>,
    /// How things are; absent where there is no source.
    pub view: Option<View>,
    /// Kinds of writes that have to wait because there were too many.
    pub held: Vec<Kind>,
}

impl Plan {
    fn nothing() -> Self {
        Self { calls: Vec::new(), priority: Priority::Telling, due: None, view: None, held: Vec::new() }
    }
}

/// The writes by urgency, as they are found.
#[derive(Default)]
pub(crate) struct Found {
    pub(crate) failover: Vec<Call>,
    pub(crate) repair: Vec<Call>,
    pub(crate) cleaning: Vec<Call>,
    pub(crate) telling: Vec<Call>,
}

impl Found {
    /// Whether a write of this kind is wanted.
    pub(crate) fn has(&self, kind: Kind) -> bool {
        let all = [&self.failover, &self.repair, &self.cleaning, &self.telling];
        all.into_iter().flatten().any(|call| call.kind() == kind)
    }

    /// The most urgent of those that need not wait.
    pub(crate) fn first(
        self,
        memory: &Memory,
        now: Timestamp,
        mut due: Option<Timestamp>,
        view: Option<View>,
    ) -> Plan {
        let mut plan = Plan { view, ..Plan::nothing() };
        for (priority, calls) in [
            (Priority::Failover, self.failover),
            (Priority::Repair, self.repair),
            (Priority::Cleaning, self.cleaning),
            (Priority::Telling, self.telling),
        ] {
            let (now_due, later): (Vec<Call>, Vec<Call>) =
                calls.into_iter().partition(|call| memory.may(call.kind(), now));
            let later = later.iter().map(Call::kind);
            due = due.into_iter().chain(later.clone().filter_map(|kind| memory.wait(kind, now))).min();
            plan.held.extend(later.filter(|kind| memory.is_limited(*kind, now)));
            if plan.calls.is_empty() && !now_due.is_empty() {
                plan.calls = now_due;
                plan.priority = priority;
            }
        }
        plan.due = due;
        plan
    }
}
