//! Steps run in the order of their dependencies, side by side where they may, and each starts as soon as it can.

use headworks::flows::job_name::job_name;
use serde_json::json;

use super::space::space;
use super::write::{flow, job, pass};

#[test]
fn a_chain_runs_in_order_and_each_step_starts_when_the_one_before_is_done() {
    let Some(space) = space("chain") else { return };
    let run = space.run(
        flow("chain").step(pass("one")).step(pass("two").after(&["one"])).step(pass("three").after(&["two"])),
    );
    let end = run.ends_as("Succeeded", &["one Succeeded", "two Succeeded", "three Succeeded"]);
    assert_eq!(end.flow["status"]["progress"]["summary"], "3/3");
    assert_eq!(end.step_started("one"), end.started());
    assert_eq!(end.step_started("two"), end.step_completed("one"));
    assert_eq!(end.step_started("three"), end.step_completed("two"));
    assert_eq!(end.step_completed("three"), end.completed());
    // Created, and then two writes for the flow and two a step at most. On a quiet machine it is one a step.
    assert!(run.versions().len() <= 1 + 2 + 2 * 3, "{}", run.versions().len());
}

#[test]
fn a_job_belongs_to_its_flow_and_says_what_it_is_for() {
    let Some(space) = space("owner") else { return };
    let step = pass("only").with(json!({
        "metadata": {"labels": {"team": "data"}, "annotations": {"note": "of the step"}},
        "template": {"metadata": {"labels": {"tier": "batch"}}, "spec": {"ttlSecondsAfterFinished": 0}}
    }));
    let run = space.run(flow("owner").step(step));
    let end = run.ends_as("Succeeded", &["only Succeeded"]);
    let job = run.jobs(None).remove(0);
    let metadata = &job["metadata"];
    assert_eq!(metadata["name"], job_name("owner", &run.uid, "only", 1, None));
    assert_eq!(end.step("only")["jobRef"], json!({"name": metadata["name"], "uid": metadata["uid"]}));
    assert_eq!(
        metadata["ownerReferences"],
        json!([{"apiVersion": "workflow.kube-zen.io/v1alpha1", "kind": "JobFlow", "name": "owner", "uid": run.uid, "controller": true}])
    );
    let pod = run.pods(None).remove(0);
    for object in [metadata, &pod["metadata"]] {
        let labels = &object["labels"];
        for (key, value) in [
            ("workflow.kube-zen.io/flow", "owner"),
            ("workflow.kube-zen.io/step", "only"),
            ("workflow.kube-zen.io/managed-by", "zen-flow"),
            ("app.kubernetes.io/managed-by", "headworks"),
            ("team", "data"),
        ] {
            assert_eq!(labels[key], value, "{key}: {labels}");
        }
        assert_eq!(object["annotations"]["note"], "of the step");
        assert_eq!(object["annotations"]["workflow.kube-zen.io/attempt"], "1");
    }
    assert_eq!(metadata["labels"]["tier"], "batch");
    // A Job is kept for as long as its flow: results are read from it.
    assert!(job["spec"].get("ttlSecondsAfterFinished").is_none());
}

#[test]
fn a_diamond_runs_its_middle_side_by_side() {
    let Some(space) = space("diamond") else { return };
    let run = space.run(
        flow("diamond")
            .step(pass("bottom").after(&["left", "right"]))
            .step(job("left", "sleep 1").after(&["top"]))
            .step(job("right", "sleep 1").after(&["top"]))
            .step(pass("top")),
    );
    let end =
        run.ends_as("Succeeded", &["bottom Succeeded", "left Succeeded", "right Succeeded", "top Succeeded"]);
    assert_eq!(end.step_started("left"), end.step_completed("top"));
    assert_eq!(end.step_started("right"), end.step_completed("top"));
    let joined = end.step_completed("left").max(end.step_completed("right"));
    assert_eq!(end.step_started("bottom"), joined);
}

#[test]
fn fan_out_starts_all_at_once_and_fan_in_waits_for_the_last() {
    let Some(space) = space("fan") else { return };
    let workers = ["w1", "w2", "w3", "w4", "w5"];
    let run = space.run(
        flow("fan")
            .step(pass("split"))
            .steps(workers.map(|name| pass(name).after(&["split"])))
            .step(pass("gather").after(&workers)),
    );
    let end = run.ends_as(
        "Succeeded",
        &[
            "split Succeeded",
            "w1 Succeeded",
            "w2 Succeeded",
            "w3 Succeeded",
            "w4 Succeeded",
            "w5 Succeeded",
            "gather Succeeded",
        ],
    );
    for name in workers {
        assert_eq!(end.step_started(name), end.step_completed("split"), "{name}");
    }
    let last = workers.map(|name| end.step_completed(name)).into_iter().max().unwrap();
    assert_eq!(end.step_started("gather"), last);
    assert_eq!(run.jobs(None).len(), 7);
}
