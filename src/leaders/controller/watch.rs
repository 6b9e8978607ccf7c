//! Watches all kinds, and sends their events as one stream of changes. Requires a client.

use std::collections::HashSet;
use std::fmt::Debug;
use std::sync::Arc;

use futures::StreamExt;
use jiff::Timestamp;
use kube::api::Api;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Client, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use tokio::sync::mpsc;

use crate::cluster::watch_backoff::WatchBackoff;
use crate::cluster::watch_errors::Redacted;
use crate::leaders::plan::key::Key;
use crate::leaders::plan::model::{Node, Rival};
use crate::leaders::plan::state::Change;
use crate::leaders::plan::{model, view};
use crate::names;
use crate::names::leader;

/// An item of the stream: a change with the time at which it was received, or that a kind was listed for the first time
/// or again.
#[derive(Debug)]
pub(crate) enum Received {
    Change(Box<Change>, Timestamp),
    Listed(Listing),
}

/// The kinds that have to be listed before anything may be decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Listing {
    Pods,
    Services,
    Slices,
    Rivals,
    Nodes,
}

pub(crate) const LISTINGS: [Listing; 5] =
    [Listing::Pods, Listing::Services, Listing::Slices, Listing::Rivals, Listing::Nodes];

/// Excludes finished pods: they never lead again, and a cluster that runs Jobs keeps thousands of them. When a pod
/// finishes, the API server reports it to this watch as deleted.
const NOT_ENDED: &str = "status.phase!=Succeeded,status.phase!=Failed";

/// Makes the change that ends a list, from the keys of the listed objects.
type ListChange = fn(HashSet<Key>) -> Change;

/// The changes that the events of one kind become.
struct Handlers<K> {
    put: fn(K) -> Change,
    gone: fn(K) -> Change,
    /// The change that ends a list. Absent for Leases: each is watched by its name, and none is waited for.
    list: Option<(Listing, ListChange)>,
}

#[derive(Clone)]
pub(crate) struct Watches {
    client: Client,
    namespace: Option<String>,
    out: mpsc::Sender<Received>,
}

impl Watches {
    pub(crate) fn new(client: Client, namespace: Option<String>, out: mpsc::Sender<Received>) -> Self {
        Self { client, namespace, out }
    }

    fn api<K: Resource<DynamicType = (), Scope = kube::core::NamespaceResourceScope>>(&self) -> Api<K> {
        match &self.namespace {
            Some(namespace) => Api::namespaced(self.client.clone(), namespace),
            None => Api::all(self.client.clone()),
        }
    }

    /// Watches all kinds but Leases, until the receiver is dropped.
    pub(crate) async fn run(self) {
        let pods = Handlers {
            put: |pod: view::Pod| Change::Pod(pod.into()),
            gone: |pod| Change::PodGone(model::Pod::from(pod).meta),
            list: Some((Listing::Pods, Change::Pods)),
        };
        let services = Handlers {
            put: |service: view::Service| Change::Service(service.into()),
            gone: |service| Change::ServiceGone(model::Service::from(service).meta),
            list: Some((Listing::Services, Change::Services)),
        };
        let slices = Handlers {
            put: |slice: view::Slice| Change::Slice(slice.into()),
            gone: |slice| Change::SliceGone(model::Slice::from(slice).meta),
            list: Some((Listing::Slices, Change::Slices)),
        };
        let rivals = Handlers {
            put: |slice: view::Outsider| {
                let meta = model::Meta::of(&slice.metadata);
                Change::Rival(meta, Rival::of(&slice))
            },
            gone: |slice| Change::RivalGone(model::Meta::of(&slice.metadata)),
            list: Some((Listing::Rivals, Change::Rivals)),
        };
        let nodes = Handlers {
            put: |node: view::Node| Change::Node(node.into()),
            gone: |node| Change::NodeGone(Node::from(node).name),
            list: Some((Listing::Nodes, |keys| {
                Change::Nodes(keys.into_iter().map(|key| key.name).collect::<HashSet<Arc<str>>>())
            })),
        };
        let (managed, us) = (leader::SLICE_MANAGED_BY, names::HEADWORKS);
        let ours = format!("{managed}={us}");
        // Slices without the label are included; those that the cluster makes for every ordinary Service are not.
        let others = format!("{managed} notin ({us},{})", leader::SLICE_CONTROLLER);
        // Small pages: a page is decoded as a whole, and most of it is dropped afterwards.
        let config = watcher::Config::default().page_size(100);
        let nodes_api: Api<view::Node> = Api::all(self.client.clone());
        tokio::join!(
            self.watch(self.api(), config.clone().fields(NOT_ENDED), pods),
            self.watch(self.api(), config.clone(), services),
            self.watch(self.api(), config.clone().labels(&ours), slices),
            self.watch(self.api(), config.clone().labels(&others), rivals),
            self.watch(nodes_api, config, nodes),
        );
    }

    /// Watches one Lease, until the task is aborted.
    pub(crate) async fn lease(self, key: Key) {
        let api: Api<view::Lease> = Api::namespaced(self.client.clone(), &key.namespace);
        let config = watcher::Config::default().fields(&format!("metadata.name={}", key.name));
        let leases = Handlers {
            put: |lease: view::Lease| Change::Lease(lease.into()),
            gone: |lease| Change::LeaseGone(model::Lease::from(lease).meta),
            list: None,
        };
        self.watch(api, config, leases).await;
    }

    async fn watch<K>(&self, api: Api<K>, config: watcher::Config, handlers: Handlers<K>)
    where
        K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug + Send + 'static,
    {
        let mut listed: HashSet<Key> = HashSet::new();
        let mut stream = std::pin::pin!(watcher(api, config).backoff(WatchBackoff::default()));
        while let Some(event) = stream.next().await {
            let now = Timestamp::now();
            let received = match event {
                Ok(Event::Init) => {
                    listed.clear();
                    continue;
                }
                Ok(Event::InitApply(object)) => {
                    let name = object.name_any();
                    listed.insert(Key::new(object.namespace().unwrap_or_default(), name));
                    vec![Received::Change(Box::new((handlers.put)(object)), now)]
                }
                Ok(Event::Apply(object)) => vec![Received::Change(Box::new((handlers.put)(object)), now)],
                Ok(Event::Delete(object)) => vec![Received::Change(Box::new((handlers.gone)(object)), now)],
                Ok(Event::InitDone) => {
                    let listed = std::mem::take(&mut listed);
                    let list = handlers.list.map(|(listing, change)| {
                        [Received::Change(Box::new(change(listed)), now), Received::Listed(listing)]
                    });
                    list.into_iter().flatten().collect()
                }
                Err(error) => {
                    tracing::warn!(kind = %K::kind(&()), error = %Redacted(&error), "watch failed, restarting");
                    continue;
                }
            };
            for one in received {
                if self.out.send(one).await.is_err() {
                    return;
                }
            }
        }
    }
}
