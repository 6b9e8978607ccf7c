//! What a running engine tells of itself after it ran a flow.

use std::collections::HashMap;
use std::process::{Child, Command, Stdio};

use crate::cluster::{Cluster, cluster, eventually, free_port, probe};

/// The program with its controllers, for one namespace, under a Lease of its own.
struct Program {
    child: Child,
    probes: u16,
}

impl Program {
    fn start(cluster: &Cluster, namespace: &str) -> Self {
        let probes = free_port();
        let child = Command::new(env!("CARGO_BIN_EXE_headworks"))
            .args([
                "run",
                "--namespace",
                namespace,
                "--watch-namespace",
                namespace,
                "--lease-name",
                namespace,
            ])
            .args(["--listen", "127.0.0.1:0", "--probes", &format!("127.0.0.1:{probes}")])
            // Admission is somebody else's here: no certificate, and no hand on the webhook configurations.
            .args(["--cert-mode", "mounted", "--cert-dir", "/nonexistent", "--log", "debug"])
            .env("KUBECONFIG", &cluster.kubeconfig)
            .env_remove("POD_NAMESPACE")
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(cluster.log.with_file_name("metrics.log")).unwrap())
            .spawn()
            .unwrap();
        Self { child, probes }
    }

    /// A scrape: each series with its value.
    fn scrape(&self) -> HashMap<String, f64> {
        let text = eventually("a scrape", || probe(self.probes, "/metrics"));
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        lines
            .filter_map(|line| {
                let (series, value) = line.rsplit_once(' ')?;
                Some((series.to_owned(), value.parse().ok()?))
            })
            .collect()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

const FLOW: &str = "{apiVersion: workflow.kube-zen.io/v1alpha1, kind: JobFlow, metadata: {name: x, namespace: metrics}, \
     spec: {steps: [{name: a, type: Manual}, {name: b, type: Manual, dependencies: [a]}, \
     {name: c, type: Manual, timeoutSeconds: 1, continueOnFailure: true}]}}";

#[test]
fn a_scrape_tells_what_a_flow_did_and_forgets_it_when_it_goes() {
    let cluster = cluster();
    cluster.must(&["create", "namespace", "metrics"], "");
    let program = Program::start(cluster, "metrics");
    let flow = |args: &[&str]| cluster.must(&[&["-n", "metrics"], args].concat(), "");
    let value = |series: &str| program.scrape().get(series).copied();
    let until = |series: &str, wanted: f64| {
        eventually(series, || (value(series) == Some(wanted)).then_some(()));
    };
    cluster.must(&["apply", "-f", "-"], FLOW);
    until(r#"zen_flow_timeouts_total{namespace="metrics",of="step"}"#, 1.0);
    until(r#"zen_flow_approvals_pending{namespace="metrics"}"#, 1.0);
    until(r#"zen_flow_jobflows{namespace="metrics",phase="Paused"}"#, 1.0);
    until(r#"zen_flow_steps{namespace="metrics",phase="Pending"}"#, 1.0);
    for step in ["a", "b"] {
        flow(&["annotate", "jobflow", "x", &format!("approved.workflow.kube-zen.io/{step}=true")]);
    }
    until(r#"zen_flow_jobflows{namespace="metrics",phase="Succeeded"}"#, 1.0);
    // A watch may have brought the last status before the answer to the call that wrote it, which is when it is counted;
    // the Event comes after that.
    until(r#"zen_flow_approval_latency_seconds_count{namespace="metrics"}"#, 2.0);
    eventually("an Event to be counted", || {
        value(r#"zen_flow_api_server_calls_total{verb="create",resource="events",code="201"}"#)
    });
    until("zen_flow_step_execution_queue_depth", 0.0);
    eventually("each look to have ended", || {
        let scrape = program.scrape();
        let looks = scrape.get(r#"zen_flow_reconciliation_duration_seconds_count{result="done"}"#)?;
        (looks >= scrape.get(r#"zen_flow_status_update_duration_seconds_count{result="written"}"#)?)
            .then_some(())
    });

    let scrape = program.scrape();
    let of = |series: &str| *scrape.get(series).unwrap_or_else(|| panic!("no {series} in {scrape:#?}"));
    assert!((of("headworks_leader") - 1.0).abs() < f64::EPSILON);
    let failed = r#"{namespace="metrics",phase="Failed"}"#;
    let took = of(&format!("zen_flow_step_duration_seconds_sum{failed}"));
    assert!((1.0..30.0).contains(&took), "a timeout of a second took {took} s");
    let written = of(r#"zen_flow_status_update_duration_seconds_count{result="written"}"#);
    let patched =
        of(r#"zen_flow_api_server_calls_total{verb="patch",resource="jobflows/status",code="200"}"#);
    assert!(
        written >= 3.0 && (written - patched).abs() < f64::EPSILON,
        "{written} written, {patched} patched"
    );
    assert!(of("zen_flow_dag_computation_duration_seconds_count") >= written);
    assert!(of("headworks_queue_age_seconds") < 1.0, "of an idle engine");
    assert!(scrape.contains_key("headworks_dispatch_latency_seconds_count"));

    flow(&["delete", "jobflow", "x"]);
    eventually("the series of the flow to go", || {
        let scrape = program.scrape();
        let gauges = ["zen_flow_jobflows{", "zen_flow_steps{", "zen_flow_approvals_pending{"];
        (!scrape.keys().any(|series| gauges.iter().any(|gauge| series.starts_with(gauge)))).then_some(())
    });
}

#[test]
fn a_standby_tells_what_it_keeps_and_forgets_the_jobs_that_are_done_with() {
    const ONE: &str = "{apiVersion: workflow.kube-zen.io/v1alpha1, kind: JobFlow, metadata: {name: x, namespace: standby}, \
         spec: {steps: [{name: one, template: {spec: {template: {spec: {restartPolicy: Never, \
         containers: [{name: main, image: \"registry.invalid/x:1\"}]}}}}}]}}";
    let cluster = cluster();
    cluster.must(&["create", "namespace", "standby"], "");
    let replicas = [(); 2].map(|()| Program::start(cluster, "standby"));
    cluster.must(&["apply", "-f", "-"], ONE);
    // Nobody runs pods here.
    let pod = eventually("a pod", || {
        let name = cluster.must(&["-n", "standby", "get", "pods", "-o", "name"], "");
        Some(name.lines().next()?.to_owned())
    });
    let kept = |program: &Program, kind: &str| {
        program.scrape().get(&format!("headworks_cached_objects{{kind=\"{kind}\"}}")).copied()
    };
    let keep = |job: f64, spent: f64| {
        let is = |program: &Program| {
            kept(program, "flow") == Some(1.0)
                && kept(program, "job") == Some(job)
                && kept(program, "spent job") == Some(spent)
        };
        eventually("both to keep the same", || replicas.iter().all(is).then_some(()));
    };
    keep(1.0, 0.0);
    let done = r#"{"status": {"phase": "Succeeded"}}"#;
    cluster.must(&["-n", "standby", "patch", &pod, "--subresource=status", "--type=merge", "-p", done], "");
    keep(0.0, 1.0);
    let flows = |program: &&Program| {
        program.scrape().contains_key(r#"zen_flow_jobflows{namespace="standby",phase="Succeeded"}"#)
    };
    assert_eq!(replicas.iter().filter(flows).count(), 1, "of flows the leader alone tells");
}
