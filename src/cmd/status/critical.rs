//! PURE: the critical path, the chain of steps that took longest so far.

use headworks::flows::api::StepPhase;
use jiff::{SignedDuration, Timestamp};

use crate::cmd::flow_view::FlowView;

/// The chain of dependencies whose steps took the longest time together, in order, and that time. A step that has not
/// started counts for next to nothing, but for more than none, so that of equal chains the longer one is taken.
/// Empty where nothing has started yet, and where one chain is all there is.
pub(super) fn path(view: &FlowView<'_>, now: Timestamp) -> (Vec<usize>, SignedDuration) {
    let dag = &view.dag;
    let mut best = vec![0_i128; dag.len()];
    let mut before = vec![None; dag.len()];
    let spent = |step| match view.phase(step) {
        StepPhase::Skipped => 0,
        _ => view.took(step, now).map_or(1, |took| took.as_nanos().max(1)),
    };
    for step in dag.topological().unwrap_or_default() {
        let last = dag.dependencies(step).max_by_key(|&dependency| best[dependency]);
        before[step] = last;
        best[step] = spent(step) + last.map_or(0, |last| best[last]);
    }
    let started = (0..dag.len()).any(|step| view.took(step, now).is_some());
    let last = (0..dag.len()).rev().max_by_key(|&step| best[step]);
    let Some(last) = last.filter(|_| started) else { return (Vec::new(), SignedDuration::ZERO) };
    let mut path: Vec<usize> = std::iter::successors(Some(last), |&step| before[step]).collect();
    path.reverse();
    let total = path.iter().filter_map(|&step| view.took(step, now)).sum();
    // Where there is only one way it goes without saying.
    if path.len() < 2 || path.len() == dag.len() { (Vec::new(), SignedDuration::ZERO) } else { (path, total) }
}
