//! The writer of Events (events.k8s.io/v1), for people. Best effort: nothing waits for an Event, and one that is refused
//! is only logged. Client required.
//!
//! Repeated Events land in one of two ways. [`Writer::separate`] writes each as an object of its own, with the time at
//! which it was handed in: transitions, none of which repeats. [`Writer::counted`] raises the count of the first one
//! while it is young: findings, which may come again and again.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::events::v1::Event as ApiEvent;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kube::api::PostParams;
use kube::runtime::events::{Event as Published, EventType, Recorder, Reporter};
use kube::{Api, Client};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// `reportingController` of every Event.
const CONTROLLER: &str = "headworks";

/// Something that happened to an object.
#[derive(Clone, Debug)]
pub struct ClusterEvent {
    /// The object; the Event is written into its namespace.
    pub regarding: ObjectReference,
    /// Another object that has to do with it. Left out of counted Events.
    pub related: Option<ObjectReference>,
    /// True for a Warning, false for a Normal Event.
    pub warning: bool,
    /// One CamelCase word.
    pub reason: String,
    /// The action of headworks that it is about: one CamelCase word.
    pub action: &'static str,
    /// A sentence, of 1,024 bytes at most.
    pub note: String,
    /// The time at which it happened. Counted Events have the time at which they are written.
    pub at: Timestamp,
}

/// Writes Events, one after the other.
pub struct Writer(Repeats);

enum Repeats {
    Separate { client: Client, instance: String },
    Counted(Recorder),
}

impl Writer {
    /// Makes a writer for which each Event is an object of its own. `instance` names this process.
    pub fn separate(client: Client, instance: String) -> Self {
        Self(Repeats::Separate { client, instance })
    }

    /// Makes a writer that counts repeated Events. The process is named by its host.
    pub fn counted(client: Client) -> Self {
        let instance = std::env::var("HOSTNAME").ok();
        Self(Repeats::Counted(Recorder::new(
            client,
            Reporter { controller: CONTROLLER.to_owned(), instance },
        )))
    }

    /// Writes an Event.
    ///
    /// # Errors
    /// The API server refused it. The text may quote the note, which may quote what a container wrote.
    pub async fn write(&self, event: ClusterEvent) -> kube::Result<()> {
        match &self.0 {
            Repeats::Separate { client, instance } => {
                let namespace = event.regarding.namespace.clone().unwrap_or_default();
                let api: Api<ApiEvent> = Api::namespaced(client.clone(), &namespace);
                api.create(&PostParams::default(), &separate(event, instance)).await.map(|_| ())
            }
            Repeats::Counted(recorder) => {
                let ClusterEvent { regarding, related: _, warning, reason, action, note, at: _ } = event;
                let event = Published {
                    type_: if warning { EventType::Warning } else { EventType::Normal },
                    reason,
                    note: Some(note),
                    action: action.to_owned(),
                    secondary: None,
                };
                recorder.publish(&event, &regarding).await
            }
        }
    }
}

/// A bounded queue in front of a [`Writer`], so that nobody waits for a write.
#[derive(Clone)]
pub(crate) struct EventQueue(mpsc::Sender<ClusterEvent>);

impl EventQueue {
    /// Starts a task that writes what is queued, until `stopped`: what is queued then is still written. At most
    /// `capacity` Events wait; `refused` hears of each that could not be written.
    pub(crate) fn start(
        writer: Writer,
        capacity: usize,
        stopped: CancellationToken,
        refused: fn(&ObjectReference, &kube::Error),
    ) -> Self {
        let (queue, waiting) = mpsc::channel(capacity);
        tokio::spawn(drain(writer, waiting, stopped, refused));
        Self(queue)
    }

    /// Queues an Event. Returns whether there was room for it.
    pub(crate) fn publish(&self, event: ClusterEvent) -> bool {
        self.0.try_send(event).is_ok()
    }
}

async fn drain(
    writer: Writer,
    mut waiting: mpsc::Receiver<ClusterEvent>,
    stopped: CancellationToken,
    refused: fn(&ObjectReference, &kube::Error),
) {
    loop {
        let next = tokio::select! {
            next = waiting.recv() => next,
            () = stopped.cancelled() => waiting.try_recv().ok(),
        };
        let Some(event) = next else { return };
        let regarding = event.regarding.clone();
        if let Err(error) = writer.write(event).await {
            refused(&regarding, &error);
        }
    }
}

fn separate(event: ClusterEvent, instance: &str) -> ApiEvent {
    let ClusterEvent { regarding, related, warning, reason, action, note, at } = event;
    ApiEvent {
        metadata: ObjectMeta {
            name: Some(name(regarding.name.as_deref().unwrap_or_default(), at)),
            namespace: regarding.namespace.clone(),
            ..ObjectMeta::default()
        },
        regarding: Some(regarding),
        related,
        reason: Some(reason),
        action: Some(action.to_owned()),
        type_: Some(if warning { "Warning" } else { "Normal" }.to_owned()),
        note: Some(note),
        event_time: Some(MicroTime(at)),
        reporting_controller: Some(CONTROLLER.to_owned()),
        reporting_instance: Some(instance.to_owned()),
        ..ApiEvent::default()
    }
}

/// Returns a name that no other Event has, as client-go makes it: the object's name and the time in nanoseconds.
fn name(object: &str, at: Timestamp) -> String {
    let head = object.get(..200).unwrap_or(object).trim_end_matches(['-', '.']);
    format!("{head}.{:x}", at.as_nanosecond())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_separate_event_is_named_after_its_object_and_time() {
        let at = Timestamp::from_nanosecond(0x1234).unwrap();
        assert_eq!(name("nightly", at), "nightly.1234");
        let long = format!("{}-{}", "a".repeat(199), "b".repeat(53));
        assert_eq!(name(&long, at), format!("{}.1234", "a".repeat(199)), "a label may not end in a dash");
    }
}
