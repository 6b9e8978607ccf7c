//! A manifest that is applied again says the same as before, whether its flow has started or not.
//!
//! People's pipelines and GitOps tools apply what they have every few minutes, with three different mechanisms: a
//! three-way merge patch, a replacement, and server-side apply. Of the flows of the accept corpus none of them may
//! be refused, and none may change what is stored.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::Value;

use crate::cluster::{Cluster, cluster, json, root};

/// kubectl itself sends a `null` that a manifest holds with every apply, and then says "configured".
const WITH_NULLS: [&str; 2] = ["null-values.yaml", "null-label-and-empty-lists.yaml"];

/// kubectl leaves the nulls of a template out when it applies, and sends them in every other way: stored anew once.
const TEMPLATE_WITH_NULLS: &str = "null-values";

/// The manifests of the corpus that hold JobFlows, and kubectl's arguments that name them.
fn manifests() -> Vec<PathBuf> {
    let entries = std::fs::read_dir(root().join("tests/corpus/accept")).unwrap();
    let mut files: Vec<PathBuf> = entries
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "yaml"))
        .filter(|path| std::fs::read_to_string(path).unwrap().contains("JobFlow"))
        .collect();
    files.sort();
    files
}

/// Run kubectl with `-f` for each of `files` in the namespace `twice-NAME`.
fn with_files(cluster: &Cluster, verb: &[&str], namespace: &str, files: &[PathBuf]) -> String {
    let mut args: Vec<&str> = verb.to_vec();
    args.extend(["-n", namespace]);
    args.extend(files.iter().flat_map(|file| ["-f", file.to_str().unwrap()]));
    cluster.must(&args, "")
}

/// The generation and the resourceVersion of each flow, by name.
type Versions = BTreeMap<String, (i64, String)>;

/// Those of every flow of a namespace.
fn versions(cluster: &Cluster, namespace: &str) -> Versions {
    let list = json(&cluster.must(&["get", "jobflows", "-n", namespace, "-o", "json"], ""));
    let flows = list["items"].as_array().unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let version = |flow: &Value| {
        let metadata = &flow["metadata"];
        (
            text(&metadata["name"]),
            (metadata["generation"].as_i64().unwrap(), text(&metadata["resourceVersion"])),
        )
    };
    flows.iter().map(version).collect()
}

/// The lines of kubectl's answer about flows that do not end in "unchanged".
fn changed(said: &str) -> Vec<&str> {
    said.lines().filter(|line| line.starts_with("jobflow") && !line.ends_with(" unchanged")).collect()
}

/// Apply every manifest, have its flow start if it is to, and apply it again in each way.
fn twice(namespace: &str, started: bool) {
    let cluster = cluster();
    cluster.must(&["create", "namespace", namespace], "");
    let files = manifests();
    with_files(cluster, &["apply"], namespace, &files);
    let flows = versions(cluster, namespace);
    assert!(flows.len() >= 70, "{} flows", flows.len());
    if started {
        let status = r#"{"status":{"phase":"Running","startTime":"2026-01-01T00:00:00Z"}}"#;
        let mut args =
            vec!["patch", "jobflow", "-n", namespace, "--subresource=status", "--type=merge", "-p", status];
        args.extend(flows.keys().map(String::as_str));
        cluster.must(&args, "");
    }
    let before = versions(cluster, namespace);

    let (nulls, plain): (Vec<PathBuf>, Vec<PathBuf>) =
        files.iter().cloned().partition(|file| WITH_NULLS.iter().any(|name| file.ends_with(name)));
    let said = with_files(cluster, &["apply"], namespace, &plain);
    assert_eq!(changed(&said), [] as [&str; 0], "of the same manifests, applied again");
    with_files(cluster, &["apply"], namespace, &nulls);
    assert_eq!(versions(cluster, namespace), before, "applied again");

    // kubectl ends with 1 if anything differs, and says it.
    let diff = with_files(cluster, &["diff"], namespace, &files);
    assert_eq!(diff, "");

    let by_server = ["apply", "--server-side", "--force-conflicts"];
    with_files(cluster, &by_server, namespace, &files);
    let applied = versions(cluster, namespace);
    let moved: Vec<&str> =
        moved(&before, &applied).into_iter().filter(|name| *name != TEMPLATE_WITH_NULLS).collect();
    assert_eq!(moved, [] as [&str; 0], "applied by the server");
    with_files(cluster, &by_server, namespace, &files);
    assert_eq!(versions(cluster, namespace), applied, "applied by the server again");

    // A replacement lets go of the policy's defaults, which admission writes again.
    with_files(cluster, &["replace"], namespace, &files);
    assert_eq!(self::moved(&applied, &versions(cluster, namespace)), [] as [&str; 0], "replaced");
}

/// The flows whose generation has changed.
fn moved<'a>(before: &'a Versions, now: &Versions) -> Vec<&'a str> {
    let same = |name: &String, generation| now.get(name).is_some_and(|now| now.0 == generation);
    let moved = before.iter().filter(|(name, version)| !same(name, version.0));
    moved.map(|(name, _)| name.as_str()).collect()
}

#[test]
fn a_manifest_that_is_applied_again_changes_nothing() {
    twice("twice-waiting", false);
}

#[test]
fn a_manifest_that_is_applied_again_changes_nothing_once_its_flow_has_started() {
    twice("twice-started", true);
}

/// kustomize moves steps that it patches to the front.
#[test]
fn steps_in_another_order_are_the_same_flow() {
    let cluster = cluster();
    let step = |name: &str| format!("{{name: {name}, type: Manual}}");
    let flow = |steps: &[String]| {
        format!(
            "{{apiVersion: workflow.kube-zen.io/v1alpha1, kind: JobFlow, metadata: {{name: reordered, \
             namespace: default}}, spec: {{steps: [{}]}}}}",
            steps.join(", ")
        )
    };
    cluster.must(&["apply", "-f", "-"], &flow(&[step("a"), step("b"), step("c")]));
    let status = r#"{"status":{"phase":"Running","startTime":"2026-01-01T00:00:00Z"}}"#;
    cluster
        .must(&["patch", "jobflow", "reordered", "--subresource=status", "--type=merge", "-p", status], "");
    let said = cluster.apply(&flow(&[step("c"), step("a"), step("b")]));
    assert!(said.ok, "{}", said.err);
    // A step that differs is told where it stands now, and nothing else is.
    let other = "{name: a, type: Manual, message: why}".to_owned();
    let said = cluster.apply(&flow(&[step("b"), step("c"), other]));
    assert_eq!(
        crate::cluster::bullets(&said).iter().map(|line| line.split(':').next().unwrap()).collect::<Vec<_>>(),
        ["spec.steps[2].message"],
        "{}",
        said.err
    );
    // Neither one more nor one less is another order.
    for steps in [vec![step("c"), step("a")], vec![step("c"), step("a"), step("b"), step("d")]] {
        let said = cluster.apply(&flow(&steps));
        assert!(!said.ok && said.err.contains("HW701"), "{}", said.err);
    }
}
