//! A namespace for one test, and the flows that run in it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::ServiceAccount;
use kube::api::{DynamicObject, Patch, PatchParams, PostParams};
use kube::runtime::wait::await_condition;
use kube::{Api, Client};
use serde_json::{Value, json};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::lag;
use super::status::Seen;
use super::write::Flow;
use crate::command::Said;
use crate::record::Records;
use crate::{installed, kubectl, resource, runtime, try_kubectl};

/// How long anything is waited for. Pods start slowly on a machine that builds as well.
const LIMIT: Duration = Duration::from_secs(90);

/// A namespace of its own for one test; it goes when the test is over.
pub(crate) struct Space {
    pub(crate) name: String,
    client: Client,
    pub(crate) flows: Arc<Records>,
    pub(crate) jobs: Arc<Records>,
    pub(crate) pods: Arc<Records>,
    stopped: CancellationToken,
}

/// A namespace; `None` where there is no cluster.
pub(crate) fn space(test: &str) -> Option<Space> {
    installed().then(|| {
        lag::watch();
        runtime().block_on(async {
            let client = Client::try_default().await.unwrap();
            let namespaces: Api<DynamicObject> = Api::all_with(client.clone(), &resource("Namespace"));
            let wanted = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"generateName": format!("e2e-{test}-")}});
            let wanted = serde_json::from_value(wanted).unwrap();
            let created = namespaces.create(&PostParams::default(), &wanted).await.unwrap();
            let name = created.metadata.name.unwrap();
            // Without the account that they run as no pods are created.
            let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), &name);
            let there = await_condition(accounts, "default", |account: Option<&ServiceAccount>| account.is_some());
            timeout(Duration::from_mins(1), there).await.unwrap().unwrap();
            let stopped = CancellationToken::new();
            let records = |kind| Records::start(&client, &resource(kind), &name, stopped.clone());
            let (flows, jobs, pods) = (records("JobFlow"), records("Job"), records("Pod"));
            Space { name, client, flows, jobs, pods, stopped }
        })
    })
}

impl Drop for Space {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // Left for whoever looks into it; the cluster of `make test` goes anyway.
            return;
        }
        self.exactly_once();
        self.stopped.cancel();
        kubectl(&["delete", "namespace", &self.name, "--wait=false"], "");
    }
}

impl Space {
    fn api(&self, kind: &str) -> Api<DynamicObject> {
        Api::namespaced_with(self.client.clone(), &self.name, &resource(kind))
    }

    /// kubectl in this namespace.
    pub(crate) fn kubectl(&self, args: &[&str]) -> Said {
        try_kubectl(&[&["-n", &self.name], args].concat(), "")
    }

    /// Create an object.
    pub(crate) fn create(&self, object: &Value) -> Value {
        let kind = object["kind"].as_str().unwrap();
        let wanted: DynamicObject = serde_json::from_value(object.clone()).unwrap();
        let created = runtime().block_on(self.api(kind).create(&PostParams::default(), &wanted));
        serde_json::to_value(created.unwrap_or_else(|error| panic!("{kind}: {error}"))).unwrap()
    }

    /// A merge patch.
    pub(crate) fn patch(&self, kind: &str, name: &str, patch: &Value) {
        let (api, parameters) = (self.api(kind), PatchParams::default());
        let patched = runtime().block_on(api.patch(name, &parameters, &Patch::Merge(patch)));
        patched.unwrap_or_else(|error| panic!("{kind} {name}: {error}"));
    }

    pub(crate) fn delete(&self, kind: &str, name: &str) {
        let parameters = kube::api::DeleteParams::background();
        runtime().block_on(self.api(kind).delete(name, &parameters)).unwrap();
    }

    pub(crate) fn get(&self, kind: &str, name: &str) -> Option<Value> {
        let object = runtime().block_on(self.api(kind).get_opt(name)).unwrap();
        object.map(|object| serde_json::to_value(object).unwrap())
    }

    pub(crate) fn list(&self, kind: &str) -> Vec<Value> {
        let list = runtime().block_on(self.api(kind).list(&kube::api::ListParams::default())).unwrap();
        list.items.into_iter().map(|object| serde_json::to_value(object).unwrap()).collect()
    }

    /// A ConfigMap with one key.
    pub(crate) fn config_map(&self, name: &str, key: &str, value: &str) {
        self.create(&json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {key: value}}));
    }

    /// Create a flow.
    pub(crate) fn run(&self, flow: Flow) -> Run<'_> {
        let Flow(object) = flow;
        let created = self.create(&object);
        let text = |field: &str| created["metadata"][field].as_str().unwrap().to_owned();
        Run { space: self, name: text("name"), uid: text("uid") }
    }

    /// No attempt at a step ever had two Jobs.
    fn exactly_once(&self) {
        let mut attempts = BTreeSet::new();
        let mut known = BTreeSet::new();
        self.jobs.look(|records| {
            for job in records.iter().map(|record| &record.object) {
                let owner = job["metadata"]["ownerReferences"][0]["uid"].to_string();
                if known.insert(job["metadata"]["uid"].to_string()) && owner != "null" {
                    let step = job["metadata"]["labels"]["workflow.kube-zen.io/step"].to_string();
                    let attempt = job["metadata"]["annotations"]["workflow.kube-zen.io/attempt"].to_string();
                    assert!(attempts.insert((owner, step, attempt)), "a second Job: {job:#}");
                }
            }
        });
    }
}

/// A flow that was created.
pub(crate) struct Run<'s> {
    pub(crate) space: &'s Space,
    pub(crate) name: String,
    pub(crate) uid: String,
}

impl Run<'_> {
    /// Wait for the first version of the flow, past or to come, for which `condition` holds.
    #[track_caller]
    pub(crate) fn until(&self, what: &str, mut condition: impl FnMut(&Seen) -> bool) -> Seen {
        let found = self.space.flows.find(LIMIT, |records| {
            let mut versions = records.iter().filter(|record| !record.gone && record.name() == self.name);
            versions.find_map(|record| {
                let seen = Seen { at: record.at, flow: record.object.clone() };
                condition(&seen).then_some(seen)
            })
        });
        found.unwrap_or_else(|| panic!("waited {LIMIT:?} for {what}: {}", self.describe()))
    }

    /// Wait for the flow's end, and hold its whole course against what has to hold for every flow.
    #[track_caller]
    pub(crate) fn ends(&self) -> Seen {
        let end = self.until("its end", Seen::is_over);
        end.check_the_end();
        self.never_turned_back();
        end
    }

    /// Wait for the flow's end, and for each step by [`Seen::steps`].
    #[track_caller]
    pub(crate) fn ends_as(&self, phase: &str, steps: &[&str]) -> Seen {
        let end = self.ends();
        assert_eq!((end.phase(), end.steps()), (phase, to_strings(steps)), "{}", self.describe());
        end
    }

    /// Wait until the flow is deleted, and tell when.
    #[track_caller]
    pub(crate) fn goes(&self) -> std::time::Instant {
        let gone = self.space.flows.find(LIMIT, |records| {
            records.iter().find(|record| record.gone && record.name() == self.name).map(|record| record.at)
        });
        gone.unwrap_or_else(|| panic!("waited {LIMIT:?} for it to be deleted: {}", self.describe()))
    }

    /// Every version of the flow until now.
    pub(crate) fn versions(&self) -> Vec<Seen> {
        self.space.flows.look(|records| {
            let versions = records.iter().filter(|record| !record.gone && record.name() == self.name);
            versions.map(|record| Seen { at: record.at, flow: record.object.clone() }).collect()
        })
    }

    /// The flow's Jobs that are there, those of one step if one is named.
    pub(crate) fn jobs(&self, step: Option<&str>) -> Vec<Value> {
        self.owned(self.space.jobs.latest(), step)
    }

    /// The pods of those Jobs that are there.
    pub(crate) fn pods(&self, step: Option<&str>) -> Vec<Value> {
        self.owned(self.space.pods.latest(), step)
    }

    fn owned(&self, mut objects: Vec<Value>, step: Option<&str>) -> Vec<Value> {
        let label =
            |object: &Value, name: &str| object["metadata"]["labels"][name].as_str().map(str::to_owned);
        objects.retain(|object| {
            label(object, "workflow.kube-zen.io/flow").as_deref() == Some(self.name.as_str())
                && step.is_none_or(|step| label(object, "workflow.kube-zen.io/step").as_deref() == Some(step))
        });
        objects
    }

    /// Wait until a pod of the step runs, and return it.
    #[track_caller]
    pub(crate) fn pod_runs(&self, step: &str) -> Value {
        let label = |object: &Value, name: &str| object["metadata"]["labels"][name] == self.name.as_str();
        let found = self.space.pods.find(LIMIT, |records| {
            let mut pods = records.iter().map(|record| &record.object);
            let pod = pods.find(|pod| {
                label(pod, "workflow.kube-zen.io/flow")
                    && pod["metadata"]["labels"]["workflow.kube-zen.io/step"] == step
                    && pod["status"]["phase"] == "Running"
            });
            pod.cloned()
        });
        found.unwrap_or_else(|| panic!("waited {LIMIT:?} for a pod of {step}: {}", self.describe()))
    }

    /// Wait until no Job and no pod of the step, or of any, is there any more but for those that have ended.
    #[track_caller]
    pub(crate) fn leaves_nothing_running(&self, step: Option<&str>) {
        for (what, records) in [("Jobs", &self.space.jobs), ("pods", &self.space.pods)] {
            let gone = records.find(LIMIT, |records| {
                let mut there = BTreeSet::new();
                for record in records {
                    let labels = &record.object["metadata"]["labels"];
                    let wanted = labels["workflow.kube-zen.io/flow"] == self.name.as_str()
                        && step.is_none_or(|step| labels["workflow.kube-zen.io/step"] == step);
                    if record.gone || record.has_ended() {
                        there.remove(record.name());
                    } else if wanted {
                        there.insert(record.name().to_owned());
                    }
                }
                there.is_empty().then_some(())
            });
            assert!(gone.is_some(), "waited {LIMIT:?} for {what} to go: {}", self.describe());
        }
    }

    pub(crate) fn patch(&self, patch: &Value) {
        self.space.patch("JobFlow", &self.name, patch);
    }

    /// Set annotations.
    pub(crate) fn annotate(&self, key: &str, value: &str) {
        self.patch(&json!({"metadata": {"annotations": {key: value}}}));
    }

    /// What is final stays as it is, and attempts only grow.
    fn never_turned_back(&self) {
        let versions = self.versions();
        for pair in versions.windows(2) {
            let (before, after) = (&pair[0], &pair[1]);
            let over = before.is_over() && before.flow["status"] != after.flow["status"];
            assert!(!over, "it went on after its end: {}", self.describe());
            for step in before.flow["status"]["steps"].as_array().into_iter().flatten() {
                let name = step["name"].as_str().unwrap();
                let (was, is) = (before.step(name), after.step(name));
                if matches!(before.step_phase(name), "Succeeded" | "Failed" | "Skipped" | "Cancelled") {
                    assert_eq!(was["phase"], is["phase"], "{name} turned back: {}", self.describe());
                }
                let attempt = |step: &Value| step["attempt"].as_i64().unwrap_or(0);
                assert!(attempt(was) <= attempt(is), "{name} lost an attempt: {}", self.describe());
            }
        }
    }

    /// All that helps to understand a failure.
    fn describe(&self) -> String {
        let mut text = format!("{}/{}", self.space.name, self.name);
        for version in self.versions() {
            let (phase, message) = (version.phase(), version.message());
            text += &format!("\n  {phase} {:?} {message}", version.steps());
        }
        for pod in self.pods(None) {
            text += &format!("\n  pod {} {}", pod["metadata"]["name"], pod["status"]["phase"]);
        }
        if let Some(last) = self.versions().last() {
            text += &format!("\n{:#}", last.flow["status"]);
        }
        text
    }
}

fn to_strings(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}
