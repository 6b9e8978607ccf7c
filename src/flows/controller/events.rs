//! Events about flows, for people. They never hold up a flow: they have a queue of their own, and those that find no room
//! in it are dropped and counted.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Client;
use prometheus_client::metrics::counter::Counter;
use tokio_util::sync::CancellationToken;

use crate::cluster::events::{ClusterEvent, EventQueue, Writer};
use crate::flows::api::JobFlowStatus;
use crate::flows::plan::Event;
use crate::names;

/// The most Events that wait to be written.
const QUEUE: usize = 4_000;
/// The longest note that the API accepts (events.k8s.io/v1), in bytes.
const NOTE: usize = 1_024;

/// The transitions that become Events. Events cost a cluster as much as statuses do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum EventLevel {
    /// The end of a flow, failures, retries, timeouts, and steps that wait for somebody.
    #[default]
    Important,
    /// Also the start of a flow, and of each step its start and success.
    All,
    /// None.
    None,
}

/// Accepts the Events of flows.
#[derive(Clone)]
pub struct Events {
    level: EventLevel,
    queue: EventQueue,
    dropped: Counter,
}

impl Events {
    /// Starts a task that writes Events until `stopped`; what is queued then is still written.
    pub fn start(
        client: Client,
        level: EventLevel,
        instance: String,
        dropped: Counter,
        stopped: CancellationToken,
    ) -> Self {
        let queue = EventQueue::start(Writer::separate(client, instance), QUEUE, stopped, |_, error| {
            // Its text may quote the note, which may quote what a container said.
            let code = if let kube::Error::Api(status) = error { status.code } else { 0 };
            tracing::debug!(code, "an Event could not be written");
        });
        Self { level, queue, dropped }
    }

    /// Publishes transitions of a flow, whose status is `status` now.
    pub(super) fn publish(&self, metadata: &ObjectMeta, status: &JobFlowStatus, transitions: Vec<Event>) {
        for event in transitions.into_iter().filter(|event| self.wants(event)) {
            if !self.queue.publish(cluster_event(metadata, status, event)) {
                self.dropped.inc();
            }
        }
    }

    fn wants(&self, event: &Event) -> bool {
        match self.level {
            EventLevel::All => true,
            EventLevel::None => false,
            EventLevel::Important => !matches!(event.reason, "FlowStarted" | "StepStarted" | "StepSucceeded"),
        }
    }
}

fn cluster_event(metadata: &ObjectMeta, status: &JobFlowStatus, event: Event) -> ClusterEvent {
    let step = event.step.and_then(|index| status.steps.get(index));
    let related = step.and_then(|step| step.job_ref.as_ref()).map(|job| ObjectReference {
        api_version: Some("batch/v1".to_owned()),
        kind: Some("Job".to_owned()),
        namespace: metadata.namespace.clone(),
        name: Some(job.name.clone()),
        uid: job.uid.clone(),
        ..ObjectReference::default()
    });
    let mut note = event.message;
    note.truncate(note.floor_char_boundary(NOTE));
    ClusterEvent {
        regarding: ObjectReference {
            api_version: Some(names::API_VERSION.to_owned()),
            kind: Some(names::KIND.to_owned()),
            namespace: metadata.namespace.clone(),
            name: metadata.name.clone(),
            uid: metadata.uid.clone(),
            resource_version: metadata.resource_version.clone(),
            ..ObjectReference::default()
        },
        related,
        warning: event.warning,
        reason: event.reason.to_owned(),
        action: if event.step.is_some() { "RunStep" } else { "RunFlow" },
        note,
        at: Timestamp::now(),
    }
}
