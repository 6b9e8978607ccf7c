//! Concurrency groups: flows of one namespace and one `concurrencyKey`, which hold each other up.

use std::collections::BTreeMap;

use jiff::SignedDuration;

use super::entry::{FlowEntry, Touched};
use super::index::Index;
use crate::flows::api::{FlowPhase, JobFlow};
use crate::flows::controller::queue::Urgency;
use crate::flows::controller::view;
use crate::flows::controller::view::{FlowKey, FlowView};
use crate::flows::plan::{Rival, Verdict, durations};

impl Index {
    /// Moves a flow to the group of its concurrency key.
    pub(super) fn regroup(&mut self, key: &FlowKey, old: Option<&FlowEntry>, new: &FlowView) {
        let group = |flow: &Result<JobFlow, _>| {
            let concurrency_key = view::concurrency_key(flow.as_ref().ok()?)?.to_owned();
            Some((key.namespace.clone(), concurrency_key))
        };
        let (was, is) = (old.and_then(|old| group(&old.flow)), group(&new.flow));
        if was != is
            && let Some(was) = was
        {
            self.leave_group(&was, key);
        }
        if let Some(is) = is {
            self.groups.entry(is).or_default().insert(key.clone());
        }
    }

    pub(super) fn leave_group(&mut self, group: &(String, String), key: &FlowKey) {
        if let Some(flows) = self.groups.get_mut(group) {
            flows.remove(key);
            if flows.is_empty() {
                self.groups.remove(group);
            }
        }
    }

    pub(super) fn group_of(&self, key: &FlowKey) -> Option<(String, String)> {
        let entry = self.flows.get(key)?;
        let concurrency_key = view::concurrency_key(entry.flow.as_ref().ok()?)?;
        Some((key.namespace.clone(), concurrency_key.to_owned()))
    }

    /// Returns a flow and the others of its group.
    pub(super) fn touched_with_group(&self, key: FlowKey) -> Touched {
        let group = self.group_of(&key).and_then(|group| self.groups.get(&group));
        let others = group.into_iter().flatten().filter(|other| **other != key);
        let mut touched: Touched = others.map(|other| (other.clone(), Urgency::Normal)).collect();
        touched.push((key, Urgency::Normal));
        touched
    }

    /// Returns the other flows of the group.
    pub(super) fn rivals(&self, key: &FlowKey, entry: &FlowEntry) -> Vec<Rival> {
        let Some(group) = self.group_of(key).and_then(|group| self.groups.get(&group)) else {
            return Vec::new();
        };
        let others =
            group.iter().filter_map(|other| self.flows.get(other)).filter(|other| other.id != entry.id);
        others.filter_map(|other| self.rival(other)).collect()
    }

    /// Returns the durations of the steps of the last flow of the group that succeeded.
    pub(super) fn durations(&self, key: &FlowKey) -> BTreeMap<String, SignedDuration> {
        let group = self.group_of(key).and_then(|group| self.groups.get(&group)).into_iter().flatten();
        let statuses = group.filter_map(|other| self.flows.get(other)?.flow.as_ref().ok()?.status.as_ref());
        let succeeded = statuses.filter(|status| status.phase == Some(FlowPhase::Succeeded));
        let last = succeeded.max_by_key(|status| status.completion_time.as_ref().map(|time| time.0));
        last.map(|status| durations(&status.steps)).unwrap_or_default()
    }

    /// Returns a flow as the others of its group see it.
    pub(super) fn rival(&self, entry: &FlowEntry) -> Option<Rival> {
        let flow = entry.flow.as_ref().ok()?;
        Some(Rival {
            name: flow.metadata.name.clone().unwrap_or_default(),
            uid: entry.uid().to_owned(),
            created: view::created(&flow.metadata),
            started: view::has_started(flow),
            over: view::is_over(flow) && !self.runs_something(&entry.id),
            queued: entry.verdict == Verdict::Sound
                && flow.spec.suspend != Some(true)
                && flow.metadata.deletion_timestamp.is_none(),
            replaces: view::replaces(flow),
        })
    }
}
