//! The task that keeps the serving certificate fresh, from a Secret of its own or from a mounted one.

use headworks_certs::{CertEvent, Hooks, Identity, Readiness, ServiceNames, managed, mounted};
use k8s_openapi::api::core::v1::ObjectReference;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::args::{CertMode, RunArgs};
use super::cert_events::publish;

impl RunArgs {
    /// Starts the task that keeps the certificate of `identity` fresh.
    pub(super) fn keep_certificate(
        &self,
        client: Option<&kube::Client>,
        identity: &Identity,
        hooks: Hooks,
        heard: mpsc::UnboundedReceiver<CertEvent>,
        stopped: &CancellationToken,
    ) -> (Readiness, JoinHandle<()>) {
        let names = ServiceNames {
            extra: self.cert_name.clone(),
            ..ServiceNames::new(&self.service, &self.namespace)
        };
        match client.filter(|_| self.cert_mode == CertMode::Managed) {
            None => {
                // The mount hides the Secret's name, so the Events are about this pod.
                if let (Some(client), Some(pod)) = (client, self.pod_reference()) {
                    tokio::spawn(publish(client.clone(), pod, heard));
                }
                let config = mounted::MountedConfig::new(&self.cert_dir, names.required());
                let task = tokio::spawn(mounted::run(config, identity.clone(), hooks, stopped.clone()));
                (Readiness::mounted(identity.clone()), task)
            }
            Some(client) => {
                let config = managed::ManagedConfig {
                    validating: self.webhook_configuration.clone(),
                    mutating: self.webhook_configuration.clone(),
                    ..self.own_ca.config(&self.cert_secret, names)
                };
                tokio::spawn(publish(client.clone(), self.secret_reference(), heard));
                let managed = managed::Managed::new(client.clone(), config, identity.clone(), hooks);
                let readiness = managed.readiness();
                // Every write is a compare-and-swap, so any number of replicas may lead.
                let (_, leader) = watch::channel(true);
                (readiness, tokio::spawn(managed.run(leader, stopped.clone())))
            }
        }
    }

    /// This pod, by the name that kubelet gives its host; none outside a cluster.
    fn pod_reference(&self) -> Option<ObjectReference> {
        let name = std::env::var("HOSTNAME").ok()?;
        Some(ObjectReference {
            api_version: Some("v1".to_owned()),
            kind: Some("Pod".to_owned()),
            name: Some(name),
            namespace: Some(self.namespace.clone()),
            ..ObjectReference::default()
        })
    }

    fn secret_reference(&self) -> ObjectReference {
        ObjectReference {
            api_version: Some("v1".to_owned()),
            kind: Some("Secret".to_owned()),
            name: Some(self.cert_secret.clone()),
            namespace: Some(self.namespace.clone()),
            ..ObjectReference::default()
        }
    }
}
