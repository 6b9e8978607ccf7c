//! A real API server, and what a test needs in it.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use headworks_certs::managed::{Managed, ManagedConfig};
use headworks_certs::{
    CertEvent, Clock, Events, Hooks, Identity, Metrics, Readiness, ServiceNames, SystemClock,
};
use k8s_openapi::ByteString;
use k8s_openapi::api::admissionregistration::v1::{
    MutatingWebhookConfiguration, ValidatingWebhookConfiguration,
};
use k8s_openapi::api::core::v1::{Namespace, Secret};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, Role, RoleBinding};
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use kube::client::ClientBuilder;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config};
use serde_json::{Value, json};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::tap::Tap;

pub(crate) const SECRET: &str = "headworks-tls";
pub(crate) const SERVICE: &str = "headworks";

/// The cluster of `HEADWORKS_TEST_KUBECONFIG`, or a new one that ends with this process.
fn kubeconfig() -> &'static Path {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    PATH.get_or_init(|| {
        if let Some(path) = std::env::var_os("HEADWORKS_TEST_KUBECONFIG") {
            return path.into();
        }
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let id = std::process::id().to_string();
        let output = Command::new(root.join("hack/cluster"))
            .args(["up", "--size", "control-plane", "--name", &format!("certs-{id}"), "--owner", &id])
            .stderr(Stdio::inherit())
            .output()
            .expect("hack/cluster can be started");
        assert!(output.status.success(), "hack/cluster: {}", output.status);
        String::from_utf8(output.stdout).unwrap().trim().into()
    })
}

async fn client(as_user: Option<&str>) -> Client {
    Client::try_from(settings(as_user).await).unwrap()
}

async fn settings(as_user: Option<&str>) -> Config {
    let path = tokio::task::spawn_blocking(kubeconfig).await.unwrap();
    let file = Kubeconfig::read_from(path).unwrap();
    let mut config = Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await.unwrap();
    config.auth_info.impersonate = as_user.map(str::to_owned);
    config
}

/// A namespace with two webhook configurations of the same name, and a user who may do what the crate documents.
pub(crate) struct TestCluster {
    /// Its name, and that of the configurations and the user.
    pub(crate) name: String,
    pub(crate) admin: Client,
    user: Client,
}

impl TestCluster {
    pub(crate) async fn new(test: &str) -> Self {
        let name = format!("certs-{test}-{}", std::process::id());
        let admin = client(None).await;
        let cluster = Self { user: client(Some(&name)).await, name, admin };
        cluster.create::<Namespace>(json!({})).await;
        cluster.grant().await;
        cluster.register(&json!({"service": {"name": SERVICE, "namespace": cluster.name}}), "nothings").await;
        cluster
    }

    /// The permissions of the table in the documentation of `managed`, and no more.
    async fn grant(&self) {
        let subject = json!([{"kind": "User", "name": self.name, "apiGroup": "rbac.authorization.k8s.io"}]);
        let role = |kind| json!({"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": self.name});
        self.create_namespaced::<Role>(json!({"rules": [
            {"apiGroups": [""], "resources": ["secrets"], "resourceNames": [SECRET], "verbs": ["get", "list", "watch", "update"]},
            {"apiGroups": [""], "resources": ["secrets"], "verbs": ["create"]},
            {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["create", "patch", "list", "delete"]},
            {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": ["list"]},
        ]}))
        .await;
        self.create_namespaced::<RoleBinding>(json!({"subjects": subject, "roleRef": role("Role")})).await;
        self.create::<ClusterRole>(json!({"rules": [{
            "apiGroups": ["admissionregistration.k8s.io"],
            "resources": ["validatingwebhookconfigurations", "mutatingwebhookconfigurations"],
            "resourceNames": [self.name],
            "verbs": ["get", "list", "watch", "patch"],
        }]}))
        .await;
        self.create::<ClusterRoleBinding>(json!({"subjects": subject, "roleRef": role("ClusterRole")})).await;
    }

    /// Both configurations, two webhooks and one, for `resource`, in this namespace only.
    pub(crate) async fn register(&self, client_config: &Value, resource: &str) {
        self.unregister().await;
        let webhook = |name: &str| {
            json!({
                "name": format!("{name}.headworks.test"), "clientConfig": client_config, "sideEffects": "None",
                "admissionReviewVersions": ["v1"], "timeoutSeconds": 5, "failurePolicy": "Fail",
                "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": self.name}},
                "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": [resource]}],
            })
        };
        let validating = json!({"webhooks": [webhook("one"), webhook("two")]});
        self.create::<ValidatingWebhookConfiguration>(validating).await;
        self.create::<MutatingWebhookConfiguration>(json!({"webhooks": [webhook("one")]})).await;
    }

    pub(crate) async fn unregister(&self) {
        let params = DeleteParams::default();
        let _ = self.validating().delete(&self.name, &params).await;
        let _ = self.mutating().delete(&self.name, &params).await;
    }

    async fn create<K>(&self, body: Value)
    where
        K: kube::Resource<DynamicType = (), Scope = kube::core::ClusterResourceScope> + Object,
    {
        self.put(Api::<K>::all(self.admin.clone()), body).await;
    }

    async fn create_namespaced<K>(&self, body: Value)
    where
        K: kube::Resource<DynamicType = (), Scope = kube::core::NamespaceResourceScope> + Object,
    {
        self.put(Api::<K>::namespaced(self.admin.clone(), &self.name), body).await;
    }

    async fn put<K: Object>(&self, api: Api<K>, mut body: Value) {
        body["metadata"] = json!({"name": self.name});
        let object: K = serde_json::from_value(body).unwrap();
        api.create(&PostParams::default(), &object).await.unwrap();
    }

    pub(crate) fn secrets(&self) -> Api<Secret> {
        Api::namespaced(self.admin.clone(), &self.name)
    }

    pub(crate) fn validating(&self) -> Api<ValidatingWebhookConfiguration> {
        Api::all(self.admin.clone())
    }

    pub(crate) fn mutating(&self) -> Api<MutatingWebhookConfiguration> {
        Api::all(self.admin.clone())
    }

    pub(crate) async fn secret(&self) -> Secret {
        self.secrets().get(SECRET).await.unwrap()
    }

    /// `caBundle` of all three webhooks.
    pub(crate) async fn bundles(&self) -> Vec<Vec<u8>> {
        let validating = self.validating().get(&self.name).await.unwrap().webhooks.unwrap_or_default();
        let mutating = self.mutating().get(&self.name).await.unwrap().webhooks.unwrap_or_default();
        let validating = validating.into_iter().map(|webhook| webhook.client_config);
        let configs = validating.chain(mutating.into_iter().map(|webhook| webhook.client_config));
        configs.map(|config| config.ca_bundle.map(|bundle| bundle.0).unwrap_or_default()).collect()
    }

    /// Resource versions of all that a replica may write.
    pub(crate) async fn versions(&self) -> Vec<Option<String>> {
        vec![
            self.secret().await.metadata.resource_version,
            self.validating().get(&self.name).await.unwrap().metadata.resource_version,
            self.mutating().get(&self.name).await.unwrap().metadata.resource_version,
        ]
    }

    pub(crate) fn config(&self) -> ManagedConfig {
        ManagedConfig {
            validating: vec![self.name.clone()],
            mutating: vec![self.name.clone()],
            ..ManagedConfig::new(SECRET, ServiceNames::new(SERVICE, &self.name))
        }
    }

    pub(crate) fn replica(&self, leads: bool) -> Replica {
        self.replica_with(self.config(), leads)
    }

    pub(crate) fn replica_with(&self, config: ManagedConfig, leads: bool) -> Replica {
        self.replica_at(config, leads, SystemClock)
    }

    pub(crate) fn replica_at(&self, config: ManagedConfig, leads: bool, clock: impl Clock) -> Replica {
        Self::replica_by(self.user.clone(), config, leads, clock)
    }

    /// A replica that leads, and whose writes go through `tap`.
    pub(crate) async fn tapped(&self, tap: &Tap, config: ManagedConfig) -> Replica {
        let client =
            ClientBuilder::try_from(settings(Some(&self.name)).await).unwrap().with_layer(tap).build();
        Self::replica_by(client, config, true, SystemClock)
    }

    fn replica_by(client: Client, config: ManagedConfig, leads: bool, clock: impl Clock) -> Replica {
        let mut registry = prometheus_client::registry::Registry::default();
        let (sender, events) = Events::channel();
        let hooks =
            Hooks { metrics: Metrics::registered(&mut registry), events: sender, clock: Arc::new(clock) };
        let identity = Identity::new();
        let managed = Managed::new(client, config, identity.clone(), hooks);
        let readiness = managed.readiness();
        let (leader, gate) = watch::channel(leads);
        let stop = CancellationToken::new();
        let task = tokio::spawn(managed.run(gate, stop.clone()));
        let published = Vec::new();
        Replica { identity, readiness, leader, registry, events, published, task, _stop: stop.drop_guard() }
    }

    /// The name that the API server asks for.
    pub(crate) fn required(&self) -> String {
        self.config().names.required()
    }

    /// Puts a bundle into every webhook, as another tool does.
    pub(crate) async fn set_bundles(&self, bundle: &[u8]) {
        let (mut validating, mut mutating) = (
            self.validating().get(&self.name).await.unwrap(),
            self.mutating().get(&self.name).await.unwrap(),
        );
        let bundle = ByteString(bundle.to_vec());
        for webhook in validating.webhooks.iter_mut().flatten() {
            webhook.client_config.ca_bundle = Some(bundle.clone());
        }
        for webhook in mutating.webhooks.iter_mut().flatten() {
            webhook.client_config.ca_bundle = Some(bundle.clone());
        }
        let params = PostParams::default();
        self.validating().replace(&self.name, &params, &validating).await.unwrap();
        self.mutating().replace(&self.name, &params, &mutating).await.unwrap();
    }

    /// The Service has these ready pods behind it.
    pub(crate) async fn route(&self, pods: &[&str]) {
        let endpoints: Vec<_> = pods
            .iter()
            .enumerate()
            .map(|(n, pod)| {
                let target = json!({"kind": "Pod", "name": pod, "namespace": self.name});
                json!({"addresses": [format!("10.0.0.{}", n + 1)], "conditions": {"ready": true}, "targetRef": target})
            })
            .collect();
        let slice = json!({
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
            "metadata": {"name": self.name, "labels": {"kubernetes.io/service-name": SERVICE}},
            "endpoints": endpoints,
        });
        let slices: Api<EndpointSlice> = Api::namespaced(self.admin.clone(), &self.name);
        let params = PatchParams::apply("test").force();
        slices.patch(&self.name, &params, &Patch::Apply(&slice)).await.unwrap();
    }

    /// Annotates the Secret, or the configuration, that a path names.
    pub(crate) async fn annotate(&self, path: &str, name: &str) {
        let note = Patch::Merge(json!({"metadata": {"annotations": {name: "was here"}}}));
        let params = PatchParams::default();
        if path.contains("/secrets") {
            self.secrets().patch(SECRET, &params, &note).await.unwrap();
        } else if path.contains("/validating") {
            self.validating().patch(&self.name, &params, &note).await.unwrap();
        } else {
            self.mutating().patch(&self.name, &params, &note).await.unwrap();
        }
    }
}

/// Deletes what a test made in a cluster that was given; a new one ends with this process anyway.
impl Drop for TestCluster {
    fn drop(&mut self) {
        if std::env::var_os("HEADWORKS_TEST_KUBECONFIG").is_none() {
            return;
        }
        let name = self.name.clone();
        let clean = async move {
            let (admin, params) = (client(None).await, DeleteParams::default());
            let _ = Api::<ValidatingWebhookConfiguration>::all(admin.clone()).delete(&name, &params).await;
            let _ = Api::<MutatingWebhookConfiguration>::all(admin.clone()).delete(&name, &params).await;
            let _ = Api::<ClusterRoleBinding>::all(admin.clone()).delete(&name, &params).await;
            let _ = Api::<ClusterRole>::all(admin.clone()).delete(&name, &params).await;
            let _ = Api::<Namespace>::all(admin).delete(&name, &params).await;
        };
        // A test's own runtime may be in the middle of a panic.
        let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build();
        let _ = std::thread::spawn(move || runtime().map(|runtime| runtime.block_on(clean))).join();
    }
}

/// Operations that every kind of object needs here.
pub(crate) trait Object:
    Clone + std::fmt::Debug + serde::Serialize + serde::de::DeserializeOwned
{
}
impl<T: Clone + std::fmt::Debug + serde::Serialize + serde::de::DeserializeOwned> Object for T {}

/// One pod's worth of managed mode. Stops when dropped.
pub(crate) struct Replica {
    pub(crate) identity: Identity,
    pub(crate) readiness: Readiness,
    pub(crate) leader: watch::Sender<bool>,
    registry: prometheus_client::registry::Registry,
    events: mpsc::UnboundedReceiver<CertEvent>,
    published: Vec<CertEvent>,
    task: JoinHandle<()>,
    _stop: DropGuard,
}

impl Replica {
    pub(crate) fn serial(&self) -> Option<String> {
        self.identity.current().map(|pair| pair.serial().to_owned())
    }

    /// It does nothing any more, not even its last words.
    pub(crate) fn kill(&self) {
        self.task.abort();
    }

    /// Counts the events with this reason.
    pub(crate) fn count_published(&mut self, reason: &str) -> usize {
        while let Ok(event) = self.events.try_recv() {
            self.published.push(event);
        }
        self.published.iter().filter(|event| event.reason == reason).count()
    }

    /// The value of a metric without labels.
    pub(crate) fn metric(&self, name: &str) -> u64 {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry).unwrap();
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        value.expect(name).parse().unwrap()
    }

    #[track_caller]
    pub(crate) fn ready(&self) -> impl Future<Output = ()> {
        eventually("ready", Duration::from_mins(1), async || self.readiness.check(jiff::Timestamp::now()))
    }
}

/// Tries until it is `Ok`; says the last reason if that takes too long.
#[track_caller]
pub(crate) fn eventually(
    what: &str,
    within: Duration,
    mut check: impl AsyncFnMut() -> Result<(), String>,
) -> impl Future<Output = ()> {
    let caller = std::panic::Location::caller();
    async move {
        let deadline = tokio::time::Instant::now() + within;
        while let Err(reason) = check().await {
            assert!(
                tokio::time::Instant::now() < deadline,
                "{caller}: not {what} within {within:?}: {reason}"
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// `Ok` if so, the words if not.
pub(crate) fn whether(so: bool, otherwise: impl FnOnce() -> String) -> Result<(), String> {
    if so { Ok(()) } else { Err(otherwise()) }
}
