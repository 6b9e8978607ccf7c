//! Replicas and the leaf that each serves, from what they report and what the Service routes to.
//!
//! Each replica keeps a Lease with the serial that it serves, and has written it once before it is ready. So every replica
//! that is, or may become, ready is in an EndpointSlice of the Service or has a Lease.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::time::Instant;

/// A report whose pod has been in no EndpointSlice for this long is of a deleted pod. A pod that runs is in one, ready or
/// not, a moment after it has an address.
const GONE: Duration = Duration::from_mins(1);

/// A replica, and what it serves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Served {
    /// The name of its pod.
    pub name: String,
    /// The serial of the leaf it serves. `None`: it has not reported one.
    pub serial: Option<String>,
}

/// The replicas as the API server lists them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ReplicaList {
    /// The pods behind the Service; those that are ready, or answer while they stop, with `true`.
    pub(crate) endpoints: BTreeMap<String, bool>,
    /// The serial that each pod reports.
    pub(crate) reports: BTreeMap<String, String>,
}

/// Distinguishes deleted pods, whose reports are left, from new pods.
#[derive(Clone, Debug, Default)]
pub(crate) struct ReplicaTracker {
    /// Pods that report and are in no slice, and since when.
    unseen: BTreeMap<String, Instant>,
}

impl ReplicaTracker {
    /// Returns every replica that is, or may become, ready. `own` is this process itself, where it has no pod that reports.
    pub(crate) fn update(&mut self, list: &ReplicaList, own: Option<Served>, now: Instant) -> Vec<Served> {
        let ReplicaList { endpoints, reports } = list;
        self.unseen.retain(|pod, _| reports.contains_key(pod) && !endpoints.contains_key(pod));
        let mut pods: BTreeSet<&String> =
            endpoints.iter().filter(|(_, answers)| **answers).map(|(pod, _)| pod).collect();
        for pod in reports.keys() {
            if endpoints.contains_key(pod)
                || now.duration_since(*self.unseen.entry(pod.clone()).or_insert(now)) < GONE
            {
                pods.insert(pod);
            }
        }
        let known =
            pods.into_iter().map(|pod| Served { name: pod.clone(), serial: reports.get(pod).cloned() });
        known.chain(own).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(endpoints: &[(&str, bool)], reports: &[(&str, &str)]) -> ReplicaList {
        ReplicaList {
            endpoints: endpoints.iter().map(|(pod, answers)| ((*pod).to_owned(), *answers)).collect(),
            reports: reports.iter().map(|(pod, serial)| ((*pod).to_owned(), (*serial).to_owned())).collect(),
        }
    }

    fn served(name: &str, serial: Option<&str>) -> Served {
        Served { name: name.to_owned(), serial: serial.map(str::to_owned) }
    }

    #[test]
    fn a_pod_that_answers_counts_without_a_report_and_one_that_reports_counts_before_it_is_ready() {
        let list = list(&[("a", true), ("b", true), ("c", false), ("d", false)], &[("a", "1"), ("c", "2")]);
        let replicas = ReplicaTracker::default().update(&list, None, Instant::now());
        assert_eq!(replicas, [served("a", Some("1")), served("b", None), served("c", Some("2"))]);
    }

    #[test]
    fn a_report_of_a_pod_in_no_slice_counts_for_a_minute_and_anew_if_it_was_in_one_meanwhile() {
        let (mut tracker, start) = (ReplicaTracker::default(), Instant::now());
        let (alone, seen) = (list(&[], &[("a", "1")]), list(&[("a", false)], &[("a", "1")]));
        let mut at = |list: &ReplicaList, seconds| {
            tracker.update(list, None, start + Duration::from_secs(seconds)).len()
        };
        assert_eq!(at(&alone, 0), 1);
        assert_eq!(at(&alone, 59), 1);
        assert_eq!(at(&alone, 60), 0);
        assert_eq!(at(&seen, 61), 1);
        assert_eq!(at(&alone, 62), 1);
        assert_eq!(at(&alone, 121), 1);
        assert_eq!(at(&alone, 122), 0);
    }

    #[test]
    fn a_process_without_a_pod_counts_itself() {
        let own = served("this process", Some("1"));
        assert_eq!(
            ReplicaTracker::default().update(&ReplicaList::default(), Some(own.clone()), Instant::now()),
            [own]
        );
    }
}
