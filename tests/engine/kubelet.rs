//! The test as kubelet: pods end as their annotations say, and say what their annotations say.
//!
//! The outcome of an attempt depends on nothing but the flow, so however often the engine dies, a run that ends
//! differently is the engine's doing.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use futures::StreamExt;
use headworks::names;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Patch, PatchParams};
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, watcher};
use kube::{Api, Client, ResourceExt};
use serde_json::{Value, json};

use crate::cluster::{Cluster, runtime};

/// Exit codes by attempt, as `3,0`; the last one is for all that follow. `-`: it never ends.
pub(crate) const EXITS: &str = "fate.test/exits";
/// What its container says at its end.
pub(crate) const SAYS: &str = "fate.test/says";
/// How long it runs, in milliseconds.
pub(crate) const TAKES: &str = "fate.test/takes";

/// What a container says that no step asked for. It fails where the step's own does.
pub(crate) const STRANGER: (&str, i64) = ("from a stranger", 9);

/// Play the kubelet for every pod of a flow in a cluster, until the end of the run.
pub(crate) fn play(cluster: &Cluster) {
    let client = cluster.client.clone();
    runtime().spawn(async move {
        let ours = format!("{}={}", names::APP_MANAGED_BY_LABEL, names::HEADWORKS);
        let pods: Api<Pod> = Api::all(client.clone());
        let config = watcher::Config::default().labels(&ours);
        let mut events = std::pin::pin!(watcher(pods, config).default_backoff().applied_objects());
        let mut begun = HashSet::new();
        while let Some(event) = events.next().await {
            // An API server that is restarted is one of the tests.
            let Ok(pod) = event else { continue };
            if pod.metadata.deletion_timestamp.is_none() && begun.insert(pod.metadata.uid.clone()) {
                tokio::spawn(live(client.clone(), pod));
            }
        }
    });
}

async fn live(client: Client, pod: Pod) {
    let annotations = pod.annotations();
    let Some(code) = exit_code(annotations) else { return };
    let takes = annotations.get(TAKES).map_or(0, |takes| takes.parse().unwrap());
    tokio::time::sleep(Duration::from_millis(takes)).await;
    let (name, namespace) = (pod.name_any(), pod.namespace().unwrap());
    let pods: Api<Pod> = Api::namespaced(client, &namespace);
    let says = annotations.get(SAYS).map_or("", String::as_str);
    let patch = json!({"metadata": {"uid": pod.metadata.uid}, "status": ended(&pod, code, says)});
    // Until it is told, however long the API server is away; unless the pod is gone.
    while let Err(error) = pods.patch_status(&name, &PatchParams::default(), &Patch::Merge(&patch)).await {
        if let kube::Error::Api(status) = &error
            && matches!(status.code, 404 | 409)
        {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

fn exit_code(annotations: &BTreeMap<String, String>) -> Option<i64> {
    let attempt: usize = annotations.get(names::ATTEMPT_ANNOTATION)?.parse().ok()?;
    let exits = annotations.get(EXITS).map_or("0", String::as_str);
    let exits: Vec<&str> = exits.split(',').collect();
    exits[(attempt - 1).min(exits.len() - 1)].parse().ok()
}

/// A pod's status at its end. Statuses are sorted by name, as the kubelet has them.
pub(crate) fn ended(pod: &Pod, code: i64, says: &str) -> Value {
    let phase = if code == 0 { "Succeeded" } else { "Failed" };
    let now = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let containers =
        pod.spec.iter().flat_map(|spec| &spec.containers).map(|container| container.name.as_str());
    let mut containers: Vec<&str> = containers.collect();
    containers.sort_unstable();
    let statuses = containers.into_iter().map(|name| {
        let (code, says) = match name {
            "main" => (code, says),
            _ if code == 0 => (0, STRANGER.0),
            _ => (STRANGER.1, STRANGER.0),
        };
        let reason = if code == 0 { "Completed" } else { "Error" };
        json!({
            "name": name, "image": "none", "imageID": "none", "ready": false, "restartCount": 0,
            "state": {"terminated": {
                "exitCode": code, "reason": reason, "message": says, "startedAt": now, "finishedAt": now
            }}
        })
    });
    json!({"phase": phase, "containerStatuses": statuses.collect::<Vec<_>>()})
}
