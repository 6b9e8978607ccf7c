//! The installation itself: that it becomes ready, is called for what it should be called for, and comes back.

use serde_json::Value;

use crate::flows::write::{flow, job};
use crate::{NAMESPACE, eventually, installed, json, kubectl, one_step, pods, ready, try_kubectl};

/// A metric summed over both replicas and over the labels that do not matter.
fn metric(name: &str, label: &str) -> f64 {
    let of = |pod: &String| {
        let path = format!("/api/v1/namespaces/{NAMESPACE}/pods/{pod}:8080/proxy/metrics");
        let text = kubectl(&["get", "--raw", &path], "");
        let lines = text.lines().filter(|line| line.starts_with(name) && line.contains(label));
        lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum::<f64>()
    };
    pods().iter().map(of).sum()
}

#[test]
fn both_replicas_are_ready_and_nothing_restarted() {
    if !installed() {
        return;
    }
    eventually("two replicas to be ready", || {
        let deployment = json(&["-n", NAMESPACE, "get", "deployment", "headworks"]);
        (deployment["status"]["readyReplicas"] == 2).then_some(())
    });
    let pods = json(&["-n", NAMESPACE, "get", "pods", "-l", "app.kubernetes.io/name=headworks"]);
    for pod in pods["items"].as_array().unwrap() {
        assert_eq!(pod["status"]["containerStatuses"][0]["restartCount"], 0, "{}", pod["metadata"]["name"]);
    }
}

#[test]
fn a_broken_flow_is_refused_by_the_installation() {
    if !installed() {
        return;
    }
    let said = try_kubectl(&["apply", "-f", "examples/broken.yaml"], "");
    assert!(!said.ok);
    assert_eq!(said.err.lines().filter(|line| line.starts_with("* ")).count(), 4, "{}", said.err);
    kubectl(&["apply", "-f", "examples/nightly.yaml"], "");
}

#[test]
fn an_ordinary_service_is_created_without_a_call_to_us() {
    if !installed() {
        return;
    }
    let calls = || metric("headworks_webhook_review_duration_seconds_count", "kind=\"Service\"");
    let service = |name: &str, annotations: &str| {
        format!(
            "{{apiVersion: v1, kind: Service, metadata: {{name: {name}, namespace: default, annotations: {annotations}}}, \
             spec: {{selector: {{app: x}}, ports: [{{port: 80}}]}}}}"
        )
    };
    kubectl(&["apply", "-f", "-"], &service("led", "{zen-lead.io/enabled: \"true\"}"));
    let before = calls();
    assert!(before >= 2.0, "a Service with a leader is judged: {before}");
    kubectl(&["apply", "-f", "-"], &service("ordinary", "{}"));
    assert!((calls() - before).abs() < f64::EPSILON);
}

#[test]
fn scaling_from_nothing_to_two_works_while_the_webhooks_fail_closed() {
    if !installed() {
        return;
    }
    kubectl(&["-n", NAMESPACE, "scale", "deployment/headworks", "--replicas=0"], "");
    eventually("all pods to be gone", || pods().is_empty().then_some(()));
    eventually("flows to be refused while nobody judges them", || {
        let said = try_kubectl(&["apply", "-f", "-"], &one_step("unjudged", "busybox:1"));
        (!said.ok && said.err.contains("failed calling webhook")).then_some(())
    });
    kubectl(&["-n", NAMESPACE, "scale", "deployment/headworks", "--replicas=2"], "");
    ready();
    kubectl(&["apply", "-f", "-"], &one_step("judged", "busybox:1"));
}

#[test]
fn no_content_of_an_object_is_in_logs_or_events() {
    if !installed() {
        return;
    }
    // An image is what the kubelet repeats in Events of its own when it cannot be pulled. Nobody else may.
    let canary = "canary-51c0de";
    kubectl(&["apply", "-f", "-"], &one_step("canary", &format!("{canary}:1")));
    assert!(!try_kubectl(&["apply", "-f", "-"], &one_step("canary2", &format!("{canary}:!"))).ok);
    // And one that runs to its end, with a script and a variable that nobody at all may repeat.
    let secret = "canary-5ec2e7";
    let step = job("one", &format!("test $SECRET = {secret}")).env("SECRET", secret);
    kubectl(&["apply", "-f", "-"], &flow("canary-runs").step(step).0.to_string());

    let events = || -> Vec<Value> {
        let all = json(&["get", "events.events.k8s.io", "-A"]);
        all["items"].as_array().unwrap().clone()
    };
    eventually("the kubelet to tell that it cannot pull the image", || {
        events().iter().any(|event| is_kubelets(event) && holds(event, canary)).then_some(())
    });
    eventually("the engine to take note of it", || {
        let canary = json(&["-n", "default", "get", "jobflow", "canary"]);
        (canary["status"]["steps"][0]["waiting"]["reason"] == "ImagePull").then_some(())
    });
    eventually("the Event that the other flow succeeded", || {
        let of_it = |event: &&Value| event["regarding"]["name"] == "canary-runs";
        events().iter().filter(of_it).any(|event| event["reason"] == "FlowSucceeded").then_some(())
    });

    for pod in pods() {
        let log = kubectl(&["-n", NAMESPACE, "logs", &pod], "");
        assert!(log.contains("serving admission"), "{log}");
        assert!(!log.contains(canary) && !log.contains(secret) && !log.contains("PRIVATE KEY"), "{log}");
    }
    for event in events() {
        assert!(!holds(&event, secret), "{event}");
        assert!(is_kubelets(&event) || !holds(&event, canary), "{event}");
    }
}

fn is_kubelets(event: &Value) -> bool {
    event["reportingController"] == "kubelet"
}

fn holds(event: &Value, words: &str) -> bool {
    event.to_string().contains(words)
}
