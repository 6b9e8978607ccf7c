//! Client required: watches, as one stream of changes.

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
use crate::names::leader;

/// A change, and when it was received; or the word that a kind was listed.
#[derive(Debug)]
pub(crate) enum Heard {
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

/// A pod that has ended leads nothing for ever, and a cluster that runs Jobs keeps them by the thousand. When one ends, the
/// API server says that it is gone.
const NOT_ENDED: &str = "status.phase!=Succeeded,status.phase!=Failed";

/// How changes of one kind are told.
struct Told<K> {
    put: fn(K) -> Change,
    gone: fn(K) -> Change,
    listed: fn(HashSet<Key>) -> Change,
    listing: Option<Listing>,
}

/// Where changes go.
#[derive(Clone)]
pub(crate) struct Watches {
    client: Client,
    namespace: Option<String>,
    out: mpsc::Sender<Heard>,
}

impl Watches {
    pub(crate) fn new(client: Client, namespace: Option<String>, out: mpsc::Sender<Heard>) -> Self {
        Self { client, namespace, out }
    }

    fn api<K: Resource<DynamicType = (), Scope = kube::core::NamespaceResourceScope>>(&self) -> Api<K> {
        match &self.namespace {
            Some(namespace) => Api::namespaced(self.client.clone(), namespace),
            None => Api::all(self.client.clone()),
        }
    }

    /// All kinds but Leases, until the receiver is gone.
    pub(crate) async fn run(self) {
        let pods = Told {
            put: |pod: view::Pod| Change::Pod(pod.into()),
            gone: |pod| Change::PodGone(model::Pod::from(pod).meta),
            listed: Change::Pods,
            listing: Some(Listing::Pods),
        };
        let services = Told {
            put: |service: view::Service| Change::Service(service.into()),
            gone: |service| Change::ServiceGone(model::Service::from(service).meta),
            listed: Change::Services,
            listing: Some(Listing::Services),
        };
        let slices = Told {
            put: |slice: view::Slice| Change::Slice(slice.into()),
            gone: |slice| Change::SliceGone(model::Slice::from(slice).meta),
            listed: Change::Slices,
            listing: Some(Listing::Slices),
        };
        let rivals = Told {
            put: |slice: view::Outsider| {
                let meta = model::Meta::of(&slice.metadata);
                Change::Rival(meta, Rival::of(&slice))
            },
            gone: |slice| Change::RivalGone(model::Meta::of(&slice.metadata)),
            listed: Change::Rivals,
            listing: Some(Listing::Rivals),
        };
        let nodes = Told {
            put: |node: view::Node| Change::Node(node.into()),
            gone: |node| Change::NodeGone(Node::from(node).name),
            listed: |keys| Change::Nodes(keys.into_iter().map(|key| key.name).collect::<HashSet<Arc<str>>>()),
            listing: Some(Listing::Nodes),
        };
        let (managed, us) = (leader::SLICE_MANAGED_BY, leader::US);
        let ours = format!("{managed}={us}");
        // Those without the label, too. Not those that the cluster makes for every ordinary Service.
        let others = format!("{managed} notin ({us},{})", leader::SLICE_CONTROLLER);
        // Small pages: a page is decoded as a whole, and what is not kept of it is most of it.
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

    /// One Lease, until the task is aborted.
    pub(crate) async fn lease(self, key: Key) {
        let api: Api<view::Lease> = Api::namespaced(self.client.clone(), &key.namespace);
        let config = watcher::Config::default().fields(&format!("metadata.name={}", key.name));
        let leases = Told {
            put: |lease: view::Lease| Change::Lease(lease.into()),
            gone: |lease| Change::LeaseGone(model::Lease::from(lease).meta),
            listed: |_| Change::Nothing,
            listing: None,
        };
        self.watch(api, config, leases).await;
    }

    async fn watch<K>(&self, api: Api<K>, config: watcher::Config, told: Told<K>)
    where
        K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug + Send + 'static,
    {
        let mut listed: HashSet<Key> = HashSet::new();
        let mut stream = std::pin::pin!(watcher(api, config).backoff(WatchBackoff::default()));
        while let Some(event) = stream.next().await {
            let now = Timestamp::now();
            let heard = match event {
                Ok(Event::Init) => {
                    listed.clear();
                    continue;
                }
                Ok(Event::InitApply(object)) => {
                    let name = object.name_any();
                    listed.insert(Key::new(object.namespace().unwrap_or_default(), name));
                    vec![Heard::Change(Box::new((told.put)(object)), now)]
                }
                Ok(Event::Apply(object)) => vec![Heard::Change(Box::new((told.put)(object)), now)],
                Ok(Event::Delete(object)) => vec![Heard::Change(Box::new((told.gone)(object)), now)],
                Ok(Event::InitDone) => {
                    let all = Heard::Change(Box::new((told.listed)(std::mem::take(&mut listed))), now);
                    [all].into_iter().chain(told.listing.map(Heard::Listed)).collect()
                }
                Err(error) => {
                    tracing::warn!(kind = %K::kind(&()), error = %Redacted(&error), "watch failed, restarting");
                    continue;
                }
            };
            for one in heard {
                if self.out.send(one).await.is_err() {
                    return;
                }
            }
        }
    }
}
