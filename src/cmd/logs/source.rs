//! Client required: the containers whose logs are wanted.

use std::collections::BTreeSet;

use headworks::flows::api::JobFlow;
use headworks::names::RESERVED_NAME_PREFIX;
use k8s_openapi::api::core::v1::{ContainerStatus, Pod};

use super::selection::Selection;
use crate::cmd::attempts::{Attempt, attempts, pods};
use crate::cmd::cluster::Cluster;

/// A container that has something to tell.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Source {
    pub(super) step: String,
    pub(super) attempt: i64,
    pub(super) pod: String,
    pub(super) container: String,
    /// Each start of a container has a log of its own.
    pub(super) start: i32,
    uid: String,
}

/// The pods and containers of a flow or a step.
#[derive(Debug, Default)]
pub(super) struct Listing {
    /// In the order of the document, then of their start.
    pub(super) sources: Vec<Source>,
    /// The attempts that are there.
    pub(super) attempts: BTreeSet<i64>,
    /// The containers that are there, started or not.
    pub(super) containers: BTreeSet<String>,
    pub(super) pods: usize,
    /// True while a container that is meant has not started.
    pub(super) waits: bool,
}

/// Lists the Jobs, pods and containers that are there.
pub(super) async fn list(
    cluster: &Cluster,
    flow: &JobFlow,
    selection: &Selection,
) -> anyhow::Result<Listing> {
    let steps = &flow.spec.steps;
    let only = selection.only.map(|step| steps[step].name.as_str());
    let all = attempts(cluster, flow, only).await?;
    let mut listing =
        Listing { attempts: all.iter().map(|attempt| attempt.number).collect(), ..Listing::default() };
    for step in steps {
        let of_step = all.iter().filter(|attempt| attempt.step == step.name);
        if let Some(attempt) = wanted(of_step, selection.attempt) {
            for pod in pods(cluster, &attempt.job).await? {
                listing.add(attempt, &pod, selection.container.as_deref());
            }
        }
    }
    Ok(listing)
}

/// The attempt that is meant: the one of this number, or else the last.
fn wanted<'a>(
    mut attempts: impl DoubleEndedIterator<Item = &'a Attempt>,
    number: Option<i64>,
) -> Option<&'a Attempt> {
    match number {
        Some(number) => attempts.find(|attempt| attempt.number == number),
        None => attempts.next_back(),
    }
}

impl Listing {
    fn add(&mut self, attempt: &Attempt, pod: &Pod, container: Option<&str>) {
        self.pods += 1;
        let status = pod.status.as_ref();
        let first = status.and_then(|status| status.init_container_statuses.as_ref());
        let then = status.and_then(|status| status.container_statuses.as_ref());
        for status in first.into_iter().chain(then).flatten() {
            self.containers.insert(status.name.clone());
            let meant = match container {
                Some(name) => status.name == name,
                // Ours fetch and keep artifacts; they are shown only when asked for.
                None => !status.name.starts_with(RESERVED_NAME_PREFIX),
            };
            if meant && !has_started(status) {
                self.waits = true;
            } else if meant {
                self.sources.push(Source {
                    step: attempt.step.clone(),
                    attempt: attempt.number,
                    pod: pod.metadata.name.clone().unwrap_or_default(),
                    container: status.name.clone(),
                    start: status.restart_count,
                    uid: pod.metadata.uid.clone().unwrap_or_default(),
                });
            }
        }
    }
}

fn has_started(status: &ContainerStatus) -> bool {
    let state = status.state.as_ref();
    let last = status.last_state.as_ref();
    state.is_some_and(|state| state.running.is_some() || state.terminated.is_some())
        || last.is_some_and(|last| last.terminated.is_some())
}

/// A label for each source, no longer than needed to tell it from the others.
pub(super) fn labels(sources: &[Source], one_step: bool) -> Vec<String> {
    sources
        .iter()
        .map(|source| {
            let of_step = || sources.iter().filter(|other| other.step == source.step);
            let mut parts = Vec::new();
            if !one_step {
                parts.push(source.step.as_str());
            }
            if of_step().any(|other| other.uid != source.uid) {
                // The Job's name is the same for all of them.
                parts.push(source.pod.rsplit('-').next().unwrap_or(&source.pod));
            }
            if of_step().any(|other| other.container != source.container) {
                parts.push(&source.container);
            }
            parts.join("/")
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::batch::v1::Job;
    use serde_json::json;

    use super::*;

    fn source(step: &str, pod: &str, container: &str) -> Source {
        let [step, pod, container, uid] = [step, pod, container, pod].map(str::to_owned);
        Source { step, attempt: 1, pod, container, start: 0, uid }
    }

    #[test]
    fn a_label_tells_no_more_than_is_needed() {
        let lone = [source("load", "n-load-h-abc", "main")];
        assert_eq!(labels(&lone, true), [""]);
        assert_eq!(labels(&lone, false), ["load"]);
        let many = [
            source("load", "n-load-h-abc", "main"),
            source("load", "n-load-h-abc", "side"),
            source("load", "n-load-h-def", "main"),
            source("check", "n-check-h-ghi", "main"),
        ];
        assert_eq!(labels(&many, true), ["abc/main", "abc/side", "def/main", ""]);
        assert_eq!(labels(&many, false), ["load/abc/main", "load/abc/side", "load/def/main", "check"]);
    }

    #[test]
    fn only_containers_of_the_step_that_have_started_are_shown() {
        let status = |name: &str, state: serde_json::Value| json!({"name": name, "image": "", "imageID": "", "ready": false, "restartCount": 0, "state": state});
        let pod: Pod = serde_json::from_value(json!({
            "metadata": {"name": "p", "uid": "u"},
            "status": {
                "initContainerStatuses": [status("headworks-fetch", json!({"terminated": {"exitCode": 0}}))],
                "containerStatuses": [
                    status("main", json!({"running": {}})),
                    status("side", json!({"waiting": {"reason": "PodInitializing"}})),
                ],
            },
        }))
        .unwrap();
        let shown = |container: Option<&str>| -> Vec<String> {
            let (attempt, mut listing) =
                (Attempt { step: "load".to_owned(), number: 1, job: Job::default() }, Listing::default());
            listing.add(&attempt, &pod, container);
            listing.sources.into_iter().map(|source| source.container).collect()
        };
        assert_eq!(shown(None), ["main"]);
        assert_eq!(shown(Some("headworks-fetch")), ["headworks-fetch"]);
        assert_eq!(shown(Some("side")), [""; 0]);
    }
}
