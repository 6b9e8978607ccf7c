//! The JSON patch of a status: only what changed, guarded by a test of the resourceVersion. Pure.

use serde_json::{Value, json};

use crate::flows::api::JobFlowStatus;

/// Returns the operations that lead from one status to the next; `None` if they are the same.
///
/// Steps are replaced one by one: the write of a flow with a thousand steps holds only those that changed.
pub(super) fn patch(
    version: &str,
    before: Option<&JobFlowStatus>,
    after: &JobFlowStatus,
) -> Option<Vec<Value>> {
    if before == Some(after) {
        return None;
    }
    let mut operations = vec![json!({"op": "test", "path": "/metadata/resourceVersion", "value": version})];
    let Some(before) = before else {
        operations.push(json!({"op": "add", "path": "/status", "value": after}));
        return Some(operations);
    };
    let (was, is) = (fields(before), fields(after));
    for (key, value) in &is {
        if was.get(key) != Some(value) {
            operations.push(json!({"op": "add", "path": format!("/status/{key}"), "value": value}));
        }
    }
    for key in was.keys().filter(|key| !is.contains_key(*key)) {
        operations.push(json!({"op": "remove", "path": format!("/status/{key}")}));
    }
    steps(before, after, &mut operations);
    Some(operations)
}

fn steps(before: &JobFlowStatus, after: &JobFlowStatus, operations: &mut Vec<Value>) {
    let same_steps = before.steps.len() == after.steps.len()
        && before.steps.iter().zip(&after.steps).all(|(was, is)| was.name == is.name);
    if !same_steps {
        operations.push(json!({"op": "add", "path": "/status/steps", "value": after.steps}));
        return;
    }
    for (index, (was, is)) in before.steps.iter().zip(&after.steps).enumerate() {
        if was != is {
            operations.push(json!({"op": "replace", "path": format!("/status/steps/{index}"), "value": is}));
        }
    }
}

/// Returns the fields of a status without its steps.
fn fields(status: &JobFlowStatus) -> serde_json::Map<String, Value> {
    let rest = status.clone_without_steps();
    match serde_json::to_value(&rest) {
        Ok(Value::Object(fields)) => fields,
        _ => serde_json::Map::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flows::api::{FlowPhase, StepPhase, StepStatus};

    fn step(name: &str, phase: StepPhase) -> StepStatus {
        StepStatus { name: name.into(), phase: Some(phase), ..StepStatus::default() }
    }

    #[test]
    fn an_equal_status_needs_no_write() {
        let status = JobFlowStatus { message: Some("x".into()), ..JobFlowStatus::default() };
        assert_eq!(patch("1", Some(&status), &status.clone()), None);
    }

    #[test]
    fn only_what_changed_is_named_and_the_version_is_tested_first() {
        let before = JobFlowStatus {
            phase: Some(FlowPhase::Running),
            message: Some("waits".into()),
            steps: vec![step("a", StepPhase::Running), step("b", StepPhase::Pending)],
            ..JobFlowStatus::default()
        };
        let mut after = before.clone();
        after.message = None;
        after.steps[1].phase = Some(StepPhase::Running);
        let operations = patch("7", Some(&before), &after).unwrap();
        assert_eq!(
            operations,
            [
                json!({"op": "test", "path": "/metadata/resourceVersion", "value": "7"}),
                json!({"op": "remove", "path": "/status/message"}),
                json!({"op": "replace", "path": "/status/steps/1", "value": {"name": "b", "phase": "Running"}}),
            ]
        );
    }

    #[test]
    fn applying_the_patch_gives_the_status() {
        let before = JobFlowStatus { message: Some("x".into()), ..JobFlowStatus::default() };
        let after = JobFlowStatus {
            phase: Some(FlowPhase::Succeeded),
            steps: vec![step("a", StepPhase::Succeeded)],
            ..JobFlowStatus::default()
        };
        let mut object = json!({"metadata": {"resourceVersion": "7"}, "status": before});
        let operations: json_patch::Patch =
            serde_json::from_value(json!(patch("7", Some(&before), &after).unwrap())).unwrap();
        json_patch::patch(&mut object, &operations).unwrap();
        assert_eq!(serde_json::from_value::<JobFlowStatus>(object["status"].take()).unwrap(), after);
    }
}
