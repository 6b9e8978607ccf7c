use proptest::prelude::*;
use serde_json::{Value, json};

use crate::flows::rules::{Options, flow};
use crate::problem::Problem;

const POD: &str = "spec.steps[0].template.spec.template.spec";

/// A flow of one sound step, without a single warning.
fn sound() -> Value {
    json!({
        "apiVersion": "workflow.kube-zen.io/v1alpha1", "kind": "JobFlow", "metadata": {"name": "f"},
        "spec": {"steps": [{"name": "a", "template": {"spec": {"backoffLimit": 0, "template": {"spec": {
            "restartPolicy": "Never",
            "containers": [{
                "name": "main", "image": "busybox:1.36",
                "resources": {"requests": {"cpu": "100m"}}
            }]
        }}}}}]}
    })
}

/// Change the sound flow at a JSON pointer below the step's template.
fn with(changes: &[(&str, Value)]) -> Value {
    let mut flow = sound();
    for (path, value) in changes {
        let path = path.strip_prefix("pod/").map_or_else(
            || format!("/spec/steps/0/{path}"),
            |rest| format!("/spec/steps/0/template/spec/template/spec/{rest}"),
        );
        let (parent, last) = path.rsplit_once('/').unwrap();
        match flow.pointer_mut(parent).unwrap() {
            Value::Object(map) => {
                map.insert(last.to_owned(), value.clone());
            }
            Value::Array(entries) => entries.push(value.clone()),
            other => panic!("{other} has no {last}"),
        }
    }
    flow
}

fn told(object: &Value) -> Vec<Problem> {
    flow(object, &Options::default()).problems
}

#[test]
fn which_source_of_a_volume_is_one_too_many_does_not_depend_on_the_order_of_keys() {
    for volume in [
        json!({"secret": {}, "emptyDir": {}, "name": "a"}),
        json!({"emptyDir": {}, "name": "a", "secret": {}}),
    ] {
        let told = codes(&[("pod/volumes", json!([volume]))]);
        assert!(told.iter().any(|line| line.ends_with("volumes[0].secret")), "{told:?}");
    }
}

/// Returns the problems of the changed flow: `CODE field` each.
fn codes(changes: &[(&str, Value)]) -> Vec<String> {
    let step = "spec.steps[0].";
    let line = |problem: &Problem| {
        let field = problem.field.to_string();
        let field = field.strip_prefix(POD).map_or_else(
            || field.strip_prefix(step).unwrap_or(&field).to_owned(),
            |rest| format!("pod{rest}"),
        );
        format!("{} {field}", problem.code)
    };
    told(&with(changes)).iter().map(line).collect()
}

#[track_caller]
fn check(path: &str, value: Value, expected: &[&str]) {
    assert_eq!(codes(&[(path, value)]), expected, "{path}");
}

const CONTAINER: &str = "pod/containers/0";

#[track_caller]
fn container(field: &str, value: Value, expected: &[&str]) {
    check(&format!("{CONTAINER}/{field}"), value, expected);
}

#[test]
fn a_sound_template_is_passed_in_silence() {
    assert_eq!(told(&sound()), []);
    container("env", json!([{"name": "A", "value": "{{ flow.name }}"}]), &[]);
    container("image", json!("{{ flow.name }}"), &[]);
    check("template/spec/suspend", json!(false), &[]);
    check("template/spec/ttlSecondsAfterFinished", json!(5), &[]);
    check("template/metadata", json!({"name": "x", "namespace": "y", "labels": {"team": "a"}}), &[]);
}

#[test]
fn a_template_is_a_job_with_a_pod_and_a_container() {
    check("template/kind", json!("CronJob"), &["HW515 template.kind"]);
    check("template/apiVersion", json!("v1"), &["HW515 template.apiVersion"]);
    check("template", json!({}), &["HW502 template.spec"]);
    check("pod/containers", json!([]), &["HW502 pod.containers"]);
}

#[test]
fn the_restart_policy_is_never_or_on_failure_and_the_reason_is_told() {
    check("pod/restartPolicy", json!("Always"), &["HW504 pod.restartPolicy"]);
    check("pod/restartPolicy", json!(null), &["HW504 pod.restartPolicy"]);
    check("pod/restartPolicy", json!("never"), &["HW504 pod.restartPolicy"]);
    check("pod/restartPolicy", json!("OnFailure"), &["HW904 pod.restartPolicy"]);
    let message = told(&with(&[("pod/restartPolicy", json!("Always"))]))[0].message();
    assert!(message.contains("may not restart always"), "{message}");
}

#[test]
fn names_are_labels_and_each_stands_once() {
    container("name", json!("Main_1"), &["HW503 pod.containers[0].name"]);
    container("name", json!("headworks-x"), &["HW512 pod.containers[0].name"]);
    container("name", json!(""), &["HW502 pod.containers[0].name"]);
    check(
        "pod/initContainers",
        json!([{"name": "main", "image": "a:1", "restartPolicy": "Always"}]),
        &["HW508 pod.initContainers[0].name"],
    );
    check(
        "pod/volumes",
        json!([{"name": "v", "emptyDir": {}}, {"name": "v", "emptyDir": {}}]),
        &["HW508 pod.volumes[1].name"],
    );
}

#[test]
fn images_are_needed_and_well_formed() {
    container("image", json!("Busybox:1"), &["HW514 pod.containers[0].image"]);
    container("image", json!(""), &["HW502 pod.containers[0].image"]);
    container("image", json!("busybox"), &["HW901 pod.containers[0].image"]);
}

#[test]
fn quantities_parse_and_requests_stay_below_limits() {
    let limits = "pod.containers[0].resources.limits";
    let requests = "pod.containers[0].resources.requests";
    let resources = |value: Value, expected: &[String]| {
        let expected: Vec<&str> = expected.iter().map(String::as_str).collect();
        container("resources", value, &expected);
    };
    resources(json!({"limits": {"cpu": 0, "memory": "0"}}), &[]);
    resources(json!({"limits": {"cpu": "1GB"}}), &[format!("HW505 {limits}[cpu]")]);
    resources(json!({"limits": {"cpu": "-1"}}), &[format!("HW505 {limits}[cpu]")]);
    resources(
        json!({"limits": {"cpu": "0.5"}, "requests": {"cpu": "501m"}}),
        &[format!("HW506 {requests}[cpu]")],
    );
    resources(json!({"limits": {"cpu": "0.5"}, "requests": {"cpu": "500m"}}), &[]);
    resources(
        json!({"requests": {"cpu": 1, "example.com/gpu": 1}}),
        &[format!("HW502 {limits}[example.com/gpu]")],
    );
    resources(
        json!({"requests": {"cpu": 1}, "limits": {"example.com/gpu": "1500m"}}),
        &[format!("HW505 {limits}[example.com/gpu]")],
    );
    resources(json!({"requests": {"cpu": 1, "memry": 1}}), &[format!("HW521 {requests}[memry]")]);
    resources(json!({"requests": {"cpu": "{{ flow.name }}"}}), &[]);
    resources(json!({}), &["HW902 pod.containers[0].resources".to_owned()]);
}

#[test]
fn ports_env_and_mounts_are_checked() {
    let ports = json!([
        {"containerPort": 0, "name": "http"}, {"containerPort": 80, "name": "http"},
        {"containerPort": 80, "name": "80"}, {"containerPort": 80, "protocol": "tcp"}
    ]);
    let expected = ["HW507 0].containerPort", "HW508 1].name", "HW503 2].name", "HW516 3].protocol"];
    let expected = expected.map(|line| line.replacen(' ', " pod.containers[0].ports[", 1));
    container("ports", ports, &expected.each_ref().map(String::as_str));
    container(
        "env",
        json!([{"name": "A=B"}, {"name": "C", "value": "1", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}]),
        &["HW509 pod.containers[0].env[0].name", "HW519 pod.containers[0].env[1].valueFrom"],
    );
    let mounts = json!([{"name": "dta", "mountPath": "/a"}, {"name": "data", "mountPath": "/a"}]);
    let changes = [
        ("pod/volumes", json!([{"name": "data", "emptyDir": {}}])),
        ("pod/containers/0/volumeMounts", mounts),
    ];
    assert_eq!(
        codes(&changes),
        ["HW510 pod.containers[0].volumeMounts[0].name", "HW508 pod.containers[0].volumeMounts[1].mountPath"]
    );
    assert!(told(&with(&changes))[0].message().contains("did you mean \"data\"?"));
}

#[test]
fn enums_and_numbers_are_told_with_what_is_allowed() {
    container("imagePullPolicy", json!("IfNotPresnt"), &["HW516 pod.containers[0].imagePullPolicy"]);
    check("template/spec/backoffLimit", json!(-1), &["HW507 template.spec.backoffLimit"]);
    check("template/spec/parallelism", json!(-1), &["HW507 template.spec.parallelism"]);
    check("pod/activeDeadlineSeconds", json!(0), &["HW507 pod.activeDeadlineSeconds"]);
    check("template/spec/activeDeadlineSeconds", json!(3_000_000_000_i64), &[]);
}

#[test]
fn an_indexed_job_says_how_many_indices_it_has() {
    check("template/spec/completionMode", json!("Indexed"), &["HW502 template.spec.completions"]);
    check("template/spec/backoffLimitPerIndex", json!(1), &["HW519 template.spec.backoffLimitPerIndex"]);
}

#[test]
fn what_would_never_run_is_refused() {
    check("template/spec/suspend", json!(true), &["HW519 template.spec.suspend"]);
    check("template/spec/selector", json!({"matchLabels": {"a": "b"}}), &["HW519 template.spec.selector"]);
}

#[test]
fn reserved_and_malformed_keys_are_refused_in_both_metadata() {
    check(
        "template/metadata",
        json!({"labels": {"workflow.kube-zen.io/flow": "x", "a b": "c", "d": "e f"}}),
        &[
            "HW517 template.metadata.labels[a b]",
            "HW517 template.metadata.labels[d]",
            "HW511 template.metadata.labels[workflow.kube-zen.io/flow]",
        ],
    );
    check(
        "template/spec/template/metadata",
        json!({"annotations": {"workflow.kube-zen.io/attempt": "1"}}),
        &["HW511 template.spec.template.metadata.annotations[workflow.kube-zen.io/attempt]"],
    );
}

#[test]
fn a_templates_pod_failure_policy_is_judged_as_kubernetes_judges_it() {
    let policy = |rules: Value| json!({"rules": rules});
    let rules = "template.spec.podFailurePolicy.rules";
    for (rule, expected) in [
        (json!({"action": "FailJob"}), format!("HW519 {rules}[0]")),
        (
            json!({"action": "Fail", "onExitCodes": {"operator": "In", "values": [1]}}),
            format!("HW516 {rules}[0].action"),
        ),
        (
            json!({"action": "Count", "onExitCodes": {"operator": "In", "values": [0, 1]}}),
            format!("HW507 {rules}[0].onExitCodes.values[0]"),
        ),
        (
            json!({"action": "Count", "onExitCodes": {"operator": "In", "values": [2, 1]}}),
            format!("HW507 {rules}[0].onExitCodes.values"),
        ),
        (
            json!({"action": "Count", "onExitCodes": {"containerName": "mian", "operator": "In", "values": [2]}}),
            format!("HW520 {rules}[0].onExitCodes.containerName"),
        ),
    ] {
        check("template/spec/podFailurePolicy", policy(json!([rule])), &[&expected]);
    }
    let changes =
        [("pod/restartPolicy", json!("OnFailure")), ("template/spec/podFailurePolicy", policy(json!([])))];
    assert!(codes(&changes).contains(&"HW519 template.spec.podFailurePolicy".to_owned()));
}

#[test]
fn retries_that_multiply_or_surprise_are_warned_of() {
    let changes = [("template/spec/backoffLimit", json!(6)), ("retryPolicy", json!({"limit": 3}))];
    assert_eq!(codes(&changes), ["HW903 template.spec.backoffLimit"]);
    assert!(told(&with(&changes))[0].message().contains("(6+1) x (3+1) = 28"));
    check("template/spec/backoffLimit", json!(null), &["HW914 template.spec.backoffLimit"]);
    let changes = [("template/spec/backoffLimit", json!(null)), ("retryPolicy", json!({}))];
    assert_eq!(codes(&changes), [] as [&str; 0]);
}

#[test]
fn rights_beyond_a_batch_jobs_are_warned_of_once_each() {
    check("pod/hostNetwork", json!(true), &["HW911 pod.hostNetwork"]);
    check(
        "pod/volumes",
        json!([{"name": "h", "hostPath": {"path": "/"}}]),
        &["HW911 pod.volumes[0].hostPath"],
    );
    container(
        "securityContext",
        json!({"privileged": true, "allowPrivilegeEscalation": true, "capabilities": {"add": ["SYS_ADMIN"]}}),
        &["HW911 pod.containers[0].securityContext.privileged"],
    );
    container(
        "securityContext",
        json!({"capabilities": {"add": ["CAP_SYS_ADMIN", "CHOWN"]}}),
        &["HW911 pod.containers[0].securityContext.capabilities.add[0]"],
    );
}

#[test]
fn a_bare_resource_name_is_warned_of_with_the_expression() {
    let mut flow =
        with(&[("pod/volumes", json!([{"name": "v", "persistentVolumeClaim": {"claimName": "data"}}]))]);
    flow["spec"]["resourceTemplates"] = json!({"volumeClaimTemplates": [{
        "metadata": {"name": "data"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    }]});
    let told = told(&flow);
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].message().contains("write {{ resources.data }} (HW910)"), "{}", told[0].message());
}

#[test]
fn a_wrong_type_is_told_once_and_nothing_follows_from_it() {
    check("pod/containers", json!("main"), &["HW501 pod.containers"]);
    check("template/spec", json!(3), &["HW501 template.spec"]);
    check("template/spec/template", json!([]), &["HW501 template.spec.template"]);
    container("image", json!(3), &["HW501 pod.containers[0].image"]);
    container(
        "resources",
        json!({"requests": {"cpu": [1]}}),
        &["HW501 pod.containers[0].resources.requests[cpu]"],
    );
}

fn places(value: &Value, here: String, out: &mut Vec<String>) {
    match value {
        Value::Object(map) => {
            map.iter()
                .for_each(|(key, value)| places(value, format!("{here}/{}", key.replace('/', "~1")), out));
        }
        Value::Array(list) => {
            list.iter().enumerate().for_each(|(i, value)| places(value, format!("{here}/{i}"), out));
        }
        _ => {}
    }
    out.push(here);
}

fn rich() -> Value {
    let mut flow = with(&[
        (
            "pod/volumes",
            json!([{"name": "v", "configMap": {"name": "c", "defaultMode": 420, "items": [{"key": "a", "path": "b"}]}}]),
        ),
        (
            "pod/initContainers",
            json!([{"name": "i", "image": "a:1", "env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}]}]),
        ),
        ("pod/containers/0/volumeMounts", json!([{"name": "v", "mountPath": "/v"}])),
        ("pod/containers/0/ports", json!([{"containerPort": 80, "name": "http"}])),
        (
            "template/spec/podFailurePolicy",
            json!({"rules": [{"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}]}),
        ),
        ("retryPolicy", json!({"limit": 2, "backoff": {"duration": "1s", "maxDuration": "1m"}})),
    ]);
    flow["spec"]["executionPolicy"] = json!({"concurrencyKey": "k", "podFailurePolicy": {"rules": [
        {"action": "FailJob", "onExitCodes": {"operator": "In", "values": [42]}}]}});
    flow["spec"]["resourceTemplates"] = json!({
        "volumeClaimTemplates": [{"metadata": {"name": "d"}, "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}}],
        "configMapTemplates": [{"metadata": {"name": "c2"}, "data": {"a": "b"}}]
    });
    flow
}

fn junk() -> impl Strategy<Value = Value> {
    prop::sample::select(vec![
        json!(null),
        json!(true),
        json!(-1),
        json!(0),
        json!(9.5),
        json!(1e300),
        json!(i64::MIN),
        json!(u64::MAX),
        json!(""),
        json!("{{ x }}"),
        json!("ä/ö:@"),
        json!([]),
        json!([null]),
        json!([[1]]),
        json!({}),
        json!({"a": {}}),
        json!("Always"),
        json!("Indexed"),
        json!([{}]),
    ])
}

proptest! {
    #[test]
    fn no_mutated_flow_panics(changes in prop::collection::vec((any::<prop::sample::Index>(), junk()), 1..4)) {
        let mut flow_value = rich();
        for (index, junk) in changes {
            let mut all = Vec::new();
            places(&flow_value, String::new(), &mut all);
            let place = index.get(&all);
            *flow_value.pointer_mut(place).unwrap() = junk;
        }
        let checked = flow(&flow_value, &Options::default());
        for problem in &checked.problems {
            prop_assert!(!problem.message().contains('\n'));
        }
    }
}
