//! Flows that the tests run, and what is compared of their ends.

use serde_json::{Value, json};

use crate::kubelet::{EXITS, SAYS, TAKES};

/// A step in the making.
pub(crate) struct Step(Value);

/// A step that is a Job whose one container exits with these codes, attempt by attempt.
pub(crate) fn job(name: &str, after: &[&str], exits: &str) -> Step {
    let template = json!({"spec": {"backoffLimit": 0, "template": {
        "metadata": {"annotations": {EXITS: exits}},
        "spec": {"restartPolicy": "Never", "containers": [{"name": "main", "image": "none:1"}]},
    }}});
    Step(json!({"name": name, "dependencies": after, "template": template}))
}

/// A step that somebody has to approve.
pub(crate) fn manual(name: &str, after: &[&str]) -> Step {
    Step(json!({"name": name, "type": "Manual", "dependencies": after}))
}

impl Step {
    /// What the container says, and what is handed on of it.
    pub(crate) fn says(mut self, says: &str, outputs: &[&str]) -> Self {
        self.0["template"]["spec"]["template"]["metadata"]["annotations"][SAYS] = json!(says);
        let output =
            |name: &&str| json!({"name": name, "valueFrom": {"jsonPath": format!("$.output.{name}")}});
        self.0["outputs"] = json!({"parameters": outputs.iter().map(output).collect::<Vec<_>>()});
        self
    }

    /// How long it runs.
    pub(crate) fn takes(mut self, milliseconds: u64) -> Self {
        self.0["template"]["spec"]["template"]["metadata"]["annotations"][TAKES] =
            json!(milliseconds.to_string());
        self
    }

    /// It is tried again, after 50 ms.
    pub(crate) fn retries(mut self, limit: u64) -> Self {
        self.0["retryPolicy"] = json!({"limit": limit, "backoff": {"type": "Fixed", "duration": "50ms"}});
        self
    }

    /// The account that its pods run as.
    pub(crate) fn runs_as(mut self, account: &str) -> Self {
        self.0["template"]["spec"]["template"]["spec"]["serviceAccountName"] = json!(account);
        self
    }

    pub(crate) fn with(mut self, field: &str, value: Value) -> Self {
        self.0[field] = value;
        self
    }
}

/// The spec of a flow.
pub(crate) fn flow(steps: impl IntoIterator<Item = Step>) -> Value {
    json!({"steps": steps.into_iter().map(|step| step.0).collect::<Vec<_>>()})
}

/// Twelve steps that meet everything an engine does: parallel steps, retries, values handed on, a failure that is
/// passed over, a step that is skipped, an approval.
pub(crate) fn everything() -> Value {
    flow([
        job("extract", &[], "0").says(r#"{"rows": 42}"#, &["rows"]),
        job("clean", &["extract"], "3,0")
            .says(r#"{"rows": {{ int(steps.extract.outputs.rows) - 2 }}, "try": {{ step.attempt }}}"#, &["rows", "try"])
            .retries(2),
        job("profile", &["extract"], "0").takes(30),
        job("load-a", &["clean"], "0").says(r#"{"n": "{{ steps.clean.outputs.rows }}a"}"#, &["n"]),
        job("load-b", &["clean"], "1,2,0").says(r#"{"n": "{{ steps.clean.outputs.rows }}b"}"#, &["n"]).retries(3),
        job("load-c", &["clean", "profile"], "7").with("continueOnFailure", json!(true)),
        job("rare", &["extract"], "0").with("when", json!("int(steps.extract.outputs.rows) > 100")),
        manual("sign-off", &["load-a", "load-b"]),
        job("publish", &["sign-off", "load-c"], "0")
            .says(
                r#"{"all": "{{ steps.load-a.outputs.n }}{{ steps.load-b.outputs.n }}{{ steps.load-c.phase }}"}"#,
                &["all"],
            )
            .with("timeoutSeconds", json!(600)),
        job("notify", &["publish"], "1,0").retries(1),
        job("report", &["publish"], "0").says(r#"{"sum": "{{ steps.publish.outputs.all }}!"}"#, &["sum"]).takes(30),
        job("close", &["notify", "report", "rare"], "0"),
    ])
}

/// The approval that [`everything`] waits for.
pub(crate) const APPROVAL: &str = "sign-off";

/// Steps one after the other.
pub(crate) fn chain(length: usize) -> Value {
    let name = |n: usize| format!("s{n}");
    flow((0..length).map(|n| {
        let after: Vec<String> = n.checked_sub(1).map(name).into_iter().collect();
        job(&name(n), &after.iter().map(String::as_str).collect::<Vec<_>>(), "0")
    }))
}

/// What has to be the same however often the engine died: all but times and names.
pub(crate) fn end(status: &Value) -> Value {
    let step = |step: &Value| {
        json!([
            step["name"],
            step["phase"],
            step["attempt"],
            step["retryCount"],
            step["reason"],
            nameless(&step["message"]),
            step["exitCode"],
            step["outputs"]["parameters"],
        ])
    };
    let conditions = status["conditions"].as_array().unwrap().iter();
    let conditions: Vec<Value> =
        conditions.map(|it| json!([it["type"], it["status"], it["reason"], it["message"]])).collect();
    json!({
        "phase": status["phase"], "message": status["message"], "progress": status["progress"],
        "conditions": conditions, "steps": status["steps"].as_array().unwrap().iter().map(step).collect::<Vec<_>>(),
    })
}

/// A message without the name of a pod, which nobody can foresee.
fn nameless(message: &Value) -> Value {
    let Some((head, tail)) = message.as_str().and_then(|message| message.split_once("pod \"")) else {
        return message.clone();
    };
    json!(format!("{head}pod{}", tail.split_once('"').unwrap().1))
}
