//! The two ways to run a shape: as flows, and as bare Jobs, each created when those that it waits for are Complete.

use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::{Stream, StreamExt};
use kube::api::{
    Api, ApiResource, DeleteParams, DynamicObject, GroupVersionKind, ListParams, Object, PostParams,
};
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Client, ResourceExt};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use crate::shape::{Shape, job_spec};

/// Objects created at one time.
const CREATIONS: usize = 16;
/// Whatever takes longer has failed.
const PATIENCE: Duration = Duration::from_mins(20);

#[derive(Clone, Debug, Default, Deserialize)]
struct Status {
    #[serde(default)]
    conditions: Vec<Condition>,
}

#[derive(Clone, Debug, Deserialize)]
struct Condition {
    #[serde(rename = "type")]
    kind: String,
    status: String,
}

type Seen = Object<IgnoredAny, Status>;

fn kind(group: &str, version: &str, kind: &str) -> ApiResource {
    ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind))
}

fn flow_kind() -> ApiResource {
    kind("workflow.kube-zen.io", "v1alpha1", "JobFlow")
}

fn job_kind() -> ApiResource {
    kind("batch", "v1", "Job")
}

fn pod_kind() -> ApiResource {
    kind("", "v1", "Pod")
}

/// Creates objects of a kind in a namespace, so many at one time.
struct Creator {
    api: Api<DynamicObject>,
    turns: Arc<Semaphore>,
}

impl Creator {
    fn new(client: &Client, namespace: &str, kind: &ApiResource) -> Self {
        let api = Api::namespaced_with(client.clone(), namespace, kind);
        Self { api, turns: Arc::new(Semaphore::new(CREATIONS)) }
    }

    fn create(&self, object: Value) {
        let (api, turns) = (self.api.clone(), self.turns.clone());
        tokio::spawn(async move {
            let _turn = turns.acquire().await.unwrap();
            let object: DynamicObject = serde_json::from_value(object).unwrap();
            if let Err(error) = api.create(&PostParams::default(), &object).await {
                eprintln!("not created: {error}");
                std::process::exit(1);
            }
        });
    }
}

/// The names of objects of `kind`, as each comes to its end.
async fn ends(
    client: &Client,
    namespace: &str,
    kind: &ApiResource,
) -> Pin<Box<dyn Stream<Item = String> + Send>> {
    let api: Api<Seen> = Api::namespaced_with(client.clone(), namespace, kind);
    let mut events = Box::pin(watcher(api, watcher::Config::default()));
    while !matches!(events.next().await, Some(Ok(Event::InitDone))) {}
    let mut known = std::collections::HashSet::new();
    Box::pin(events.filter_map(move |event| {
        let Event::Apply(object) = event.expect("the watch goes on") else {
            return std::future::ready(None);
        };
        let is = |kind: &str| {
            let mut conditions = object.status.iter().flat_map(|status| &status.conditions);
            conditions.any(|condition| condition.kind == kind && condition.status == "True")
        };
        assert!(!is("Failed"), "{} failed", object.name_any());
        let ended = is("Complete") && known.insert(object.name_any());
        std::future::ready(ended.then(|| object.name_any()))
    }))
}

/// As flows: from the creation of the first to the end of the last.
pub(crate) async fn flows(client: &Client, namespace: &str, shape: &Shape) -> Duration {
    let kind = flow_kind();
    let mut ends = ends(client, namespace, &kind).await;
    let creator = Creator::new(client, namespace, &kind);
    let started = Instant::now();
    for number in 0..shape.flows {
        creator.create(shape.flow(number));
    }
    for _ in 0..shape.flows {
        in_time(ends.next()).await;
    }
    started.elapsed()
}

/// As bare Jobs.
pub(crate) async fn bare(client: &Client, namespace: &str, shape: &Shape) -> Duration {
    let kind = job_kind();
    let mut ends = ends(client, namespace, &kind).await;
    let creator = Creator::new(client, namespace, &kind);
    let create = |graph: usize, index: usize| {
        creator.create(json!({
            "apiVersion": "batch/v1", "kind": "Job",
            "metadata": {"name": format!("g{graph}-{index}")}, "spec": job_spec()
        }));
    };
    let steps = shape.steps();
    let mut missing: Vec<Vec<usize>> = vec![steps.iter().map(Vec::len).collect(); shape.flows];
    let started = Instant::now();
    for graph in 0..shape.flows {
        create(graph, 0);
    }
    for _ in 0..shape.flows * steps.len() {
        let name = in_time(ends.next()).await.unwrap();
        let (graph, ended) = name[1..].split_once('-').unwrap();
        let (graph, ended): (usize, usize) = (graph.parse().unwrap(), ended.parse().unwrap());
        for (index, _) in steps.iter().enumerate().filter(|(_, before)| before.contains(&ended)) {
            missing[graph][index] -= 1;
            if missing[graph][index] == 0 {
                create(graph, index);
            }
        }
    }
    started.elapsed()
}

/// Makes a namespace; Jobs need its service account.
pub(crate) async fn namespace(client: &Client, name: &str) {
    let api: Api<DynamicObject> = Api::all_with(client.clone(), &kind("", "v1", "Namespace"));
    let object = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
    api.create(&PostParams::default(), &serde_json::from_value(object).unwrap()).await.unwrap();
    let accounts: Api<DynamicObject> =
        Api::namespaced_with(client.clone(), name, &kind("", "v1", "ServiceAccount"));
    let end = Instant::now() + PATIENCE;
    while accounts.get_opt("default").await.unwrap().is_none() {
        assert!(Instant::now() < end, "no service account");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Delete what is there, and wait until it is gone.
pub(crate) async fn clear(client: &Client, namespace: &str) {
    for kind in [flow_kind(), job_kind()] {
        let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), namespace, &kind);
        api.delete_collection(&DeleteParams::background(), &ListParams::default()).await.unwrap();
    }
    let end = Instant::now() + PATIENCE;
    for kind in [job_kind(), pod_kind()] {
        let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), namespace, &kind);
        while !api.list(&ListParams::default().limit(1)).await.unwrap().items.is_empty() {
            assert!(Instant::now() < end, "they do not go");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
}

async fn in_time<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, work).await.expect("in time")
}
