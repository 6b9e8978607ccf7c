//! Client required: the few calls managed mode makes, each with a deadline.

use std::time::Duration;

use k8s_openapi::{
    api::{coordination::v1::Lease, core::v1::Secret, discovery::v1::EndpointSlice},
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use kube::{
    Api as KubeApi, Client,
    api::{Patch, PatchParams, PostParams},
    core::DynamicObject,
};

use super::{Configuration, ConfigurationRef, ManagedConfig, State};

/// The calls, bound to one Secret.
#[derive(Clone)]
pub(crate) struct Api {
    pub(crate) secrets: KubeApi<Secret>,
    pub(crate) secret: String,
    pub(super) leases: KubeApi<Lease>,
    pub(super) slices: KubeApi<EndpointSlice>,
    pub(super) service: String,
    pub(super) manager: String,
    client: Client,
    timeout: Duration,
}

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// Somebody else wrote first: look again, and adopt.
    #[error("another writer was first")]
    Lost,
    /// No answer in time.
    #[error("no answer from the API server within {0:?}")]
    Timeout(Duration),
    /// Any other failure.
    #[error("the API server refused: {0}")]
    Kube(#[source] Box<kube::Error>),
}

impl ApiError {
    /// A bounded word for metric labels.
    pub fn category(&self) -> &'static str {
        match self {
            Self::Lost => "lost",
            Self::Timeout(_) => "timeout",
            Self::Kube(_) => "api",
        }
    }
}

impl Api {
    pub(crate) fn new(client: Client, config: &ManagedConfig) -> Self {
        Self {
            secrets: KubeApi::namespaced(client.clone(), &config.names.namespace),
            secret: config.secret.clone(),
            leases: KubeApi::namespaced(client.clone(), &config.names.namespace),
            slices: KubeApi::namespaced(client.clone(), &config.names.namespace),
            service: config.names.service.clone(),
            manager: config.field_manager.clone(),
            client,
            timeout: config.timeout,
        }
    }

    pub(crate) fn configurations(&self, reference: &ConfigurationRef) -> KubeApi<DynamicObject> {
        KubeApi::all_with(self.client.clone(), &reference.kind.resource())
    }

    pub(crate) async fn get_secret(&self) -> Result<Option<Secret>, ApiError> {
        self.in_time(self.secrets.get_opt(&self.secret)).await
    }

    pub(crate) async fn get_configuration(
        &self,
        reference: &ConfigurationRef,
    ) -> Result<Option<DynamicObject>, ApiError> {
        let api = self.configurations(reference);
        self.in_time(api.get_opt(&reference.name)).await
    }

    /// Writes `state` over `known`, or makes the Secret where `known` is `None`. Never over anything else:
    /// [`ApiError::Lost`] if the Secret is not, or no longer, as `known`.
    pub(crate) async fn put_secret(&self, known: Option<&Secret>, state: &State) -> Result<Secret, ApiError> {
        let params = PostParams { field_manager: Some(self.manager.clone()), dry_run: false };
        let mut secret = known.cloned().unwrap_or_else(|| Secret {
            metadata: ObjectMeta {
                name: Some(self.secret.clone()),
                labels: Some(
                    [("app.kubernetes.io/managed-by".to_owned(), self.manager.clone())].into_iter().collect(),
                ),
                ..ObjectMeta::default()
            },
            type_: Some("Opaque".to_owned()),
            ..Secret::default()
        });
        state.write(&mut secret);
        if known.is_some() {
            // `secret` still carries the resourceVersion it was read with: that makes it a compare-and-swap.
            self.in_time(self.secrets.replace(&self.secret, &params, &secret)).await
        } else {
            self.in_time(self.secrets.create(&params, &secret)).await
        }
    }

    pub(crate) async fn publish(
        &self,
        configuration: &Configuration,
        bundle_pem: &str,
    ) -> Result<DynamicObject, ApiError> {
        let api = self.configurations(&configuration.reference);
        let body = configuration.apply(bundle_pem);
        let params = PatchParams::apply(&self.manager).force();
        self.in_time(api.patch(&configuration.reference.name, &params, &Patch::Apply(&body))).await
    }

    pub(super) async fn in_time<T>(
        &self,
        call: impl Future<Output = kube::Result<T>>,
    ) -> Result<T, ApiError> {
        match tokio::time::timeout(self.timeout, call).await {
            Ok(Ok(answer)) => Ok(answer),
            // Conflict and AlreadyExists (409); NotFound (404): the object written to has gone.
            Ok(Err(kube::Error::Api(status))) if matches!(status.code, 404 | 409) => Err(ApiError::Lost),
            Ok(Err(error)) => Err(ApiError::Kube(Box::new(error))),
            Err(_) => Err(ApiError::Timeout(self.timeout)),
        }
    }
}
