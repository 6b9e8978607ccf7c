//! Every version of every object of one kind in a namespace, as a watch brought them.

use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use futures::StreamExt;
use kube::api::{ApiResource, DynamicObject};
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

/// An object at one moment.
pub(crate) struct Record {
    /// When the watch brought it.
    pub(crate) at: Instant,
    /// Whether it was deleted; then this is how it last was.
    pub(crate) gone: bool,
    pub(crate) object: Value,
}

impl Record {
    pub(crate) fn name(&self) -> &str {
        self.object["metadata"]["name"].as_str().unwrap_or_default()
    }

    /// Whether a Job or a pod has come to its end.
    pub(crate) fn has_ended(&self) -> bool {
        let status = &self.object["status"];
        let mut conditions = status["conditions"].as_array().into_iter().flatten();
        matches!(status["phase"].as_str(), Some("Succeeded" | "Failed"))
            || conditions.any(|condition| {
                matches!(condition["type"].as_str(), Some("Complete" | "Failed"))
                    && condition["status"] == "True"
            })
    }
}

/// What a watch has brought until now.
#[derive(Default)]
pub(crate) struct Records {
    all: Mutex<Vec<Record>>,
    more: Condvar,
}

impl Records {
    /// Record until `stopped`.
    pub(crate) fn start(
        client: &Client,
        resource: &ApiResource,
        namespace: &str,
        stopped: CancellationToken,
    ) -> Arc<Self> {
        let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), namespace, resource);
        let records = Arc::new(Self::default());
        let writer = records.clone();
        tokio::spawn(async move {
            let mut events = std::pin::pin!(watcher(api, watcher::Config::default()));
            loop {
                let event = tokio::select! {
                    event = events.next() => event,
                    () = stopped.cancelled() => return,
                };
                match event {
                    Some(Ok(Event::InitApply(object) | Event::Apply(object))) => writer.push(&object, false),
                    Some(Ok(Event::Delete(object))) => writer.push(&object, true),
                    Some(_) => {}
                    None => return,
                }
            }
        });
        records
    }

    fn push(&self, object: &DynamicObject, gone: bool) {
        let object = serde_json::to_value(object).unwrap();
        self.all.lock().unwrap().push(Record { at: Instant::now(), gone, object });
        self.more.notify_all();
    }

    /// Look at what there is.
    pub(crate) fn look<T>(&self, look: impl FnOnce(&[Record]) -> T) -> T {
        look(&self.all.lock().unwrap())
    }

    /// Wait until `find` finds something; `None` when `limit` is over.
    pub(crate) fn find<T>(&self, limit: Duration, mut find: impl FnMut(&[Record]) -> Option<T>) -> Option<T> {
        let end = Instant::now() + limit;
        let mut all = self.all.lock().unwrap();
        loop {
            if let Some(found) = find(&all) {
                return Some(found);
            }
            let left = end.checked_duration_since(Instant::now())?;
            all = self.more.wait_timeout(all, left).unwrap().0;
        }
    }

    /// Each object as it last was, in the order in which they appeared; what was deleted is left out.
    pub(crate) fn latest(&self) -> Vec<Value> {
        self.look(|records| {
            let mut latest: Vec<&Record> = Vec::new();
            for record in records {
                match latest.iter_mut().find(|known| known.name() == record.name()) {
                    Some(known) => *known = record,
                    None => latest.push(record),
                }
            }
            latest.into_iter().filter(|record| !record.gone).map(|record| record.object.clone()).collect()
        })
    }
}
