//! A flow as it was at one moment, read as a test asserts it.

use std::time::Instant;

use jiff::Timestamp;
use serde_json::Value;

/// A version of a flow, and when it was seen.
#[derive(Clone)]
pub(crate) struct Seen {
    pub(crate) at: Instant,
    pub(crate) flow: Value,
}

impl Seen {
    pub(crate) fn phase(&self) -> &str {
        self.flow["status"]["phase"].as_str().unwrap_or_default()
    }

    pub(crate) fn message(&self) -> &str {
        self.flow["status"]["message"].as_str().unwrap_or_default()
    }

    pub(crate) fn version(&self) -> &str {
        self.flow["metadata"]["resourceVersion"].as_str().unwrap_or_default()
    }

    pub(crate) fn is_over(&self) -> bool {
        matches!(self.phase(), "Succeeded" | "Failed")
    }

    /// `status.steps` of this name; null if there is none.
    pub(crate) fn step(&self, name: &str) -> &Value {
        let steps = self.flow["status"]["steps"].as_array();
        steps.and_then(|steps| steps.iter().find(|step| step["name"] == name)).unwrap_or(&Value::Null)
    }

    pub(crate) fn step_phase(&self, name: &str) -> &str {
        self.step(name)["phase"].as_str().unwrap_or_default()
    }

    /// Why a step waits, in one word.
    pub(crate) fn waiting(&self, name: &str) -> &str {
        self.step(name)["waiting"]["reason"].as_str().unwrap_or_default()
    }

    pub(crate) fn step_message(&self, name: &str) -> &str {
        self.step(name)["message"].as_str().unwrap_or_default()
    }

    /// The value that a step handed on.
    pub(crate) fn output(&self, step: &str, name: &str) -> Option<&str> {
        let outputs = self.step(step)["outputs"]["parameters"].as_array()?;
        outputs.iter().find(|output| output["name"] == name)?["value"].as_str()
    }

    /// Every step as `NAME PHASE`, and where there are, its reason, `exit CODE` and `attempt N`.
    pub(crate) fn steps(&self) -> Vec<String> {
        let steps = self.flow["status"]["steps"].as_array().map(Vec::as_slice).unwrap_or_default();
        steps.iter().map(in_words).collect()
    }

    /// The status and reason of a condition, as `True FlowSucceeded`.
    pub(crate) fn condition(&self, kind: &str) -> Option<String> {
        let conditions = self.flow["status"]["conditions"].as_array()?;
        let condition = conditions.iter().find(|condition| condition["type"] == kind)?;
        Some(format!("{} {}", condition["status"].as_str()?, condition["reason"].as_str()?))
    }

    pub(crate) fn started(&self) -> Timestamp {
        time(&self.flow["status"]["startTime"])
    }

    pub(crate) fn completed(&self) -> Timestamp {
        time(&self.flow["status"]["completionTime"])
    }

    pub(crate) fn step_started(&self, name: &str) -> Timestamp {
        time(&self.step(name)["startTime"])
    }

    pub(crate) fn step_completed(&self, name: &str) -> Timestamp {
        time(&self.step(name)["completionTime"])
    }

    /// What has to hold for every flow that is over.
    pub(crate) fn check_the_end(&self) {
        let status = &self.flow["status"];
        let steps = status["steps"].as_array().unwrap();
        let count = |phases: &[&str]| {
            steps
                .iter()
                .filter(|step| step["phase"].as_str().is_some_and(|phase| phases.contains(&phase)))
                .count()
        };
        let progress = &status["progress"];
        for (field, expected) in [
            ("totalSteps", self.flow["spec"]["steps"].as_array().unwrap().len()),
            ("completedSteps", steps.len()),
            ("successfulSteps", count(&["Succeeded"])),
            ("failedSteps", count(&["Failed"])),
            ("skippedSteps", count(&["Skipped"])),
            ("runningSteps", 0),
        ] {
            assert_eq!(progress[field], expected, "{field}: {status:#}");
        }
        assert_eq!(count(&["Succeeded", "Failed", "Skipped", "Cancelled"]), steps.len(), "{status:#}");
        let (done, failed) = (self.condition("Complete"), self.condition("Failed"));
        if self.phase() == "Succeeded" {
            assert_eq!((done.as_deref(), failed), (Some("True FlowSucceeded"), None), "{status:#}");
            assert_eq!(self.condition("Ready").as_deref(), Some("True FlowSucceeded"), "{status:#}");
        } else {
            assert!(done.is_none() && failed.is_some_and(|failed| failed.starts_with("True ")), "{status:#}");
            assert!(self.condition("Ready").is_some_and(|ready| ready.starts_with("False ")), "{status:#}");
            assert!(!self.message().is_empty(), "{status:#}");
        }
    }
}

/// What a step has come to, in one line.
fn in_words(step: &Value) -> String {
    let text = |field: &str| step[field].as_str().unwrap_or_default();
    let mut words = format!("{} {}", text("name"), text("phase"));
    if !text("reason").is_empty() {
        words += &format!(" {}", text("reason"));
    }
    if let Some(code) = step["exitCode"].as_i64() {
        words += &format!(" exit {code}");
    }
    if let Some(attempt) = step["attempt"].as_i64().filter(|attempt| *attempt > 1) {
        words += &format!(" attempt {attempt}");
    }
    words
}

/// A time of the API.
pub(crate) fn time(value: &Value) -> Timestamp {
    value.as_str().and_then(|text| text.parse().ok()).unwrap_or_else(|| panic!("no time: {value}"))
}

/// Seconds from one to the other.
pub(crate) fn seconds(from: Timestamp, to: Timestamp) -> f64 {
    to.duration_since(from).as_secs_f64()
}

/// Assert that `actual` is `expected`, give or take `tolerance`.
#[track_caller]
pub(crate) fn near(what: &str, actual: f64, expected: f64, tolerance: f64) {
    assert!((actual - expected).abs() <= tolerance, "{what}: {actual:.3} s, not {expected} s +- {tolerance}");
}
