//! Measures validation. `cargo bench` prints the figures that `docs/benchmarks.md` keeps.

use std::hint::black_box;

use criterion::{BatchSize, Bencher, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use headworks::admission::JobFlows;
use headworks::flows::rules;
use headworks::flows::rules::Options;
use headworks::names::INITIATED_BY;
use headworks_webhook::{Phase, respond};
use serde_json::{Value, json};

/// The program's own allocator: it is part of what is measured.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn job(image: &str) -> Value {
    json!({"spec": {"template": {"spec": {
        "restartPolicy": "Never",
        "containers": [{
            "name": "main", "image": image, "command": ["sh", "-c", "echo {{ parameters.day }}"],
            "env": [{"name": "DAY", "value": "{{ parameters.day }}"}],
            "resources": {"requests": {"cpu": "100m", "memory": "64Mi"}, "limits": {"memory": "128Mi"}}
        }]
    }}}})
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "`json!` takes it by reference, and a caller has no other use for it"
)]
fn flow(steps: Vec<Value>) -> Value {
    json!({
        "apiVersion": "workflow.kube-zen.io/v1alpha1", "kind": "JobFlow",
        "metadata": {"name": "bench", "namespace": "default"},
        "spec": {"parameters": [{"name": "day", "value": "2026-11-23"}], "steps": steps}
    })
}

/// `count` steps, each depending on the three before it.
fn wide(count: usize) -> Value {
    flow(
        (0..count)
            .map(|i| {
                let dependencies: Vec<String> =
                    (i.saturating_sub(3)..i).map(|d| format!("step-{d}")).collect();
                json!({"name": format!("step-{i}"), "dependencies": dependencies, "template": job("registry.example.com/etl:1.4.2")})
            })
            .collect(),
    )
}

/// Layers of `width` steps, each depending on the whole layer before: paths double and redouble, steps do not.
fn ladder(steps: usize, width: usize) -> Value {
    flow(
        (0..steps)
            .map(|i| {
                let layer = i / width;
                let dependencies: Vec<String> = if layer == 0 {
                    Vec::new()
                } else {
                    ((layer - 1) * width..layer * width).map(|d| format!("step-{d}")).collect()
                };
                json!({"name": format!("step-{i}"), "dependencies": dependencies, "template": job("etl:1")})
            })
            .collect(),
    )
}

/// An `AdmissionReview` whose body is about 20 KiB; in the validating phase the flow has its stamp.
fn review(phase: Phase) -> Vec<u8> {
    let mut steps = 1;
    loop {
        let mut flow = wide(steps);
        if phase == Phase::Validate {
            flow["metadata"]["annotations"] = json!({INITIATED_BY: "jane"});
        }
        let body = json!({
            "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
            "request": {
                "uid": "705ab4f5-6393-11e8-b7cc-42010a800002",
                "kind": {"group": "workflow.kube-zen.io", "version": "v1alpha1", "kind": "JobFlow"},
                "resource": {"group": "workflow.kube-zen.io", "version": "v1alpha1", "resource": "jobflows"},
                "name": "bench", "namespace": "default", "operation": "CREATE",
                "userInfo": {"username": "jane", "groups": ["system:authenticated"]},
                "object": flow, "oldObject": null, "dryRun": false
            }
        })
        .to_string()
        .into_bytes();
        if body.len() >= 20 << 10 {
            return body;
        }
        steps += 1;
    }
}

/// Validate an object that the caller has no more use for, as admission does; copying it is not measured.
fn run(bencher: &mut Bencher<'_>, object: &Value) {
    let options = Options::default();
    assert!(rules::flow(object, &options).is_valid());
    bencher.iter_batched(
        || object.clone(),
        |object| rules::flow_owned(object, &options),
        BatchSize::PerIteration,
    );
}

fn validation(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("validate");
    for count in [500, 1_000, 2_000, 5_000] {
        group.throughput(Throughput::Elements(count as u64));
        group.bench_function(BenchmarkId::new("steps with 3 edges", count), |b| run(b, &wide(count)));
    }
    group.throughput(Throughput::Elements(56));
    group.bench_function("ladder of 56 steps, 4 wide", |b| run(b, &ladder(56, 4)));
    group.finish();

    let flows = JobFlows::default();
    let mut group = criterion.benchmark_group("review of 20 KiB");
    for (name, phase) in [("validate", Phase::Validate), ("mutate", Phase::Mutate)] {
        let body = review(phase);
        let answer = respond(&flows, phase, &body);
        assert!(String::from_utf8_lossy(&answer).contains("\"allowed\":true"), "a flow that is admitted");
        group.throughput(Throughput::Bytes(body.len() as u64));
        group.bench_function(name, |b| b.iter(|| respond(&flows, phase, black_box(&body))));
    }
    group.finish();
}

criterion_group!(benches, validation);
criterion_main!(benches);
