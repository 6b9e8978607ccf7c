//! A review of a sound flow, 20 KiB long, stamped as the mutating phase has left it.

use headworks::names::INITIATED_BY;
use serde_json::{Value, json};

fn step(number: usize) -> Value {
    let dependencies: Vec<String> = (number.saturating_sub(3)..number).map(|d| format!("step-{d}")).collect();
    json!({"name": format!("step-{number}"), "dependencies": dependencies, "template": {"spec": {
        "backoffLimit": 0,
        "template": {"spec": {
            "restartPolicy": "Never",
            "containers": [{
                "name": "main", "image": "registry.example.com/etl:1.4.2",
                "command": ["sh", "-c", "echo {{ parameters.day }}"],
                "env": [{"name": "DAY", "value": "{{ parameters.day }}"}],
                "resources": {"requests": {"cpu": "100m", "memory": "64Mi"}, "limits": {"memory": "128Mi"}}
            }]
        }}
    }}})
}

/// The review, with `UID` where its uid belongs.
pub(crate) fn template() -> String {
    (1..1000)
        .map(|steps| {
            json!({
                "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
                "request": {
                    "uid": "UID",
                    "kind": {"group": "workflow.kube-zen.io", "version": "v1alpha1", "kind": "JobFlow"},
                    "resource": {"group": "workflow.kube-zen.io", "version": "v1alpha1", "resource": "jobflows"},
                    "name": "bench", "namespace": "default", "operation": "CREATE",
                    "userInfo": {"username": "jane", "groups": ["system:authenticated"]},
                    "object": {
                        "apiVersion": "workflow.kube-zen.io/v1alpha1", "kind": "JobFlow",
                        "metadata": {"name": "bench", "namespace": "default", "annotations": {INITIATED_BY: "jane"}},
                        "spec": {
                            "parameters": [{"name": "day", "value": "2026-11-23"}],
                            "steps": (0..steps).map(step).collect::<Vec<_>>()
                        }
                    },
                    "oldObject": null, "dryRun": false
                }
            })
            .to_string()
        })
        .find(|text| text.len() >= 20 << 10)
        .unwrap()
}
