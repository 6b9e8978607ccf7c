//! What the engine may do is what it does: `deploy/base/rbac.yaml` against the API server's record of a run in which
//! everything happens.

use std::collections::HashSet;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use headworks::manifest;
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::{DynamicObject, Patch, PatchParams};
use kube::runtime::wait::await_condition;
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::audit::Entry;
use crate::cluster::Cluster;
use crate::flows::{flow, job, manual};
use crate::proxy::{Fate, Watching};
use crate::rig::{LIMIT, Rig};
use crate::rough;

const NAMESPACE: &str = "headworks-system";
const ACCOUNT: &str = "system:serviceaccount:headworks-system:headworks";

fn objects(file: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/base").join(file))
        .unwrap();
    manifest::read(&text).into_iter().map(|document| document.unwrap().value).collect()
}

/// One verb on one resource, as a rule grants it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Right {
    role: String,
    /// Only there; `None`: everywhere.
    namespace: Option<String>,
    group: String,
    resource: String,
    names: Vec<String>,
    verb: String,
}

impl Right {
    fn covers(&self, call: &Entry) -> bool {
        self.namespace.as_ref().is_none_or(|namespace| namespace == call.namespace())
            && self.group == call.group()
            && self.resource == call.resource()
            && (self.names.is_empty() || self.names.iter().any(|name| name == call.name()))
            && self.verb == call.verb
    }

    /// The narrower of two rights is the one that a call needs.
    fn width(&self) -> (bool, bool) {
        (self.namespace.is_none(), self.names.is_empty())
    }
}

/// What the service account is granted: not what is there for people.
fn granted() -> Vec<Right> {
    let objects = objects("rbac.yaml");
    let is_ours = |subject: &Value| subject["name"] == "headworks" && subject["namespace"] == NAMESPACE;
    let bindings = objects.iter().filter(|object| object["kind"].as_str().unwrap().ends_with("Binding"));
    let ours = bindings.filter(|binding| binding["subjects"].as_array().unwrap().iter().any(is_ours));
    let mut rights = Vec::new();
    for binding in ours {
        let reference = &binding["roleRef"];
        let namespace =
            (binding["kind"] == "RoleBinding").then(|| binding["metadata"]["namespace"].as_str().unwrap());
        let role = objects.iter().find(|object| {
            object["kind"] == reference["kind"] && object["metadata"]["name"] == reference["name"]
        });
        for rule in role.unwrap()["rules"].as_array().unwrap() {
            let list = |field: &str| -> Vec<String> {
                let list = rule[field].as_array().into_iter().flatten();
                list.map(|word| word.as_str().unwrap().to_owned()).collect()
            };
            for group in list("apiGroups") {
                for resource in list("resources") {
                    for verb in list("verbs") {
                        let (group, resource) = (group.clone(), resource.clone());
                        let (namespace, names) = (namespace.map(str::to_owned), list("resourceNames"));
                        let role = format!("{} {}", reference["kind"], reference["name"]);
                        rights.push(Right { role, namespace, group, resource, names, verb });
                    }
                }
            }
        }
    }
    rights
}

#[test]
fn what_is_granted_is_what_is_used() {
    rough::test(async |cluster| {
        let rig = prepare(cluster).await;
        disturb(&rig);
        rig.start_bare(&[
            "--events",
            "all",
            "--lease-duration",
            "2s",
            "--renew-deadline",
            "1500ms",
            "--retry-period",
            "200ms",
            "--cert-publish-wait",
            "1s",
            "--pod-name",
            "headworks-0",
        ]);
        certificates(&rig).await;
        // On a busy machine the program may still take the one before for unfinished, and then replaces the CA without a look
        // at who serves what.
        let looked = || {
            rig.audit()
                .of(&rig.agent())
                .iter()
                .any(|call| call.is("list", "endpointslices") && call.namespace() == NAMESPACE)
        };
        for _ in 0..5 {
            rotation(&rig).await;
            if looked() {
                break;
            }
        }
        flows(&rig).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        // Not killed: it withdraws the report of what it serves.
        rig.terminate();

        let rights = granted();
        let (mut used, mut wrong) = (HashSet::new(), HashSet::new());
        let calls = rig.audit().of(&rig.agent());
        for call in calls.iter().filter(|call| !call.resource().is_empty()) {
            let covers = rights.iter().filter(|right| right.covers(call));
            match covers.min_by_key(|right| right.width()) {
                Some(right) => drop(used.insert(right.clone())),
                None => drop(wrong.insert(format!("{} {}/{}", call.verb, call.group(), call.resource()))),
            }
            // Nobody else says 403 in this test.
            if call.code() == 403 {
                wrong.insert(format!("refused: {} {} {:?}", call.verb, call.resource(), call.name()));
            }
        }
        assert!(wrong.is_empty(), "used without a right: {wrong:#?}");
        // Leader routing runs beside, and has a test of its own.
        let routing = |right: &&Right| right.role.contains("headworks-routing");
        let rest = rights.iter().filter(|right| !routing(right));
        let mut unused: Vec<_> = rest.filter(|right| !used.contains(right)).collect();
        unused.sort();
        assert!(unused.is_empty(), "granted and not used: {unused:#?}");
        println!("{} rights, each used in {} calls", rights.len(), calls.len());
    });
}

/// Grant what is granted.
pub(crate) fn grant(cluster: &Cluster) {
    for object in objects("rbac.yaml") {
        cluster.must(&["apply", "-f", "-"], &object.to_string());
    }
}

/// The account, its rights and the webhook configurations; an engine that calls as that account.
pub(crate) async fn prepare(cluster: &'static Cluster) -> Arc<Rig> {
    cluster.kubectl(&["create", "namespace", NAMESPACE], "");
    grant(cluster);
    for mut configuration in objects("webhook.yaml") {
        for webhook in configuration["webhooks"].as_array_mut().unwrap() {
            // Nobody answers here, and nobody is to wait.
            webhook["failurePolicy"] = json!("Ignore");
        }
        cluster.must(&["apply", "-f", "-"], &configuration.to_string());
    }
    Rig::with_account(cluster, "rbac", Some(ACCOUNT)).await
}

/// A certificate is made, and made again whenever somebody spoils it.
async fn certificates(rig: &Rig) {
    let secrets: Api<Secret> = Api::namespaced(rig.cluster.client.clone(), NAMESPACE);
    let sound = |secret: Option<&Secret>| {
        let data = secret.and_then(|secret| secret.data.as_ref());
        data.and_then(|data| data.get("tls.crt")).is_some_and(|bytes| bytes.0.starts_with(b"-----BEGIN"))
    };
    for _ in 0..3 {
        let there = await_condition(secrets.clone(), "headworks-tls", sound);
        timeout(LIMIT, there).await.expect("a certificate").unwrap();
        let spoil = Patch::Merge(json!({"stringData": {"tls.crt": "spoilt"}}));
        secrets.patch("headworks-tls", &PatchParams::default(), &spoil).await.unwrap();
    }
    let there = await_condition(secrets, "headworks-tls", sound);
    timeout(LIMIT, there).await.expect("a certificate").unwrap();
}

/// The CA is lost while its certificate is good: another one comes, in steps.
async fn rotation(rig: &Rig) {
    let secrets: Api<Secret> = Api::namespaced(rig.cluster.client.clone(), NAMESPACE);
    let of = |secret: &Secret, key: &str| {
        let data = secret.data.as_ref().and_then(|data| data.get(key));
        data.map(|bytes| bytes.0.clone()).unwrap_or_default()
    };
    // What is still on its way is replaced at once instead, without a look at who serves what.
    let stable = |secret: Option<&Secret>| secret.is_some_and(|secret| of(secret, "phase") == b"stable");
    timeout(LIMIT, await_condition(secrets.clone(), "headworks-tls", stable)).await.expect("rest").unwrap();
    let before = of(&secrets.get("headworks-tls").await.unwrap(), "ca.crt");
    let spoil = Patch::Merge(json!({"stringData": {"ca.crt": "spoilt"}}));
    secrets.patch("headworks-tls", &PatchParams::default(), &spoil).await.unwrap();
    let over = |secret: Option<&Secret>| {
        secret.is_some_and(|secret| {
            let ca = of(secret, "ca.crt");
            of(secret, "phase") == b"stable" && ca.starts_with(b"-----BEGIN") && ca != before
        })
    };
    timeout(LIMIT, await_condition(secrets, "headworks-tls", over)).await.expect("another CA").unwrap();
}

/// Some first tries go wrong, so that what is there has to be looked at: creations are done, and their answers and
/// what the watches tell of them come late; and somebody else is quicker than some writes.
fn disturb(rig: &Arc<Rig>) {
    rig.proxy.watch(Watching { late: Duration::from_secs(6), only: Some("jobs"), ..Watching::default() });
    let (tried, other) = (Mutex::new(HashSet::new()), rig.clone());
    rig.proxy.hook(move |call| {
        let kind = format!("{} {}", call.verb, call.resource);
        let first = tried.lock().unwrap().insert(kind.clone());
        match kind.as_str() {
            "create jobs" | "create configmaps" | "create persistentvolumeclaims" if first => {
                Fate::answer_lost()
            }
            "patch jobflows/status" if call.nth == 2 => {
                let (rig, name) = (other.clone(), call.name.clone());
                Fate::after(async move { rig.annotate(&name, "somebody", "quicker").await })
            }
            "update secrets"
            | "patch mutatingwebhookconfigurations"
            | "patch validatingwebhookconfigurations"
                if first =>
            {
                let (rig, object) = (other.clone(), format!("{}/{}", call.resource, call.name));
                let touch = move || {
                    rig.cluster.must(&["-n", NAMESPACE, "annotate", &object, "somebody=quicker"], "");
                };
                Fate::after(async move { tokio::task::spawn_blocking(touch).await.unwrap() })
            }
            _ => Fate::pass(),
        }
    });
}

async fn flows(rig: &Arc<Rig>) {
    let (cluster, namespace) = (rig.cluster, rig.namespace.as_str());
    for kind in [&["configmap"][..], &["secret", "generic"]] {
        let args = [&["-n", namespace, "create"], kind, &["source", "--from-literal=key=value"]].concat();
        cluster.must(&args, "");
    }
    let mut spec = flow([
        job("a", &[], "0").says("{{ parameters.plain }} {{ parameters.hidden }}", &[]),
        // Its pods are never created, for want of an account, and the Job controller says so in Events.
        job("starved", &[], "0").runs_as("nobody").with("timeoutSeconds", json!(30)),
        job("late", &["a"], "-").with("timeoutSeconds", json!(1)),
        manual("ask", &["late"]).with("timeoutSeconds", json!(1)),
    ]);
    for step in spec["steps"].as_array_mut().unwrap() {
        step["continueOnFailure"] = json!(true);
    }
    let source = json!({"name": "source", "key": "key"});
    spec["parameters"] = json!([
        {"name": "plain", "valueFrom": {"configMapKeyRef": source}},
        {"name": "hidden", "valueFrom": {"secretKeyRef": source}},
    ]);
    spec["resourceTemplates"] = json!({
        "configMapTemplates": [{"metadata": {"name": "settings"}, "data": {"a": "b"}}],
        "volumeClaimTemplates": [{"metadata": {"name": "data"}, "spec": {
            "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}
        }}],
    });
    spec["executionPolicy"] = json!({"ttlSecondsAfterFinished": 3});
    rig.create("flow", &spec).await;
    let status = rig.ends("flow").await;
    assert_eq!(status["phase"], "Succeeded", "{status:#}");
    let gone = await_condition(rig.flows(), "flow", |flow: Option<&DynamicObject>| flow.is_none());
    timeout(LIMIT, gone).await.expect("the flow to be deleted when its time is over").unwrap();
}
