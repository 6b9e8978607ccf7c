//! The CRD on a real API server.

use crate::cluster::{cluster, json};

#[test]
fn the_crd_is_small_enough_for_plain_apply_and_explains_itself() {
    let cluster = cluster();
    let crd = headworks::flows::api::crd::crd().to_string();
    assert!(crd.len() < 200_000, "{} bytes", crd.len());
    let said = cluster.must(&["explain", "jobflow.spec.steps.retryPolicy.backoff"], "");
    for text in ["Exponential d * factor^n", "maxDuration", "Go duration"] {
        assert!(said.contains(text), "{said}");
    }
}

#[test]
fn flows_are_listed_with_what_people_look_for() {
    let cluster = cluster();
    cluster.must(
        &["apply", "-n", "kube-system", "-f", "-"],
        "{apiVersion: workflow.kube-zen.io/v1alpha1, kind: JobFlow, metadata: {name: listed}, \
         spec: {steps: [{name: a, type: Manual}]}}",
    );
    let status = r#"{"status":{"phase":"Paused","message":"waits for approval of a",
        "progress":{"completedSteps":0,"totalSteps":1,"successfulSteps":0,"failedSteps":0,"skippedSteps":0,
        "runningSteps":0,"summary":"0/1"}}}"#;
    cluster.must(
        &["patch", "jf", "listed", "-n", "kube-system", "--subresource=status", "--type=merge", "-p", status],
        "",
    );
    let table = cluster.must(&["get", "flow", "listed", "-n", "kube-system"], "");
    let words: Vec<&str> = table.lines().next().unwrap().split_whitespace().collect();
    assert_eq!(words, ["NAME", "PHASE", "PROGRESS", "MESSAGE", "AGE"]);
    assert!(
        table.contains("Paused") && table.contains("0/1") && table.contains("waits for approval of a"),
        "{table}"
    );
    let wide = cluster.must(&["get", "all", "-n", "kube-system", "-o", "wide"], "");
    for column in ["jobflow.workflow.kube-zen.io/listed", "RUNNING", "STARTED", "DURATION"] {
        assert!(wide.contains(column), "no {column} in {wide}");
    }
}

#[test]
fn steps_are_merged_by_name_and_a_template_belongs_to_who_applies_it() {
    let cluster = cluster();
    let apply = |manager: &str, step: &str| {
        let manifest = format!(
            "{{apiVersion: workflow.kube-zen.io/v1alpha1, kind: JobFlow, metadata: {{name: owned, namespace: kube-system}}, \
             spec: {{steps: [{step}]}}}}"
        );
        cluster.kubectl(&["apply", "--server-side", "--field-manager", manager, "-f", "-"], &manifest)
    };
    let job = |more: &str| {
        format!(
            "{{name: a, template: {{spec: {{{more} template: {{spec: {{restartPolicy: Never, \
             containers: [{{name: m, image: b}}]}}}}}}}}}}"
        )
    };
    assert!(apply("one", &job("backoffLimit: 2,")).ok);
    // Another tool may add to the step, but not to the template.
    assert!(apply("two", "{name: a, timeoutSeconds: 60}").ok);
    let said = apply("two", "{name: a, template: {spec: {parallelism: 2}}}");
    assert!(!said.ok && said.err.contains(".spec.steps[name=\"a\"].template"), "{}", said.err);
    // What its owner leaves out is gone.
    assert!(apply("one", &job("")).ok);
    let stored =
        json(&cluster.must(
            &["get", "jobflow", "owned", "-n", "kube-system", "-o", "json", "--show-managed-fields"],
            "",
        ));
    let step = &stored["spec"]["steps"][0];
    assert_eq!(step["timeoutSeconds"], 60);
    assert_eq!(step["template"]["spec"].get("backoffLimit"), None, "{step}");
    // One entry, however large it is: the API server walks through all of them at each status write.
    let managers = stored["metadata"]["managedFields"].as_array().unwrap();
    let one = managers.iter().find(|manager| manager["manager"] == "one").unwrap();
    assert_eq!(
        one["fieldsV1"]["f:spec"]["f:steps"]["k:{\"name\":\"a\"}"]["f:template"],
        serde_json::json!({})
    );
}

/// The schema alone, as while the webhook is away: `kube-system` is exempt from it.
#[test]
fn the_schema_holds_most_rules_while_nobody_judges() {
    let job =
        "template: {spec: {template: {spec: {restartPolicy: Never, containers: [{name: m, image: b}]}}}}";
    for (spec, told) in [
        ("steps: []".to_owned(), "spec.steps in body should have at least 1 items"),
        ("steps: [{name: a}]".to_owned(), "a step of type Job needs a template"),
        ("steps: [{name: A_b, type: Manual}]".to_owned(), "spec.steps[0].name in body should match"),
        ("steps: [{name: a, type: Manuel}]".to_owned(), "Unsupported value: \"Manuel\""),
        ("steps: [{name: a, type: Manual}, {name: a, type: Manual}]".to_owned(), "Duplicate value"),
        (format!("steps: [{{name: a, timeoutSeconds: 0, {job}}}]"), "should be greater than or equal to 1"),
        (
            format!(
                "steps: [{{name: a, inputs: {{parameters: [{{name: p, value: x, valueFrom: {{}}}}]}}, {job}}}]"
            ),
            "value and valueFrom exclude each other",
        ),
        (
            format!("artifactStore: {{}}\n  steps: [{{name: a, {job}}}]"),
            "exactly one of s3 and volumeClaim is needed",
        ),
        (
            format!(
                "executionPolicy: {{podFailurePolicy: {{rules: [{{action: Ignore}}]}}}}\n  steps: [{{name: a, {job}}}]"
            ),
            "exactly one of onExitCodes and onPodConditions is needed",
        ),
    ] {
        let manifest = format!(
            "apiVersion: workflow.kube-zen.io/v1alpha1\nkind: JobFlow\nmetadata: {{name: bad, namespace: kube-system}}\n\
             spec:\n  {spec}\n"
        );
        let said = cluster().apply(&manifest);
        assert!(!said.ok, "{manifest}");
        assert!(said.err.contains(told), "{manifest}{}", said.err);
        assert!(!said.err.contains("(HW"), "the webhook was asked: {}", said.err);
    }
}
