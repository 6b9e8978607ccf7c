//! Carries out one write and gives its outcome. Requires a client.
//!
//! Every write names the version and the UID of the object that it was decided on. After a conflict the present object
//! is read.

use std::time::Duration;

use k8s_openapi::api::core::v1::Service as ServiceObject;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams, Preconditions};
use kube::core::NamespaceResourceScope;
use kube::{Client, Resource};
use serde::de::DeserializeOwned;

use crate::leaders::plan::batch::{Current, Outcome};
use crate::leaders::plan::key::Key;
use crate::leaders::plan::model::{Meta, Service, Slice};
use crate::leaders::plan::view;
use crate::leaders::plan::writes::Call;
use crate::names;

#[derive(Clone)]
pub(crate) struct Applier {
    client: Client,
    timeout: Duration,
}

/// The answer of the API server, as far as it matters.
enum ApiOutcome<T> {
    Done(T),
    Conflict,
    Missing,
    Refused(&'static str),
}

impl Applier {
    pub(crate) fn new(client: Client, timeout: Duration) -> Self {
        Self { client, timeout }
    }

    fn api<T>(&self, namespace: &str) -> Api<T>
    where
        T: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    {
        Api::namespaced(self.client.clone(), namespace)
    }

    /// Carries out one call.
    pub(crate) async fn call(&self, call: &Call) -> Outcome {
        match call {
            Call::CreateService(key, object) => {
                let api = self.api::<ServiceObject>(&key.namespace);
                let answer = self.send(api.create(&post(), object)).await;
                self.service(key, answer.map(service_of)).await
            }
            Call::PatchService(meta, patch) | Call::PatchSource(meta, patch) => {
                let key = &meta.key;
                let api = self.api::<view::Service>(&key.namespace);
                let params = PatchParams {
                    field_manager: Some(names::HEADWORKS.to_owned()),
                    ..PatchParams::default()
                };
                let answer = self.send(api.patch(&key.name, &params, &Patch::Merge(patch))).await;
                self.service(key, answer.map(Into::into)).await
            }
            Call::WriteSlice(key, object) => {
                let api = self.api::<EndpointSlice>(&key.namespace);
                let answer = if object.metadata.resource_version.is_some() {
                    self.send(api.replace(&key.name, &post(), object)).await
                } else {
                    self.send(api.create(&post(), object)).await
                };
                match answer.map(slice_of) {
                    ApiOutcome::Done(slice) => Outcome::Slice(slice),
                    ApiOutcome::Conflict => self.slice_now(key).await,
                    ApiOutcome::Missing => Outcome::Gone,
                    ApiOutcome::Refused(reason) => Outcome::Failed(reason),
                }
            }
            Call::DeleteService(meta) => match self.delete::<view::Service>(meta).await {
                ApiOutcome::Done(()) | ApiOutcome::Missing => Outcome::Gone,
                ApiOutcome::Conflict => self.service_now(&meta.key).await,
                ApiOutcome::Refused(reason) => Outcome::Failed(reason),
            },
            Call::DeleteSlice(meta) => match self.delete::<view::Slice>(meta).await {
                ApiOutcome::Done(()) | ApiOutcome::Missing => Outcome::Gone,
                ApiOutcome::Conflict => self.slice_now(&meta.key).await,
                ApiOutcome::Refused(reason) => Outcome::Failed(reason),
            },
        }
    }

    async fn service(&self, key: &Key, answer: ApiOutcome<Service>) -> Outcome {
        match answer {
            ApiOutcome::Done(service) => Outcome::Service(service),
            ApiOutcome::Conflict => self.service_now(key).await,
            ApiOutcome::Missing => Outcome::Gone,
            ApiOutcome::Refused(reason) => Outcome::Failed(reason),
        }
    }

    async fn service_now(&self, key: &Key) -> Outcome {
        match self.send(self.api::<view::Service>(&key.namespace).get_opt(&key.name)).await {
            ApiOutcome::Done(found) => {
                Outcome::Overtaken(found.map(|service| Current::Service(service.into())))
            }
            ApiOutcome::Missing | ApiOutcome::Conflict => Outcome::Overtaken(None),
            ApiOutcome::Refused(reason) => Outcome::Failed(reason),
        }
    }

    async fn slice_now(&self, key: &Key) -> Outcome {
        match self.send(self.api::<view::Slice>(&key.namespace).get_opt(&key.name)).await {
            ApiOutcome::Done(found) => Outcome::Overtaken(found.map(|slice| Current::Slice(slice.into()))),
            ApiOutcome::Missing | ApiOutcome::Conflict => Outcome::Overtaken(None),
            ApiOutcome::Refused(reason) => Outcome::Failed(reason),
        }
    }

    /// Deletes exactly the version that was seen.
    async fn delete<T>(&self, meta: &Meta) -> ApiOutcome<()>
    where
        T: Resource<DynamicType = (), Scope = NamespaceResourceScope>
            + Clone
            + DeserializeOwned
            + std::fmt::Debug,
    {
        let params = DeleteParams {
            preconditions: Some(Preconditions {
                uid: Some(meta.uid.to_string()),
                resource_version: Some(meta.version.to_string()),
            }),
            ..DeleteParams::default()
        };
        let api = self.api::<T>(&meta.key.namespace);
        self.send(api.delete(&meta.key.name, &params)).await.map(|_| ())
    }

    async fn send<T>(&self, call: impl Future<Output = kube::Result<T>>) -> ApiOutcome<T> {
        match tokio::time::timeout(self.timeout, call).await {
            Ok(Ok(object)) => ApiOutcome::Done(object),
            Ok(Err(kube::Error::Api(status))) => match status.code {
                404 => ApiOutcome::Missing,
                409 => ApiOutcome::Conflict,
                403 => ApiOutcome::Refused("forbidden"),
                400 | 422 => ApiOutcome::Refused("invalid"),
                429 => ApiOutcome::Refused("throttled"),
                _ => ApiOutcome::Refused("server"),
            },
            Ok(Err(_)) => ApiOutcome::Refused("transport"),
            Err(_) => ApiOutcome::Refused("timeout"),
        }
    }
}

impl<T> ApiOutcome<T> {
    fn map<U>(self, with: impl FnOnce(T) -> U) -> ApiOutcome<U> {
        match self {
            Self::Done(value) => ApiOutcome::Done(with(value)),
            Self::Conflict => ApiOutcome::Conflict,
            Self::Missing => ApiOutcome::Missing,
            Self::Refused(reason) => ApiOutcome::Refused(reason),
        }
    }
}

fn post() -> PostParams {
    PostParams { dry_run: false, field_manager: Some(names::HEADWORKS.to_owned()) }
}

/// Reads an object that the API server gave back, as if a watch had delivered it.
pub(crate) fn service_of(object: ServiceObject) -> Service {
    let mut metadata = object.metadata;
    metadata.annotations.iter_mut().for_each(|annotations| annotations.retain(|key, _| view::is_ours(key)));
    view::Service { metadata, spec: object.spec.map(Box::new) }.into()
}

pub(crate) fn slice_of(object: EndpointSlice) -> Slice {
    let mut metadata = object.metadata;
    metadata.annotations.iter_mut().for_each(|annotations| annotations.retain(|key, _| view::is_ours(key)));
    let ports = object.ports.unwrap_or_default();
    view::Slice { metadata, address_type: object.address_type, endpoints: object.endpoints, ports }.into()
}
