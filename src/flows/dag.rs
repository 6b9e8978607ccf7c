//! The graph of a flow's steps and their dependencies.
//!
//! Steps are numbered by their index in the document, and that order is kept in every answer. Everything here is
//! linear in steps and dependencies, but for ancestry, which keeps one bit for each pair of steps.

use std::cmp::Reverse;
use std::collections::hash_map::Entry;
use std::collections::{BinaryHeap, HashMap, HashSet, VecDeque};

use super::api::Step;

/// Edges looked at in search of the shortest cycle of one group.
const SEARCH_BUDGET: usize = 200_000;

/// The graph. Dependencies that name no step, or the step itself, are not part of it; a step whose name stands
/// earlier in the document is no target.
#[derive(Debug)]
pub struct Dag<'a> {
    names: Vec<&'a str>,
    index: HashMap<&'a str, usize>,
    /// For every step its dependencies, as (index in its list, step).
    edges: Vec<Vec<(usize, usize)>>,
}

/// A dependency cycle.
#[derive(Debug, PartialEq, Eq)]
pub struct Cycle {
    /// A shortest cycle of its group, starting with the group's first step in the document and following
    /// dependencies: each step waits for the next, the last for the first.
    pub steps: Vec<usize>,
    /// The start of the cycle: the step, and the index in its dependencies.
    pub edge: (usize, usize),
}

impl<'a> Dag<'a> {
    /// Builds the graph of `steps`.
    pub fn new(steps: &'a [Step]) -> Self {
        Self::of(steps.iter().map(|step| (step.name.as_str(), step.dependencies.as_slice())))
    }

    /// Builds the graph of anything that has a name and waits for others by theirs.
    pub fn of<'d>(nodes: impl ExactSizeIterator<Item = (&'a str, &'d [String])> + Clone) -> Self {
        let mut index = HashMap::with_capacity(nodes.len());
        for (i, (name, _)) in nodes.clone().enumerate().filter(|(_, (name, _))| !name.is_empty()) {
            index.entry(name).or_insert(i);
        }
        let edges = nodes
            .clone()
            .enumerate()
            .map(|(i, (_, dependencies))| {
                let known = |(at, name): (usize, &String)| {
                    index.get(name.as_str()).filter(|&&target| target != i).map(|&target| (at, target))
                };
                dependencies.iter().enumerate().filter_map(known).collect()
            })
            .collect();
        Self { names: nodes.map(|(name, _)| name).collect(), index, edges }
    }

    /// The number of steps.
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// Tells whether there are no steps.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// The step of this name.
    pub fn find(&self, name: &str) -> Option<usize> {
        self.index.get(name).copied()
    }

    /// The name of a step.
    pub fn name(&self, step: usize) -> &'a str {
        self.names[step]
    }

    /// The names, in document order.
    pub fn names(&self) -> &[&'a str] {
        &self.names
    }

    /// The steps that `step` waits for directly.
    pub fn dependencies(&self, step: usize) -> impl Iterator<Item = usize> + '_ {
        self.edges[step].iter().map(|&(_, target)| target)
    }

    /// The dependencies of `step` that are part of the graph, as (index in its list, step), ascending.
    pub fn edges(&self, step: usize) -> &[(usize, usize)] {
        &self.edges[step]
    }

    /// Finds one cycle for each group of steps that wait for each other, in document order.
    pub fn cycles(&self) -> Vec<Cycle> {
        let mut cycles: Vec<Cycle> = self
            .components()
            .into_iter()
            .filter(|group| group.len() > 1)
            .filter_map(|group| self.shortest_cycle(&group))
            .collect();
        cycles.sort_by_key(|cycle| cycle.edge);
        cycles
    }

    /// Finds the strongly connected components, by Tarjan's algorithm with a stack of its own, so that a long chain
    /// cannot overflow the thread's.
    fn components(&self) -> Vec<Vec<usize>> {
        const UNSEEN: usize = usize::MAX;
        let n = self.len();
        let (mut order, mut low, mut on_stack) = (vec![UNSEEN; n], vec![0; n], vec![false; n]);
        let (mut stack, mut groups, mut counter) = (Vec::new(), Vec::new(), 0);
        for root in 0..n {
            if order[root] != UNSEEN {
                continue;
            }
            let mut work = vec![(root, 0)];
            while let Some((step, next)) = work.pop() {
                if next == 0 {
                    (order[step], low[step]) = (counter, counter);
                    counter += 1;
                    stack.push(step);
                    on_stack[step] = true;
                }
                // The next edge of this step: come back to the step afterwards.
                if let Some(&(_, target)) = self.edges[step].get(next) {
                    work.push((step, next + 1));
                    if order[target] == UNSEEN {
                        work.push((target, 0));
                    } else if on_stack[target] {
                        low[step] = low[step].min(order[target]);
                    }
                    continue;
                }
                // No earlier step can be reached from it: it is the root of a component.
                if low[step] == order[step] {
                    let mut group = Vec::new();
                    while let Some(member) = stack.pop() {
                        on_stack[member] = false;
                        group.push(member);
                        if member == step {
                            break;
                        }
                    }
                    groups.push(group);
                }
                if let Some(&(parent, _)) = work.last() {
                    low[parent] = low[parent].min(low[step]);
                }
            }
        }
        groups
    }

    /// Finds a shortest cycle of `group`, and starts it with its first step in the document.
    ///
    /// One breadth-first search from every member would be quadratic for a large group, so the searches stop when
    /// [`SEARCH_BUDGET`] edges were looked at: then the shortest cycle found so far is returned.
    fn shortest_cycle(&self, group: &[usize]) -> Option<Cycle> {
        let inside: HashSet<usize> = group.iter().copied().collect();
        let mut starts = group.to_vec();
        starts.sort_unstable();
        let mut best: Option<Vec<usize>> = None;
        let mut budget = SEARCH_BUDGET;
        for start in starts {
            let shorter_than = best.as_ref().map_or(usize::MAX, Vec::len);
            if best.is_some() && (budget == 0 || shorter_than <= 2) {
                break;
            }
            if let Some(found) = self.cycle_through(start, &inside, shorter_than, &mut budget) {
                best = Some(found);
            }
        }
        let mut steps = best?;
        let first = (0..steps.len()).min_by_key(|&i| steps[i])?;
        steps.rotate_left(first);
        let &(at, _) = self.edges[steps[0]].iter().find(|(_, target)| *target == steps[1])?;
        Some(Cycle { edge: (steps[0], at), steps })
    }

    /// Finds a shortest cycle through `start` inside a group, if it has fewer than `limit` steps.
    fn cycle_through(
        &self,
        start: usize,
        inside: &HashSet<usize>,
        limit: usize,
        budget: &mut usize,
    ) -> Option<Vec<usize>> {
        let mut parent: HashMap<usize, usize> = HashMap::new();
        let mut queue = VecDeque::from([(start, 1)]);
        let last = 'search: loop {
            let (step, depth) = queue.pop_front()?;
            if depth >= limit {
                return None;
            }
            for target in self.dependencies(step).filter(|target| inside.contains(target)) {
                *budget = budget.saturating_sub(1);
                if target == start {
                    break 'search step;
                }
                if let Entry::Vacant(slot) = parent.entry(target) {
                    slot.insert(step);
                    queue.push_back((target, depth + 1));
                }
            }
        };
        let mut steps = vec![last];
        while let Some(&step) = parent.get(steps.last()?) {
            steps.push(step);
        }
        steps.reverse();
        Some(steps)
    }

    /// Finds the dependencies that are part of a cycle, as (step, the step that it waits for).
    pub fn circular(&self) -> HashSet<(&'a str, &'a str)> {
        let mut group = vec![0; self.len()];
        for (i, members) in self.components().into_iter().enumerate() {
            for step in members {
                group[step] = i;
            }
        }
        (0..self.len())
            .flat_map(|step| self.dependencies(step).map(move |target| (step, target)))
            .filter(|&(step, target)| group[step] == group[target])
            .map(|(step, target)| (self.name(step), self.name(target)))
            .collect()
    }

    /// The steps in an order in which they can run, earlier ones in the document first; `None` if there is a cycle.
    pub fn topological(&self) -> Option<Vec<usize>> {
        let mut order = Vec::with_capacity(self.len());
        let mut missing: Vec<usize> = self.edges.iter().map(Vec::len).collect();
        let dependants = self.dependants();
        let mut ready: BinaryHeap<Reverse<usize>> = missing
            .iter()
            .enumerate()
            .filter(|(_, count)| **count == 0)
            .map(|(step, _)| Reverse(step))
            .collect();
        while let Some(Reverse(step)) = ready.pop() {
            order.push(step);
            for &dependant in &dependants[step] {
                missing[dependant] -= 1;
                if missing[dependant] == 0 {
                    ready.push(Reverse(dependant));
                }
            }
        }
        (order.len() == self.len()).then_some(order)
    }

    /// Lists for every step those that wait for it directly, one entry for each mention.
    pub fn dependants(&self) -> Vec<Vec<usize>> {
        let mut dependants = vec![Vec::new(); self.len()];
        for step in 0..self.len() {
            for target in self.dependencies(step) {
                dependants[target].push(step);
            }
        }
        dependants
    }

    /// The level of every step: 0 without dependencies, else one more than its deepest dependency. `None` if there is
    /// a cycle.
    pub fn levels(&self) -> Option<Vec<usize>> {
        let mut levels = vec![0; self.len()];
        for step in self.topological()? {
            levels[step] = self.dependencies(step).map(|target| levels[target] + 1).max().unwrap_or(0);
        }
        Some(levels)
    }

    /// Computes the ancestors of every step.
    pub fn ancestors(&self) -> Ancestors {
        let words = self.len().div_ceil(64);
        let mut bits = vec![0; words * self.len()];
        let mut inherit = |step: usize| {
            for target in self.dependencies(step).collect::<Vec<_>>() {
                for word in 0..words {
                    bits[step * words + word] |= bits[target * words + word];
                }
                bits[step * words + target / 64] |= 1 << (target % 64);
            }
        };
        match self.topological() {
            Some(order) => order.into_iter().for_each(inherit),
            // In a cyclic graph direct dependencies are all that can be relied on; the cycle is reported anyway.
            None => (0..self.len()).for_each(&mut inherit),
        }
        Ancestors { words, bits }
    }
}

/// The ancestors of each step: the steps that are done before it starts.
#[derive(Debug)]
pub struct Ancestors {
    words: usize,
    bits: Vec<u64>,
}

impl Ancestors {
    /// Tells whether `ancestor` is done before `step` starts.
    pub fn contains(&self, step: usize, ancestor: usize) -> bool {
        self.bits[step * self.words + ancestor / 64] & (1 << (ancestor % 64)) != 0
    }
}

#[cfg(test)]
mod tests;
