//! The three watches that feed the [`Cache`]. They run in every replica, for as long as it lives.

use std::sync::Arc;

use futures::{Stream, StreamExt};
use kube::runtime::utils::WatchStreamExt;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::queue::{Queue, Urgency};
use super::state::{Cache, Kind, Touched, Watch};
use super::view;
use super::view::{FlowKey, FlowView};
use crate::cluster::watch_backoff::WatchBackoff;
use crate::cluster::watch_errors::Redacted;
use crate::flows::observed::view::{JobView, PodView};
use crate::flows::observed::{Job, Pod, id_of};
use crate::flows::plan::Verdict;
use crate::flows::rules::Options;
use crate::names;

/// The queue into which watches put the flows that have to be reconciled.
pub(super) type Work = Arc<Queue<FlowKey>>;

/// Watches in progress.
#[derive(Clone)]
pub struct Watches {
    pub(super) cache: Arc<Cache>,
    pub(super) queue: Work,
    /// The number of watches that have listed everything once.
    synced: Arc<watch::Sender<usize>>,
    wanted: usize,
}

impl Watches {
    /// Watches `namespaces`, or the whole cluster if there are none, until `stopped`.
    pub fn start(
        client: &Client,
        namespaces: &[String],
        options: Options,
        stopped: &CancellationToken,
    ) -> Self {
        let scopes: Vec<Option<&str>> = if namespaces.is_empty() {
            vec![None]
        } else {
            namespaces.iter().map(|name| Some(name.as_str())).collect()
        };
        let watches = Self {
            cache: Arc::default(),
            queue: Arc::new(Queue::new()),
            synced: Arc::new(watch::Sender::new(0)),
            wanted: 3 * scopes.len(),
        };
        let ours = watcher::Config::default().labels(&format!(
            "{}={}",
            names::APP_MANAGED_BY_LABEL,
            names::HEADWORKS
        ));
        let options = Arc::new(options);
        for (scope, namespace) in scopes.into_iter().enumerate() {
            let feed = |kind| Feed { watches: watches.clone(), watch: Watch { kind, scope } };
            let flows = watcher(api::<FlowView>(client, namespace), watcher::Config::default());
            let options = options.clone();
            feed(Kind::Flow).run(flows, stopped, move |cache, change| flow(cache, change, scope, &options));
            let jobs = watcher(api::<JobView>(client, namespace), ours.clone());
            feed(Kind::Job).run(jobs, stopped, move |cache, change| job(cache, change, scope));
            // A pod has the labels of its Job's template.
            let pods = watcher(api::<PodView>(client, namespace), ours.clone());
            feed(Kind::Pod).run(pods, stopped, move |cache, change| pod(cache, change, scope));
        }
        watches
    }

    /// Tells whether every watch has listed everything once.
    pub fn are_synced(&self) -> bool {
        *self.synced.borrow() >= self.wanted
    }

    /// Waits until every watch has listed everything once.
    pub async fn synced(&self) {
        // The sender lives as long as this does.
        let _ = self.synced.subscribe().wait_for(|synced| *synced >= self.wanted).await;
    }

    /// Returns the cache that the watches feed.
    pub fn cache(&self) -> Arc<Cache> {
        self.cache.clone()
    }
}

fn api<K>(client: &Client, namespace: Option<&str>) -> Api<K>
where
    K: kube::Resource<Scope = kube::core::NamespaceResourceScope>,
    K::DynamicType: Default,
{
    match namespace {
        Some(namespace) => Api::namespaced(client.clone(), namespace),
        None => Api::all(client.clone()),
    }
}

/// One watch and the cache that it feeds.
struct Feed {
    watches: Watches,
    watch: Watch,
}

impl Feed {
    fn run<K>(
        self,
        stream: impl Stream<Item = watcher::Result<Event<K>>> + Send + 'static,
        stopped: &CancellationToken,
        take: impl Fn(&Cache, Change<K>) -> Touched + Send + 'static,
    ) where
        K: Send + 'static,
    {
        let stopped = stopped.clone();
        tokio::spawn(async move {
            let mut stream = std::pin::pin!(stream.backoff(WatchBackoff::default()));
            let mut listed = false;
            loop {
                let event = tokio::select! {
                    event = stream.next() => event,
                    () = stopped.cancelled() => return,
                };
                let cache = &self.watches.cache;
                let touched = match event {
                    None => return,
                    Some(Err(error)) => {
                        tracing::warn!(watch = ?self.watch.kind, error = %Redacted(&error), "a watch was interrupted");
                        continue;
                    }
                    Some(Ok(Event::Init)) => {
                        cache.list_begins(self.watch);
                        continue;
                    }
                    Some(Ok(Event::InitDone)) => {
                        let touched = cache.list_ends(self.watch);
                        if !std::mem::replace(&mut listed, true) {
                            self.watches.synced.send_modify(|synced| *synced += 1);
                        }
                        touched
                    }
                    Some(Ok(Event::InitApply(object) | Event::Apply(object))) => {
                        take(cache, Change::Is(object))
                    }
                    Some(Ok(Event::Delete(object))) => take(cache, Change::Gone(object)),
                };
                for (key, urgency) in touched {
                    self.watches.queue.add(key, urgency);
                }
            }
        });
    }
}

/// A change of one object.
enum Change<K> {
    Is(K),
    Gone(K),
}

fn flow(cache: &Cache, change: Change<FlowView>, scope: usize, options: &Options) -> Touched {
    match change {
        Change::Is(view) => {
            let verdict = judge(&view, options);
            cache.flow(view, verdict, scope)
        }
        Change::Gone(view) => cache.flow_deleted(&id_of(&view.metadata)),
    }
}

/// Validates a flow before it starts, and again if its spec was changed since. One that runs was validated before.
pub(super) fn judge(view: &FlowView, options: &Options) -> Verdict {
    let Ok(flow) = &view.flow else { return Verdict::Sound };
    let observed = flow.status.as_ref().and_then(|status| status.observed_generation);
    let known = view::has_started(flow) && observed == flow.metadata.generation;
    if known || view::is_over(flow) { Verdict::Sound } else { view::verdict(flow, options) }
}

fn job(cache: &Cache, change: Change<JobView>, scope: usize) -> Touched {
    match change {
        Change::Is(view) => Job::from_view(view).map_or_else(Vec::new, |job| cache.job(job, scope)),
        Change::Gone(view) => cache.job_deleted(&id_of(&view.metadata), Job::from_view(view)),
    }
}

fn pod(cache: &Cache, change: Change<PodView>, scope: usize) -> Touched {
    match change {
        Change::Is(view) => Pod::from_view(view).map_or_else(Vec::new, |pod| cache.pod(pod, scope)),
        Change::Gone(view) => Pod::from_view(view).map_or_else(Vec::new, |pod| cache.pod_deleted(pod)),
    }
}

/// Queues every flow, as after winning the Lease.
pub(super) fn add_all(watches: &Watches) {
    for key in watches.cache.flows() {
        watches.queue.add(key, Urgency::Normal);
    }
}
