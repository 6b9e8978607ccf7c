use rstest::rstest;

use super::*;

/// The value of input `p`, as text in an env variable.
fn value(world: &World) -> Result<String, Unready> {
    let rendered = world.render()?;
    let value = &rendered.template["spec"]["template"]["spec"]["containers"][0]["env"][0]["value"];
    Ok(value.as_str().unwrap_or_else(|| panic!("{value}")).to_owned())
}

fn world(parameter: Value) -> World {
    shown(parameter, "{{ parameters.p }}", json!({}))
}

fn shown(parameter: Value, text: &str, spec: Value) -> World {
    let mut fields = input(parameter);
    fields["template"] = template(json!({"env": [{"name": "X", "value": text}]}));
    World::with(spec, step(fields))
}

fn path(path: &str) -> Value {
    json!({"valueFrom": {"jsonPath": path}})
}

#[rstest]
#[case(json!({"value": "a {{ b }}"}), "a {{ b }}")]
#[case(json!({"value": " 3 ", "type": "int"}), "3")]
#[case(json!({"value": "0.5", "type": "double"}), "0.5")]
#[case(json!({"value": "3", "type": "double"}), "3")]
#[case(json!({"value": "true", "type": "bool"}), "true")]
#[case(json!({"value": "{\"a\": [1, 2]}", "type": "json"}), "{\"a\":[1,2]}")]
#[case(json!({"default": "d"}), "d")]
#[case(path("load:$.output.rows"), "42")]
#[case(path("$.output.name"), "x\n")]
#[case(path("load:{.output.list}"), "[1,2]")]
#[case(path("load:$.output.list[*]"), "[1,2]")]
#[case(path("load:$.output.half"), "0.5")]
#[case(path("load:$.succeeded"), "1")]
#[case(path("load:$.status.succeeded"), "1")]
#[case(path("load:$.containers.main.output"), "said\n")]
#[case(json!({"valueFrom": {"jsonPath": "load:$.output.none"}, "default": "d"}), "d")]
#[case(json!({"valueFrom": {"jsonPath": "load:$.output.more"}, "default": "d"}), "d")]
#[case(json!({"valueFrom": {"expression": "steps.load.outputs.rows + 1"}}), "43")]
#[case(json!({"valueFrom": {"expression": "steps.load.outputs.rows / 4"}, "type": "double"}), "10")]
#[case(json!({"valueFrom": {"expression": "steps.load.outputs.lack"}, "default": "d"}), "d")]
#[case(json!({"valueFrom": {"expression": "steps.load.outputs.maybe"}, "default": "d"}), "its default")]
#[case(json!({"valueFrom": {"expression": "steps.load.outputs.data.list"}, "type": "json"}), "[1,2.5,\"x\"]")]
#[case(json!({"valueFrom": {"expression": "null"}, "default": "d"}), "d")]
fn a_parameter_takes_its_value_from_its_source(#[case] parameter: Value, #[case] wanted: &str) {
    assert_eq!(value(&world(parameter)).as_deref(), Ok(wanted));
}

const HERE: &str = "spec.steps[2].inputs.parameters[0]";

#[rstest]
#[case(json!({"valueFrom": {"jsonPath": "load:$.output.name"}, "type": "int"}), "ParameterInvalid",
       ": the value does not fit the declared type: must be a whole number")]
#[case(json!({"valueFrom": {"expression": "\"tru\" + \"e?\""}, "type": "bool"}), "ParameterInvalid",
       ": the value does not fit the declared type: must be true or false")]
#[case(
    path("load:$.output.more"),
    "ExpressionFailed",
    ": the result of step \"load\": $.output has no `more`; it has half, list, name, none, rows; give it a `default`"
)]
#[case(
    path("load:$.output.list[5]"),
    "ExpressionFailed",
    ": the result of step \"load\": $.output.list has no entry 5; it is a list of 2; give it a `default`"
)]
#[case(
    path("load:$.output.rows.x"),
    "ExpressionFailed",
    ": the result of step \"load\": $.output.rows has no `x`; it is a whole number; give it a `default`"
)]
#[case(
    path("load:$.output.none"),
    "ExpressionFailed",
    ": the result of step \"load\": $.output.none is null; give it a `default`"
)]
#[case(
    path("load:$.output.list[?@ > 5]"),
    "ExpressionFailed",
    ": the result of step \"load\": $.output.list[?@ > 5] selects nothing; give it a `default`"
)]
#[case(json!({"valueFrom": {"expression": "string(1 / 0)"}, "default": "d"}), "ExpressionFailed",
       ".valueFrom.expression: \"string(1 / 0)\": division by zero")]
#[case(json!({"valueFrom": {"expression": "steps.load.outputs.lack"}}), "ExpressionFailed",
       ": output \"lack\" of step \"load\" has no value: the step is Succeeded; give it a `default`")]
fn a_parameter_without_a_fitting_value_fails_the_step(
    #[case] parameter: Value,
    #[case] reason: &str,
    #[case] words: &str,
) {
    let failure = failed(value(&world(parameter)));
    assert_eq!((failure.reason, failure.message), (reason, HERE.to_owned() + words));
}

#[test]
fn a_declared_input_is_a_promise_and_a_flow_parameter_is_none() {
    let unused = |spec: Value, fields: Value| World::with(spec, step(fields)).render().map(|_| ());
    let broken = json!({"valueFrom": {"expression": "string(1 / 0)"}});
    assert!(failed(unused(json!({}), input(broken))).message.contains("division by zero"));
    let of_flow =
        json!({"parameters": [{"name": "p", "valueFrom": {"configMapKeyRef": {"name": "c", "key": "k"}}}]});
    assert_eq!(unused(of_flow.clone(), json!({})), Ok(()));
    // An input shadows it.
    let world = shown(json!({"value": "mine"}), "{{ parameters.p }}", of_flow);
    assert_eq!(value(&world).as_deref(), Ok("mine"));
}

#[test]
fn what_a_step_reads_of_steps_that_did_not_run_is_absent() {
    let skipped = |parameter| world(parameter).phase("load", StepPhase::Skipped);
    let failure = failed(value(&skipped(path("load:$.output.rows"))));
    assert_eq!(failure.message, format!("{HERE}: step \"load\" has no result: Skipped; give it a `default`"));
    let with_default = json!({"valueFrom": {"jsonPath": "load:$.output.rows"}, "default": "d"});
    assert_eq!(value(&skipped(with_default)).as_deref(), Ok("d"));
    let mut gone = world(path("load:$.output.rows"));
    gone.documents.clear();
    assert!(failed(value(&gone)).message.contains("its Job is gone"));
}

fn config(optional: bool) -> Value {
    json!({"valueFrom": {"configMapKeyRef": {"name": "c", "key": "k", "optional": optional}}})
}

#[test]
fn everything_that_has_to_be_read_is_asked_for_at_once() {
    let parameters = json!([
        {"name": "p", "valueFrom": {"configMapKeyRef": {"name": "c", "key": "k"}}},
        {"name": "s", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}},
        {"name": "unused", "valueFrom": {"secretKeyRef": {"name": "never", "key": "k"}}},
        {"name": "far", "valueFrom": {"expression": "parameters.of-flow + \"!\""}}
    ]);
    let of_flow = json!({"parameters": [
        {"name": "of-flow", "valueFrom": {"configMapKeyRef": {"name": "e", "key": "k"}}},
        {"name": "also", "valueFrom": {"secretKeyRef": {"name": "not", "key": "k"}}}
    ]});
    let mut fields = step(json!({"inputs": {"parameters": parameters}}));
    fields["template"] = template(json!({"args": ["{{ parameters.s }}", "{{ parameters.far }}"]}));
    let world = World::with(of_flow, fields);
    let needs = ["c", "e"].map(|name| Source::ConfigMap(name.to_owned()));
    let needs = needs.into_iter().chain([Source::Secret("s".to_owned())]).collect();
    assert_eq!(world.render(), Err(Unready::Needs(needs)));
    let world = world.config("c", Some(&[("k", "1")])).config("e", Some(&[("k", "2")]));
    assert_eq!(world.render(), Err(Unready::Needs(BTreeSet::from([Source::Secret("s".to_owned())]))));
    let rendered = world.secret("s", Some(&[("k", "3")])).render().unwrap();
    let args = &rendered.template["spec"]["template"]["spec"]["containers"][0]["args"];
    assert_eq!(args, &json!(["3", "2!"]));
}

#[test]
fn a_missing_object_or_key_makes_the_step_wait_unless_it_may_be_missing() {
    let missing = |what: &str| Err(Unready::Missing(what.to_owned()));
    assert_eq!(value(&world(config(false)).config("c", None)), missing("ConfigMap \"c\" does not exist"));
    assert_eq!(
        value(&world(config(false)).config("c", Some(&[("x", "y")]))),
        missing("ConfigMap \"c\" has no key \"k\"")
    );
    assert_eq!(value(&world(config(false)).config("c", Some(&[("k", "v")]))).as_deref(), Ok("v"));
    let mut with_default = config(false);
    with_default["default"] = json!("d");
    assert_eq!(value(&world(with_default).config("c", None)).as_deref(), Ok("d"));
    // Optional, and nothing stands in: absent is not empty.
    let failure = failed(value(&world(config(true)).config("c", None)));
    assert!(failure.message.contains("ConfigMap \"c\" does not exist; give it a `default`"), "{failure:?}");
    let unused = shown(config(true), "x", json!({})).config("c", None);
    assert_eq!(value(&unused).as_deref(), Ok("x"));
}

#[test]
fn a_key_that_holds_no_text_fails_the_step() {
    let mut world = world(config(false));
    let data = BTreeMap::from([("k".to_owned(), vec![0xff, 0xfe])]);
    world.sources.read.insert(Source::ConfigMap("c".to_owned()), Some(data));
    let failure = failed(value(&world));
    assert_eq!(failure.message, format!("{HERE}: ConfigMap \"c\", key \"k\": is no UTF-8 text"));
}

#[test]
fn parameters_that_need_each_other_fail_the_step() {
    let parameters = json!([
        {"name": "a", "valueFrom": {"expression": "parameters.b"}},
        {"name": "b", "valueFrom": {"expression": "parameters.day"}}
    ]);
    let day = json!({"parameters": [{"name": "day", "value": "x"}]});
    let mut world = World::with(day, step(json!({"inputs": {"parameters": parameters}})));
    // Admission refuses this; it must not hang where it was stored before.
    let inputs = world.flow.spec.steps[2].inputs.as_mut().unwrap();
    inputs.parameters[1].value_from.as_mut().unwrap().expression = Some("parameters.a".to_owned());
    assert!(failed(world.render()).message.contains("parameter \"a\" needs itself"));
}

#[test]
fn values_are_bounded_together_and_the_size_is_told() {
    let large = "x".repeat(40_000);
    let parameters = json!([
        {"name": "a", "valueFrom": {"configMapKeyRef": {"name": "c", "key": "k"}}},
        {"name": "b", "valueFrom": {"configMapKeyRef": {"name": "c", "key": "k"}}}
    ]);
    let world = World::of(step(json!({"inputs": {"parameters": parameters}})));
    let failure = failed(world.config("c", Some(&[("k", &large)])).render());
    assert_eq!(failure.reason, "DataTooLarge");
    assert!(failure.message.contains("80000 bytes"), "{failure:?}");
    let one = self::world(config(false)).config("c", Some(&[("k", &"x".repeat(70_000))]));
    assert!(failed(value(&one)).message.contains("70000 bytes"));
}
