//! A namespace, an engine that runs its flows, and a proxy between the engine and the API server.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use headworks::flows::api::JobFlow;
use headworks::flows::job_name::job_name;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Namespace, ServiceAccount};
use kube::api::{ApiResource, DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams};
use kube::runtime::wait::await_condition;
use kube::{Api, ResourceExt};
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::audit::Audit;
use crate::cluster::Cluster;
use crate::process::{Engine, scratch};
use crate::proxy::Proxy;

/// Nothing that is waited for takes longer, even on a machine that has much else to do.
pub(crate) const LIMIT: Duration = Duration::from_mins(3);

pub(crate) struct Rig {
    pub(crate) cluster: &'static Cluster,
    pub(crate) namespace: String,
    pub(crate) proxy: Proxy,
    engine: Mutex<Option<Engine>>,
    /// How many engines there have been.
    pub(crate) starts: AtomicUsize,
    audit: Audit<'static>,
    /// Whether the record may lack something.
    forgetful: AtomicBool,
    log: PathBuf,
}

impl Rig {
    /// A namespace with a proxy; no engine runs yet.
    pub(crate) async fn new(cluster: &'static Cluster, name: &str) -> Arc<Self> {
        Self::with_account(cluster, name, None).await
    }

    /// The same; the engine has the rights of `account` and no others.
    pub(crate) async fn with_account(
        cluster: &'static Cluster,
        name: &str,
        account: Option<&str>,
    ) -> Arc<Self> {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let namespace = format!("{name}-{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let namespaces: Api<Namespace> = Api::all(cluster.client.clone());
        let object = serde_json::from_value(json!({"metadata": {"name": namespace}})).unwrap();
        namespaces.create(&PostParams::default(), &object).await.unwrap();
        // Without the account that they run as no pods are created.
        let accounts: Api<ServiceAccount> = Api::namespaced(cluster.client.clone(), &namespace);
        let there =
            await_condition(accounts, "default", |account: Option<&ServiceAccount>| account.is_some());
        timeout(LIMIT, there).await.expect("the account that pods run as").unwrap();
        let audit = Audit::from_now(cluster);
        let proxy = Proxy::new(cluster.another_client(), &agent(&namespace), account).await;
        let log = scratch().join(format!("{namespace}.log"));
        Arc::new(Self {
            cluster,
            namespace,
            proxy,
            engine: Mutex::default(),
            starts: AtomicUsize::new(0),
            audit,
            forgetful: AtomicBool::new(false),
            log,
        })
    }

    /// Another engine, with a proxy of its own, for the same namespace.
    pub(crate) async fn beside(&self) -> Arc<Self> {
        let proxy = Proxy::new(self.cluster.another_client(), &self.agent(), None).await;
        let (namespace, log) = (self.namespace.clone(), self.log.with_extension("beside.log"));
        let (engine, starts, audit) = (Mutex::default(), AtomicUsize::new(0), self.audit);
        Arc::new(Self {
            cluster: self.cluster,
            namespace,
            proxy,
            engine,
            starts,
            audit,
            forgetful: AtomicBool::new(false),
            log,
        })
    }

    /// A namespace with an engine at work.
    pub(crate) async fn running(cluster: &'static Cluster, name: &str) -> Arc<Self> {
        let rig = Self::new(cluster, name).await;
        rig.start();
        rig
    }

    /// Start an engine. Each has a Lease of its own: that the one before is dead is known here, and need not be
    /// waited for.
    pub(crate) fn start(&self) {
        let start = self.starts.fetch_add(1, Ordering::Relaxed);
        self.start_with(&["--lease-name", &format!("lease-{start}"), "--lease-duration", "60s"]);
    }

    /// Start an engine for this namespace alone, without a certificate.
    pub(crate) fn start_with(&self, args: &[&str]) {
        let mut all = vec!["--cert-mode", "mounted", "--cert-dir", "/nonexistent"];
        all.extend(["--namespace", &self.namespace, "--watch-namespace", &self.namespace]);
        all.extend(args);
        self.start_bare(&all);
    }

    /// Start an engine with these arguments.
    pub(crate) fn start_bare(&self, args: &[&str]) {
        *self.engine.lock().unwrap() = Some(Engine::start(self.proxy.port, &self.log, args));
    }

    /// The answer of the engine that runs now to a probe such as `/metrics`.
    pub(crate) fn probe(&self, path: &str) -> Option<String> {
        use std::io::{Read, Write};
        let log = std::fs::read_to_string(&self.log).ok()?;
        let mut lines = log.lines().rev().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let address = lines.find_map(|line| Some(line["probes"].as_str()?.to_owned()))?;
        let mut stream = std::net::TcpStream::connect(address).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(10))).ok()?;
        write!(stream, "GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        Some(answer.split_once("\r\n\r\n")?.1.to_owned())
    }

    /// What the engines of this rig have written to their log.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Kill the engine.
    pub(crate) fn kill(&self) {
        drop(self.engine.lock().unwrap().take());
    }

    /// Ask the engine to stop, and wait until it has.
    pub(crate) fn terminate(&self) {
        if let Some(engine) = self.engine.lock().unwrap().take() {
            engine.terminate();
        }
    }

    /// Kill the engine and start another, a moment later.
    pub(crate) fn crash(self: &Arc<Self>) {
        self.kill();
        self.start();
    }

    /// Stop the engine as a debugger or a frozen machine does.
    pub(crate) fn freeze(&self) {
        self.engine.lock().unwrap().as_ref().unwrap().freeze();
    }

    /// The engine goes on, and does not know that time has passed.
    pub(crate) fn thaw(&self) {
        self.engine.lock().unwrap().as_ref().unwrap().thaw();
    }

    pub(crate) fn flows(&self) -> Api<DynamicObject> {
        let resource = ApiResource::erase::<JobFlow>(&());
        Api::namespaced_with(self.cluster.client.clone(), &self.namespace, &resource)
    }

    pub(crate) fn jobs(&self) -> Api<Job> {
        Api::namespaced(self.cluster.client.clone(), &self.namespace)
    }

    /// Create a flow of this spec; its UID.
    pub(crate) async fn create(&self, name: &str, spec: &Value) -> String {
        let object = json!({"apiVersion": headworks::names::API_VERSION, "kind": "JobFlow",
            "metadata": {"name": name}, "spec": spec});
        let object = serde_json::from_value(object).unwrap();
        self.flows().create(&PostParams::default(), &object).await.unwrap().uid().unwrap()
    }

    /// Wait until a flow is as wanted.
    pub(crate) async fn until(&self, name: &str, what: &str, like: impl Fn(&Value) -> bool) -> Value {
        self.within(LIMIT, name, what, like).await
    }

    pub(crate) async fn within(
        &self,
        limit: Duration,
        name: &str,
        what: &str,
        like: impl Fn(&Value) -> bool,
    ) -> Value {
        let like = |flow: Option<&DynamicObject>| flow.is_some_and(|flow| like(&flow.data["status"]));
        let waiting = async {
            loop {
                // Whoever restarts the API server interrupts this too.
                match await_condition(self.flows(), name, like).await {
                    Ok(flow) => break flow.unwrap().data["status"].take(),
                    Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
                }
            }
        };
        match timeout(limit, waiting).await {
            Ok(status) => status,
            Err(_) => self.give_up(name, what, limit).await,
        }
    }

    async fn give_up(&self, name: &str, what: &str, limit: Duration) -> ! {
        let flow = self.flows().get_opt(name).await.map(|flow| flow.map(|flow| flow.data));
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        let log: Vec<&str> = log.lines().rev().take(20).collect();
        let log: Vec<&str> = log.into_iter().rev().collect();
        panic!("{}/{name}: waited {limit:?} for {what}\n{flow:#?}\n{}", self.namespace, log.join("\n"));
    }

    /// Wait until a flow is over; its status.
    pub(crate) async fn ends(&self, name: &str) -> Value {
        self.until(name, "its end", |status| matches!(status["phase"].as_str(), Some("Succeeded" | "Failed")))
            .await
    }

    /// Annotate a flow, as people do who approve.
    pub(crate) async fn annotate(&self, name: &str, key: &str, value: &str) {
        let patch = Patch::Merge(json!({"metadata": {"annotations": {key: value}}}));
        let (flows, parameters) = (self.flows(), PatchParams::default());
        let end = Instant::now() + LIMIT;
        // The API server may be on its way back.
        while let Err(error) = flows.patch(name, &parameters, &patch).await {
            assert!(Instant::now() < end, "{name} is not annotated: {error}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    pub(crate) async fn approve(&self, name: &str, step: &str) {
        self.annotate(name, &format!("{}{step}", headworks::names::APPROVED_PREFIX), "true").await;
    }

    pub(crate) async fn delete(&self, name: &str, how: DeleteParams) {
        self.flows().delete(name, &how).await.unwrap();
    }

    /// How often the Job of each name was created since this rig began, by the API server's own record.
    pub(crate) fn created(&self) -> BTreeMap<String, usize> {
        let mut created = BTreeMap::new();
        for entry in self.audit.of(&agent(&self.namespace)).iter().filter(|entry| entry.creates_job()) {
            *created.entry(entry.name().to_owned()).or_default() += 1;
        }
        created
    }

    pub(crate) fn audit(&self) -> &Audit<'static> {
        &self.audit
    }

    /// What the engine calls itself in the audit log.
    pub(crate) fn agent(&self) -> String {
        agent(&self.namespace)
    }

    /// The API server dies: what it did in that moment may be stored, and not recorded.
    pub(crate) fn excuse_the_record(&self) {
        self.forgetful.store(true, Ordering::Relaxed);
    }

    /// Insist that each attempt that the status tells of had one Job, and that there was no other.
    pub(crate) async fn each_job_once(&self, flows: &[(&str, &str, &Value)]) {
        let mut wanted = BTreeMap::new();
        for (name, uid, status) in flows {
            for step in status["steps"].as_array().unwrap() {
                for attempt in 1..=step["attempt"].as_i64().unwrap_or(0) {
                    let step = step["name"].as_str().unwrap();
                    wanted.insert(job_name(name, uid, step, attempt, None), 1);
                }
            }
        }
        let mut created = self.created();
        if self.forgetful.load(Ordering::Relaxed) {
            // Whether these are there is seen below.
            for name in wanted.keys() {
                created.entry(name.clone()).or_insert(1);
            }
        }
        assert_eq!(created, wanted, "Jobs that the API server created, against those of {flows:#?}");
        let there = self.jobs().list(&ListParams::default()).await.unwrap();
        let there: Vec<String> = there.into_iter().map(|job| job.name_any()).collect();
        assert_eq!(there, wanted.into_keys().collect::<Vec<_>>(), "Jobs that are there");
    }
}

fn agent(namespace: &str) -> String {
    format!("engine-under-test/{namespace}")
}
