//! Events about sources, for people. They never hold up a write: they have a queue of their own. Client required.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::ObjectReference;
use kube::Client;
use tokio_util::sync::CancellationToken;

use crate::cluster::events::{ClusterEvent, EventQueue, Writer};
use crate::leaders::plan::notes::Note;

/// The most Events that wait to be written: more would tell of a time that is long past.
const QUEUE: usize = 4_096;
/// The longest note, in characters.
const NOTE: usize = 1_000;

/// Accepts the Events of sources.
#[derive(Clone)]
pub(crate) struct Events(EventQueue);

impl Events {
    /// Starts a task that writes Events for as long as somebody may publish some.
    pub(crate) fn start(client: Client) -> Self {
        let never = CancellationToken::new();
        Self(EventQueue::start(Writer::counted(client), QUEUE, never, |service, _| {
            let name = |name: &Option<String>| name.clone().unwrap_or_default();
            let service = format!("{}/{}", name(&service.namespace), name(&service.name));
            tracing::debug!(%service, "an event could not be written");
        }))
    }

    /// Publishes a note, if it is an Event.
    pub(crate) fn publish(&self, note: Note) {
        let Note::Event { source, uid, warning, reason, message } = note else { return };
        let event = ClusterEvent {
            regarding: ObjectReference {
                api_version: Some("v1".to_owned()),
                kind: Some("Service".to_owned()),
                name: Some(source.name.to_string()),
                namespace: Some(source.namespace.to_string()),
                uid: Some(uid.to_string()),
                ..ObjectReference::default()
            },
            related: None,
            warning,
            reason,
            action: "Route",
            note: message.chars().take(NOTE).collect(),
            at: Timestamp::now(),
        };
        if !self.0.publish(event) {
            tracing::debug!("too many events wait; one is dropped");
        }
    }
}
