use super::*;
use crate::flow::observed::fixtures::{container, job, pod};

fn doc(job: &Job, pods: &[Pod]) -> Value {
    document(job, &pods.iter().collect::<Vec<_>>(), None)
}

#[test]
fn a_document_has_what_the_job_is_and_what_its_container_said() {
    let mut job = job();
    job.document = r#"{"metadata":{"name":"j"},"spec":{"completions":1},"status":{"succeeded":1}}"#.into();
    assert_eq!(
        doc(&job, &[pod("a").succeeded(3, "{\"rows\": 42}\n")]),
        json!({
            "metadata": {"name": "j"},
            "spec": {"completions": 1},
            "status": {"succeeded": 1},
            "output": {"rows": 42},
            "containers": {"main": {
                "output": {"rows": 42}, "exitCode": 0, "reason": "Completed",
                "startedAt": "2026-11-24T10:00:01Z", "finishedAt": "2026-11-24T10:00:03Z"
            }},
            "pods": [{
                "name": "a", "phase": "Succeeded", "node": "node-1",
                "containers": {"main": {
                    "output": {"rows": 42}, "exitCode": 0, "reason": "Completed",
                    "startedAt": "2026-11-24T10:00:01Z", "finishedAt": "2026-11-24T10:00:03Z"
                }}
            }]
        })
    );
}

#[test]
fn an_output_is_json_if_it_parses_and_else_text_less_one_newline() {
    let output = |said: &str| doc(&job(), &[pod("a").succeeded(3, said)]).get("output").cloned();
    for (said, wanted) in [
        ("42", json!(42)),
        (" 0.5\n", json!(0.5)),
        ("true\n", json!(true)),
        ("[1, 2]", json!([1, 2])),
        ("\"quoted\"", json!("quoted")),
        ("all is well\n", json!("all is well")),
        ("two\n\n", json!("two\n")),
        ("{broken", json!("{broken")),
        // As numbers these would come back as 1e30, 1.0 and an error.
        ("1000000000000000000000000000000\n", json!("1000000000000000000000000000000")),
        ("1e0", json!("1e0")),
        ("1e999", json!("1e999")),
        ("\n", json!("")),
    ] {
        assert_eq!(output(said), Some(wanted), "{said:?}");
    }
    assert_eq!(output(""), None, "what was never said is absent, not empty");
}

#[test]
fn the_first_container_speaks_unless_another_is_asked() {
    let pod = pod("a").succeeded(3, "").containers(vec![
        container("fetch").init().ended(0, 1, "fetched"),
        container("zeta").ended(0, 3, "z"),
        container("alpha").ended(0, 2, "a"),
        container("headworks-keep").sidecar().ended(0, 4, "{}"),
    ]);
    let asked = |name| document(&job(), &[&pod], name)["output"].clone();
    assert_eq!(asked(None), "z");
    assert_eq!(asked(Some("alpha")), "a");
    assert_eq!(asked(Some("fetch")), "fetched");
    assert_eq!(asked(Some("missing")), Value::Null);
    let containers = doc(&job(), std::slice::from_ref(&pod))["containers"].clone();
    assert_eq!(containers.as_object().unwrap().keys().collect::<Vec<_>>(), ["alpha", "fetch", "zeta"]);
}

#[test]
fn of_several_pods_the_one_that_succeeded_first_speaks() {
    let pods = [
        pod("failed").failed(1, "no"),
        pod("late").succeeded(9, "late"),
        pod("early").succeeded(3, "early"),
        pod("runs"),
    ];
    let document = doc(&job().completions(2), &pods);
    assert_eq!(document["output"], "early");
    let names: Vec<_> = document["pods"].as_array().unwrap().iter().map(|pod| pod["name"].clone()).collect();
    assert_eq!(names, ["early", "late", "failed", "runs"]);
}

#[test]
fn an_indexed_job_has_one_pod_for_each_index_in_their_order() {
    let pods = [
        pod("c").succeeded(2, "two").index(2),
        pod("b").succeeded(9, "one").index(1),
        pod("b0").failed(1, "one, at first").index(1),
        pod("a").succeeded(5, "zero").index(0),
    ];
    let document = doc(&job().indexed(3), &pods);
    assert_eq!(document["output"], "zero");
    let pods = document["pods"].as_array().unwrap();
    let said: Vec<_> = pods.iter().map(|pod| (&pod["index"], &pod["containers"]["main"]["output"])).collect();
    assert_eq!(said, [(&json!(0), &json!("zero")), (&json!(1), &json!("one")), (&json!(2), &json!("two"))]);
}

#[test]
fn a_container_that_runs_is_there_and_says_nothing() {
    let document = doc(&job(), &[pod("a")]);
    assert_eq!(document["containers"], json!({"main": {}}));
    assert_eq!(document.get("output"), None);
    assert_eq!(doc(&job(), &[]), json!({"pods": []}));
}

#[test]
fn json_that_the_kubelet_cut_is_marked() {
    let long = format!("{{\"rows\": \"{}", "x".repeat(4087));
    assert_eq!(long.len(), 4097);
    let cut = |said: &str, containers: usize| {
        let mut all = vec![container("main").ended(0, 3, said)];
        all.extend((1..containers).map(|n| container(&format!("c{n}"))));
        doc(&job(), &[pod("a").succeeded(3, "").containers(all)])["containers"]["main"].clone()
    };
    assert_eq!(cut(&long[..4096], 1)["cut"], true);
    assert_eq!(cut(&long[..4096], 1)["output"], long[..4096]);
    assert_eq!(cut(&long[..4095], 1).get("cut"), None);
    // Twelve kibibytes for the whole pod.
    assert_eq!(cut(&long[..2048], 6)["cut"], true);
    assert_eq!(cut(&long[..2048], 5).get("cut"), None);
    let whole = format!("\"{}\"", "x".repeat(4094));
    assert_eq!(cut(&whole, 1).get("cut"), None);
    assert_eq!(cut(&"x".repeat(4096), 1).get("cut"), None);
}
