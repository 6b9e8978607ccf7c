//! The expected end of a flow, from the durations of its steps in an earlier run.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use super::policy::after;
use crate::flows::api::{StepPhase, StepStatus};
use crate::flows::dag::Dag;

/// Estimates the end of a flow with these steps at `now`, assuming that each takes as long as before; `None` unless the
/// duration of every unfinished step is known. Retries, slots and waits for approval are not taken into account.
pub(super) fn end(
    dag: &Dag<'_>,
    steps: &[StepStatus],
    durations: &BTreeMap<String, SignedDuration>,
    now: Timestamp,
) -> Option<Timestamp> {
    let mut ends = vec![now; steps.len()];
    for index in dag.topological()? {
        let step = &steps[index];
        let phase = step.phase.unwrap_or(StepPhase::Pending);
        if phase.is_final() {
            continue;
        }
        let duration = *durations.get(&step.name)?;
        let start = match (phase, &step.start_time) {
            (StepPhase::Running, Some(start)) => start.0,
            _ => dag.dependencies(index).map(|before| ends[before]).max().unwrap_or(now),
        };
        // A step that takes longer than the last time may end at any moment.
        ends[index] = after(start, duration).max(now);
    }
    ends.into_iter().max()
}

/// Returns the duration of each step of a flow that succeeded.
pub fn durations(steps: &[StepStatus]) -> BTreeMap<String, SignedDuration> {
    let duration = |step: &StepStatus| {
        let span = match step.phase? {
            StepPhase::Succeeded => {
                step.completion_time.as_ref()?.0.duration_since(step.start_time.as_ref()?.0)
            }
            StepPhase::Skipped => SignedDuration::ZERO,
            _ => return None,
        };
        Some((step.name.clone(), span))
    };
    steps.iter().filter_map(duration).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::flows::api::Step;
    use crate::flows::observed::fixtures::at;

    #[test]
    fn the_longest_way_through_what_is_left_decides() {
        let spec: Vec<Step> = serde_json::from_value(json!([
            {"name": "a"}, {"name": "b", "dependencies": ["a"]}, {"name": "c", "dependencies": ["a"]},
        ]))
        .unwrap();
        let dag = Dag::new(&spec);
        let steps: Vec<StepStatus> = serde_json::from_value(json!([
            {"name": "a", "phase": "Running", "startTime": "2026-11-24T10:00:00.000000Z"},
            {"name": "b", "phase": "Pending"}, {"name": "c", "phase": "Pending"},
        ]))
        .unwrap();
        let durations =
            [("a", 10), ("b", 5), ("c", 7)].map(|(name, s)| (name.to_owned(), SignedDuration::from_secs(s)));
        let durations = BTreeMap::from(durations);
        assert_eq!(end(&dag, &steps, &durations, at(3)), Some(at(17)));
        // Step a takes longer than it did.
        assert_eq!(end(&dag, &steps, &durations, at(12)), Some(at(19)));
        assert_eq!(end(&dag, &steps, &BTreeMap::new(), at(3)), None);
    }
}
