//! Client required: what there is to see of a step beside its flow.

use headworks::flows::api::JobFlow;
use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Event, Pod};
use kube::api::ListParams;

use crate::cmd::attempts::{self, Attempt};
use crate::cmd::cluster::Cluster;

/// A Job with thousands of pods has no more to tell than with these.
const MOST_PODS: usize = 10;
/// The last events say it.
const MOST_EVENTS: usize = 10;

/// The objects of a step that were read.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// The Jobs that are there, by attempt.
    pub(super) attempts: Vec<Attempt>,
    /// The last pods of the last Job, oldest first.
    pub(super) pods: Vec<Pod>,
    /// The last events of that Job and those pods, oldest first.
    pub(super) events: Vec<Event>,
    /// The kinds that could not be read, each with the error.
    pub(super) unread: Vec<String>,
}

impl Seen {
    /// The Job whose pods were seen.
    pub(super) fn last_job(&self) -> Option<&Job> {
        self.attempts.last().map(|attempt| &attempt.job)
    }
}

/// Reads everything. Kinds that may not be read are left out, and named.
pub(super) async fn read(cluster: &Cluster, flow: &JobFlow, index: usize) -> Seen {
    let mut seen = Seen::default();
    let step = &flow.spec.steps[index];
    if step.is_manual() {
        return seen;
    }
    match attempts::attempts(cluster, flow, Some(&step.name)).await {
        Ok(attempts) => seen.attempts = attempts,
        Err(error) => seen.unread.push(format!("Jobs: {error:#}")),
    }
    let Some(last) = seen.attempts.last() else { return seen };
    let mut uids = vec![last.job.metadata.uid.clone()];
    match attempts::pods(cluster, &last.job).await {
        Ok(mut pods) => {
            seen.pods = pods.split_off(pods.len().saturating_sub(MOST_PODS));
            uids.extend(seen.pods.iter().map(|pod| pod.metadata.uid.clone()));
        }
        Err(error) => seen.unread.push(format!("pods: {error:#}")),
    }
    for uid in uids.into_iter().flatten() {
        let params = ListParams::default().fields(&format!("involvedObject.uid={uid}")).limit(500);
        match cluster.call(cluster.api::<Event>().list(&params)).await {
            Ok(events) => seen.events.extend(events.items),
            Err(error) => {
                seen.unread.push(format!("events: {error:#}"));
                break;
            }
        }
    }
    seen.events.sort_by_key(time);
    seen.events = seen.events.split_off(seen.events.len().saturating_sub(MOST_EVENTS));
    seen
}

/// The time at which an event happened last.
pub(super) fn time(event: &Event) -> Option<Timestamp> {
    let series = event.series.as_ref().and_then(|series| Some(series.last_observed_time.as_ref()?.0));
    let old = event.last_timestamp.as_ref().map(|time| time.0);
    let new = event.event_time.as_ref().map(|time| time.0);
    let created = event.metadata.creation_timestamp.as_ref().map(|time| time.0);
    series.max(old).or(new).or(created)
}
