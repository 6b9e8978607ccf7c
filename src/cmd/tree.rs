//! PURE: a graph as a tree for a terminal.

use headworks::flows::dag::Dag;

/// Deeper trees are drawn without indentation.
const DEEPEST: usize = 40;

/// A line of the tree.
pub(crate) struct Branch {
    pub(crate) step: usize,
    /// The frame before the step's name.
    pub(crate) head: String,
    /// The dependencies that are not drawn as a line from above.
    pub(crate) others: Vec<usize>,
}

/// Every step once, below the dependency that lets it start last.
pub(crate) fn tree(dag: &Dag<'_>) -> Vec<Branch> {
    let levels = dag.levels().unwrap_or_default();
    let deep = levels.iter().max().is_some_and(|deepest| *deepest > DEEPEST);
    let mut children = vec![Vec::new(); dag.len()];
    let (mut parents, mut roots) = (Vec::with_capacity(dag.len()), Vec::new());
    for step in 0..dag.len() {
        let last = dag.dependencies(step).max_by_key(|&dependency| (levels.get(dependency), dependency));
        // Steps that wait for each other in a circle would hang from each other and from nothing else.
        match last.filter(|_| !levels.is_empty()) {
            Some(parent) => children[parent].push(step),
            None => roots.push(step),
        }
        parents.push(last);
    }
    let mut branches = Vec::with_capacity(dag.len());
    // A stack of (step, the prefix of its line, the prefix of lines below it).
    let mut stack = Vec::new();
    push_all(&mut stack, &roots, "", deep);
    while let Some((step, head, below)) = stack.pop() {
        let others = dag.dependencies(step).filter(|&dependency| parents[step] != Some(dependency)).collect();
        branches.push(Branch { step, head, others });
        push_all(&mut stack, &children[step], &below, deep);
    }
    branches
}

fn push_all(stack: &mut Vec<(usize, String, String)>, steps: &[usize], prefix: &str, deep: bool) {
    for (i, &step) in steps.iter().enumerate().rev() {
        let last = i + 1 == steps.len();
        stack.push(if deep {
            (step, "- ".to_owned(), String::new())
        } else {
            let (head, below) = if last { ("`- ", "   ") } else { ("|- ", "|  ") };
            (step, format!("{prefix}{head}"), format!("{prefix}{below}"))
        });
    }
}
