use super::*;
use crate::flows::observed::fixtures::{container, job, pod};

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
    let job = Job { containers: "zeta,alpha,fetch".into(), ..job() };
    let asked = |name| document(&job, &[&pod], name)["output"].clone();
    assert_eq!(asked(None), "z");
    assert_eq!(asked(Some("alpha")), "a");
    assert_eq!(asked(Some("fetch")), "fetched");
    assert_eq!(asked(Some("missing")), Value::Null);
    let containers = doc(&job, std::slice::from_ref(&pod))["containers"].clone();
    assert_eq!(containers.as_object().unwrap().keys().collect::<Vec<_>>(), ["alpha", "fetch", "zeta"]);
}

#[test]
fn a_container_that_was_put_before_the_first_does_not_speak_for_it() {
    let proxy = || container("mesh-proxy").ended(0, 3, "from the mesh");
    let with = |containers| pod("a").succeeded(3, "").containers(containers);
    let injected = doc(&job(), &[with(vec![proxy(), container("main").ended(0, 3, "from the step")])]);
    assert_eq!(injected["output"], "from the step");
    assert_eq!(injected["containers"]["mesh-proxy"]["output"], "from the mesh");
    // It says nothing, and nobody says anything for it.
    let silent = doc(&job(), &[with(vec![proxy(), container("main").ended(0, 3, "")])]);
    assert_eq!(silent.get("output"), None);
    let taken_out = doc(&job(), &[with(vec![proxy()])]);
    assert_eq!(taken_out.get("output"), None);
    assert_eq!(taken_out["containers"]["main"], json!({"missing": true}));
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
fn what_the_kubelet_cut_is_marked_whatever_is_left_of_it() {
    let said = |said: &str, containers: usize| {
        let mut all = vec![container("main").ended(0, 3, said)];
        all.extend((1..containers).map(|n| container(&format!("c{n}"))));
        doc(&job(), &[pod("a").succeeded(3, "").containers(all)])
    };
    let is_cut = |text: &str, containers: usize| {
        let document = said(text, containers);
        let main = &document["containers"]["main"];
        assert_eq!((document.get("cut"), document.get("limit")), (main.get("cut"), main.get("limit")));
        assert_eq!(document["output"], main["output"]);
        main.get("cut").map(|cut| (cut.clone(), main["limit"].clone()))
    };
    let cut = |limit: usize| Some((json!(true), json!(limit)));
    // Of one container the last bytes are kept, and what was JSON has lost its head.
    let long = format!("{{\"rows\": [{}4]}}", "3, ".repeat(1_700));
    assert!(long.len() > 5_000);
    let tail = &long[long.len() - 4096..];
    assert_eq!(is_cut(tail, 1), cut(4096));
    assert_eq!(said(tail, 1)["output"], tail);
    assert_eq!(is_cut(&tail[1..], 1), None);
    // Of several the first bytes of what they share, twelve kibibytes for the whole pod.
    assert_eq!(is_cut(&long[..3072], 4), cut(3072));
    assert_eq!(is_cut(&long[..2048], 6), cut(2048));
    assert_eq!(is_cut(&long[..2048], 5), None);
    // Words as well, and half a character that was replaced by a longer one.
    assert_eq!(is_cut(&"x".repeat(4096), 1), cut(4096));
    assert_eq!(is_cut(&format!("\u{fffd}{}", "é".repeat(2047)), 1), cut(4096));
    assert_eq!(is_cut(&"7".repeat(4096), 1), cut(4096), "the end of a number is a number");
    // What says itself where it ends is whole.
    assert_eq!(is_cut(&format!("\"{}\"", "x".repeat(4094)), 1), None);
    assert_eq!(is_cut(&format!("[{}]", " ".repeat(4094)), 1), None);
    let mut debugged = pod("a").succeeded(3, &"x".repeat(2048));
    debugged.ephemeral = 5;
    assert_eq!(doc(&job(), &[debugged])["limit"], 2048);
}
