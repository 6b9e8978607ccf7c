//! Events, for people. Never on the path of a flow: a queue of their own, and what does not fit is dropped and counted.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::events::v1::Event as ApiEvent;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kube::api::PostParams;
use kube::{Api, Client};
use prometheus_client::metrics::counter::Counter;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::flows::api::JobFlowStatus;
use crate::flows::plan::Event;
use crate::names;

/// Events that wait to be written.
const QUEUE: usize = 4_000;
/// The longest note that the API takes (events.k8s.io/v1).
const NOTE: usize = 1_024;

/// Which transitions become Events. Events cost a cluster as much as statuses do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum EventLevel {
    /// What people must see: the end of a flow, what failed, retries, timeouts, what waits for somebody.
    #[default]
    Important,
    /// Also the start of a flow, and of each step its start and success.
    All,
    /// None.
    None,
}

/// Where Events are handed in.
#[derive(Clone)]
pub struct Events {
    level: EventLevel,
    queue: mpsc::Sender<Queued>,
    dropped: Counter,
}

struct Queued {
    namespace: String,
    event: Box<ApiEvent>,
}

impl Events {
    /// A queue, and a task that writes what is in it until `stopped`.
    pub fn start(
        client: Client,
        level: EventLevel,
        instance: String,
        dropped: Counter,
        stopped: CancellationToken,
    ) -> Self {
        let (queue, waiting) = mpsc::channel(QUEUE);
        tokio::spawn(write(client, instance, waiting, stopped));
        Self { level, queue, dropped }
    }

    /// Tell what happened to a flow, whose status is `status` now.
    pub(super) fn tell(&self, metadata: &ObjectMeta, status: &JobFlowStatus, happened: Vec<Event>) {
        for event in happened.into_iter().filter(|event| self.wants(event)) {
            let namespace = metadata.namespace.clone().unwrap_or_default();
            let event = Box::new(api_event(metadata, status, event));
            if self.queue.try_send(Queued { namespace, event }).is_err() {
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

async fn write(
    client: Client,
    instance: String,
    mut waiting: mpsc::Receiver<Queued>,
    stopped: CancellationToken,
) {
    loop {
        let next = tokio::select! {
            next = waiting.recv() => next,
            () = stopped.cancelled() => waiting.try_recv().ok(),
        };
        let Some(Queued { namespace, mut event }) = next else { return };
        event.reporting_instance = Some(instance.clone());
        let api: Api<ApiEvent> = Api::namespaced(client.clone(), &namespace);
        if let Err(error) = api.create(&PostParams::default(), &event).await {
            // Its text may quote the note, which may quote what a container said.
            let code = if let kube::Error::Api(status) = &error { status.code } else { 0 };
            tracing::debug!(code, "an Event could not be written");
        }
    }
}

fn api_event(metadata: &ObjectMeta, status: &JobFlowStatus, event: Event) -> ApiEvent {
    let step = event.step.and_then(|place| status.steps.get(place));
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
    ApiEvent {
        metadata: ObjectMeta {
            name: Some(name(metadata.name.as_deref().unwrap_or_default())),
            namespace: metadata.namespace.clone(),
            ..ObjectMeta::default()
        },
        regarding: Some(ObjectReference {
            api_version: Some(names::API_VERSION.to_owned()),
            kind: Some(names::KIND.to_owned()),
            namespace: metadata.namespace.clone(),
            name: metadata.name.clone(),
            uid: metadata.uid.clone(),
            resource_version: metadata.resource_version.clone(),
            ..ObjectReference::default()
        }),
        related,
        reason: Some(event.reason.to_owned()),
        action: Some(if event.step.is_some() { "RunStep" } else { "RunFlow" }.to_owned()),
        type_: Some(if event.warning { "Warning" } else { "Normal" }.to_owned()),
        note: Some(note),
        event_time: Some(MicroTime(Timestamp::now())),
        reporting_controller: Some("headworks".to_owned()),
        ..ApiEvent::default()
    }
}

/// A name that no other Event has, as client-go makes it: the object's name and the time in nanoseconds.
fn name(flow: &str) -> String {
    let head = flow.get(..200).unwrap_or(flow).trim_end_matches(['-', '.']);
    format!("{head}.{:x}", Timestamp::now().as_nanosecond())
}
