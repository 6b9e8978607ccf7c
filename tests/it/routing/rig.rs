//! A namespace with a controller of its own, and somebody who plays the kubelet.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use headworks::leaders::{self, Metrics};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Namespace, Node, Pod, Service, ServiceAccount};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::{Client, ResourceExt};
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

/// A cluster of the routing tests alone: no webhook, no controller but theirs.
pub(super) struct Ground {
    pub(super) kubeconfig: PathBuf,
    pub(super) runtime: Runtime,
}

pub(super) const NODE: &str = "ground";

pub(super) fn ground() -> &'static Ground {
    static GROUND: LazyLock<Ground> = LazyLock::new(start);
    &GROUND
}

fn start() -> Ground {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let hack = Path::new(env!("CARGO_MANIFEST_DIR")).join("hack/cluster");
    let id = std::process::id().to_string();
    let up = Command::new(hack)
        .args(["up", "--size", "control-plane", "--name", &format!("itr-{id}"), "--owner", &id])
        .env_remove("KUBECONFIG")
        .stderr(Stdio::inherit())
        .output()
        .unwrap();
    assert!(up.status.success(), "hack/cluster up failed");
    let kubeconfig = PathBuf::from(String::from_utf8(up.stdout).unwrap().trim());
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build().unwrap();
    let ground = Ground { kubeconfig, runtime };
    ground.runtime.block_on(async {
        let client = client(&ground.kubeconfig).await;
        node(&client, NODE).await;
        // The node's heartbeat: without it the node controller would give the pods up within a minute.
        tokio::spawn(async move {
            loop {
                heartbeat(&client, NODE).await;
                tokio::time::sleep(Duration::from_secs(10)).await;
            }
        });
    });
    ground
}

pub(super) async fn client(kubeconfig: &Path) -> Client {
    let config = kube::config::Kubeconfig::read_from(kubeconfig).unwrap();
    Client::try_from(
        kube::Config::from_custom_kubeconfig(config, &kube::config::KubeConfigOptions::default())
            .await
            .unwrap(),
    )
    .unwrap()
}

/// A node that is Ready.
pub(super) async fn node(client: &Client, name: &str) {
    let nodes: Api<Node> = Api::all(client.clone());
    let object = json!({"metadata": {"name": name, "labels": {"topology.kubernetes.io/zone": "zone-a"}}});
    nodes.create(&PostParams::default(), &serde_json::from_value(object).unwrap()).await.unwrap();
    node_status(client, name, "True").await;
}

pub(super) async fn node_status(client: &Client, name: &str, status: &str) {
    let nodes: Api<Node> = Api::all(client.clone());
    let now = Timestamp::from_second(Timestamp::now().as_second()).unwrap();
    let condition = json!({"type": "Ready", "status": status, "reason": "Test", "message": "",
        "lastHeartbeatTime": now, "lastTransitionTime": now});
    let patch = json!({"status": {"conditions": [condition]}});
    nodes.patch_status(name, &PatchParams::default(), &Patch::Strategic(patch)).await.unwrap();
}

async fn heartbeat(client: &Client, name: &str) {
    use k8s_openapi::api::coordination::v1::Lease;
    let leases: Api<Lease> = Api::namespaced(client.clone(), "kube-node-lease");
    let lease = json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": name},
        "spec": {"holderIdentity": name, "leaseDurationSeconds": 40, "renewTime": format!("{:.6}", Timestamp::now())}});
    let _ = leases.patch(name, &PatchParams::apply("test").force(), &Patch::Apply(lease)).await;
}

/// A namespace and what happens in it.
pub(super) struct Rig {
    pub(super) client: Client,
    pub(super) namespace: String,
    controller: std::sync::Mutex<CancellationToken>,
    addresses: std::sync::atomic::AtomicU32,
}

/// Run a test in a namespace of its own, without a controller.
pub(super) fn with_bare_rig<F: Future<Output = ()>>(name: &str, test: impl FnOnce(Rig) -> F) {
    ground().runtime.block_on(async { test(Rig::new(name).await).await });
}

/// Run a test in a namespace of its own, with a controller.
pub(super) fn with_rig<F: Future<Output = ()>>(name: &str, test: impl FnOnce(Rig) -> F) {
    let ground = ground();
    ground.runtime.block_on(async {
        let rig = Rig::new(name).await;
        rig.start().await;
        test(rig).await;
    });
}

impl Rig {
    pub(super) async fn new(name: &str) -> Self {
        let client = client(&ground().kubeconfig).await;
        let namespace = name.to_owned();
        let namespaces: Api<Namespace> = Api::all(client.clone());
        let object = serde_json::from_value(json!({"metadata": {"name": namespace}})).unwrap();
        namespaces.create(&PostParams::default(), &object).await.unwrap();
        let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), &namespace);
        let rig = Self {
            client,
            namespace,
            controller: std::sync::Mutex::new(CancellationToken::new()),
            addresses: 1.into(),
        };
        rig.eventually("the default account", async || accounts.get_opt("default").await.unwrap()).await;
        rig
    }

    /// A controller for this namespace; ends the one before.
    pub(super) async fn start(&self) -> Metrics {
        let metrics = Metrics::registered(&mut prometheus_client::registry::Registry::default());
        let token = self.controller_with(self.client.clone(), metrics.clone()).await;
        std::mem::replace(&mut *self.controller.lock().unwrap(), token).cancel();
        metrics
    }

    /// One more controller for this namespace.
    pub(super) async fn controller_with(&self, client: Client, metrics: Metrics) -> CancellationToken {
        let token = CancellationToken::new();
        let config = leaders::Config {
            namespace: Some(self.namespace.clone()),
            timeout: Duration::from_mins(1),
            ..leaders::Config::default()
        };
        let caches = leaders::Caches::start(&client, &config, metrics, token.clone());
        let until = token.clone();
        let leading = caches.clone();
        tokio::spawn(async move { leading.lead(until).await });
        caches.synced().await;
        token
    }

    pub(super) fn stop(&self) {
        self.controller.lock().unwrap().cancel();
    }

    pub(super) fn services(&self) -> Api<Service> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    pub(super) fn slices(&self) -> Api<EndpointSlice> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    pub(super) fn pods(&self) -> Api<Pod> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// A Service of this name, selecting `app: NAME`, with one port; `spec` is merged over that.
    pub(super) async fn service(&self, name: &str, annotations: &[(&str, &str)], spec: Value) -> Service {
        let annotations: BTreeMap<String, &str> =
            annotations.iter().map(|(key, value)| (format!("zen-lead.io/{key}"), *value)).collect();
        let mut object = json!({
            "metadata": {"name": name, "annotations": annotations, "labels": {"team": "red", "secret": "x"}},
            "spec": {"selector": {"app": name}, "ports": [{"port": 80, "targetPort": 8080}]},
        });
        merge(&mut object["spec"], spec);
        let object = serde_json::from_value(object).unwrap();
        self.services().create(&PostParams::default(), &object).await.unwrap()
    }

    /// A Service that asks for a leader and says no more.
    pub(super) async fn led(&self, name: &str) -> Service {
        self.service(name, &[("enabled", "true")], json!({})).await
    }

    pub(super) async fn annotate(&self, service: &str, key: &str, value: Option<&str>) {
        let patch = json!({"metadata": {"annotations": {format!("zen-lead.io/{key}"): value}}});
        self.services().patch(service, &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
    }

    /// A pod on a node that runs, with an address, not Ready yet.
    pub(super) async fn pod_on(&self, node: &str, name: &str, app: &str, more: Value) -> String {
        let mut object = json!({
            "metadata": {"name": name, "labels": {"app": app}},
            "spec": {"nodeName": node, "containers": [{"name": "main", "image": "x", "ports": [
                {"name": "http", "containerPort": 8080}, {"name": "dns", "containerPort": 5353, "protocol": "UDP"}]}]},
        });
        merge(&mut object, more);
        let object = serde_json::from_value(object).unwrap();
        let pod = self.pods().create(&PostParams::default(), &object).await.unwrap();
        let n = self.addresses.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let (v4, v6) = (format!("10.{}.{}.{}", 1 + (n >> 16), n >> 8 & 255, n & 255), format!("fd00::{n:x}"));
        self.status(name, json!({"phase": "Running", "podIP": v4, "podIPs": [{"ip": v4}, {"ip": v6}]})).await;
        pod.uid().unwrap()
    }

    /// A pod that is Ready.
    pub(super) async fn pod(&self, name: &str, app: &str) -> String {
        let uid = self.pod_on(NODE, name, app, json!({})).await;
        self.ready(name, true).await;
        uid
    }

    pub(super) async fn ready(&self, name: &str, ready: bool) {
        let now = Timestamp::from_second(Timestamp::now().as_second()).unwrap();
        let status = if ready { "True" } else { "False" };
        let condition = json!({"type": "Ready", "status": status, "lastTransitionTime": now});
        self.status(name, json!({"conditions": [condition]})).await;
    }

    pub(super) async fn status(&self, name: &str, status: Value) {
        let patch = json!({"status": status});
        self.pods().patch_status(name, &PatchParams::default(), &Patch::Strategic(patch)).await.unwrap();
    }

    /// Ask for deletion with a grace of 30 s, as `kubectl delete pod` does. It stays until [`Rig::kill`].
    pub(super) async fn delete(&self, name: &str) {
        self.pods().delete(name, &DeleteParams::default().grace_period(30)).await.unwrap();
    }

    /// The pod has exited.
    pub(super) async fn kill(&self, name: &str) {
        self.pods().delete(name, &DeleteParams::default().grace_period(0)).await.unwrap();
    }

    pub(super) async fn slice(&self, name: &str) -> Option<EndpointSlice> {
        self.slices().get_opt(name).await.unwrap()
    }

    /// The pod that the slice of the leader Service of `service` routes to, if it takes new connections.
    pub(super) async fn leader(&self, service: &str) -> Option<String> {
        let slice = self.slice(&format!("{service}-leader-ipv4")).await?;
        assert!(slice.endpoints.len() <= 1, "more than one endpoint");
        let endpoint = slice.endpoints.into_iter().next()?;
        let ready = endpoint.conditions.and_then(|conditions| conditions.ready).unwrap_or(true);
        endpoint.target_ref?.name.filter(|_| ready)
    }

    pub(super) async fn leads(&self, service: &str, pod: &str) {
        let what = format!("{pod} to lead {service}");
        self.eventually(&what, async || self.leader(service).await.filter(|name| name == pod)).await;
    }

    /// The slice is there, and empty.
    pub(super) async fn nobody_leads(&self, service: &str) {
        let what = format!("nobody to lead {service}");
        let name = format!("{service}-leader-ipv4");
        self.eventually(&what, async || self.slice(&name).await.filter(|slice| slice.endpoints.is_empty()))
            .await;
    }

    /// Names of the Services and slices that headworks made.
    pub(super) async fn ours(&self) -> Vec<String> {
        let ours = ListParams::default().labels("zen-lead.io/source-service");
        let services = self.services().list(&ours).await.unwrap().items;
        let slices = self.slices().list(&ours).await.unwrap().items;
        let names = services.iter().map(|one| format!("service/{}", one.name_any()));
        names.chain(slices.iter().map(|one| format!("slice/{}", one.name_any()))).collect()
    }

    pub(super) async fn gone(&self) {
        self.eventually("all of ours to be gone", async || self.ours().await.is_empty().then_some(())).await;
    }

    pub(super) async fn told(&self, service: &str) -> Option<Value> {
        let service = self.services().get_opt(service).await.unwrap()?;
        serde_json::from_str(service.annotations().get("zen-lead.io/status")?).ok()
    }

    /// An Event with this reason.
    pub(super) async fn event(&self, reason: &str) -> String {
        use k8s_openapi::api::events::v1::Event;
        let events: Api<Event> = Api::namespaced(self.client.clone(), &self.namespace);
        self.eventually(&format!("the event {reason}"), async || {
            let list = events.list(&ListParams::default()).await.unwrap();
            let mut found = list.items.into_iter().filter(|event| event.reason.as_deref() == Some(reason));
            found.next().and_then(|event| event.note)
        })
        .await
    }

    /// Keep a node alive, until the task is aborted.
    pub(super) fn heartbeat(&self, node: &'static str) -> tokio::task::JoinHandle<()> {
        let client = self.client.clone();
        tokio::spawn(async move {
            loop {
                heartbeat(&client, node).await;
                tokio::time::sleep(Duration::from_secs(10)).await;
            }
        })
    }

    pub(super) async fn eventually<T>(&self, what: &str, condition: impl AsyncFnMut() -> Option<T>) -> T {
        self.within(Duration::from_mins(2), what, condition).await
    }

    /// For what takes minutes on a slow machine.
    pub(super) async fn patiently<T>(&self, what: &str, condition: impl AsyncFnMut() -> Option<T>) -> T {
        self.within(Duration::from_mins(5), what, condition).await
    }

    async fn within<T>(
        &self,
        limit: Duration,
        what: &str,
        mut condition: impl AsyncFnMut() -> Option<T>,
    ) -> T {
        let end = Instant::now() + limit;
        loop {
            if let Some(value) = condition().await {
                return value;
            }
            assert!(Instant::now() < end, "{}: waited {limit:?} for {what}", self.namespace);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Merge as a merge patch does.
pub(super) fn merge(into: &mut Value, from: Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (key, value) in from {
                merge(into.entry(key).or_insert(Value::Null), value);
            }
        }
        (into, from) => *into = from,
    }
}
