use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use prometheus_client::encoding::text::encode;

use super::*;
use crate::flows::api::{ObjectRef, StepPhase};

fn shown(registry: &Registry) -> String {
    let mut text = String::new();
    encode(&mut text, registry).unwrap();
    text
}

fn event(reason: &'static str, step: Option<usize>) -> Event {
    Event { reason, warning: false, step, message: String::new() }
}

fn status(steps: Vec<StepStatus>) -> JobFlowStatus {
    JobFlowStatus { steps, ..JobFlowStatus::default() }
}

fn step(phase: StepPhase, seconds: i64) -> StepStatus {
    let time = |second| Some(MicroTime(Timestamp::from_second(second).unwrap()));
    StepStatus {
        phase: Some(phase),
        start_time: time(100),
        completion_time: time(100 + seconds),
        job_ref: Some(ObjectRef { name: "x-1".into(), ..ObjectRef::default() }),
        ..StepStatus::default()
    }
}

#[test]
fn a_step_that_ends_is_counted_by_namespace_and_phase() {
    let mut registry = Registry::default();
    let metrics = Metrics::registered(&mut registry, &ApiCalls::default());
    let status = status(vec![step(StepPhase::Succeeded, 7), step(StepPhase::Failed, 40)]);
    assert!(metrics.happened(
        "team-a",
        &status,
        &[event("StepSucceeded", Some(0)), event("StepTimeout", Some(1))]
    ));
    assert!(metrics.happened("team-a", &status, &[event("StepRetry", Some(0))]));
    let text = shown(&registry);
    for line in [
        r#"zen_flow_step_duration_seconds_sum{namespace="team-a",phase="Succeeded"} 7.0"#,
        r#"zen_flow_step_duration_seconds_bucket{le="10.0",namespace="team-a",phase="Succeeded"} 1"#,
        r#"zen_flow_timeouts_total{namespace="team-a",of="step"} 1"#,
        r#"zen_flow_step_retries_total{namespace="team-a"} 1"#,
    ] {
        assert!(text.contains(line), "no {line} in {text}");
    }
}

#[test]
fn only_an_outcome_is_followed_by_a_dispatch() {
    let metrics = Metrics::default();
    let mut running = step(StepPhase::Running, 0);
    running.completion_time = None;
    let status = status(vec![running]);
    assert!(!metrics.happened(
        "team-a",
        &status,
        &[event("FlowStarted", None), event("StepStarted", Some(0))]
    ));
    assert!(!metrics.happened("team-a", &status, &[]));
}

#[test]
fn the_time_that_an_approval_took_is_told_apart() {
    let mut registry = Registry::default();
    let metrics = Metrics::registered(&mut registry, &ApiCalls::default());
    metrics.happened(
        "team-a",
        &status(vec![step(StepPhase::Succeeded, 90)]),
        &[event("StepApproved", Some(0))],
    );
    assert!(shown(&registry).contains(r#"zen_flow_approval_latency_seconds_sum{namespace="team-a"} 90.0"#));
    metrics.forget("team-a");
    assert!(!shown(&registry).contains("team-a"));
}

/// The page and a scrape agree: names, types, labels and HELP are taken from one.
#[test]
fn the_page_of_metrics_tells_what_is_registered() {
    let mut registry = Registry::default();
    headworks_certs::Metrics::registered(&mut registry).touch();
    headworks_certs::client_ca::ClientCaMetrics::registered(&mut registry).touch();
    headworks_webhook::Metrics::new(&mut registry).touch();
    crate::election::Metrics::registered(&mut registry).touch();
    crate::cluster::client::WatchAges::registered(&mut registry).touch();
    crate::leaders::controller::Metrics::registered(&mut registry).touch();
    let calls = ApiCalls::registered(&mut registry);
    calls.touch();
    let metrics = Metrics::registered(&mut registry, &calls);
    metrics.touch();
    let text = shown(&registry) + &gauges::example();
    let page = page(&text);
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/metrics.md");
    if std::env::var_os("HEADWORKS_WRITE_DOCS").is_some() {
        std::fs::write(path, &page).unwrap();
    }
    let written = std::fs::read_to_string(path).unwrap_or_default();
    assert!(written == page, "run `HEADWORKS_WRITE_DOCS=1 cargo test --lib the_page_of_metrics`");
}

const HEAD: &str = "\
<!-- Written by `HEADWORKS_WRITE_DOCS=1 cargo test --lib the_page_of_metrics`; do not edit. -->
# Metrics

`headworks run` serves them at `/metrics` on `--probes` (by default port 8080, without TLS). Those of flows that are gauges are
read from the cache at each scrape and told by the replica that leads, so that a sum over replicas is right; a series
goes with the last flow that it counts. Counters and histograms of a namespace go an hour after its last flow. Labels are
names of namespaces and words of headworks, never names of flows or steps; `zen_lead_...` alone name Services. Counters count what was written: work that had to be
done again counts once.

| name | type | labels | meaning |
|---|---|---|---|
";

/// A table from the text of a scrape.
fn page(text: &str) -> String {
    let mut rows: Vec<String> = Vec::new();
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        let Some((name, help)) = line.strip_prefix("# HELP ").and_then(|rest| rest.split_once(' ')) else {
            continue;
        };
        let kind = lines.next().unwrap().rsplit(' ').next().unwrap();
        let sample = lines.peek().copied().unwrap_or_default();
        let total = if kind == "counter" { "_total" } else { "" };
        let labels: Vec<&str> = match sample.split_once('{').and_then(|(_, rest)| rest.split_once('}')) {
            Some((labels, _)) => {
                labels.split(',').filter_map(|label| Some(label.split_once('=')?.0)).collect()
            }
            None => Vec::new(),
        };
        let labels: Vec<&str> = labels.into_iter().filter(|label| *label != "le").collect();
        rows.push(format!(
            "| `{name}{total}` | {kind} | {} | {} |\n",
            labels.join(", "),
            help.trim_end_matches('.')
        ));
    }
    rows.sort();
    HEAD.to_owned() + &rows.concat()
}
