use serde_json::{Value, json};

use super::store;
use crate::flows::api::JobFlow;
use crate::flows::dag::Dag;
use crate::flows::rules::{Options, Subject, flow};
use crate::problem::Problems;
use crate::problem::field_path::Place;

/// The lines of the families HW4, HW915 and HW913 for this spec, less those that tell of any artifact.
fn lines(spec: &Value) -> Vec<String> {
    let mut lines = all_lines(spec);
    lines.retain(|line| !line.contains("(HW425)"));
    lines
}

fn all_lines(spec: &Value) -> Vec<String> {
    let mut spec = spec.clone();
    for step in spec["steps"].as_array_mut().unwrap() {
        if step.get("template").is_none() {
            step["template"] = json!({"spec": {"template": {"spec": {"restartPolicy": "Never", "containers": [
                {"name": "main", "image": "busybox:1.36", "volumeMounts": [{"name": "v", "mountPath": "/mnt/data/"}]}
            ], "volumes": [{"name": "v", "emptyDir": {}}]}}}});
        }
    }
    let object = json!({
        "apiVersion": "workflow.kube-zen.io/v1alpha1", "kind": "JobFlow", "metadata": {"name": "x"}, "spec": spec
    });
    let ours = ["(HW4", "(HW915)", "(HW917)", "(HW913)"];
    let checked = flow(&object, &Options::default());
    let lines = checked.problems.iter().map(ToString::to_string);
    lines.filter(|line| ours.iter().any(|code| line.contains(code))).collect()
}

/// The only line for a step `b` after `a` with these inputs or outputs; `a` has the output artifact `files`.
#[track_caller]
fn one(field: &str, list: &str, entry: &Value) -> String {
    let mut b = json!({"name": "b", "dependencies": ["a"]});
    b[field] = json!({ list: if entry.is_array() { entry.clone() } else { json!([entry]) } });
    let found = lines(&json!({"steps": [
        {"name": "a", "outputs": {"artifacts": [{"name": "files", "path": "/out/files"}]}}, b, {"name": "later"}
    ]}));
    assert!(found.len() <= 1, "{found:#?}");
    found.concat()
}

#[track_caller]
fn input(entry: &Value, code: &str, words: &str) {
    let line = one("inputs", "parameters", entry);
    assert!(line.contains(code) && line.contains(words), "{entry}: {line}");
}

#[track_caller]
fn artifact(entry: &Value, code: &str, words: &str) {
    let line = one("inputs", "artifacts", entry);
    assert!(line.contains(code) && line.contains(words), "{entry}: {line}");
}

#[track_caller]
fn kept(entry: &Value, code: &str, words: &str) {
    let line = one("outputs", "artifacts", entry);
    assert!(line.contains(code) && line.contains(words), "{entry}: {line}");
}

#[test]
fn parameters_have_a_name_and_one_source() {
    input(&json!({"name": "1st", "value": "x"}), "HW401", "must be a letter");
    input(
        &json!([{"name": "p", "value": "x"}, {"name": "p", "value": "y"}]),
        "HW402",
        "parameters[0] has this name",
    );
    input(&json!({"name": "p"}), "HW403", "needs a source");
    input(
        &json!({"name": "p", "value": "x", "valueFrom": {"expression": "1"}}),
        "HW403",
        "`value` is given already",
    );
    input(&json!({"name": "p", "valueFrom": {}}), "HW403", "add one of jsonPath");
    input(
        &json!({"name": "p", "valueFrom": {"expression": "1", "jsonPath": "a:$.x"}}),
        "HW403",
        "`jsonPath` is given already",
    );
    input(&json!({"name": "p", "default": "x"}), "", "");
    assert_eq!(one("inputs", "parameters", &json!({"name": "p", "default": "x"})), "");
}

#[test]
fn json_paths_name_a_step_that_has_run() {
    let from = |path: &str| json!({"name": "p", "valueFrom": {"jsonPath": path}});
    for sound in ["a:$.output.rows", "$.output", "{.status.succeeded}", r"a:.metadata.labels.app\.io/x"] {
        assert_eq!(one("inputs", "parameters", &from(sound)), "", "{sound}");
    }
    input(&from("a:$.x["), "HW404", "at column 6");
    input(&from("aa:$.x"), "HW405", "no step has this name");
    input(&from("later:$.x"), "HW406", "add \"later\" to dependencies");
    input(&from("b:$.x"), "HW406", "its own result");
    let found = lines(&json!({"steps": [{"name": "a", "inputs": {"parameters": [from("$.x")]}}]}));
    assert!(found.len() == 1 && found[0].contains("(HW407)"), "{found:?}");
    let found = lines(&json!({"steps": [
        {"name": "a"}, {"name": "b", "dependencies": ["a", "gone"], "inputs": {"parameters": [from("gone:$.x")]}}
    ]}));
    assert_eq!(found, Vec::<String>::new());
}

#[test]
fn values_fit_their_type_and_the_status() {
    input(&json!({"name": "p", "value": "3x", "type": "int"}), "HW420", "must be a whole number");
    input(&json!({"name": "p", "default": "yes", "type": "bool"}), "HW420", "true or false");
    input(&json!({"name": "p", "value": "{", "type": "json"}), "HW420", "must be JSON");
    input(&json!({"name": "p", "value": "nan", "type": "double"}), "HW420", "must be a number");
    assert_eq!(one("inputs", "parameters", &json!({"name": "p", "value": " 3 ", "type": "int"})), "");
    input(&json!({"name": "p", "value": "a {{ b }}"}), "HW915", "valueFrom.expression evaluates");
    input(&json!({"name": "p", "value": "x".repeat(65537)}), "HW421", "65537 bytes together");
}

#[test]
fn outputs_name_a_container_of_the_template() {
    let from =
        |container: &str| json!({"name": "o", "valueFrom": {"jsonPath": "$.output", "container": container}});
    assert_eq!(one("outputs", "parameters", &from("main")), "");
    let line = one("outputs", "parameters", &from("mian"));
    assert!(line.contains("HW423") && line.contains("did you mean \"main\"?"), "{line}");
    let line = one("outputs", "parameters", &json!({"name": "o", "valueFrom": {"jsonPath": "$["}}));
    assert!(line.contains("HW404"), "{line}");
}

#[test]
fn key_references_are_complete() {
    let secret = |name: &str| json!({"name": "p", "valueFrom": {"secretKeyRef": {"name": name, "key": "k"}}});
    input(&secret(""), "HW419", "`name` is needed");
    assert_eq!(one("inputs", "parameters", &secret("s")), "");
}

#[test]
fn artifacts_have_a_name_one_source_and_a_usable_path() {
    let from = |text: &str| json!({"name": "x", "from": text});
    assert_eq!(one("inputs", "artifacts", &from("a/files")), "");
    artifact(
        &json!([from("a/files"), {"name": "x", "from": "a/files", "path": "/y"}]),
        "HW408",
        "has this name",
    );
    artifact(&json!({"name": "x"}), "HW412", "needs a source");
    artifact(
        &json!({"name": "x", "from": "a/files", "http": {"url": "https://h/x"}}),
        "HW412",
        "given already",
    );
    artifact(&from("a"), "HW409", "must be STEP/ARTIFACT");
    artifact(&from("a/file"), "HW410", "did you mean \"files\"?");
    artifact(&from("c/files"), "HW410", "no step has this name");
    artifact(&from("later/files"), "HW406", "may not have run");
    let at = |path: &str| json!({"name": "x", "from": "a/files", "path": path});
    artifact(&at("x/y"), "HW411", "write \"/x/y\"");
    artifact(&at("/x/../y"), "HW411", "`..`");
    artifact(&at("/./"), "HW411", "must not be `/`");
    assert_eq!(one("inputs", "artifacts", &at("/x..y")), "");
    artifact(&at("/mnt/data"), "HW417", "container \"main\" mounts");
    artifact(
        &json!([at("/x"), {"name": "y", "from": "a/files", "path": "//x/"}]),
        "HW416",
        "is this path already",
    );
    kept(&json!({"name": "o", "path": "/o"}), "HW411", "write it into a directory");
    kept(&json!({"name": "o", "path": "/mnt/data/o"}), "HW417", "/mnt/data");
}

#[test]
fn downloads_are_complete() {
    let http = |http: &Value| json!({"name": "x", "http": http});
    artifact(&http(&json!({"url": "ftp://h/x"})), "HW413", "http or https");
    artifact(&http(&json!({"url": "https:///x"})), "HW413", "host");
    let line = one("inputs", "artifacts", &http(&json!({"url": "https://u:secret@h/x"})));
    assert!(line.contains("HW413") && !line.contains("secret@"), "{line}");
    for url in ["https:/u:secret@h/x", "ftp://h/x?token=secret", "h/x#secret", "ftp://u:sec/secret@h"] {
        let line = one("inputs", "artifacts", &http(&json!({"url": url})));
        assert!(line.contains("HW413") && !line.contains("secret"), "{line}");
    }
    artifact(&http(&json!({"url": "https://h/x", "sha256": "abc"})), "HW422", "64 hexadecimal");
    artifact(&http(&json!({"url": "https://h/x", "headers": {"A": "b"}})), "HW913", "a list");
    artifact(&http(&json!({"url": "https://h/x", "headers": [{"name": "A"}]})), "HW424", "needs a value");
    artifact(
        &http(&json!({"url": "https://h/x", "headers": [{"name": "A b", "value": "c"}]})),
        "HW424",
        "header name",
    );
    artifact(&http(&json!({"url": "https://h/x", "headers": "A"})), "HW424", "list of headers");
    let secret =
        json!({"url": "https://h/x", "headers": [{"name": "A", "secretKeyRef": {"name": "s", "key": ""}}]});
    artifact(&http(&secret), "HW419", "`key` is needed");
}

#[test]
fn s3_locations_and_archives_are_complete() {
    let s3 = |s3: &Value| json!({"name": "x", "s3": s3});
    artifact(&s3(&json!({"endpoint": "", "bucket": "b"})), "HW414", "`endpoint` is empty");
    artifact(&s3(&json!({"endpoint": "ftp://h", "bucket": "b"})), "HW413", "http or https");
    let half = json!({"endpoint": "h", "bucket": "b", "accessKeyIDSecretRef": {"name": "s", "key": "k"}});
    artifact(&s3(&half), "HW414", "secretAccessKeySecretRef");
    assert_eq!(one("inputs", "artifacts", &s3(&json!({"endpoint": "h", "bucket": "b"}))), "");
    let packed = |archive: &Value| json!({"name": "o", "path": "/o/x", "archive": archive});
    kept(&packed(&json!({"format": "zip", "compression": "gzip"})), "HW415", "by itself");
    kept(&packed(&json!({"format": "none", "compression": "zstd"})), "HW415", "kept as it is");
    assert_eq!(one("outputs", "artifacts", &packed(&json!({"format": "tar", "compression": "zstd"}))), "");
}

/// The problems of the store by itself: in a whole flow HW425 stands before it.
fn store_lines(spec: &Value, store: Option<bool>) -> Vec<String> {
    let flow: JobFlow = serde_json::from_value(json!({"metadata": {"name": "x"}, "spec": spec})).unwrap();
    let (dag, options) = (Dag::new(&flow.spec.steps), Options { artifact_store: store });
    let mut out = Problems::new();
    store::check(&Subject::new(&flow, &dag, &options), &Place::ROOT.field("spec"), &mut out);
    out.iter().map(ToString::to_string).collect()
}

#[test]
fn artifacts_need_a_store() {
    let flow = json!({"steps": [{"name": "a", "outputs": {"artifacts": [{"name": "x", "path": "/o/x"}]}}]});
    assert_eq!(store_lines(&flow, Some(true)), Vec::<String>::new());
    let (refused, warned) = (store_lines(&flow, Some(false)), store_lines(&flow, None));
    assert!(refused.len() == 1 && refused[0].contains("(HW418)"), "{refused:?}");
    assert!(warned.len() == 1 && warned[0].contains("(HW917)"), "{warned:?}");
    let mut own = flow.clone();
    own["artifactStore"] = json!({"volumeClaim": {"claimName": "c"}});
    assert_eq!(store_lines(&own, Some(false)), Vec::<String>::new());
    own["artifactStore"] = json!({});
    assert!(lines(&own)[0].contains("(HW418)"));
}

#[test]
fn every_artifact_is_refused_once_until_artifacts_can_be_moved() {
    let told = all_lines(&json!({
        "artifactStore": {"volumeClaim": {"claimName": "c"}},
        "steps": [
            {"name": "a", "outputs": {"artifacts": [{"name": "x", "path": "/o/x"}, {"name": "y", "path": "/o/y"}]}},
            {"name": "b", "dependencies": ["a"], "inputs": {"artifacts": [{"name": "x", "from": "a/x"}]}},
            {"name": "c", "inputs": {"artifacts": []}, "outputs": {"artifacts": []}}
        ]
    }));
    let cure = "artifacts are not available yet; hand values on as parameters, or put files on a volume claim (HW425)";
    let wanted: Vec<String> = [
        "spec.artifactStore",
        "spec.steps[0].outputs.artifacts[0]",
        "spec.steps[0].outputs.artifacts[1]",
        "spec.steps[1].inputs.artifacts[0]",
    ]
    .iter()
    .map(|place| format!("{place}: Forbidden: {cure}"))
    .collect();
    assert_eq!(told, wanted);

    let told =
        all_lines(&json!({"steps": [{"name": "a", "outputs": {"artifacts": [{"name": "x", "path": "o"}]}}]}));
    assert_eq!(told.len(), 2, "the store is not missed, the path is still looked at: {told:?}");
}
