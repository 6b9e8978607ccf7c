//! Client required: one write, and what became of it.
//!
//! Every write names the version, or the UID, of what it was decided on; a refused one reads what is there instead.

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
use crate::names::leader;

/// Carries out calls.
#[derive(Clone)]
pub(crate) struct Applier {
    client: Client,
    timeout: Duration,
}

/// What the API server said, in so far as it matters.
enum Said<T> {
    Yes(T),
    Conflict,
    Missing,
    No(&'static str),
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

    /// Carry out one call.
    pub(crate) async fn call(&self, call: &Call) -> Outcome {
        match call {
            Call::CreateService(key, object) => {
                let api = self.api::<ServiceObject>(&key.namespace);
                let said = self.said(api.create(&post(), object)).await;
                self.service(key, said.map(service_of)).await
            }
            Call::PatchService(meta, patch) | Call::PatchSource(meta, patch) => {
                let key = &meta.key;
                let api = self.api::<view::Service>(&key.namespace);
                let params =
                    PatchParams { field_manager: Some(leader::US.to_owned()), ..PatchParams::default() };
                let said = self.said(api.patch(&key.name, &params, &Patch::Merge(patch))).await;
                self.service(key, said.map(Into::into)).await
            }
            Call::WriteSlice(key, object) => {
                let api = self.api::<EndpointSlice>(&key.namespace);
                let said = if object.metadata.resource_version.is_some() {
                    self.said(api.replace(&key.name, &post(), object)).await
                } else {
                    self.said(api.create(&post(), object)).await
                };
                match said.map(slice_of) {
                    Said::Yes(slice) => Outcome::Slice(slice),
                    Said::Conflict => self.slice_now(key).await,
                    Said::Missing => Outcome::Gone,
                    Said::No(word) => Outcome::Failed(word),
                }
            }
            Call::DeleteService(meta) => match self.delete::<view::Service>(meta).await {
                Said::Yes(()) | Said::Missing => Outcome::Gone,
                Said::Conflict => self.service_now(&meta.key).await,
                Said::No(word) => Outcome::Failed(word),
            },
            Call::DeleteSlice(meta) => match self.delete::<view::Slice>(meta).await {
                Said::Yes(()) | Said::Missing => Outcome::Gone,
                Said::Conflict => self.slice_now(&meta.key).await,
                Said::No(word) => Outcome::Failed(word),
            },
        }
    }

    async fn service(&self, key: &Key, said: Said<Service>) -> Outcome {
        match said {
            Said::Yes(service) => Outcome::Service(service),
            Said::Conflict => self.service_now(key).await,
            Said::Missing => Outcome::Gone,
            Said::No(word) => Outcome::Failed(word),
        }
    }

    async fn service_now(&self, key: &Key) -> Outcome {
        match self.said(self.api::<view::Service>(&key.namespace).get_opt(&key.name)).await {
            Said::Yes(found) => Outcome::Overtaken(found.map(|service| Current::Service(service.into()))),
            Said::Missing | Said::Conflict => Outcome::Overtaken(None),
            Said::No(word) => Outcome::Failed(word),
        }
    }

    async fn slice_now(&self, key: &Key) -> Outcome {
        match self.said(self.api::<view::Slice>(&key.namespace).get_opt(&key.name)).await {
            Said::Yes(found) => Outcome::Overtaken(found.map(|slice| Current::Slice(slice.into()))),
            Said::Missing | Said::Conflict => Outcome::Overtaken(None),
            Said::No(word) => Outcome::Failed(word),
        }
    }

    /// Delete exactly what was seen.
    async fn delete<T>(&self, meta: &Meta) -> Said<()>
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
        self.said(api.delete(&meta.key.name, &params)).await.map(|_| ())
    }

    async fn said<T>(&self, call: impl Future<Output = kube::Result<T>>) -> Said<T> {
        match tokio::time::timeout(self.timeout, call).await {
            Ok(Ok(answer)) => Said::Yes(answer),
            Ok(Err(kube::Error::Api(status))) => match status.code {
                404 => Said::Missing,
                409 => Said::Conflict,
                403 => Said::No("forbidden"),
                400 | 422 => Said::No("invalid"),
                429 => Said::No("throttled"),
                _ => Said::No("server"),
            },
            Ok(Err(_)) => Said::No("transport"),
            Err(_) => Said::No("timeout"),
        }
    }
}

impl<T> Said<T> {
    fn map<U>(self, with: impl FnOnce(T) -> U) -> Said<U> {
        match self {
            Self::Yes(value) => Said::Yes(with(value)),
            Self::Conflict => Said::Conflict,
            Self::Missing => Said::Missing,
            Self::No(word) => Said::No(word),
        }
    }
}

fn post() -> PostParams {
    PostParams { dry_run: false, field_manager: Some(leader::US.to_owned()) }
}

/// What is kept of an object that the API server gave back.
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
