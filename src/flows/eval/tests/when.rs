use rstest::rstest;

use super::*;

fn world(when: &str) -> World {
    World::with(
        json!({
            "parameters": [
                {"name": "max-rows", "value": "100", "type": "int"}, {"name": "who", "value": "me"},
                {"name": "half", "value": "0.5", "type": "double"}, {"name": "on", "value": "true", "type": "bool"}
            ],
            "resourceTemplates": {"configMapTemplates": [{"metadata": {"name": "data-volume"}, "data": {}}]}
        }),
        step(json!({"name": "here", "dependencies": ["load", "load-a"], "when": when})),
    )
}

#[rstest]
#[case("", true)]
#[case("always", true)]
#[case("never", false)]
#[case("{{ steps.load.phase == 'Succeeded' }}", true)]
#[case("steps.load.phase == \"Failed\"", false)]
#[case("steps.load-a.phase == \"Succeeded\" && steps[\"load-a\"].attempt == 1", true)]
#[case("{{ .StepStatus.load-a.Phase != 'Failed' }}", true)]
#[case("steps.load.outputs.rows < parameters.max-rows - 1", true)]
#[case("steps.load.outputs.rows + 1 == 43 && type(steps.load.outputs.rows) == int", true)]
#[case("steps.load.outputs.maybe == \"its default\"", true)]
#[case("steps.load.outputs.data.list[1] == 2.5 && steps.load.outputs.data.on", true)]
#[case("has(steps.load.outputs.data.none) && !has(steps.load.outputs.data.more)", true)]
#[case("has(steps.load.outputs.rows) && steps.load.outputs.rows == 42", true)]
#[case("has(steps.load.outputs.lack) && steps.load.outputs.lack == \"\"", false)]
#[case("!has(steps.load.outputs.lack) && has(steps.load.outputs.maybe)", true)]
#[case("has(steps.load-a.exitCode) && has(parameters.who) && has(flow.name)", true)]
#[case("steps.load.outputs.data.none == null", true)]
#[case("steps.load.exitCode == 0 && steps.load.message == \"\"", true)]
#[case("steps.load.startTime == \"2026-11-24T10:00:01.000000Z\"", true)]
#[case("steps.load.startTime < steps.load.completionTime", true)]
#[case("parameters.who == \"me\" && parameters.half == 0.5 && parameters.on", true)]
#[case("${parameters.on}", true)]
#[case("flow.name == \"f\" && flow.namespace == \"ns\" && flow.uid == \"u-1\"", true)]
#[case("flow.labels[\"team\"] == \"blue\" && has(flow.labels.team) && !has(flow.labels.x)", true)]
#[case("flow.createdAt == \"2026-11-24T10:00:00Z\" && size(flow.annotations) == 0", true)]
#[case("step.name == \"here\" && step.attempt == 2", true)]
#[case("resources.data-volume == \"f-data-volume\"", true)]
#[case("steps.load.outputs.data.list.exists(x, x == 2.5)", true)]
#[case("[1, 2].map(steps, steps * 2) == [2, 4]", true)]
#[case("parameters.who.matches(\"^m\") && matches(parameters.who, \"e$\")", true)]
#[case("false && steps.load.outputs.lack == \"\"", false)]
#[case("true || steps.load.outputs.lack == \"\"", true)]
#[case("steps.load.outputs.lack == \"\" || true", true)]
fn a_condition_is_true_or_false(#[case] when: &str, #[case] wanted: bool) {
    assert_eq!(world(when).when(), Ok(wanted));
}

#[rstest]
#[case("parameters.who + \"x\" == dyn(1) ? true : parameters.max-rows / 0 > 1", "division by zero")]
#[case("parameters.max-rows % (parameters.max-rows - 100) == 1", "division by zero")]
#[case("parameters.max-rows * 9223372036854775807 > 0", "the result of `*` is too large")]
#[case("-(-9223372036854775807 - parameters.max-rows) > 0", "the result of `-` is too large")]
#[case("dyn(parameters.who)", "must be true or false, and is text")]
#[case("dyn(1)", "must be true or false, and is a whole number")]
#[case("dyn(parameters.who) + 1 == dyn(2)", "`+` does not take text and a whole number")]
#[case("dyn(parameters.who) < 1", "`<` does not take (string, int)")]
#[case("flow.labels[\"nobody\"] == \"\"", "there is no key `nobody`")]
#[case("flow.labels[parameters.who] == \"\"", "there is no such key")]
#[case("steps.load.outputs.data.list[7] == 1", "there is no entry of this index")]
#[case("dyn(parameters.max-rows).a == 1", "nothing can be selected from int")]
#[case("steps.load.outputs.data.list.a == 1", "nothing can be selected from list")]
#[case("int(parameters.who) == 1", "`int` cannot convert this value")]
#[case("parameters.who.matches(\"(\")", "the regular expression cannot be read")]
#[case("parameters.who.matches(\"(a{1000}){1000}\")", "the regular expression is too large")]
#[case("dyn(parameters.max-rows) ? true : false", "true or false is wanted here")]
#[case("dyn(parameters.who).exists(x, x == 1)", "a list or map is wanted here")]
#[case("{\"a\": 1, parameters.who: 2, \"m\" + \"e\": 3}.a == 1", "a map has one key twice")]
fn what_cannot_be_evaluated_fails_with_words(#[case] when: &str, #[case] words: &str) {
    let failure = failed(world(when).when());
    assert_eq!(failure.reason, "ExpressionFailed");
    let start = format!("spec.steps[2].when: {}: ", words::quote(when));
    assert_eq!(failure.message, start + words);
}

#[test]
fn phases_have_the_names_of_the_api() {
    use StepPhase::{Cancelled, Failed, Pending, PendingApproval, Running, Skipped, Succeeded};
    for phase in [Pending, Running, PendingApproval, Succeeded, Failed, Skipped, Cancelled] {
        assert_eq!(serde_json::to_value(phase).unwrap(), json!(phase.as_str()));
    }
}

#[test]
fn an_absent_output_is_an_error_and_says_why() {
    let world = world("steps.load.outputs.rows > 1");
    assert_eq!(
        failed(world.phase("load", StepPhase::Skipped).when()).message,
        "spec.steps[2].when: \"steps.load.outputs.rows > 1\": output \"rows\" of step \"load\" has no value: \
         the step is Skipped; give it a `default`"
    );
}

#[test]
fn what_a_skipped_step_does_not_have_is_absent() {
    for (when, words) in [
        ("steps.load.exitCode == 0", "step \"load\" has no exitCode: it is Skipped"),
        ("steps.load.startTime != \"\"", "step \"load\" has no startTime: it is Skipped"),
    ] {
        let mut world = world(when).phase("load", StepPhase::Skipped);
        (world.steps[0].start_time, world.steps[0].exit_code) = (None, None);
        assert!(failed(world.when()).message.contains(words));
    }
    let world = world("steps.load.outputs.maybe == \"its default\" && steps.load.phase == \"Skipped\"");
    assert_eq!(world.phase("load", StepPhase::Skipped).when(), Ok(true));
}

#[test]
fn only_what_a_condition_uses_is_asked_for() {
    let inputs = json!([
        {"name": "used", "valueFrom": {"expression": "parameters.inner"}},
        {"name": "inner", "valueFrom": {"configMapKeyRef": {"name": "c", "key": "k"}}},
        {"name": "unused", "valueFrom": {"configMapKeyRef": {"name": "d", "key": "k"}}},
        {"name": "broken", "valueFrom": {"expression": "string(1 / 0)"}}
    ]);
    let when = "parameters.used == \"v\" && parameters.token == \"t\"";
    let fields = json!({"when": when, "inputs": {"parameters": inputs}});
    let world = World::with(
        json!({"parameters": [{"name": "token", "valueFrom": {"secretKeyRef": {"name": "s", "key": "t"}}}]}),
        step(fields),
    );
    let needs = BTreeSet::from([Source::ConfigMap("c".to_owned()), Source::Secret("s".to_owned())]);
    assert_eq!(world.when(), Err(Unready::Needs(needs)));
    let world = world.config("c", Some(&[("k", "v")])).secret("s", Some(&[("t", "t")]));
    assert_eq!(world.when(), Ok(true));
}

#[test]
fn a_parameter_that_cannot_be_had_matters_only_where_it_is_reached() {
    let fields = json!({
        "when": "steps.load.phase == \"Succeeded\" && parameters.p > 1",
        "inputs": {"parameters": [{"name": "p", "type": "int", "valueFrom": {"jsonPath": "load:$.output.rows"}}]}
    });
    assert_eq!(World::of(step(fields.clone())).when(), Ok(true));
    let skipped = World::of(step(fields)).phase("load", StepPhase::Skipped);
    assert_eq!(skipped.when(), Ok(false));
}
