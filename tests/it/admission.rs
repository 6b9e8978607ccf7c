//! Admission as a user meets it: kubectl, a real API server, the real program.

use serde_json::Value;

use crate::cluster::{Cluster, bullets, cluster, eventually, json, warnings};

/// A sound flow: a Job, then an approval.
fn flow(name: &str) -> String {
    format!(
        r#"
apiVersion: workflow.kube-zen.io/v1alpha1
kind: JobFlow
metadata: {{name: {name}, namespace: default}}
spec:
  steps:
    - name: build
      template:
        spec:
          backoffLimit: 0
          template:
            spec:
              restartPolicy: Never
              containers:
                - {{name: main, image: "busybox:1.36", resources: {{requests: {{cpu: 10m, memory: 8Mi}}}}}}
    - {{name: deploy, type: Manual, dependencies: [build]}}
"#
    )
}

fn get(cluster: &Cluster, name: &str) -> Value {
    json(&cluster.must(&["get", "jobflow", name, "-o", "json"], ""))
}

fn created(name: &str) -> &'static Cluster {
    let cluster = cluster();
    cluster.must(&["apply", "-f", "-"], &flow(name));
    cluster
}

#[test]
fn defaults_are_written_and_a_second_apply_changes_nothing() {
    let cluster = created("defaults");
    let stored = get(cluster, "defaults");
    let policy = &stored["spec"]["executionPolicy"];
    assert_eq!(policy["concurrencyPolicy"], "Forbid");
    assert_eq!(policy["ttlSecondsAfterFinished"], 86_400);
    assert_eq!(policy["backoffLimit"], 6);
    // Nothing inside the list of steps: kubectl would send the whole list with every apply.
    assert_eq!(stored["spec"]["steps"][0].get("type"), None);
    let said = cluster.must(&["apply", "-f", "-"], &flow("defaults"));
    assert!(said.trim_end().ends_with(" unchanged"), "{said}");
    assert_eq!(
        get(cluster, "defaults")["metadata"]["resourceVersion"],
        stored["metadata"]["resourceVersion"]
    );
}

#[test]
fn the_creator_is_stamped_and_the_stamp_cannot_be_forged() {
    let cluster = created("stamped");
    let me = json(&cluster.must(&["auth", "whoami", "-o", "json"], ""));
    let me = me["status"]["userInfo"]["username"].as_str().unwrap();
    let stamp = |flow: &Value| flow["metadata"]["annotations"]["initiated-by.workflow.kube-zen.io"].clone();
    assert_eq!(stamp(&get(cluster, "stamped")), me);

    let forged = cluster.kubectl(
        &["annotate", "--overwrite", "jobflow", "stamped", "initiated-by.workflow.kube-zen.io=root"],
        "",
    );
    assert!(!forged.ok);
    assert!(
        forged.err.contains("only headworks writes this") && forged.err.contains("HW705"),
        "{}",
        forged.err
    );

    cluster.must(&["annotate", "jobflow", "stamped", "initiated-by.workflow.kube-zen.io-"], "");
    assert_eq!(stamp(&get(cluster, "stamped")), me, "a stamp that is taken out comes back");
}

#[test]
fn an_approval_carries_the_name_of_who_gave_it() {
    let cluster = created("approved");
    let approve = |step: &str, value: &str| {
        let annotation = format!("approved.workflow.kube-zen.io/{step}={value}");
        cluster.kubectl(&["annotate", "--overwrite", "jobflow", "approved", &annotation], "")
    };
    assert!(approve("deploy", "true").ok);
    let annotations = get(cluster, "approved")["metadata"]["annotations"].clone();
    assert_eq!(
        annotations["approved-by.workflow.kube-zen.io/deploy"],
        annotations["initiated-by.workflow.kube-zen.io"]
    );
    for (step, value, code) in
        [("deplo", "true", "HW702"), ("build", "true", "HW703"), ("deploy", "yes", "HW704")]
    {
        let said = approve(step, value);
        assert!(!said.ok && said.err.contains(code), "{step}={value}: {}", said.err);
    }
    cluster.must(&["annotate", "jobflow", "approved", "approved.workflow.kube-zen.io/deploy-"], "");
    let annotations = get(cluster, "approved")["metadata"]["annotations"].clone();
    assert!(annotations.get("approved-by.workflow.kube-zen.io/deploy").is_none(), "{annotations}");
}

#[test]
fn a_started_flow_changes_only_where_it_may() {
    let cluster = created("started");
    let patch = |body: &str, subresource: bool| {
        let mut args = vec!["patch", "jobflow", "started", "--type", "merge", "-p", body];
        if subresource {
            args.push("--subresource=status");
        }
        cluster.kubectl(&args, "")
    };
    assert!(patch(r#"{"spec":{"steps":null}}"#, false).err.contains("HW"));
    assert!(patch(r#"{"status":{"phase":"Running","startTime":"2026-01-01T00:00:00Z"}}"#, true).ok);
    for allowed in [
        r#"{"spec":{"suspend":true}}"#,
        r#"{"spec":{"executionPolicy":{"ttlSecondsAfterFinished":5,"activeDeadlineSeconds":60,"parallelism":2}}}"#,
        r#"{"metadata":{"labels":{"team":"data"}}}"#,
    ] {
        let said = patch(allowed, false);
        assert!(said.ok, "{allowed}: {}", said.err);
    }
    let said = patch(r#"{"spec":{"executionPolicy":{"backoffLimit":1,"concurrencyPolicy":"Allow"}}}"#, false);
    assert!(!said.ok);
    let told = bullets(&said);
    assert_eq!(told.len(), 2, "{}", said.err);
    assert!(
        told[0].starts_with("spec.executionPolicy.concurrencyPolicy: Forbidden: the flow has started"),
        "{told:?}"
    );
    assert!(told[0].contains("spec.suspend") && told[0].ends_with("(HW701)"), "{told:?}");
}

#[test]
fn a_server_side_dry_run_tells_the_plan_and_stores_nothing() {
    let cluster = cluster();
    let said = cluster.kubectl(&["apply", "--dry-run=server", "-f", "-"], &flow("dry"));
    assert!(said.ok, "{}", said.err);
    let told = warnings(&said);
    assert!(told.iter().any(|line| line.starts_with("plan: 2 steps, 2 levels")), "{told:?}");
    assert!(!cluster.kubectl(&["get", "jobflow", "dry"], "").ok);
}

#[test]
fn unknown_fields_outside_the_template_are_refused_by_kubectl_first() {
    let manifest = flow("strict").replace("type: Manual", "typ: Manual");
    let said = cluster().apply(&manifest);
    assert!(!said.ok);
    assert!(said.err.contains("unknown field \"spec.steps[1].typ\""), "{}", said.err);
    assert!(!said.err.contains("(HW"), "strict decoding comes before any webhook: {}", said.err);
}

#[test]
fn a_flow_that_is_being_deleted_can_always_lose_its_finalizer() {
    let cluster = created("finalized");
    cluster.must(
        &[
            "patch",
            "jobflow",
            "finalized",
            "--type",
            "merge",
            "-p",
            r#"{"metadata":{"finalizers":["example.com/hold"]}}"#,
        ],
        "",
    );
    cluster.must(&["delete", "jobflow", "finalized", "--wait=false"], "");
    cluster.must(
        &["patch", "jobflow", "finalized", "--type", "merge", "-p", r#"{"metadata":{"finalizers":null}}"#],
        "",
    );
    eventually("the flow to be gone", || {
        (!cluster.kubectl(&["get", "jobflow", "finalized"], "").ok).then_some(())
    });
}

#[test]
fn an_ordinary_service_costs_no_call_to_us() {
    let cluster = cluster();
    cluster.must(&["create", "namespace", "ordinary"], "");
    // It is logged before it is answered.
    let calls = || {
        let log = std::fs::read_to_string(&cluster.log).unwrap();
        let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let reviews = lines.filter(|line| {
            line["namespace"] == "ordinary"
                && line["message"].as_str().is_some_and(|message| message.starts_with("reviewed"))
        });
        reviews.count()
    };
    let service = |name: &str, annotations: &str| {
        format!(
            "{{apiVersion: v1, kind: Service, metadata: {{name: {name}, namespace: ordinary, annotations: {annotations}}}, \
             spec: {{selector: {{app: db}}, ports: [{{port: 80}}]}}}}"
        )
    };
    cluster.must(&["apply", "-f", "-"], &service("led", "{zen-lead.io/enabled: \"true\"}"));
    assert_eq!(calls(), 2, "an annotated Service is judged in both phases");
    cluster.must(&["apply", "-f", "-"], &service("ordinary", "{example.com/a: b}"));
    cluster.must(&["-n", "ordinary", "annotate", "service", "ordinary", "example.com/c=d"], "");
    assert_eq!(calls(), 2);
}

#[test]
fn no_content_of_an_object_reaches_the_log_even_at_trace() {
    let cluster = cluster();
    let canary = "canary-7f3a9c";
    let sound =
        flow("canary").replace("name: main", &format!("name: main, env: [{{name: A, value: {canary}}}]"));
    cluster.must(&["apply", "-f", "-"], &sound);
    let broken = sound.replace("busybox:1.36", canary).replace("[build]", &format!("[{canary}]"));
    assert!(!cluster.apply(&broken).ok);
    let garbage = sound.replace("backoffLimit: 0", &format!("backoffLimit: {canary}"));
    assert!(!cluster.apply(&garbage).ok);
    let log = std::fs::read_to_string(&cluster.log).unwrap();
    assert!(log.contains("JobFlow") && log.contains("denied"), "reviews are logged");
    assert!(!log.contains(canary), "an object's content is in the log");
    for secret in ["PRIVATE KEY", "BEGIN CERT"] {
        assert!(!log.contains(secret), "{secret} is in the log");
    }
    let events = cluster.must(&["get", "events", "-A", "-o", "json"], "");
    assert!(!events.contains(canary));
}
