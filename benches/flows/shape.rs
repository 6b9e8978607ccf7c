//! The shapes of flows that are run.

use serde_json::{Value, json};

/// Flows that are all alike.
#[derive(Clone, Debug)]
pub(crate) struct Shape {
    pub(crate) name: &'static str,
    pub(crate) flows: usize,
    graph: Graph,
    /// True if it is run once only, however many rounds there are.
    pub(crate) once: bool,
    /// True if bare Jobs are run as well.
    pub(crate) beside: bool,
}

#[derive(Clone, Copy, Debug)]
enum Graph {
    Chain(usize),
    /// One, so many beside each other, one.
    FanOut(usize),
}

/// The shapes that have budgets.
const ALL: [Shape; 5] = [
    Shape { name: "single", flows: 200, graph: Graph::Chain(1), once: false, beside: true },
    Shape { name: "chain", flows: 20, graph: Graph::Chain(20), once: false, beside: true },
    Shape { name: "fan-out", flows: 5, graph: Graph::FanOut(48), once: false, beside: true },
    // For the rate at which flows come to their end.
    Shape { name: "many", flows: 2_000, graph: Graph::Chain(1), once: true, beside: true },
    // For memory.
    Shape { name: "load", flows: 1_000, graph: Graph::Chain(20), once: true, beside: false },
];

impl Shape {
    pub(crate) fn find(name: &str) -> Result<Self, String> {
        let names = || ALL.map(|shape| shape.name).join(", ");
        ALL.into_iter().find(|shape| shape.name == name).ok_or_else(|| format!("the shapes are {}", names()))
    }

    pub(crate) fn smaller(&self, by: usize) -> Self {
        Self { flows: (self.flows / by.max(1)).max(1), ..self.clone() }
    }

    pub(crate) fn title(&self) -> String {
        match self.graph {
            Graph::Chain(1) => format!("{} of one step", self.flows),
            Graph::Chain(length) => format!("{} chains of {length}", self.flows),
            Graph::FanOut(width) => format!("{} of 1 + {width} + 1", self.flows),
        }
    }

    /// The steps of one flow, as the places of those that each depends on.
    pub(crate) fn steps(&self) -> Vec<Vec<usize>> {
        match self.graph {
            Graph::Chain(length) => {
                (0..length).map(|index| index.checked_sub(1).into_iter().collect()).collect()
            }
            Graph::FanOut(width) => {
                let mut steps = vec![Vec::new()];
                steps.extend((0..width).map(|_| vec![0]));
                steps.push((1..=width).collect());
                steps
            }
        }
    }

    /// One flow.
    pub(crate) fn flow(&self, number: usize) -> Value {
        let steps: Vec<Value> = self
            .steps()
            .into_iter()
            .enumerate()
            .map(|(index, before)| {
                let before: Vec<String> = before.into_iter().map(|index| format!("s{index}")).collect();
                json!({"name": format!("s{index}"), "dependencies": before, "template": {"spec": job_spec()}})
            })
            .collect();
        json!({
            "apiVersion": "workflow.kube-zen.io/v1alpha1", "kind": "JobFlow",
            "metadata": {"name": format!("f{number}")}, "spec": {"steps": steps}
        })
    }
}

/// The Job of a step, with or without a flow.
pub(crate) fn job_spec() -> Value {
    json!({"backoffLimit": 0, "template": {"spec": {
        "restartPolicy": "Never", "containers": [{"name": "main", "image": "none.invalid/none:1"}]
    }}})
}
