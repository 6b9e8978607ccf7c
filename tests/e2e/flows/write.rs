//! Flows as a test writes them: `flow("x").step(job("a", "exit 3").after(&["b"]))`.

use serde_json::{Value, json};

/// The image of every step; the node has it.
pub(crate) const IMAGE: &str = "busybox:1.36";

/// A step.
#[derive(Clone)]
pub(crate) struct Step(Value);

/// A step that runs `script` in one pod, once: the Job's backoffLimit is 0.
pub(crate) fn job(name: &str, script: &str) -> Step {
    Step(json!({"name": name, "template": {"spec": {"backoffLimit": 0, "template": {"spec": {
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": 1,
        "containers": [{"name": "main", "image": IMAGE, "command": ["sh", "-c", script]}]
    }}}}}))
}

/// A step that does nothing, at once.
pub(crate) fn pass(name: &str) -> Step {
    job(name, "true")
}

/// A step that tells `value` to whoever reads its output.
pub(crate) fn tell(name: &str, value: &str) -> Step {
    job(name, &format!("printf %s '{value}' > /dev/termination-log"))
}

/// A step where somebody has to approve.
pub(crate) fn manual(name: &str) -> Step {
    Step(json!({"name": name, "type": "Manual"}))
}

impl Step {
    pub(crate) fn after(self, steps: &[&str]) -> Self {
        self.with(json!({"dependencies": steps}))
    }

    pub(crate) fn when(self, expression: &str) -> Self {
        self.with(json!({"when": expression}))
    }

    pub(crate) fn timeout(self, seconds: i64) -> Self {
        self.with(json!({"timeoutSeconds": seconds}))
    }

    pub(crate) fn continue_on_failure(self) -> Self {
        self.with(json!({"continueOnFailure": true}))
    }

    /// `retryPolicy`.
    pub(crate) fn retry(mut self, limit: i64, backoff: Value) -> Self {
        self.0["retryPolicy"]["limit"] = json!(limit);
        self.0["retryPolicy"]["backoff"] = backoff;
        self
    }

    /// One more entry of `inputs.parameters`.
    pub(crate) fn input(mut self, name: &str, source: Value) -> Self {
        push(&mut self.0["inputs"]["parameters"], named(name, source));
        self
    }

    /// One more entry of `outputs.parameters`.
    pub(crate) fn output(mut self, name: &str, path: &str) -> Self {
        push(&mut self.0["outputs"]["parameters"], json!({"name": name, "valueFrom": {"jsonPath": path}}));
        self
    }

    /// Anything of the step.
    pub(crate) fn with(mut self, fields: Value) -> Self {
        merge(&mut self.0, fields);
        self
    }

    /// Fields of the Job's spec.
    pub(crate) fn job_spec(mut self, fields: Value) -> Self {
        merge(&mut self.0["template"]["spec"], fields);
        self
    }

    /// Fields of the pod's spec.
    pub(crate) fn pod_spec(mut self, fields: Value) -> Self {
        merge(&mut self.0["template"]["spec"]["template"]["spec"], fields);
        self
    }

    /// Fields of the container.
    pub(crate) fn container(mut self, fields: Value) -> Self {
        merge(&mut self.0["template"]["spec"]["template"]["spec"]["containers"][0], fields);
        self
    }

    /// An environment variable.
    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        let container = &mut self.0["template"]["spec"]["template"]["spec"]["containers"][0];
        push(&mut container["env"], json!({"name": name, "value": value}));
        self
    }
}

/// A flow.
#[derive(Clone)]
pub(crate) struct Flow(pub(crate) Value);

/// A flow without steps.
pub(crate) fn flow(name: &str) -> Flow {
    Flow(json!({
        "apiVersion": "workflow.kube-zen.io/v1alpha1", "kind": "JobFlow",
        "metadata": {"name": name}, "spec": {"steps": []}
    }))
}

impl Flow {
    pub(crate) fn step(mut self, step: Step) -> Self {
        push(&mut self.0["spec"]["steps"], step.0);
        self
    }

    pub(crate) fn steps(self, steps: impl IntoIterator<Item = Step>) -> Self {
        steps.into_iter().fold(self, Self::step)
    }

    /// `executionPolicy`.
    pub(crate) fn policy(mut self, fields: Value) -> Self {
        merge(&mut self.0["spec"]["executionPolicy"], fields);
        self
    }

    /// One more entry of `parameters`.
    pub(crate) fn parameter(mut self, name: &str, source: Value) -> Self {
        push(&mut self.0["spec"]["parameters"], named(name, source));
        self
    }

    pub(crate) fn suspended(self) -> Self {
        self.with(json!({"spec": {"suspend": true}}))
    }

    /// Anything of the flow.
    pub(crate) fn with(mut self, fields: Value) -> Self {
        merge(&mut self.0, fields);
        self
    }
}

fn named(name: &str, mut fields: Value) -> Value {
    fields["name"] = json!(name);
    fields
}

fn push(list: &mut Value, item: Value) {
    if list.is_null() {
        *list = json!([]);
    }
    list.as_array_mut().unwrap().push(item);
}

/// As a merge patch does: objects field by field, all else replaced.
fn merge(target: &mut Value, fields: Value) {
    match (target, fields) {
        (Value::Object(target), Value::Object(fields)) => {
            for (key, value) in fields {
                merge(target.entry(key).or_insert(Value::Null), value);
            }
        }
        (target, fields) => *target = fields,
    }
}
