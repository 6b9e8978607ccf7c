//! End to end: the installation of `deploy/` on a cluster with a real node, whose pods really run.
//!
//! `hack/test` starts the cluster, loads the image and sets `HEADWORKS_E2E`; without it these tests say that they are
//! skipped. They share one installation and run one after the other.

#![expect(clippy::unwrap_used, clippy::print_stderr, reason = "a test that cannot go on says where")]

use std::path::Path;
use std::process::Command;
use std::sync::LazyLock;
use std::time::Duration;

use serde_json::Value;

#[path = "../it/command.rs"]
mod command;

use command::Said;

const NAMESPACE: &str = "headworks-system";

/// kubectl of the local cluster's tools, or the one on the path.
fn kubectl_program() -> String {
    std::env::var("HEADWORKS_CLUSTER_TOOLS")
        .map_or_else(|_| "kubectl".to_owned(), |tools| format!("{tools}/kubectl"))
}

fn try_kubectl(args: &[&str], input: &str) -> Said {
    command::run(Command::new(kubectl_program()).args(args), input)
}

fn kubectl(args: &[&str], input: &str) -> String {
    let said = try_kubectl(args, input);
    assert!(said.ok, "kubectl {args:?}: {}", said.err);
    said.out
}

fn json(args: &[&str]) -> Value {
    serde_json::from_str(&kubectl(&[args, &["-o", "json"]].concat(), "")).unwrap()
}

fn eventually<T>(what: &str, condition: impl FnMut() -> Option<T>) -> T {
    command::within(Duration::from_mins(2), what, condition)
}

/// Install once, as a user does. `false` where there is no cluster to install into.
fn installed() -> bool {
    static INSTALLED: LazyLock<bool> = LazyLock::new(|| {
        if std::env::var("HEADWORKS_E2E").is_ok_and(|on| !on.is_empty()) {
            let deploy = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy");
            kubectl(&["apply", "-k", deploy.to_str().unwrap()], "");
            ready();
            return true;
        }
        eprintln!("SKIPPED: HEADWORKS_E2E is not set; `make test` sets it where there is a node");
        false
    });
    *INSTALLED
}

/// Wait until both replicas are Ready and the API server reaches them.
fn ready() {
    kubectl(&["-n", NAMESPACE, "rollout", "status", "deployment/headworks", "--timeout=120s"], "");
    eventually("the API server to reach the webhook", || {
        try_kubectl(&["apply", "--dry-run=server", "-f", "-"], &flow("probe", "busybox:1")).ok.then_some(())
    });
}

fn flow(name: &str, image: &str) -> String {
    format!(
        "{{apiVersion: workflow.kube-zen.io/v1alpha1, kind: JobFlow, metadata: {{name: {name}, namespace: default}}, \
         spec: {{steps: [{{name: one, template: {{spec: {{template: {{spec: {{restartPolicy: Never, \
         containers: [{{name: main, image: \"{image}\"}}]}}}}}}}}}}]}}}}"
    )
}

fn pods() -> Vec<String> {
    let pods = json(&["-n", NAMESPACE, "get", "pods", "-l", "app.kubernetes.io/name=headworks"]);
    let pods = pods["items"].as_array().unwrap().iter();
    pods.filter(|pod| pod["metadata"]["deletionTimestamp"].is_null())
        .map(|pod| pod["metadata"]["name"].as_str().unwrap().to_owned())
        .collect()
}

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
    let deployment = json(&["-n", NAMESPACE, "get", "deployment", "headworks"]);
    assert_eq!(deployment["status"]["readyReplicas"], 2);
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
        let said = try_kubectl(&["apply", "-f", "-"], &flow("unjudged", "busybox:1"));
        (!said.ok && said.err.contains("failed calling webhook")).then_some(())
    });
    kubectl(&["-n", NAMESPACE, "scale", "deployment/headworks", "--replicas=2"], "");
    ready();
    kubectl(&["apply", "-f", "-"], &flow("judged", "busybox:1"));
}

#[test]
fn no_content_of_an_object_is_in_logs_or_events() {
    if !installed() {
        return;
    }
    let canary = "canary-51c0de";
    kubectl(&["apply", "-f", "-"], &flow("canary", &format!("{canary}:1")));
    assert!(!try_kubectl(&["apply", "-f", "-"], &flow("canary2", &format!("{canary}:!"))).ok);
    for pod in pods() {
        let log = kubectl(&["-n", NAMESPACE, "logs", &pod], "");
        assert!(log.contains("serving admission"), "{log}");
        assert!(!log.contains(canary) && !log.contains("PRIVATE KEY"), "{log}");
    }
    assert!(!kubectl(&["get", "events", "-A", "-o", "json"], "").contains(canary));
}
