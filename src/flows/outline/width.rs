//! The most steps that can run at the same time.

use std::collections::VecDeque;

use crate::flows::dag::Dag;

/// Above this many steps the exact answer costs too much for a webhook.
const EXACT: usize = 2_000;

/// Computes the size of a largest set of steps none of which waits for another (a maximum antichain), or above
/// [`EXACT`] steps the size of the widest level, which is one such set.
pub(super) fn widest(dag: &Dag<'_>, levels: &[Vec<usize>]) -> usize {
    if dag.len() <= EXACT {
        dag.len() - matching(dag)
    } else {
        levels.iter().map(Vec::len).max().unwrap_or(0)
    }
}

/// Computes the size of a maximum matching between steps and those before them: by Dilworth's theorem as many chains
/// remain as the widest antichain has steps.
fn matching(dag: &Dag<'_>) -> usize {
    let (n, ancestors) = (dag.len(), dag.ancestors());
    let before: Vec<Vec<usize>> =
        (0..n).map(|step| (0..n).filter(|&other| ancestors.contains(step, other)).collect()).collect();
    // The step that an ancestor is matched with.
    let mut taken: Vec<Option<usize>> = vec![None; n];
    let mut matched: Vec<Option<usize>> = vec![None; n];
    let mut size = 0;
    let mut seen = vec![usize::MAX; n];
    let mut parent = vec![0; n];
    for root in 0..n {
        let mut queue = VecDeque::from([root]);
        'search: while let Some(step) = queue.pop_front() {
            for &ancestor in &before[step] {
                if std::mem::replace(&mut seen[ancestor], root) == root {
                    continue;
                }
                parent[ancestor] = step;
                let Some(next) = taken[ancestor] else {
                    augment(ancestor, root, &parent, &mut taken, &mut matched);
                    size += 1;
                    break 'search;
                };
                queue.push_back(next);
            }
        }
    }
    size
}

/// Augments the matching along the path that ends at a free ancestor.
fn augment(
    end: usize,
    root: usize,
    parent: &[usize],
    taken: &mut [Option<usize>],
    matched: &mut [Option<usize>],
) {
    let mut ancestor = Some(end);
    while let Some(here) = ancestor {
        let step = parent[here];
        ancestor = matched[step].replace(here).filter(|_| step != root);
        taken[here] = Some(step);
    }
}
