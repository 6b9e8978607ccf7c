//! Watches the Secret and the webhook configurations, on every replica, and feeds the [`Store`].

use std::time::Duration;

use futures::stream::{self, SelectAll};
use futures::{Stream, StreamExt as _};
use k8s_openapi::api::core::v1::Secret;
use kube::core::DynamicObject;
use kube::runtime::watcher::watch_object;
use kube::runtime::{WatchStreamExt as _, watcher};
use tokio::time::sleep;

use crate::managed::apply::{Api, ApiError};
use crate::managed::plan::configuration::ConfigurationRef;
use crate::managed::state::Store;
use crate::redact::RedactedWatch;

/// New version of an object; `None`: it does not exist.
enum Change {
    Secret(Option<Secret>),
    Configuration(ConfigurationRef, Option<DynamicObject>),
}

/// Failure of a watch or a read. It displays no object that the error may quote: the Secret holds keys.
#[derive(Debug, thiserror::Error)]
enum Interruption {
    #[error("watch interrupted: {}", RedactedWatch::new(.0))]
    Watch(watcher::Error),
    #[error(transparent)]
    Read(#[from] ApiError),
}

/// Watches forever. Besides, everything is read once per `tick`: a watch that has died silently (kube puts no deadline on
/// its lists) then costs one tick, and a pair that was rejected because of the time is checked again.
pub(crate) async fn watch(api: &Api, store: &Store, tick: Duration) {
    let references: Vec<_> = store.references();
    let mut changes = SelectAll::new();
    changes.push(changes_of(watch_object(api.secrets.clone(), &api.secret), Change::Secret).boxed());
    for reference in references.clone() {
        let watch = watch_object(api.configurations(&reference), &reference.name);
        changes
            .push(changes_of(watch, move |object| Change::Configuration(reference.clone(), object)).boxed());
    }
    changes.push(reread(api.clone(), references, tick).boxed());
    while let Some(change) = changes.next().await {
        match change {
            Ok(Change::Secret(secret)) => store.update_secret(secret),
            Ok(Change::Configuration(reference, object)) => {
                store.update_configuration(reference, object.as_ref());
            }
            Err(error) => tracing::warn!(%error, "cannot follow the certificate's objects, trying again"),
        }
    }
}

/// Turns what a watch delivers into changes, and restarts the watch with backoff when it fails.
fn changes_of<T: Send + 'static>(
    watch: impl Stream<Item = Result<Option<T>, watcher::Error>> + Send,
    change: impl Fn(Option<T>) -> Change + Send,
) -> impl Stream<Item = Result<Change, Interruption>> + Send {
    watch.default_backoff().map(move |event| Ok(change(event.map_err(Interruption::Watch)?)))
}

/// Reads every object once per `tick`.
fn reread(
    api: Api,
    references: Vec<ConfigurationRef>,
    tick: Duration,
) -> impl Stream<Item = Result<Change, Interruption>> + Send {
    let all = references.into_iter().map(Some).chain([None]).collect::<Vec<_>>();
    stream::unfold((), move |()| async move { Some((sleep(tick).await, ())) })
        .flat_map(move |()| stream::iter(all.clone()))
        .then(move |reference| {
            let api = api.clone();
            async move {
                Ok(match reference {
                    None => Change::Secret(api.get_secret().await?),
                    Some(one) => {
                        let object = api.get_configuration(&one).await?;
                        Change::Configuration(one, object)
                    }
                })
            }
        })
}

#[cfg(test)]
mod tests;
