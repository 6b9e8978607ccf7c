use rstest::rstest;

use super::*;

fn container(rendered: &Rendered) -> &Value {
    &rendered.template["spec"]["template"]["spec"]["containers"][0]
}

/// A step with this template, where parameter `p` has the value and type.
fn world(template: Value, value: &str, kind: &str) -> World {
    let mut fields = input(json!({"value": value, "type": kind}));
    fields["template"] = template;
    World::of(step(fields))
}

/// Renders a text as an argument.
fn text(text: &str, value: &str, kind: &str) -> Result<String, Unready> {
    let rendered = world(template(json!({"args": [text]})), value, kind).render()?;
    Ok(container(&rendered)["args"][0].as_str().unwrap().to_owned())
}

#[rstest]
#[case("a {{ parameters.p }} b", "x", "string", "a x b")]
#[case("{{ parameters.p }}{{ parameters.p }}", "x", "string", "xx")]
#[case("{{ steps.load.outputs.text }}", "", "string", "a \"b\"\n{{ step.name }}")]
#[case(
    "-{{ parameters.p }}-",
    "{{ step.name }} ${parameters.p} \\{{",
    "string",
    "-{{ step.name }} ${parameters.p} \\{{-"
)]
#[case("\\{{ x }} {{ parameters.p }}", "x", "string", "{{ x }} x")]
#[case("\\{{ x }}", "x", "string", "{{ x }}")]
#[case("\\\\{{ parameters.p }}", "x", "string", "\\x")]
#[case("${parameters.p} ${HOME} $(X)", "x", "string", "x ${HOME} $(X)")]
#[case("{{ .parameters.p }} {{.JobFlow.Name}}", "x", "string", "x f")]
#[case("{{ parameters.p }}", "3", "int", "3")]
#[case("{{ parameters.p / 2.0 }}", "1", "double", "0.5")]
#[case("{{ parameters.p }}", "[1, {\"a\": \"b\"}]", "json", "[1,{\"a\":\"b\"}]")]
#[case("{{ [parameters.p, \"b\"] }}", "a", "string", "[\"a\",\"b\"]")]
#[case("{{ {\"z\": 1, \"a\": parameters.p} }}", "x", "string", "{\"a\":\"x\",\"z\":1}")]
#[case("{{ parameters.p ? \"yes\" : \"no\" }}", "true", "bool", "yes")]
#[case("{{ type(parameters.p) }}", "true", "bool", "bool")]
#[case("{{ step.name }}-{{ step.attempt }}", "", "string", "here-2")]
fn a_text_takes_values_as_they_are(
    #[case] leaf: &str,
    #[case] value: &str,
    #[case] kind: &str,
    #[case] wanted: &str,
) {
    assert_eq!(text(leaf, value, kind).as_deref(), Ok(wanted));
}

#[rstest]
#[case(
    "a {{ parameters.p.x }}",
    "{\"x\": null}",
    "json",
    "\"parameters.p.x\": the value is null, which has no text"
)]
#[case(
    "{{ bytes(parameters.p) }}",
    "x",
    "string",
    "\"bytes(parameters.p)\": the result is bytes; write string(...) around it"
)]
#[case("{{ parameters.p / 0.0 }}", "1", "double", "\"parameters.p / 0.0\": the result is no finite number")]
#[case("{{ parameters.p / 0 }}", "1", "int", "\"parameters.p / 0\": division by zero")]
fn what_has_no_text_fails_the_step(
    #[case] leaf: &str,
    #[case] value: &str,
    #[case] kind: &str,
    #[case] words: &str,
) {
    let failure = failed(text(leaf, value, kind));
    let place = "spec.steps[2].template.spec.template.spec.containers[0].args[0]: ";
    assert_eq!((failure.reason, failure.message), ("ExpressionFailed", place.to_owned() + words));
}

/// A Job with the text at a place where no text is wanted.
fn typed(place: &str, leaf: &str) -> Value {
    let mut job = template(json!({}));
    match place {
        "parallelism" => job["spec"]["parallelism"] = json!(leaf),
        "suspend" => job["spec"]["suspend"] = json!(leaf),
        "port" => {
            let probe = json!({"httpGet": {"path": "/", "port": leaf}});
            job["spec"]["template"]["spec"]["containers"][0]["livenessProbe"] = probe;
        }
        "cpu" => {
            let resources = json!({"limits": {"cpu": leaf}});
            job["spec"]["template"]["spec"]["containers"][0]["resources"] = resources;
        }
        other => panic!("{other}"),
    }
    job
}

#[rstest]
#[case("parallelism", "{{ parameters.p }}", "3", "int", json!(3))]
#[case("parallelism", " {{ parameters.p }}\n", "3", "int", json!(3))]
#[case("parallelism", "{{ parameters.p }}", "3", "string", json!(3))]
#[case("parallelism", "{{ parameters.p }}", "3", "double", json!(3))]
#[case("suspend", "{{ parameters.p }}", "true", "bool", json!(true))]
#[case("suspend", "{{ parameters.p }}", "false", "string", json!(false))]
#[case("port", "{{ parameters.p }}", "8080", "int", json!(8080))]
#[case("port", "{{ parameters.p }}", "8080", "string", json!(8080))]
#[case("port", "{{ parameters.p }}", "http", "string", json!("http"))]
#[case("cpu", "{{ parameters.p }}", "500m", "string", json!("500m"))]
#[case("cpu", "{{ parameters.p }}", "2", "int", json!("2"))]
fn a_whole_leaf_takes_the_type_that_the_schema_wants(
    #[case] place: &str,
    #[case] leaf: &str,
    #[case] value: &str,
    #[case] kind: &str,
    #[case] wanted: Value,
) {
    let rendered = world(typed(place, leaf), value, kind).render().unwrap();
    let found = match place {
        "port" => &container(&rendered)["livenessProbe"]["httpGet"]["port"],
        "cpu" => &container(&rendered)["resources"]["limits"]["cpu"],
        other => &rendered.template["spec"][other],
    };
    assert_eq!(found, &wanted);
}

#[rstest]
#[case("parallelism", "three", "string", "must be a whole number, and the value is text")]
#[case("parallelism", "3.5", "double", "must be a whole number, and the value is a number")]
#[case("parallelism", "3 ", "string", "must be a whole number, and the value is text")]
#[case("suspend", "1", "int", "must be true or false, and the value is a whole number")]
#[case("port", "true", "bool", "must be a whole number or a string, and the value is true or false")]
fn a_value_that_does_not_fit_is_told_by_its_kind(
    #[case] place: &str,
    #[case] value: &str,
    #[case] kind: &str,
    #[case] words: &str,
) {
    let failure = failed(world(typed(place, "{{ parameters.p }}"), value, kind).render());
    assert!(failure.message.ends_with(&format!(": \"parameters.p\": {words}")), "{failure:?}");
    assert!(failure.message.starts_with("spec.steps[2].template.spec."), "{failure:?}");
}

#[test]
fn map_keys_are_told_in_brackets() {
    let mut fields = input(json!({"value": "x"}));
    fields["template"] = template(json!({}));
    fields["template"]["metadata"] =
        json!({"annotations": {"a.b/c": "{{ parameters.p }}", "d": "{{ 1 / 0 }}"}});
    let failure = failed(World::of(step(fields.clone())).render());
    let place = "spec.steps[2].template.metadata.annotations[d]: ";
    assert_eq!(failure.message, place.to_owned() + "\"1 / 0\": division by zero");
    fields["template"]["metadata"]["annotations"]["d"] = json!("{{ 4 / 2 }}");
    let rendered = World::of(step(fields)).render().unwrap();
    assert_eq!(rendered.template["metadata"]["annotations"], json!({"a.b/c": "x", "d": "2"}));
}

#[test]
fn keys_are_never_looked_at() {
    let mut world = World::of(step(json!({})));
    let template = json!({"spec": {"{{ 1 / 0 }}": "{{ 1 + 1 }}"}});
    world.flow.spec.steps[2].template = Some(template.into());
    assert_eq!(world.render().unwrap().template, json!({"spec": {"{{ 1 / 0 }}": "2"}}));
}

#[test]
fn labels_and_annotations_of_the_step_are_rendered_too() {
    let mut fields = input(json!({"value": "x"}));
    fields["metadata"] =
        json!({"labels": {"a": "l-{{ parameters.p }}", "b": "b"}, "annotations": {"c": "{{ flow.name }}"}});
    let rendered = World::of(step(fields)).render().unwrap();
    let map = |entries: &[(&str, &str)]| {
        entries
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect::<BTreeMap<_, _>>()
    };
    assert_eq!(rendered.labels, map(&[("a", "l-x"), ("b", "b")]));
    assert_eq!(rendered.annotations, map(&[("c", "f")]));
}

#[test]
fn a_manual_step_has_no_template() {
    let rendered = World::of(json!({"name": "here", "type": "Manual", "dependencies": ["load"]})).render();
    assert_eq!(rendered, Ok(Rendered::default()));
}

fn secret(value: &str, extra: Value) -> World {
    let mut parameter = json!({"name": "token", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}});
    parameter.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    let env = json!({"env": [{"name": "A", "value": "a"}, {"name": "TOKEN", "value": value}]});
    World::of(step(json!({"inputs": {"parameters": [parameter]}, "template": template(env)})))
}

#[rstest]
#[case("{{ parameters.token }}")]
#[case(" {{parameters[\"token\"]}} ")]
#[case("${parameters.token}")]
#[case("{{ .parameters.token }}")]
fn a_secret_as_a_whole_env_value_is_not_read(#[case] value: &str) {
    let rendered = secret(value, json!({})).render().unwrap();
    assert_eq!(
        container(&rendered)["env"],
        json!([
            {"name": "A", "value": "a"},
            {"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}
        ])
    );
}

#[test]
fn a_secret_in_any_other_place_is_read() {
    let needs = Err(Unready::Needs(BTreeSet::from([Source::Secret("s".to_owned())])));
    for value in ["x{{ parameters.token }}", "{{ parameters.token + \"\" }}"] {
        assert_eq!(secret(value, json!({})).render(), needs);
    }
    let read =
        secret("x{{ parameters.token }}", json!({})).secret("s", Some(&[("k", "t")])).render().unwrap();
    assert_eq!(container(&read)["env"][1], json!({"name": "TOKEN", "value": "xt"}));
}

#[test]
fn a_secret_with_a_default_is_looked_up_but_not_written_in_clear() {
    let with_default = || secret("{{ parameters.token }}", json!({"default": "d"}));
    assert!(matches!(with_default().render(), Err(Unready::Needs(_))));
    let there = with_default().secret("s", Some(&[("k", "t")])).render().unwrap();
    assert_eq!(container(&there)["env"][1]["valueFrom"]["secretKeyRef"]["name"], "s");
    let gone = with_default().secret("s", None).render().unwrap();
    assert_eq!(container(&gone)["env"][1], json!({"name": "TOKEN", "value": "d"}));
}

#[test]
fn optional_is_handed_on() {
    let mut world = secret("{{ parameters.token }}", json!({}));
    let inputs = world.flow.spec.steps[2].inputs.as_mut().unwrap();
    let from = inputs.parameters[0].value_from.as_mut().unwrap();
    from.secret_key_ref.as_mut().unwrap().optional = Some(true);
    let rendered = world.render().unwrap();
    assert_eq!(container(&rendered)["env"][1]["valueFrom"]["secretKeyRef"]["optional"], json!(true));
}

/// Whatever goes wrong with it, a Secret's value is in no message.
#[test]
fn no_message_holds_a_secrets_value() {
    for expression in [
        "int(parameters.token)",
        "parameters.token + 1 == dyn(1)",
        "{\"a\": 1}[parameters.token]",
        "[1][int(parameters.token)]",
        "parameters.token < 1",
        "parameters.token.matches(parameters.token + \"(\")",
        "{parameters.token: 1, parameters.token: 2}",
        "double(parameters.token) > 1.0 && bool(parameters.token)",
        "dyn(parameters.token) && true",
        "dyn(parameters.token).x",
        "[parameters.token] - 1",
        "-dyn(parameters.token)",
    ] {
        let mut fields = json!({"inputs": {"parameters": [
            {"name": "token", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}},
        ]}});
        fields["template"] = template(json!({"args": [format!("{{{{ dyn({expression}) }}}}")]}));
        let flow = json!({"spec": {"steps": [step(fields)]}});
        let mut world = World::of(step(json!({})));
        // Some of these would not be admitted; the words have to be safe all the same.
        world.flow.spec.steps[2] = serde_json::from_value(flow["spec"]["steps"][0].clone()).unwrap();
        let failure = failed(world.secret("s", Some(&[("k", "hunter2(")])).render());
        assert!(!failure.message.contains("hunter2"), "{failure:?}");
    }
}
