//! Kubernetes Events about the certificate.

use headworks::cluster::events::{ClusterEvent, Writer};
use headworks_certs::{CertEvent, EventKind};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::ObjectReference;
use tokio::sync::mpsc;

/// Writes what happens to the certificate as Events on its Secret, or on this pod. Best effort: a refused Event costs a
/// log line.
pub(super) async fn publish(
    client: kube::Client,
    reference: ObjectReference,
    mut events: mpsc::UnboundedReceiver<CertEvent>,
) {
    let writer = Writer::counted(client);
    while let Some(event) = events.recv().await {
        // Every replica reports this at every start. A new certificate has an Event of its own, and the log has both.
        if event.reason == "CertificateLoaded" {
            continue;
        }
        let event = ClusterEvent {
            regarding: reference.clone(),
            related: None,
            warning: event.kind == EventKind::Warning,
            reason: event.reason.to_owned(),
            action: "Certificate",
            note: event.message,
            at: Timestamp::now(),
        };
        if let Err(error) = writer.write(event).await {
            tracing::warn!(%error, "an event could not be written");
        }
    }
}
