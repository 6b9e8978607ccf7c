use rstest::rstest;

use super::*;

fn outputs_of(parameters: Value, document: &Value) -> Result<Vec<(String, String)>, Failure> {
    let step: Step =
        serde_json::from_value(json!({"name": "s", "outputs": {"parameters": parameters}})).unwrap();
    let found = outputs(&step, document)?;
    Ok(found.into_iter().map(|output| (output.name, output.value)).collect())
}

fn one(path: &str, extra: Value, document: &Value) -> Result<String, Failure> {
    let mut output = json!({"name": "o", "valueFrom": {"jsonPath": path}});
    for (key, value) in extra.as_object().unwrap() {
        match key.as_str() {
            "container" => output["valueFrom"]["container"] = value.clone(),
            other => output[other] = value.clone(),
        }
    }
    outputs_of(json!([output]), document).map(|found| found[0].1.clone())
}

fn document() -> Value {
    json!({
        "metadata": {"name": "f-s", "labels": {"app.kubernetes.io/name": "x"}},
        "spec": {"completions": 1},
        "status": {"succeeded": 1, "output": "not this", "conditions": [{"type": "Complete"}]},
        "output": {"rows": 42, "half": 0.5, "text": "a\n\n", "list": [1, "b"], "none": null, "deep": {"a": {}}},
        "containers": {
            "main": {"output": {"rows": 42}, "exitCode": 0},
            "side": {"output": "said\n\n", "exitCode": 0},
            "quiet": {"exitCode": 0}
        },
        "pods": [{"name": "f-s-1", "containers": {"main": {"output": "in a pod\n"}}}]
    })
}

#[rstest]
#[case("$.output.rows", json!({"type": "int"}), "42")]
#[case("{.output.half}", json!({"type": "double"}), "0.5")]
#[case(".output.text", json!({}), "a\n\n")]
#[case("$.output.list", json!({"type": "json"}), "[1,\"b\"]")]
#[case("$.output.list[*]", json!({}), "[1,\"b\"]")]
#[case("$.output.list[-1]", json!({}), "b")]
// A program's text loses its newline where the document is made, and only there.
#[case("$.output", json!({"container": "side"}), "said\n\n")]
#[case("$.containers.side.output", json!({}), "said\n\n")]
#[case("$.pods[0].containers.main.output", json!({}), "in a pod\n")]
#[case("$.output.rows", json!({"container": "main"}), "42")]
#[case("$.succeeded", json!({"type": "int"}), "1")]
#[case("{.status.conditions[?(@.type=='Complete')].type}", json!({}), "Complete")]
#[case(r".metadata.labels.app\.kubernetes\.io/name", json!({}), "x")]
#[case("$.output.none", json!({"default": "d"}), "d")]
#[case("$.output.more", json!({"default": ""}), "")]
#[case("$.nothing", json!({"default": "d"}), "d")]
fn an_output_is_what_its_path_selects(#[case] path: &str, #[case] extra: Value, #[case] wanted: &str) {
    assert_eq!(one(path, extra, &document()).as_deref(), Ok(wanted));
}

#[rstest]
#[case("$.output.more", json!({}), "OutputMissing",
       "$.output has no `more`; it has deep, half, list, none, rows, text")]
#[case("$.outptu.rows", json!({}), "OutputMissing",
       "$ has no `outptu`; it has containers, metadata, output, pods, spec, status")]
#[case("$.output.rows", json!({"container": "side"}), "OutputMissing", "$.output has no `rows`; it is text")]
#[case("$.output.rows", json!({"container": "quiet"}), "OutputMissing",
       "$ has no `output`; it has containers, metadata, pods, spec, status")]
#[case("$.output.deep.a.b", json!({}), "OutputMissing", "$.output.deep.a has no `b`; it is empty")]
#[case("$.conditions[3]", json!({}), "OutputMissing", "$.status.conditions has no entry 3; it is a list of 1")]
#[case("$.output.none", json!({}), "OutputMissing", "$.output.none is null")]
#[case("$..nobody", json!({}), "OutputMissing", "$..nobody selects nothing")]
#[case("$.output.half", json!({"type": "int"}), "OutputInvalid",
       "does not fit the declared type: must be a whole number")]
#[case("$.output.text", json!({"type": "json"}), "OutputInvalid", "does not fit the declared type: must be JSON")]
fn what_is_not_there_is_told_with_what_is(
    #[case] path: &str,
    #[case] extra: Value,
    #[case] reason: &str,
    #[case] words: &str,
) {
    let failure = one(path, extra, &document()).unwrap_err();
    assert_eq!((failure.reason, failure.message), (reason, format!("output \"o\": {path}: {words}")));
}

#[test]
fn a_message_that_the_kubelet_has_cut_is_told_and_never_handed_on() {
    let main = |limit: usize| json!({"output": "the end of a text", "cut": true, "limit": limit});
    let document = |limit: usize| {
        json!({
            "output": "the end of a text", "cut": true, "limit": limit, "status": {},
            "containers": {"main": main(limit), "side": {"output": "whole"}},
            "pods": [{"name": "p", "containers": {"main": main(limit)}}]
        })
    };
    for path in [
        "$.output",
        "$.output.rows",
        "$.output.rows[0]",
        "$.containers.main.output",
        "$.containers.*.output",
        "$.pods[*].containers.main.output",
        "$.pods[0].containers.main.output.rows",
    ] {
        for extra in [json!({}), json!({"default": "d"}), json!({"container": "main"})] {
            let failure = one(path, extra, &document(4096)).unwrap_err();
            assert_eq!(failure.reason, "OutputInvalid", "{path}");
            let words = "was cut: of this container's termination message Kubernetes keeps the last 4096 bytes, and so \
                         many there are; say less, or hand it on otherwise";
            assert!(failure.message.contains(words), "{failure:?}");
        }
    }
    let shared = one("$.output", json!({}), &document(3072)).unwrap_err();
    assert!(shared.message.contains("keeps the first 3072 bytes"), "{shared:?}");
    // Texts beside the cut one are read as they are.
    assert!(one("$.containers.main", json!({}), &document(4096)).unwrap().contains("\"cut\":true"));
    assert_eq!(one("$.output", json!({"container": "side"}), &document(4096)).as_deref(), Ok("whole"));
    assert_eq!(one("$.containers.side.output", json!({}), &document(4096)).as_deref(), Ok("whole"));
}

#[test]
fn nobody_speaks_for_a_container_that_is_not_in_the_pod() {
    let document = json!({
        "status": {}, "containers": {"main": {"missing": true}, "mesh-proxy": {"output": "from the mesh"}}, "pods": []
    });
    for (path, extra) in [("$.output", json!({})), ("$.output.rows", json!({"default": "d"}))] {
        let failure = one(path, extra, &document).unwrap_err();
        assert_eq!(failure.reason, "OutputInvalid");
        let words = "$ has no `output`: container \"main\" of the step's template is not in its pod, which has mesh-proxy; \
                     something changes pods on their way";
        assert!(failure.message.ends_with(words), "{failure:?}");
    }
}

#[test]
fn outputs_come_in_order_and_are_bounded_together() {
    let two = json!([
        {"name": "b", "valueFrom": {"jsonPath": "$.output.b"}}, {"name": "a", "valueFrom": {"jsonPath": "$.output.a"}}
    ]);
    let document = |size: usize| json!({"output": {"a": "a", "b": "b".repeat(size)}});
    let found = outputs_of(two.clone(), &document(1)).unwrap();
    assert_eq!(found, [("b".to_owned(), "b".to_owned()), ("a".to_owned(), "a".to_owned())]);
    assert!(outputs_of(two.clone(), &document(64 * 1024 - 1)).is_ok());
    let failure = outputs_of(two, &document(64 * 1024)).unwrap_err();
    assert_eq!(failure.reason, "DataTooLarge");
    assert!(failure.message.contains("65537 bytes"), "{failure:?}");
    assert_eq!(outputs(&Step::default(), &Value::Null), Ok(Vec::new()));
}

#[rstest]
#[case("$.output.rows", true, false)]
#[case("$.status.succeeded", true, true)]
#[case("$.succeeded", true, true)]
#[case("$.containers.main.exitCode", true, false)]
#[case("$.pods[?@.phase == 'Failed'].name", true, false)]
#[case("$.pods[?@.index == $.status.failed].name", true, true)]
#[case("$", true, true)]
#[case("$..rows", true, true)]
#[case("$['output','status']", true, true)]
fn what_comes_from_the_jobs_status_is_known(
    #[case] path: &str,
    #[case] document: bool,
    #[case] job_status: bool,
) {
    let own =
        World::of(step(json!({"outputs": {"parameters": [{"name": "o", "valueFrom": {"jsonPath": path}}]}})));
    let wanted = Reads { document, job_status };
    assert_eq!(reads(&own.flow)[2], wanted);
    assert_eq!(reads(&own.flow)[2], Reads { document, job_status });

    let mut fields = step(input(json!({"valueFrom": {"jsonPath": format!("load-a:{path}")}})));
    fields["dependencies"] = json!(["load", "load-a"]);
    let of_another = World::of(fields);
    assert_eq!(reads(&of_another.flow)[1], wanted);
    assert_eq!(reads(&of_another.flow)[1].job_status, job_status);

    let of_the_only = World::of(step(input(json!({"valueFrom": {"jsonPath": path}}))));
    assert_eq!(reads(&of_the_only.flow)[0].job_status, job_status);
    assert_eq!(reads(&of_the_only.flow)[1], Reads::default());
}
