use proptest::prelude::*;

use super::*;

fn steps(edges: &[(&str, &[&str])]) -> Vec<Step> {
    let step = |&(name, dependencies): &(&str, &[&str])| Step {
        name: name.to_owned(),
        dependencies: dependencies.iter().map(|&name| name.to_owned()).collect(),
        ..Step::default()
    };
    edges.iter().map(step).collect()
}

fn cycle_names(edges: &[(&str, &[&str])]) -> Vec<Vec<String>> {
    let steps = steps(edges);
    let dag = Dag::new(&steps);
    let names = |cycle: Cycle| cycle.steps.iter().map(|&step| dag.name(step).to_owned()).collect();
    dag.cycles().into_iter().map(names).collect()
}

#[test]
fn a_diamond_has_levels_and_no_cycle() {
    let steps = steps(&[("d", &["b", "c"]), ("b", &["a"]), ("c", &["a"]), ("a", &[])]);
    let dag = Dag::new(&steps);
    assert!(dag.cycles().is_empty());
    assert_eq!(dag.topological(), Some(vec![3, 1, 2, 0]));
    assert_eq!(dag.levels(), Some(vec![2, 1, 1, 0]));
    let ancestors = dag.ancestors();
    assert!(ancestors.contains(0, 3));
    assert!(!ancestors.contains(1, 2));
}

#[test]
fn each_group_reports_one_shortest_cycle_from_its_first_step() {
    let cycles = cycle_names(&[
        ("extract", &["load"]),
        ("transform", &["extract"]),
        ("load", &["transform", "extract"]),
        ("x", &["y"]),
        ("y", &["x"]),
        ("free", &["load", "x"]),
    ]);
    assert_eq!(cycles, [vec!["extract", "load"], vec!["x", "y"]]);
}

#[test]
fn the_shortest_cycle_is_reported_even_if_the_groups_first_step_is_not_on_it() {
    let cycles = cycle_names(&[("a", &["b"]), ("b", &["c"]), ("c", &["d", "a"]), ("d", &["c"])]);
    assert_eq!(cycles, [vec!["c", "d"]]);
}

#[test]
fn a_dependency_is_circular_if_the_way_back_leads_through_others() {
    let steps = steps(&[("a", &["b"]), ("b", &["c"]), ("c", &["a", "x"]), ("x", &[])]);
    let dag = Dag::new(&steps);
    let circular = dag.circular();
    assert!(circular.contains(&("a", "b")) && circular.contains(&("c", "a")));
    assert!(!circular.contains(&("c", "x")) && !circular.contains(&("a", "c")));
}

#[test]
fn a_chain_of_a_hundred_thousand_steps_does_not_overflow_the_stack() {
    let names: Vec<String> = (0..100_000).map(|i| format!("s{i}")).collect();
    let steps: Vec<Step> = (0..names.len())
        .map(|i| Step {
            name: names[i].clone(),
            dependencies: if i == 0 { vec![] } else { vec![names[i - 1].clone()] },
            ..Step::default()
        })
        .collect();
    assert!(Dag::new(&steps).cycles().is_empty());
}

/// Every step that can reach itself, found the slow way.
fn on_a_cycle(n: usize, edges: &[(usize, usize)]) -> Vec<bool> {
    let mut reach = vec![vec![false; n]; n];
    for &(a, b) in edges {
        reach[a][b] = true;
    }
    for k in 0..n {
        for i in 0..n {
            for j in 0..n {
                reach[i][j] |= reach[i][k] && reach[k][j];
            }
        }
    }
    (0..n).map(|i| reach[i][i]).collect()
}

proptest! {
    #[test]
    fn cycles_agree_with_a_brute_force_search(n in 1_usize..9, raw in prop::collection::vec((0_usize..9, 0_usize..9), 0..24)) {
        let edges: Vec<(usize, usize)> =
            raw.into_iter().map(|(a, b)| (a % n, b % n)).filter(|(a, b)| a != b).collect();
        let steps: Vec<Step> = (0..n).map(|i| Step {
            name: format!("s{i}"),
            dependencies: edges.iter().filter(|(a, _)| *a == i).map(|(_, b)| format!("s{b}")).collect(),
            ..Step::default()
        }).collect();
        let dag = Dag::new(&steps);
        let cyclic = on_a_cycle(n, &edges);
        let cycles = dag.cycles();
        prop_assert_eq!(cycles.is_empty(), !cyclic.contains(&true));
        prop_assert_eq!(dag.topological().is_some(), cycles.is_empty());
        for cycle in &cycles {
            for (i, &step) in cycle.steps.iter().enumerate() {
                let next = cycle.steps[(i + 1) % cycle.steps.len()];
                prop_assert!(edges.contains(&(step, next)));
                prop_assert!(cyclic[step]);
            }
        }
        // One cause for each group: no two cycles share a step, and none is left out.
        let mut reported: Vec<usize> = cycles.iter().flat_map(|cycle| cycle.steps.clone()).collect();
        let count = reported.len();
        reported.sort_unstable();
        reported.dedup();
        prop_assert_eq!(reported.len(), count);
    }

    #[test]
    fn ancestors_agree_with_reachability(n in 1_usize..12, raw in prop::collection::vec((0_usize..12, 0_usize..12), 0..30)) {
        // Edges only from later to earlier steps: no cycles.
        let edges: Vec<(usize, usize)> =
            raw.into_iter().map(|(a, b)| (a % n, b % n)).filter(|(a, b)| a > b).collect();
        let steps: Vec<Step> = (0..n).map(|i| Step {
            name: format!("s{i}"),
            dependencies: edges.iter().filter(|(a, _)| *a == i).map(|(_, b)| format!("s{b}")).collect(),
            ..Step::default()
        }).collect();
        let ancestors = Dag::new(&steps).ancestors();
        let mut reach = vec![vec![false; n]; n];
        for a in 0..n {
            for &(from, to) in edges.iter().filter(|(from, _)| *from == a) {
                let below = reach[to].clone();
                reach[from][to] = true;
                for (i, known) in below.into_iter().enumerate() { reach[from][i] |= known; }
            }
        }
        for (a, row) in reach.iter().enumerate() {
            for (b, &known) in row.iter().enumerate() {
                prop_assert_eq!(ancestors.contains(a, b), known);
            }
        }
    }
}
