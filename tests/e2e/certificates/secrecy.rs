//! What headworks may read, what it does read, and what it never tells.

use std::collections::BTreeSet;

use base64::{Engine, engine::general_purpose::STANDARD};
use k8s_openapi::api::authorization::v1::{ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec};
use kube::api::PostParams;
use kube::{Api, Client};
use serde_json::Value;

use super::audit::{Audit, Call};
use super::process::Process;
use super::rig::{Rig, SECRET, Shape, pod, record, reinstall, restart};
use crate::{NAMESPACE, eventually, installed, kubectl, one_step, pods, runtime, try_kubectl};

const ACCOUNT: &str = "system:serviceaccount:headworks-system:headworks";

/// Whether the service account may do it, as the API server answers. An empty namespace is all of them, an empty name
/// any.
fn may(verb: &str, resource: &str, namespace: &str, name: &str) -> bool {
    let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
    let group = if resource.starts_with("role") { "rbac.authorization.k8s.io" } else { "" };
    let text = |text: &str| Some(text.to_owned());
    let attributes = ResourceAttributes {
        verb: text(verb),
        group: text(group),
        resource: text(resource),
        subresource: text(subresource),
        namespace: text(namespace),
        name: text(name),
        ..ResourceAttributes::default()
    };
    let groups =
        ["system:serviceaccounts", "system:serviceaccounts:headworks-system", "system:authenticated"];
    let review = SubjectAccessReview {
        spec: SubjectAccessReviewSpec {
            user: text(ACCOUNT),
            groups: Some(groups.map(str::to_owned).to_vec()),
            resource_attributes: Some(attributes),
            ..SubjectAccessReviewSpec::default()
        },
        ..SubjectAccessReview::default()
    };
    runtime().block_on(async {
        let reviews: Api<SubjectAccessReview> = Api::all(Client::try_default().await.unwrap());
        reviews.create(&PostParams::default(), &review).await.unwrap().status.unwrap().allowed
    })
}

#[test]
fn the_only_secret_it_may_read_is_its_own_by_name() {
    if !installed() {
        return;
    }
    // What lets flows take parameters from Secrets is a role of its own, that whoever needs none takes away.
    assert!(may("get", "secrets", "default", "any"));
    for verb in ["list", "watch"] {
        assert!(!may(verb, "secrets", "default", "") && !may(verb, "secrets", "", ""), "{verb}");
    }
    kubectl(&["delete", "clusterrolebinding", "headworks-secrets"], "");
    eventually("the right to be gone", || (!may("get", "secrets", "default", "any")).then_some(()));
    let all = ["get", "list", "watch", "create", "update", "patch", "delete", "deletecollection"];
    let mut allowed = BTreeSet::new();
    for verb in all {
        for (namespace, name) in [
            (NAMESPACE, SECRET),
            (NAMESPACE, "other"),
            (NAMESPACE, ""),
            ("default", SECRET),
            ("default", "other"),
            ("", ""),
        ] {
            if may(verb, "secrets", namespace, name) {
                allowed.insert(format!("{verb} {namespace}/{name}"));
            }
        }
    }
    // A creation cannot be restricted by name, and reads nothing.
    let own = ["get", "list", "watch", "update"].map(|verb| format!("{verb} {NAMESPACE}/{SECRET}"));
    let creations = [SECRET, "other", ""].map(|name| format!("create {NAMESPACE}/{name}"));
    assert_eq!(allowed, own.into_iter().chain(creations).collect());
    // Nor is there a way round: a pod that mounts a Secret, a shell in one, a token of somebody else, another role.
    for (verb, resource) in [
        ("create", "pods"),
        ("create", "pods/exec"),
        ("create", "serviceaccounts/token"),
        ("create", "rolebindings"),
        ("update", "roles"),
        ("escalate", "roles"),
    ] {
        assert!(!may(verb, resource, NAMESPACE, "any"), "{verb} {resource}");
    }
    reinstall("rbac.yaml");
    eventually("the right to be back", || may("get", "secrets", "default", "any").then_some(()));
}

#[test]
fn no_key_is_told_at_any_level_and_no_other_secret_is_read() {
    let Some(_rig) = Rig::new(Shape::new(3, &["--log=trace"])) else { return };
    let audit = Audit::from_now();
    let (secrets, _recording) = record("Secret");
    restart();
    // A new certificate, and the whole of what a flow can make it do.
    let lost = "{\"data\": {\"tls.crt\": null}}";
    kubectl(&["-n", NAMESPACE, "patch", "secret", SECRET, "--type=merge", "-p", lost], "");
    let keys = || secrets.look(|records| records.iter().flat_map(|record| keys_in(&record.object)).collect());
    let keys: BTreeSet<String> =
        eventually("another key", || Some(keys()).filter(|keys: &BTreeSet<String>| keys.len() >= 3 * LINES));
    let canary = "canary-7e11";
    kubectl(&["apply", "--dry-run=server", "-f", "-"], &one_step("never-stored", &format!("{canary}:1")));
    assert!(!try_kubectl(&["apply", "-f", "-"], &one_step("never-stored", &format!("{canary}:!"))).ok);

    let mut looked_at = 0;
    for name in pods() {
        let pod = pod(&name);
        let log = kubectl(&["-n", NAMESPACE, "logs", &name], "");
        assert!(log.contains("CertificateLoaded"), "{log}");
        let mut told = vec![("log", log), ("object", pod.to_string())];
        if let Some(process) = Process::of(pod["metadata"]["uid"].as_str().unwrap()) {
            told.push(("arguments and environment", process.told()));
            looked_at += 1;
        }
        for (what, text) in told {
            assert!(!text.contains("PRIVATE KEY") && !text.contains(canary), "{what} of {name}");
            assert!(!text.contains("eyJhbGci"), "a token in the {what} of {name}");
            assert!(!keys.iter().any(|line| text.contains(line)), "part of a key in the {what} of {name}");
        }
    }
    if looked_at == 0 {
        eprintln!("SKIPPED: /proc is not looked into, for the node is another machine");
    }
    let events = kubectl(&["get", "events", "-A", "-o", "json"], "");
    assert!(!events.contains("PRIVATE KEY") && !keys.iter().any(|line| events.contains(line)));
    match audit {
        Some(audit) => {
            let calls: BTreeSet<Call> = audit.about_secrets().into_iter().collect();
            let verbs: BTreeSet<&str> = calls.iter().map(|call| call.verb.as_str()).collect();
            eprintln!("one Secret is asked for, by its name: {verbs:?}");
            let own = |call: &Call| {
                call.namespace == NAMESPACE
                    && call.name == SECRET
                    && call.verb != "delete"
                    && call.verb != "create"
            };
            assert!(!calls.is_empty() && calls.iter().all(own), "{calls:#?}");
        }
        None => eprintln!("SKIPPED: the API server's audit log is not at hand"),
    }
}

/// A P-256 key in PKCS#8 is 138 bytes long: three lines of PEM.
const LINES: usize = 3;

/// The lines of every private key in a Secret, as they are, and as the Secret has them, in base64.
fn keys_in(secret: &Value) -> Vec<String> {
    let mut lines = Vec::new();
    for (name, value) in secret["data"].as_object().into_iter().flatten() {
        let Some(_) = name.strip_suffix(".key") else { continue };
        let pem = String::from_utf8(STANDARD.decode(value.as_str().unwrap()).unwrap()).unwrap();
        lines.extend(pem.lines().filter(|line| !line.starts_with("-----")).map(str::to_owned));
    }
    lines
}
