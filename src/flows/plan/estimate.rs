//! When a flow may be expected to end, told from how long its steps took the last time.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use super::policy::after;
use super::reason::is_final;
use crate::flows::api::{StepPhase, StepStatus};
use crate::flows::dag::Dag;

/// The end of a flow whose steps stand as they do at `now` and take as long as they did before; `None` unless that is
/// known of every step that is not done. Retries, slots and the wait for approval are not foreseen.
pub(super) fn end(
    dag: &Dag<'_>,
    steps: &[StepStatus],
    took: &BTreeMap<String, SignedDuration>,
    now: Timestamp,
) -> Option<Timestamp> {
    let mut ends = vec![now; steps.len()];
    for place in dag.topological()? {
        let step = &steps[place];
        let phase = step.phase.unwrap_or(StepPhase::Pending);
        if is_final(phase) {
            continue;
        }
        let took = *took.get(&step.name)?;
        let start = match (phase, &step.start_time) {
            (StepPhase::Running, Some(start)) => start.0,
            _ => dag.dependencies(place).map(|before| ends[before]).max().unwrap_or(now),
        };
        // What takes longer than the last time may end at any moment.
        ends[place] = after(start, took).max(now);
    }
    ends.into_iter().max()
}

/// How long each step of a flow that succeeded took.
pub fn durations(steps: &[StepStatus]) -> BTreeMap<String, SignedDuration> {
    let took = |step: &StepStatus| {
        let span = match step.phase? {
            StepPhase::Succeeded => {
                step.completion_time.as_ref()?.0.duration_since(step.start_time.as_ref()?.0)
            }
            StepPhase::Skipped => SignedDuration::ZERO,
            _ => return None,
        };
        Some((step.name.clone(), span))
    };
    steps.iter().filter_map(took).collect()
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
        let took =
            [("a", 10), ("b", 5), ("c", 7)].map(|(name, s)| (name.to_owned(), SignedDuration::from_secs(s)));
        let took = BTreeMap::from(took);
        assert_eq!(end(&dag, &steps, &took, at(3)), Some(at(17)));
        // It takes longer than it did.
        assert_eq!(end(&dag, &steps, &took, at(12)), Some(at(19)));
        assert_eq!(end(&dag, &steps, &BTreeMap::new(), at(3)), None);
    }
}
