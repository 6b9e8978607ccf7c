//! Flows as a watch delivers them: typed, or malformed and kept apart from the rest.

use jiff::Timestamp;
use kube::core::ObjectMeta;
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::flows::api::{ConcurrencyPolicy, FlowPhase, JobFlow, JobFlowSpec, JobFlowStatus};
use crate::flows::observed::view::lean;
use crate::flows::plan::Verdict;
use crate::flows::rules;
use crate::flows::rules::Options;
use crate::problem::code;

/// The namespace and name of a flow.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct FlowKey {
    /// Its namespace.
    pub(super) namespace: String,
    /// Its name.
    pub(super) name: String,
}

impl FlowKey {
    /// Returns the key of an object.
    pub(super) fn of(metadata: &ObjectMeta) -> Self {
        Self {
            namespace: metadata.namespace.clone().unwrap_or_default(),
            name: metadata.name.clone().unwrap_or_default(),
        }
    }
}

impl std::fmt::Display for FlowKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// A flow as the API server sends it. One that was written while admission was away may have any shape; it must not stop
/// the watch that delivers the others.
#[derive(Clone, Debug, kube::Resource)]
#[resource(inherit = JobFlow)]
pub(super) struct FlowView {
    /// Name, namespace, UID, resourceVersion.
    pub(super) metadata: ObjectMeta,
    /// The whole flow, or the reason why it cannot be read.
    pub(super) flow: Result<JobFlow, Malformed>,
}

/// An object that cannot be read as a `JobFlow`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Malformed {
    /// The reason, for people.
    pub(super) message: String,
    /// True if its status already reports that.
    pub(super) reported: bool,
}

impl Malformed {
    /// The longest reason, in bytes.
    const LONGEST: usize = 1_024;

    /// Finds out what is wrong with the object in `text`, and whether `status` already reports that.
    fn read(text: &str, status: &Value) -> Self {
        let mut message = match serde_json::from_str(text) {
            Ok(object) => errors(&rules::flow_owned(object, &Options::default())),
            Err(_) => TOO_DEEP.to_owned(),
        };
        if message.is_empty() {
            "status: cannot be read; create the flow anew".clone_into(&mut message);
        }
        if message.len() > Self::LONGEST {
            message.truncate(message.floor_char_boundary(Self::LONGEST - 3));
            message += "...";
        }
        let mut ready = status["conditions"].as_array().into_iter().flatten();
        let reported = ready.any(|condition| {
            condition["type"] == "Ready" && condition["status"] == "False" && condition["message"] == message
        });
        Self { message, reported }
    }
}

impl<'de> Deserialize<'de> for FlowView {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        /// A flow without `managedFields`, which nobody reads and which may be longer than the rest.
        #[derive(Deserialize)]
        struct Lean {
            #[serde(default, deserialize_with = "without_copy")]
            metadata: ObjectMeta,
            spec: JobFlowSpec,
            status: Option<JobFlowStatus>,
        }
        #[derive(Deserialize)]
        struct Addressed<'a> {
            #[serde(default, deserialize_with = "lean")]
            metadata: ObjectMeta,
            #[serde(default, borrow)]
            status: Option<&'a RawValue>,
        }
        // Its text first, since an object that does not fit the type is read again as untyped JSON. An API server writes
        // the type of an event before its object, so serde buffers nothing in between.
        let text = Box::<RawValue>::deserialize(deserializer)?;
        if let Ok(Lean { metadata, mut spec, mut status }) = serde_json::from_str(text.get()) {
            // A list grows by doubling as it is read, and these are kept in memory.
            tighten(&mut spec.steps);
            if let Some(status) = &mut status {
                tighten(&mut status.steps);
            }
            let flow = JobFlow { metadata: metadata.clone(), spec, status };
            return Ok(Self { metadata, flow: Ok(flow) });
        }
        let Addressed { metadata, status } =
            serde_json::from_str(text.get()).map_err(serde::de::Error::custom)?;
        let status = status.and_then(|status| serde_json::from_str(status.get()).ok()).unwrap_or_default();
        Ok(Self { metadata, flow: Err(Malformed::read(text.get(), &status)) })
    }
}

/// Reads metadata without the copy of the whole object that `kubectl apply` keeps there.
fn without_copy<'de, D: Deserializer<'de>>(deserializer: D) -> Result<ObjectMeta, D::Error> {
    let mut metadata = lean(deserializer)?;
    if let Some(annotations) = &mut metadata.annotations {
        annotations.remove("kubectl.kubernetes.io/last-applied-configuration");
    }
    Ok(metadata)
}

/// Frees the spare capacity of a list. An allocator may leave a shortened block where it is, so that `shrink_to_fit` frees
/// nothing.
fn tighten<T>(list: &mut Vec<T>) {
    let mut exact = Vec::with_capacity(list.len());
    exact.append(list);
    *list = exact;
}

/// The message about a flow that is nested too deeply for the validator.
const TOO_DEEP: &str = "spec: is nested more deeply than 128 levels; create the flow anew";

/// Validates a flow that is to be run, with the messages of admission.
pub(super) fn verdict(flow: &JobFlow, options: &Options) -> Verdict {
    let Ok(object) = serde_json::to_value(flow) else {
        return Verdict::Broken { reason: "ValidationFailed", message: TOO_DEEP.to_owned() };
    };
    let checked = rules::flow_owned(object, options);
    if checked.is_valid() {
        return Verdict::Sound;
    }
    let cycle = checked.errors().any(|problem| problem.code == code::CYCLE);
    let reason = if cycle { "DAGCycle" } else { "ValidationFailed" };
    Verdict::Broken { reason, message: errors(&checked) }
}

/// Lists every error, one a line.
fn errors(checked: &rules::Checked) -> String {
    let lines: Vec<String> =
        checked.errors().map(|problem| format!("{}: {}", problem.field, problem.message())).collect();
    lines.join("\n")
}

/// Tells whether a flow has ended.
pub(super) fn is_over(flow: &JobFlow) -> bool {
    let phase = flow.status.as_ref().and_then(|status| status.phase);
    matches!(phase, Some(FlowPhase::Succeeded | FlowPhase::Failed))
}

/// Tells whether a flow has started.
pub(super) fn has_started(flow: &JobFlow) -> bool {
    flow.status.as_ref().is_some_and(|status| status.start_time.is_some())
}

/// Returns the flow's concurrency key, if it has one.
pub(super) fn concurrency_key(flow: &JobFlow) -> Option<&str> {
    flow.spec.execution_policy.as_ref()?.concurrency_key.as_deref()
}

/// Tells whether the flow stops older ones of its key.
pub(super) fn replaces(flow: &JobFlow) -> bool {
    let policy = flow.spec.execution_policy.as_ref().and_then(|policy| policy.concurrency_policy);
    policy == Some(ConcurrencyPolicy::Replace)
}

/// Returns the time at which an object was created.
pub(super) fn created(metadata: &ObjectMeta) -> Timestamp {
    metadata.creation_timestamp.as_ref().map_or(Timestamp::UNIX_EPOCH, |time| time.0)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_malformed_flow_is_kept_apart_and_can_be_addressed() {
        let object = json!({
            "apiVersion": crate::names::API_VERSION,
            "metadata": {"name": "x", "namespace": "y", "uid": "z"}, "spec": {"steps": "none"}
        });
        let view: FlowView = serde_json::from_str(&object.to_string()).unwrap();
        assert_eq!(FlowKey::of(&view.metadata).to_string(), "y/x");
        let Err(Malformed { message, reported }) = view.flow else { panic!("it was read") };
        assert!(message.starts_with("spec.steps: "), "{message}");
        assert!(!reported);
    }

    #[test]
    fn a_malformed_flow_whose_status_reports_it_is_not_reported_again() {
        let mut object = json!({"metadata": {"name": "x"}, "spec": {"steps": (0..99).collect::<Vec<_>>()}});
        let Err(first) = read(&object).flow else { panic!("it was read") };
        assert!(
            !first.reported && first.message.len() <= Malformed::LONGEST && first.message.ends_with("...")
        );
        object["status"] =
            json!({"conditions": [{"type": "Ready", "status": "False", "message": first.message}]});
        assert_eq!(read(&object).flow.unwrap_err(), Malformed { reported: true, ..first });
        // Wrong in another way: that is news.
        object["spec"]["steps"] = json!(5);
        assert!(!read(&object).flow.unwrap_err().reported);
        // A status of no shape at all.
        let object = json!({
            "apiVersion": crate::names::API_VERSION, "kind": "JobFlow", "metadata": {"name": "x"},
            "spec": {"steps": [{"name": "a", "type": "Manual"}]}, "status": 7
        });
        assert!(read(&object).flow.unwrap_err().message.starts_with("status: "));
    }

    #[test]
    fn a_flow_that_is_nested_without_end_is_kept_apart() {
        let deep = "[".repeat(999) + &"]".repeat(999);
        let of = |spec: &str, status: &str| -> FlowView {
            let text = format!(
                r#"{{"metadata":{{"name":"x"}},"spec":{spec},"status":{{"conditions":[{status}]}}}}"#
            );
            serde_json::from_str(&text).unwrap()
        };
        let spec = format!(r#"{{"steps":{deep}}}"#);
        assert_eq!(
            of(&spec, "").flow.unwrap_err(),
            Malformed { message: TOO_DEEP.to_owned(), reported: false }
        );
        let said = json!({"type": "Ready", "status": "False", "message": TOO_DEEP}).to_string();
        assert!(of(&spec, &said).flow.unwrap_err().reported);
        assert!(!of(&spec, &deep).flow.unwrap_err().reported);
        // A template is not looked into before it has to be.
        let flow = of(&format!(r#"{{"steps":[{{"name":"a","template":{deep}}}]}}"#), "").flow.unwrap();
        let Verdict::Broken { message, .. } = verdict(&flow, &Options::default()) else { panic!("sound") };
        assert_eq!(message, TOO_DEEP);
    }

    fn read(object: &Value) -> FlowView {
        serde_json::from_str(&object.to_string()).unwrap()
    }

    #[test]
    fn a_watch_brings_flows_that_are_typed_and_others() {
        let event = |spec: Value| {
            let object = json!({"metadata": {"name": "x", "generation": 3}, "spec": spec});
            format!("{{\"type\":\"ADDED\",\"object\":{object}}}")
        };
        let read = |text: &str| match serde_json::from_str(text).unwrap() {
            kube::core::WatchEvent::Added(view) => view,
            other => panic!("{other:?}"),
        };
        let good: FlowView = read(&event(json!({"steps": []})));
        assert_eq!(good.flow.unwrap().metadata.generation, Some(3));
        let bad: FlowView = read(&event(json!([1])));
        assert!(bad.flow.is_err());
        let list = json!({"metadata": {}, "items": [{"metadata": {"name": "x"}, "spec": {"steps": []}}, {"metadata": {}}]});
        let list: kube::core::ObjectList<FlowView> = serde_json::from_str(&list.to_string()).unwrap();
        assert_eq!(list.items.iter().filter(|view| view.flow.is_ok()).count(), 1);
    }
}
