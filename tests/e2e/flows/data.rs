//! Values: where they come from, and that they arrive as they were.

use std::path::Path;

use serde_json::{Value, json};

use super::space::{Space, space};
use super::write::{Step, flow, job, pass, tell};

/// A step that tells its environment variables, one a line, in the order in which they are given.
fn tells(name: &str, variables: &[(&str, &str)]) -> Step {
    let names: Vec<String> = variables.iter().map(|(name, _)| format!("\"${name}\"")).collect();
    let script = format!("printf '%s\\n' {} > /dev/termination-log", names.join(" "));
    let step = job(name, &script).output("said", "$.output");
    variables.iter().fold(step, |step, (name, value)| step.env(name, value))
}

fn secret(space: &Space, name: &str, key: &str, value: &str) {
    space.create(
        &json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": {key: value}}),
    );
}

fn key_of(kind: &str, name: &str, key: &str) -> Value {
    json!({"valueFrom": {kind: {"name": name, "key": key}}})
}

#[test]
fn values_come_from_every_source() {
    let Some(space) = space("sources") else { return };
    space.config_map("settings", "region", "eu-north");
    let produce =
        job("produce", r#"echo '{"rows": 42, "ratio": 0.5, "names": ["a", "b"]}' > /dev/termination-log"#)
            .output("rows", "$.output.rows");
    let consume = tells(
        "consume",
        &[
            ("DAY", "{{ parameters.day }}"),
            ("SIZE", "{{ parameters.size }}"),
            ("REGION", "{{ parameters.region }}"),
            ("LITERAL", "{{ parameters.literal }}"),
            ("FALLBACK", "{{ parameters.fallback }}"),
            ("LOCAL", "{{ parameters.local }}"),
            ("ROWS", "{{ parameters.rows }}"),
            ("RATIO", "{{ parameters.ratio }}"),
            ("NAMES", "{{ parameters.names }}"),
            ("SUCCEEDED", "{{ parameters.succeeded }}"),
            ("OLD", "{{ parameters.old }}"),
            ("TWICE", "{{ parameters.twice }}"),
            ("OUTPUT", "{{ steps.produce.outputs.rows }} rows"),
            ("FLOW", "{{ flow.name }} in {{ flow.namespace }}, step {{ step.name }}"),
            ("LEGACY", "{{.parameters.day}} ${parameters.day}"),
        ],
    )
    .after(&["produce"])
    .input("literal", json!({"value": "taken {{ literally }}"}))
    .input("fallback", json!({"default": "by default"}))
    .input("local", key_of("configMapKeyRef", "settings", "region"))
    .input("rows", json!({"valueFrom": {"jsonPath": "produce:$.output.rows"}}))
    .input("ratio", json!({"valueFrom": {"jsonPath": "$.output.ratio"}}))
    .input("names", json!({"valueFrom": {"jsonPath": "{.output.names}"}}))
    .input("succeeded", json!({"valueFrom": {"jsonPath": "produce:$.status.succeeded"}}))
    .input("old", json!({"valueFrom": {"jsonPath": "produce:$.succeeded"}}))
    .input("twice", json!({"valueFrom": {"expression": "int(parameters.rows) * 2"}}));
    let run = space.run(
        flow("sources")
            .parameter("day", json!({"value": "2026-11-24"}))
            .parameter("size", json!({"default": "7"}))
            .parameter("region", key_of("configMapKeyRef", "settings", "region"))
            .step(produce)
            .step(consume),
    );
    let end = run.ends_as("Succeeded", &["produce Succeeded", "consume Succeeded"]);
    assert_eq!(end.output("produce", "rows"), Some("42"));
    let said: Vec<&str> = end.output("consume", "said").unwrap().lines().collect();
    let in_space = format!("sources in {}, step consume", space.name);
    assert_eq!(
        said,
        [
            "2026-11-24",
            "7",
            "eu-north",
            "taken {{ literally }}",
            "by default",
            "eu-north",
            "42",
            "0.5",
            r#"["a","b"]"#,
            "1",
            "1",
            "84",
            "42 rows",
            &in_space,
            "2026-11-24 2026-11-24",
        ]
    );
}

/// The calls about Secrets of the namespace that headworks made, as `VERB NAME`. `None` where there is no audit log.
fn secrets_read(space: &Space) -> Option<Vec<String>> {
    let kubeconfig = std::env::var("KUBECONFIG").ok()?;
    let Ok(log) = std::fs::read_to_string(Path::new(&kubeconfig).with_file_name("audit.log")) else {
        eprintln!("SKIPPED: there is no audit log beside {kubeconfig}, so what was read is not checked");
        return None;
    };
    let calls = log.lines().filter(|line| line.contains(&space.name) && line.contains("secrets"));
    let calls = calls.filter_map(|line| {
        let call: Value = serde_json::from_str(line).ok()?;
        let (about, who) = (&call["objectRef"], &call["user"]["username"]);
        let ours = who == "system:serviceaccount:headworks-system:headworks"
            && about["resource"] == "secrets"
            && about["namespace"] == space.name.as_str();
        let text = |value: &Value| value.as_str().unwrap_or("?").to_owned();
        ours.then(|| format!("{} {}", text(&call["verb"]), text(&about["name"])))
    });
    Some(calls.collect())
}

#[test]
fn a_secret_that_is_a_whole_variable_is_never_read_by_us() {
    let Some(space) = space("secretref") else { return };
    secret(&space, "keys", "token", "open-sesame");
    let step = job("use", "test \"$TOKEN\" = open-sesame")
        .env("TOKEN", "{{ parameters.token }}")
        .input("token", key_of("secretKeyRef", "keys", "token"));
    let run = space.run(flow("secretref").step(step));
    run.ends_as("Succeeded", &["use Succeeded"]);
    let env = &run.jobs(None)[0]["spec"]["template"]["spec"]["containers"][0]["env"];
    assert_eq!(
        *env,
        json!([{"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "keys", "key": "token"}}}])
    );
    if let Some(read) = secrets_read(&space) {
        assert!(read.is_empty(), "{read:?}");
    }
}

#[test]
fn a_secret_within_a_text_is_read_by_its_name_and_stands_in_no_status() {
    let Some(space) = space("secrettext") else { return };
    secret(&space, "keys", "token", "open-sesame");
    let step = job("use", "test \"$HEADER\" = 'Bearer open-sesame'")
        .env("HEADER", "Bearer {{ parameters.token }}")
        .input("token", key_of("secretKeyRef", "keys", "token"));
    let run = space.run(flow("secrettext").step(step));
    run.ends_as("Succeeded", &["use Succeeded"]);
    for version in run.versions() {
        let status = &version.flow["status"];
        assert!(!status.to_string().contains("open-sesame"), "{status:#}");
    }
    for event in space.list("Event") {
        assert!(!event.to_string().contains("open-sesame"), "{event:#}");
    }
    if let Some(read) = secrets_read(&space) {
        assert!(!read.is_empty() && read.iter().all(|call| call == "get keys"), "{read:?}");
    }
}

/// Everything that a shell, YAML, JSON, CEL or Kubernetes itself would like to make something of.
const NASTY: &str = "it's \"so\": {{ parameters.other }} ${parameters.other} $HOME $(OTHER) $$x $é \\ `id`; # é 日本 \u{1f600}\n- second: {line}";

#[test]
fn a_value_arrives_as_it_was_whatever_it_holds() {
    let Some(space) = space("nasty") else { return };
    let by_env = tells("by-env", &[("OTHER", "expanded"), ("NASTY", "{{ parameters.nasty }}")]);
    // As an argument, from an output; `$(OTHER)` is Kubernetes' own syntax there.
    let by_argument = job("by-argument", "")
        .after(&["by-env"])
        .env("OTHER", "expanded")
        .container(json!({"command": [
            "sh", "-c", "printf %s \"$1\" > /dev/termination-log", "sh", "{{ parameters.told }}"
        ]}))
        .input("told", json!({"valueFrom": {"expression": "steps['by-env'].outputs.said"}}))
        .output("said", "$.output");
    let run = space.run(
        flow("nasty")
            .parameter("other", json!({"value": "expanded"}))
            .parameter("nasty", json!({"value": NASTY}))
            .step(by_env)
            .step(by_argument),
    );
    let end = run.ends_as("Succeeded", &["by-env Succeeded", "by-argument Succeeded"]);
    assert_eq!(end.output("by-env", "said"), Some(format!("expanded\n{NASTY}").as_str()));
    assert_eq!(end.output("by-argument", "said"), end.output("by-env", "said"));
}

#[test]
fn a_leaf_that_wants_a_number_gets_one() {
    let Some(space) = space("typed") else { return };
    let sharded = |name: &str, from: &str| {
        pass(name)
            .after(&["count"])
            .job_spec(json!({"parallelism": "{{ parameters.n }}", "completions": "{{ parameters.n }}"}))
            .input("n", json!({"valueFrom": {"expression": from}}))
    };
    let run = space.run(
        flow("typed")
            .policy(json!({"onStepFailure": "RunIndependent"}))
            .step(
                tell("count", r#"{"n": 2, "word": "two"}"#)
                    .output("n", "$.output.n")
                    .output("word", "$.output.word"),
            )
            .step(sharded("shards", "steps.count.outputs.n"))
            .step(sharded("broken", "steps.count.outputs.word")),
    );
    let end =
        run.ends_as("Failed", &["count Succeeded", "shards Succeeded", "broken Failed ExpressionFailed"]);
    let spec = &run.jobs(Some("shards"))[0]["spec"];
    assert_eq!((&spec["parallelism"], &spec["completions"]), (&json!(2), &json!(2)));
    assert_eq!(run.pods(Some("shards")).len(), 2);
    assert_eq!(
        end.step_message("broken"),
        "spec.steps[2].template.spec.completions: \"parameters.n\": must be a whole number, and the value is text"
    );
    assert!(run.jobs(Some("broken")).is_empty());
}

#[test]
fn when_lets_a_step_run_skips_it_or_fails_it() {
    let Some(space) = space("when") else { return };
    let run = space.run(
        flow("when")
            .policy(json!({"onStepFailure": "RunIndependent"}))
            .step(
                tell("count", r#"{"n": 3, "word": "three"}"#)
                    .output("n", "$.output.n")
                    .output("word", "$.output.word"),
            )
            .step(pass("big").after(&["count"]).when("int(steps.count.outputs.n) > 2"))
            .step(pass("small").after(&["count"]).when("int(steps.count.outputs.n) < 2"))
            .step(pass("anyway").after(&["small"]))
            .step(pass("instead").after(&["small"]).when("steps.small.phase == 'Skipped'"))
            .step(pass("broken").after(&["count"]).when("int(steps.count.outputs.word) > 2"))
            .step(pass("never").after(&["broken"])),
    );
    let end = run.ends_as(
        "Failed",
        &[
            "count Succeeded",
            "big Succeeded",
            "small Skipped WhenFalse",
            "anyway Succeeded",
            "instead Succeeded",
            "broken Failed ExpressionFailed",
            "never Skipped UpstreamFailed",
        ],
    );
    assert_eq!(
        end.step_message("broken"),
        "spec.steps[5].when: \"int(steps.count.outputs.word) > 2\": `int` cannot convert this value"
    );
    assert_eq!(run.jobs(None).len(), 4);
}

#[test]
fn a_flow_whose_only_failure_is_a_false_when_succeeds() {
    let Some(space) = space("whenfalse") else { return };
    let run = space.run(
        flow("whenfalse")
            .step(pass("a"))
            .step(pass("b").after(&["a"]).when("steps.a.phase == 'Failed'"))
            .step(pass("c").when("false")),
    );
    let end = run.ends_as("Succeeded", &["a Succeeded", "b Skipped WhenFalse", "c Skipped WhenFalse"]);
    assert_eq!(end.flow["status"]["progress"]["skippedSteps"], 2);
}

#[test]
fn a_step_waits_for_a_config_map_that_is_not_there_yet() {
    let Some(space) = space("reference") else { return };
    let run = space.run(
        flow("reference")
            .step(
                tells("wait", &[("MODE", "{{ parameters.mode }}")])
                    .input("mode", key_of("configMapKeyRef", "late", "mode")),
            )
            .step(pass("other")),
    );
    let waits = run.until("the wait", |seen| seen.waiting("wait") == "Reference");
    assert_eq!(waits.step("wait")["waiting"]["message"], "ConfigMap \"late\" does not exist");
    assert_eq!((waits.phase(), waits.step_phase("wait")), ("Running", "Pending"));
    run.until("the other step", |seen| seen.step_phase("other") == "Succeeded");
    assert!(run.jobs(Some("wait")).is_empty());
    // Without the key it is still not enough.
    space.config_map("late", "other", "x");
    run.until("the key", |seen| {
        seen.step("wait")["waiting"]["message"] == "ConfigMap \"late\" has no key \"mode\""
    });
    space.patch("ConfigMap", "late", &json!({"data": {"mode": "careful"}}));
    let end = run.ends_as("Succeeded", &["wait Succeeded", "other Succeeded"]);
    assert_eq!(end.output("wait", "said"), Some("careful"));
}

#[test]
fn a_step_that_waits_in_vain_times_out_and_an_optional_value_does_not_wait() {
    let Some(space) = space("vain") else { return };
    let optional = |name: &str| json!({"valueFrom": {"configMapKeyRef": {"name": name, "key": "k", "optional": true}}, "default": "none"});
    let run = space.run(
        flow("vain")
            .policy(json!({"onStepFailure": "RunIndependent"}))
            .step(
                tells("vain", &[("V", "{{ parameters.v }}")])
                    .input("v", key_of("configMapKeyRef", "never", "k"))
                    .timeout(3),
            )
            .step(tells("optional", &[("V", "{{ parameters.v }}")]).input("v", optional("never"))),
    );
    let end = run.ends_as("Failed", &["vain Failed StepTimeout", "optional Succeeded"]);
    assert_eq!(end.step_message("vain"), "not done within 3 s; it waited: Reference");
    assert_eq!(end.output("optional", "said"), Some("none"));
}

#[test]
fn an_output_that_is_missing_fails_its_step_unless_it_has_a_default() {
    let Some(space) = space("missing") else { return };
    let produce = |name: &str| job(name, r#"echo '{"rows": 42}' > /dev/termination-log"#);
    let with_default = json!({"outputs": {"parameters": [
        {"name": "lines", "valueFrom": {"jsonPath": "$.output.lines"}, "default": "0"}
    ]}});
    let run = space.run(
        flow("missing")
            .policy(json!({"onStepFailure": "RunIndependent"}))
            .step(produce("strict").output("lines", "$.output.lines"))
            .step(produce("lenient").with(with_default))
            .step(tells("reads", &[("N", "{{ steps.lenient.outputs.lines }}")]).after(&["lenient"])),
    );
    let end = run.ends_as("Failed", &["strict Failed OutputMissing", "lenient Succeeded", "reads Succeeded"]);
    let message = end.step_message("strict");
    assert!(message.starts_with("output \"lines\": $.output.lines: "), "{message}");
    assert!(message.contains("rows"), "it tells which keys there are: {message}");
    assert_eq!(end.output("reads", "said"), Some("0"));
}

#[test]
fn what_a_skipped_step_did_not_hand_on_is_an_error_unless_it_has_a_default() {
    let Some(space) = space("absent") else { return };
    let absent = json!({"valueFrom": {"expression": "steps.skipped.outputs.x"}});
    let with_default = json!({"valueFrom": {"expression": "steps.skipped.outputs.x"}, "default": "fallback"});
    let reads = |name: &str, source: &Value| {
        tells(name, &[("X", "{{ parameters.x }}")]).after(&["skipped"]).input("x", source.clone())
    };
    let run = space.run(
        flow("absent")
            .policy(json!({"onStepFailure": "RunIndependent"}))
            .step(tell("skipped", "x").output("x", "$.output").when("flow.name == 'another'"))
            .step(reads("strict", &absent))
            .step(reads("lenient", &with_default)),
    );
    let end = run.ends_as(
        "Failed",
        &["skipped Skipped WhenFalse", "strict Failed ExpressionFailed", "lenient Succeeded"],
    );
    let message = end.step_message("strict");
    assert!(message.ends_with("; give it a `default`"), "{message}");
    assert_eq!(end.output("lenient", "said"), Some("fallback"));
}

#[test]
fn a_step_knows_its_attempt_and_how_those_before_it_ended() {
    let Some(space) = space("attempt") else { return };
    let run = space.run(
        flow("attempt")
            .step(
                job("shaky", "exit {{ step.attempt < 3 ? 1 : 0 }}")
                    .retry(4, json!({"type": "Fixed", "duration": "100ms"})),
            )
            .step(job("bad", "exit 9").continue_on_failure())
            .step(
                tells(
                    "looks",
                    &[
                        ("A", "{{ steps.shaky.phase }} {{ steps.shaky.attempt }}"),
                        ("B", "{{ steps.bad.phase }} {{ steps.bad.exitCode }}"),
                    ],
                )
                .after(&["shaky", "bad"]),
            ),
    );
    let end = run.ends_as(
        "Succeeded",
        &["shaky Succeeded attempt 3", "bad Failed BackoffLimitExceeded exit 9", "looks Succeeded"],
    );
    assert_eq!(end.output("looks", "said"), Some("Succeeded 3\nFailed 9"));
    // Nothing of the failed attempts is left in its status.
    assert!(end.step("shaky")["reason"].is_null() && end.step("shaky")["exitCode"].is_null());
}

#[test]
fn too_much_data_fails_the_step_with_its_size() {
    let Some(space) = space("large") else { return };
    space.config_map("large", "text", &"x".repeat(70_000));
    let run = space.run(flow("large").step(
        tells("only", &[("X", "{{ parameters.x }}")]).input("x", key_of("configMapKeyRef", "large", "text")),
    ));
    let end = run.ends_as("Failed", &["only Failed DataTooLarge"]);
    let message = end.step_message("only");
    assert!(message.contains("70000 bytes") && message.contains("65536"), "{message}");
}
