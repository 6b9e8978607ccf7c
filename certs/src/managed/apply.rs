//! Client required: the few calls that managed mode makes, each with a timeout.

use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use kube::core::DynamicObject;
use kube::{Api as KubeApi, Client};

use crate::managed::build;
use crate::managed::config::{ManagedConfig, ReplicaRef};
use crate::managed::plan::configuration::{Configuration, ConfigurationRef};
use crate::managed::plan::secret::State;
use crate::pair::Pair;
use crate::redact::RedactedCall;

/// The calls, for one Secret and one Service.
#[derive(Clone)]
pub(crate) struct Api {
    pub(crate) secrets: KubeApi<Secret>,
    pub(crate) secret: String,
    pub(crate) leases: KubeApi<Lease>,
    pub(crate) slices: KubeApi<EndpointSlice>,
    pub(crate) service: String,
    pub(crate) manager: String,
    client: Client,
    timeout: Duration,
}

/// Failure of a call.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// Another writer was first: read again, and adopt what it wrote.
    #[error("another writer was first")]
    Lost,
    /// The API server did not answer in time.
    #[error("no answer from the API server within {0:?}")]
    Timeout(Duration),
    /// Any other failure.
    #[error("the API server refused: {}", RedactedCall::new(.0))]
    Kube(#[source] Box<kube::Error>),
}

impl ApiError {
    /// Returns a bounded word for metric labels.
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

    /// Writes `state` over `known`, or creates the Secret where `known` is `None`.
    ///
    /// # Errors
    /// [`ApiError::Lost`] if the Secret is no longer as `known`: nothing else is ever overwritten.
    pub(crate) async fn put_secret(&self, known: Option<&Secret>, state: &State) -> Result<Secret, ApiError> {
        let params = PostParams { field_manager: Some(self.manager.clone()), dry_run: false };
        let secret = build::secret::secret(known, &self.secret, &self.manager, state);
        if known.is_some() {
            self.in_time(self.secrets.replace(&self.secret, &params, &secret)).await
        } else {
            self.in_time(self.secrets.create(&params, &secret)).await
        }
    }

    /// Writes a bundle into every webhook of a configuration.
    pub(crate) async fn publish(
        &self,
        configuration: &Configuration,
        bundle_pem: &str,
    ) -> Result<DynamicObject, ApiError> {
        let api = self.configurations(&configuration.reference);
        let body = build::ca_bundle::apply(configuration, bundle_pem);
        let params = PatchParams::apply(&self.manager).force();
        self.in_time(api.patch(&configuration.reference.name, &params, &Patch::Apply(&body))).await
    }

    /// Writes the report of this replica. An apply that changes nothing is no write.
    pub(crate) async fn report(&self, replica: &ReplicaRef, pair: &Pair) -> Result<(), ApiError> {
        let params = PatchParams::apply(&self.manager).force();
        let body = build::lease::lease(&self.secret, replica, pair);
        self.in_time(self.leases.patch(&replica.lease(), &params, &Patch::Apply(&body))).await.map(|_| ())
    }

    /// Deletes the report of this replica, which serves no more.
    pub(crate) async fn withdraw(&self, replica: &ReplicaRef) -> Result<(), ApiError> {
        self.in_time(self.leases.delete(&replica.lease(), &DeleteParams::default())).await.map(|_| ())
    }

    /// Runs a call with the configured timeout.
    pub(crate) async fn in_time<T>(
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
