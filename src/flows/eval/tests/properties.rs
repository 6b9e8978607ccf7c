use proptest::prelude::*;

use super::*;

fn arguments(world: &World) -> Value {
    world.render().unwrap().template["spec"]["template"]["spec"]["containers"][0]["args"].clone()
}

/// The shape of a value: its keys, its lists' lengths, the types of its leaves.
fn shape(value: &Value) -> Value {
    match value {
        Value::Array(list) => list.iter().map(shape).collect(),
        Value::Object(map) => map.iter().map(|(key, entry)| (key.clone(), shape(entry))).collect(),
        Value::String(_) => json!("text"),
        other => other.clone(),
    }
}

fn hostile_text() -> impl Strategy<Value = String> {
    let pieces = prop::sample::select(vec![
        "{{",
        "}}",
        "\"",
        "'",
        "\\",
        "\n",
        "\0",
        "${parameters.p}",
        "{{ parameters.p }}",
        "é",
        "😀",
        ": ",
        "- a",
        ",",
        "$(",
        "\u{2028}",
        "}",
        "{",
        "\\{{",
        "a",
    ]);
    prop_oneof!["\\PC{0,20}", prop::collection::vec(pieces, 0..12).prop_map(|pieces| pieces.concat())]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_value_arrives_unchanged_and_adds_no_key(value in hostile_text()) {
        let leaves = json!(["{{ parameters.p }}", "a{{ parameters.p }}b{{ parameters.p }}", "{{ [parameters.p] }}"]);
        let mut fields = input(json!({"value": value}));
        fields["template"] = template(json!({"args": leaves}));
        let world = World::of(step(fields));
        let found = arguments(&world);
        // As the container gets it.
        let found = |i: usize| kubelet_escape::expand(found[i].as_str().unwrap());
        prop_assert_eq!(found(0), value.clone());
        prop_assert_eq!(found(1), format!("a{value}b{value}"));
        let list: Value = serde_json::from_str(&found(2)).unwrap();
        prop_assert_eq!(list, json!([value]));
        let written = world.flow.spec.steps[2].template.clone().unwrap().value().into_owned();
        prop_assert_eq!(shape(&world.render().unwrap().template), shape(&written));
    }

    #[test]
    fn a_template_without_expressions_is_rendered_as_it_is(texts in prop::collection::vec(hostile_text(), 0..6)) {
        let texts: Vec<String> =
            texts.into_iter().map(|text| text.replace('{', "")).collect();
        let fields = json!({"template": template(json!({"args": texts}))});
        let world = World::of(step(fields));
        let written = world.flow.spec.steps[2].template.clone().unwrap().value().into_owned();
        prop_assert_eq!(world.render().unwrap().template, written);
    }

    #[test]
    fn an_escaped_text_is_rendered_as_it_was(text in hostile_text()) {
        // As an author would escape it: a backslash before what would open an expression, doubled ones before that.
        let mut escaped = String::new();
        let mut rest = text.as_str();
        while let Some(c) = rest.chars().next() {
            let slashes = rest.bytes().take_while(|c| *c == b'\\').count();
            let opens = rest[slashes..].starts_with("{{") || rest[slashes..].starts_with("${parameters.");
            if opens {
                escaped += &"\\".repeat(2 * slashes + 1);
                escaped += &rest[slashes..slashes + 2];
                rest = &rest[slashes + 2..];
            } else if slashes > 0 {
                escaped += &rest[..slashes];
                rest = &rest[slashes..];
            } else {
                escaped.push(c);
                rest = &rest[c.len_utf8()..];
            }
        }
        let world = World::of(step(json!({"template": template(json!({"args": [escaped]}))})));
        prop_assert_eq!(&arguments(&world)[0], &json!(text));
    }
}

/// An expression of a few pieces; many are admitted.
fn expression() -> BoxedStrategy<String> {
    let leaf = prop::sample::select(vec![
        "parameters.s",
        "parameters.i",
        "parameters.d",
        "parameters.b",
        "parameters.j",
        "parameters.j.a",
        "steps.load.outputs.rows",
        "steps.load.outputs.lack",
        "steps.load.outputs.data",
        "steps.load.exitCode",
        "steps[\"load-a\"].phase",
        "flow.labels",
        "flow.labels.team",
        "step.attempt",
        "1",
        "-1",
        "0",
        "2u",
        "0.0",
        "1.5",
        "9223372036854775807",
        "-9223372036854775808",
        "18446744073709551615u",
        "\"\"",
        "\"a\"",
        "\"1\"",
        "b\"x\"",
        "true",
        "false",
        "null",
        "[]",
        "[1, 2]",
        "{}",
        "{\"a\": 1}",
        "int",
        "type(1)",
        "x",
    ])
    .prop_map(str::to_owned);
    leaf.prop_recursive(4, 24, 3, |inner| {
        let operator = prop::sample::select(vec![
            "+", "-", "*", "/", "%", "==", "!=", "<", "<=", ">", ">=", "&&", "||", "in",
        ]);
        let function = prop::sample::select(vec![
            "size", "int", "uint", "double", "string", "bytes", "bool", "type", "dyn",
        ]);
        let method = prop::sample::select(vec!["contains", "startsWith", "endsWith", "matches"]);
        let looped = prop::sample::select(vec!["all", "exists", "exists_one", "map", "filter"]);
        prop_oneof![
            (inner.clone(), operator, inner.clone())
                .prop_map(|(a, operator, b)| format!("({a} {operator} {b})")),
            (function, inner.clone()).prop_map(|(function, a)| format!("{function}({a})")),
            (inner.clone(), method, inner.clone()).prop_map(|(a, method, b)| format!("({a}).{method}({b})")),
            (inner.clone(), looped, inner.clone())
                .prop_map(|(a, looped, b)| format!("({a}).{looped}(x, {b})")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a})[{b}]")),
            (inner.clone(), inner.clone(), inner.clone()).prop_map(|(a, b, c)| format!("({a} ? {b} : {c})")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("{{{a}: {b}}}")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("[{a}, {b}]")),
            inner.clone().prop_map(|a| format!("dyn({a}).a")),
            inner.clone().prop_map(|a| format!("has(dyn({a}).a)")),
            inner.clone().prop_map(|a| format!("!{a}")),
            inner.prop_map(|a| format!("-{a}")),
        ]
    })
    .boxed()
}

/// The flow of these tests, whatever its last step says.
fn any_world(fields: Value) -> Option<World> {
    let parameters = json!([
        {"name": "s", "value": "text"}, {"name": "i", "value": "3", "type": "int"},
        {"name": "d", "value": "0.5", "type": "double"}, {"name": "b", "value": "true", "type": "bool"},
        {"name": "j", "value": "{\"a\": [1, \"x\", null, {\"b\": 0.5}]}", "type": "json"}
    ]);
    let mut world = World::with(json!({"parameters": parameters}), step(json!({})));
    let step = step(fields);
    let mut flow = serde_json::to_value(&world.flow).unwrap();
    flow["spec"]["steps"][2] = step;
    flow["spec"]["steps"][2]["dependencies"] = json!(["load", "load-a"]);
    let checked = rules::flow(&flow, &rules::Options::default());
    let valid = checked.is_valid();
    world.flow = checked.flow;
    valid.then_some(world)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1024, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_admitted_is_evaluated_without_a_panic_and_knows_its_names(text in expression()) {
        let leaf = format!("{{{{ {text} }}}}");
        let leaves = json!({"template": template(json!({"args": [leaf]})), "when": format!("dyn({text}) == dyn(1)")});
        if let Some(world) = any_world(leaves) {
            for outcome in [world.when().map(|_| ()), world.render().map(|_| ())] {
                if let Err(Unready::Failed(failure)) = outcome {
                    let about_names = ["no value by itself", "there is no step", "there is no parameter", "cannot be evaluated"];
                    prop_assert!(!about_names.iter().any(|words| failure.message.contains(words)), "{}: {:?}", text, failure);
                } else {
                    prop_assert!(outcome.is_ok(), "{}", text);
                }
            }
        }
    }
}
