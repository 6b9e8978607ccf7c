//! The controller of leader Services: watches, the loop around [`plan`](crate::leaders::plan), and its writes.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use kube::Client;
use serde_json::Value;
use tokio::sync::watch as channel;
use tokio_util::sync::CancellationToken;

pub(crate) mod apply;
mod config;
mod events;
mod metrics;
mod reconcile;
mod watch;

use crate::leaders::plan::core::Core;
use crate::leaders::plan::outlook;
use crate::leaders::rules::SelectedPods;
pub use config::Config;
pub use metrics::Metrics;
use reconcile::Driver;

/// The in-memory state of the cluster, kept up to date in every replica, so that a new leader acts immediately.
#[derive(Clone)]
pub struct Caches {
    leads: Arc<channel::Sender<bool>>,
    synced: channel::Receiver<bool>,
    namespace: Option<String>,
    core: Arc<RwLock<Core>>,
}

impl Caches {
    /// Starts to watch, until `stopped`. Nothing is written before [`Caches::lead`].
    pub fn start(client: &Client, config: &Config, metrics: Metrics, stopped: CancellationToken) -> Self {
        let (leads, led) = channel::channel(false);
        let (sync, synced) = channel::channel(false);
        let (driver, watches) = Driver::new(client, config, metrics, led, Arc::new(sync));
        let (namespace, core) = (config.namespace.clone(), driver.shared());
        let watching = tokio::spawn(watches.run());
        tokio::spawn(async move {
            driver.run(stopped).await;
            watching.abort();
        });
        Self { leads: Arc::new(leads), synced, namespace, core }
    }

    /// Checks whether every kind was listed once.
    pub fn is_synced(&self) -> bool {
        *self.synced.borrow()
    }

    /// The pods that a Service would select if it were `object`. `None` while that is not known, and in a namespace
    /// that is not watched.
    pub fn selected_pods(&self, object: &Value) -> Option<SelectedPods> {
        let namespace = object.get("metadata")?.get("namespace")?.as_str()?;
        if !self.is_synced() || self.namespace.as_ref().is_some_and(|mine| mine != namespace) {
            return None;
        }
        outlook::selected_pods(&self.core.read().unwrap_or_else(PoisonError::into_inner).state, object)
    }

    /// Waits until every kind was listed once.
    pub async fn synced(&self) {
        let _ = self.synced.clone().wait_for(|synced| *synced).await;
    }

    /// Writes until `ended`, and begins when every kind was listed once.
    pub async fn lead(&self, ended: CancellationToken) {
        let _until_dropped = Leads::begin(&self.leads);
        ended.cancelled().await;
    }
}

impl fmt::Debug for Caches {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Caches").field("namespace", &self.namespace).finish_non_exhaustive()
    }
}

/// Leads until it is dropped, so that leading ends however its future ends: one that lost its Lease is dropped too.
struct Leads<'a>(&'a channel::Sender<bool>);

impl<'a> Leads<'a> {
    fn begin(leads: &'a channel::Sender<bool>) -> Self {
        leads.send_replace(true);
        Self(leads)
    }
}

impl Drop for Leads<'_> {
    fn drop(&mut self) {
        self.0.send_replace(false);
    }
}

/// Watches and writes until `stopped`: [`Caches::start`] and [`Caches::lead`] in one.
pub async fn run(client: Client, config: Config, metrics: Metrics, stopped: CancellationToken) {
    Caches::start(&client, &config, metrics, stopped.clone()).lead(stopped).await;
}
