//! headworks as a test wants it: how many replicas, with what arguments, on what state.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use headworks::manifest;
use k8s_openapi::api::core::v1::Pod;
use kube::api::DeleteParams;
use kube::{Api, Client};
use serde_json::{Value, json};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::record::Records;
use crate::{
    NAMESPACE, eventually, installed, json as get, kubectl, pods, ready, resource, runtime, try_kubectl,
};

pub(super) const SECRET: &str = "headworks-tls";

/// The installation. When it is dropped the Deployment becomes that of `deploy/` again.
pub(super) struct Rig {
    shape: Shape,
}

/// What differs from `deploy/`.
#[derive(Clone, Debug)]
pub(super) struct Shape {
    pub(super) replicas: usize,
    /// After `run`.
    pub(super) args: Vec<String>,
    /// The port of this machine where the pods find the API server.
    pub(super) api: Option<Detour>,
}

/// Another way to the API server. The pods know it by a name that its certificate has.
#[derive(Clone, Debug)]
pub(super) struct Detour {
    pub(super) address: String,
    pub(super) port: u16,
}

impl Shape {
    pub(super) fn new(replicas: usize, args: &[&str]) -> Self {
        Self { replicas, args: args.iter().map(|&arg| arg.to_owned()).collect(), api: None }
    }

    /// The Deployment of `deploy/`, changed to this.
    fn deployment(&self) -> Value {
        let mut deployment = of_deploy("deployment.yaml", "Deployment");
        deployment["spec"]["replicas"] = self.replicas.into();
        let pod = &mut deployment["spec"]["template"]["spec"];
        let args = pod["containers"][0]["args"].as_array_mut().unwrap();
        args.extend(self.args.iter().map(|arg| Value::from(arg.as_str())));
        if let Some(Detour { address, port }) = &self.api {
            let name = "kubernetes.default.svc";
            pod["hostAliases"] = json!([{"ip": address, "hostnames": [name]}]);
            let env = pod["containers"][0]["env"].as_array_mut().unwrap();
            env.push(json!({"name": "KUBERNETES_SERVICE_HOST", "value": name}));
            env.push(json!({"name": "KUBERNETES_SERVICE_PORT", "value": port.to_string()}));
        }
        deployment
    }
}

fn deploy(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/base").join(file)
}

/// The first object of a kind in a file of `deploy/base/`.
fn of_deploy(file: &str, kind: &str) -> Value {
    let text = std::fs::read_to_string(deploy(file)).unwrap();
    let mut objects = manifest::read(&text).into_iter().map(|document| document.unwrap().value);
    objects.find(|object| object["kind"] == kind).unwrap()
}

/// `kubectl replace`, which reads and then writes: a controller that writes the status in between is no failure.
fn replace(file: &str, input: &str) {
    eventually(&format!("{file} to be replaced"), || {
        let said = try_kubectl(&["replace", "-f", file], input);
        assert!(said.ok || said.err.contains("(Conflict)"), "{}", said.err);
        said.ok.then_some(())
    });
}

/// `kubectl apply -f deploy/FILE`.
pub(super) fn reinstall(file: &str) {
    kubectl(&["apply", "-f", deploy(file).to_str().unwrap()], "");
}

impl Rig {
    /// Install, and wait until all replicas are Ready; `None` where there is no cluster.
    pub(super) fn new(shape: Shape) -> Option<Self> {
        installed().then(|| {
            let rig = Self { shape };
            rig.start();
            rig
        })
    }

    /// The same on nothing: no Secret, no caBundle, no pod. [`start`](Self::start) starts the pods.
    pub(super) fn on_nothing(shape: Shape) -> Option<Self> {
        installed().then(|| {
            let none = Shape { replicas: 0, ..shape.clone() };
            replace("-", &none.deployment().to_string());
            eventually("all pods to be gone", || {
                let left = get(&["-n", NAMESPACE, "get", "pods"]);
                left["items"].as_array().unwrap().is_empty().then_some(())
            });
            kubectl(&["-n", NAMESPACE, "delete", "secret", SECRET, "--ignore-not-found"], "");
            kubectl(&["-n", NAMESPACE, "delete", "events.events.k8s.io", "--all"], "");
            replace(deploy("webhook.yaml").to_str().unwrap(), "");
            Self { shape }
        })
    }

    /// Start the pods, and wait until all of them are Ready.
    pub(super) fn start(&self) {
        replace("-", &self.shape.deployment().to_string());
        is_through();
        ready();
    }

    /// Wait until pods that terminate are gone, too.
    pub(super) fn is_settled(&self) {
        is_through();
        eventually("old pods to be gone", || {
            let all = get(&["-n", NAMESPACE, "get", "pods"]);
            (all["items"].as_array().unwrap().len() == self.shape.replicas).then_some(())
        });
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        // What has failed is left as it is for whoever looks into it.
        if !std::thread::panicking() {
            // Nobody waits for it: the next test asks for what it needs.
            let usual = of_deploy("deployment.yaml", "Deployment");
            replace("-", &usual.to_string());
        }
    }
}

/// `kubectl rollout restart`, until it is through.
pub(super) fn restart() {
    kubectl(&["-n", NAMESPACE, "rollout", "restart", "deployment/headworks"], "");
    is_through();
}

/// Wait until as many pods are Ready as there are to be, and no other is left but such as terminate.
fn is_through() {
    kubectl(&["-n", NAMESPACE, "rollout", "status", "deployment/headworks", "--timeout=240s"], "");
}

/// Every version of every object of a kind in our namespace from now on. Ends with the guard.
pub(super) fn record(kind: &str) -> (Arc<Records>, DropGuard) {
    let stopped = CancellationToken::new();
    let records = runtime().block_on(async {
        let client = Client::try_default().await.unwrap();
        Records::start(&client, &resource(kind), NAMESPACE, stopped.clone())
    });
    (records, stopped.drop_guard())
}

/// A pod by name.
pub(super) fn pod(name: &str) -> Value {
    get(&["-n", NAMESPACE, "get", "pod", name])
}

/// `kubectl delete pod --grace-period=0 --force`, without kubectl's own start.
pub(super) fn delete_at_once(name: &str) {
    runtime().block_on(async {
        let pods: Api<Pod> = Api::namespaced(Client::try_default().await.unwrap(), NAMESPACE);
        pods.delete(name, &DeleteParams::default().grace_period(0)).await.unwrap();
    });
}

/// The metrics of each pod that is not going.
pub(super) fn metrics() -> Vec<String> {
    let of = |pod: &String| {
        let path = format!("/api/v1/namespaces/{NAMESPACE}/pods/{pod}:8080/proxy/metrics");
        try_kubectl(&["get", "--raw", &path], "").out
    };
    pods().iter().map(of).collect()
}

/// The serial of the leaf that each pod serves, as its metrics tell.
pub(super) fn served() -> Vec<String> {
    let of = |text: &String| {
        let leaf = "headworks_cert_not_after_seconds{kind=\"leaf\",serial=\"";
        let serial = text.lines().find_map(|line| line.strip_prefix(leaf)?.split_once('"'));
        serial.map(|(serial, _)| serial.to_owned()).unwrap_or_default()
    };
    metrics().iter().map(of).collect()
}
