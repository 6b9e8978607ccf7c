//! Flows that nobody can read, written past every check: they are told so once, and nobody else notices.

use std::time::{Duration, Instant};

use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

use crate::audit::Audit;
use crate::flows::{chain, flow, job};
use crate::rig::{LIMIT, Rig};
use crate::rough;

const MALFORMED: usize = 100;
/// How often a good flow is run until its delay is judged, for the first, second and last time.
const RUNS: [usize; 3] = [7, 21, 63];

/// Specs of every wrong shape, and where they are wrong within a step that is right otherwise.
fn shape(number: usize) -> Value {
    let step = |field: &str, value: Value| {
        let mut spec = chain(1);
        spec["steps"][0][field] = value;
        spec
    };
    let with = |field: &str, value: Value| {
        let mut spec = chain(1);
        spec[field] = value;
        spec
    };
    let shapes = [
        Value::Null,
        json!("text"),
        json!([]),
        json!(42),
        json!({}),
        with("steps", json!("none")),
        with("steps", json!({"a": {}})),
        with("steps", json!([1, "two", null])),
        with("parameters", json!({"a": "b"})),
        with("suspend", json!("maybe")),
        with("executionPolicy", json!("none")),
        with("executionPolicy", json!({"concurrencyPolicy": "Perhaps", "concurrencyKey": {"a": 1}})),
        step("name", json!(5)),
        step("name", json!(["a"])),
        step("type", json!("Robot")),
        step("dependencies", json!("a")),
        step("dependencies", json!([{"a": 1}])),
        step("timeoutSeconds", json!("soon")),
        step("timeoutSeconds", json!(1e300)),
        step("retryPolicy", json!(true)),
        step("retryPolicy", json!({"limit": -1.5, "backoff": "much"})),
        step("metadata", json!({"labels": [1]})),
        step("inputs", json!({"parameters": [{"name": {}}]})),
        step("outputs", json!("everything")),
        step("when", json!({"steps": "a"})),
    ];
    shapes[number % shapes.len()].clone()
}

/// Flows that can be read and not be run, and the reason that is given.
fn broken() -> Vec<(&'static str, Value, &'static str)> {
    vec![
        ("cycle", flow([job("a", &["b"], "0"), job("b", &["a"], "0")]), "DAGCycle"),
        ("itself", flow([job("a", &["a"], "0")]), "ValidationFailed"),
        ("unknown", flow([job("a", &["b"], "0")]), "ValidationFailed"),
        ("twice", flow([job("a", &[], "0"), job("a", &[], "0")]), "ValidationFailed"),
        ("nothing", json!({"steps": []}), "ValidationFailed"),
        ("when", flow([job("a", &[], "0").with("when", json!("1 +"))]), "ValidationFailed"),
        ("template", flow([job("a", &[], "0").with("template", json!({"spec": {}}))]), "ValidationFailed"),
    ]
}

fn not_ready(status: &Value) -> Option<&str> {
    let condition = status["conditions"].as_array()?.iter().find(|it| it["type"] == "Ready")?;
    if condition["status"] == "False" { condition["reason"].as_str() } else { None }
}

#[test]
fn flows_that_nobody_can_read_are_told_so_once_and_delay_nobody() {
    rough::test_without_schema(async |cluster| {
        let clean = Rig::running(cluster, "clean").await;
        let dirty = Rig::running(cluster, "dirty").await;
        for number in 0..MALFORMED {
            dirty.create(&format!("malformed-{number}"), &shape(number)).await;
        }
        // Here it is the status that is wrong.
        for (name, status) in
            [("status-1", json!("text")), ("status-2", json!({"phase": "Dancing", "steps": {"a": 1}}))]
        {
            clean.create(name, &chain(1)).await;
            clean.ends(name).await;
            let patch = Patch::Merge(json!({"status": status}));
            clean.flows().patch_status(name, &PatchParams::default(), &patch).await.unwrap();
        }
        let broken = broken();
        for (name, spec, _) in &broken {
            dirty.create(name, spec).await;
        }

        // The same flow, here and there in turns, so that what else the machine does touches both alike; on a busy one it
        // takes more turns until that is so.
        let (mut times, mut delays) = ([Vec::new(), Vec::new()], Vec::new());
        for run in 0.. {
            for (rig, times) in [&clean, &dirty].into_iter().zip(&mut times) {
                let (name, began) = (format!("good-{run}"), Instant::now());
                rig.create(&name, &chain(3)).await;
                let status = rig.ends(&name).await;
                times.push(began.elapsed().as_secs_f64());
                assert_eq!(status["phase"], "Succeeded");
            }
            delays.push(times[1][run] - times[0][run]);
            if RUNS.contains(&delays.len()) && median(&delays) < 0.1 {
                break;
            }
            assert!(delays.len() < RUNS[2], "malformed flows delay a good one: {delays:?} s");
        }
        println!(
            "a chain of three: {:.3} s alone, {:.3} s among {MALFORMED} malformed flows, {} times each",
            median(&times[0]),
            median(&times[1]),
            delays.len()
        );

        for number in 0..MALFORMED {
            let told = |status: &Value| not_ready(status) == Some("ValidationFailed");
            dirty.until(&format!("malformed-{number}"), "to be told that it is malformed", told).await;
        }
        for (name, _, reason) in &broken {
            dirty.until(name, reason, |status| not_ready(status) == Some(reason)).await;
        }
        // An engine that comes later has nothing to add.
        let later = Audit::from_now(cluster);
        dirty.crash();
        dirty.create("last", &chain(1)).await;
        dirty.within(LIMIT, "last", "its end", |status| status["phase"] == "Succeeded").await;
        tokio::time::sleep(Duration::from_secs(2)).await;
        let told = |audit: &Audit<'_>, name: &str| {
            let calls = audit.of(&dirty.agent());
            calls.iter().filter(|call| call.is("patch", "jobflows/status") && call.name() == name).count()
        };
        let names = (0..MALFORMED).map(|number| format!("malformed-{number}"));
        for name in names.chain(broken.iter().map(|(name, ..)| (*name).to_owned())) {
            let (all, again) = (told(dirty.audit(), &name), told(&later, &name));
            assert_eq!((all, again), (1, 0), "status writes for {name}, in all and by the second engine");
        }
    });
}

fn median(seconds: &[f64]) -> f64 {
    let mut seconds = seconds.to_vec();
    seconds.sort_unstable_by(f64::total_cmp);
    seconds[seconds.len() / 2]
}
