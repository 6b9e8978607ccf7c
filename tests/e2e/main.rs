//! End to end: the installation of `deploy/` on a cluster with a real node, whose pods really run.
//!
//! `hack/test` starts the cluster, loads the image and sets `HEADWORKS_E2E`; without it these tests say that they are
//! skipped. With `HEADWORKS_E2E=running` the cluster of `KUBECONFIG` has a headworks already and none is installed: to
//! work on a test against a program that was built a moment ago.
//!
//! [`flows`] has a namespace for each test, and they run side by side. All others share one installation, scale it,
//! restart it and count its calls, so they run one after the other; [`certificates`] installs it anew, and comes last.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test that cannot go on says where"
)]

use std::path::Path;
use std::process::Command;
use std::sync::LazyLock;
use std::time::Duration;

use kube::api::{ApiResource, GroupVersionKind};
use serde_json::Value;
use tokio::runtime::Runtime;

mod certificates;
#[path = "../it/command.rs"]
mod command;
mod flows;
mod installation;
mod leaders;
mod logs;
mod record;

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

/// For what is watched, or called many times.
fn runtime() -> &'static Runtime {
    static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
        let _ = rustls::crypto::ring::default_provider().install_default();
        Runtime::new().unwrap()
    });
    &RUNTIME
}

fn resource(kind: &str) -> ApiResource {
    let (group, version) = match kind {
        "JobFlow" => ("workflow.kube-zen.io", "v1alpha1"),
        "Job" => ("batch", "v1"),
        "Event" => ("events.k8s.io", "v1"),
        "RoleBinding" => ("rbac.authorization.k8s.io", "v1"),
        _ => ("", "v1"),
    };
    ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind))
}

/// The names of our pods, without those that are going.
fn pods() -> Vec<String> {
    let pods = json(&["-n", NAMESPACE, "get", "pods", "-l", "app.kubernetes.io/name=headworks"]);
    let pods = pods["items"].as_array().unwrap().iter();
    pods.filter(|pod| pod["metadata"]["deletionTimestamp"].is_null())
        .map(|pod| pod["metadata"]["name"].as_str().unwrap().to_owned())
        .collect()
}

/// Install once, as a user does. `false` where there is no cluster to install into.
fn installed() -> bool {
    static INSTALLED: LazyLock<bool> = LazyLock::new(|| match std::env::var("HEADWORKS_E2E").as_deref() {
        Err(_) | Ok("") => {
            eprintln!("SKIPPED: HEADWORKS_E2E is not set; `make test` sets it where there is a node");
            false
        }
        Ok("running") => true,
        Ok(_) => {
            let deploy = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy");
            kubectl(&["apply", "-k", deploy.to_str().unwrap()], "");
            ready();
            true
        }
    });
    *INSTALLED
}

/// Wait until both replicas are Ready and the API server reaches them.
fn ready() {
    kubectl(&["-n", NAMESPACE, "rollout", "status", "deployment/headworks", "--timeout=120s"], "");
    eventually("the API server to reach the webhook", || {
        try_kubectl(&["apply", "--dry-run=server", "-f", "-"], &one_step("probe", "busybox:1"))
            .ok
            .then_some(())
    });
}

/// A flow of one step, as a manifest.
fn one_step(name: &str, image: &str) -> String {
    format!(
        "{{apiVersion: workflow.kube-zen.io/v1alpha1, kind: JobFlow, metadata: {{name: {name}, namespace: default}}, \
         spec: {{steps: [{{name: one, template: {{spec: {{template: {{spec: {{restartPolicy: Never, \
         containers: [{{name: main, image: \"{image}\"}}]}}}}}}}}}}]}}}}"
    )
}
