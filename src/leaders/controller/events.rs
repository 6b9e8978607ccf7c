//! Client required: Events, one after the other, behind everything else. Best effort.

use k8s_openapi::api::core::v1::ObjectReference;
use kube::Client;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use tokio::sync::mpsc;

use crate::leaders::plan::notes::Note;

/// Events that wait at most: more would tell of a time that is long past.
const WAITING: usize = 4_096;

/// Where Events go.
#[derive(Clone)]
pub(crate) struct Events(mpsc::Sender<Note>);

impl Events {
    pub(crate) fn start(client: Client) -> Self {
        let (out, mut notes) = mpsc::channel(WAITING);
        tokio::spawn(async move {
            let reporter =
                Reporter { controller: "headworks".to_owned(), instance: std::env::var("HOSTNAME").ok() };
            let recorder = Recorder::new(client, reporter);
            while let Some(note) = notes.recv().await {
                let Note::Event { source, uid, warning, reason, message } = note else { continue };
                let reference = ObjectReference {
                    api_version: Some("v1".to_owned()),
                    kind: Some("Service".to_owned()),
                    name: Some(source.name.to_string()),
                    namespace: Some(source.namespace.to_string()),
                    uid: Some(uid.to_string()),
                    ..ObjectReference::default()
                };
                let event = Event {
                    type_: if warning { EventType::Warning } else { EventType::Normal },
                    reason,
                    note: Some(message.chars().take(1_000).collect()),
                    action: "Route".to_owned(),
                    secondary: None,
                };
                if recorder.publish(&event, &reference).await.is_err() {
                    tracing::debug!(service = %source, "an event could not be written");
                }
            }
        });
        Self(out)
    }

    pub(crate) fn publish(&self, note: Note) {
        if self.0.try_send(note).is_err() {
            tracing::debug!("too many events wait; one is dropped");
        }
    }
}
