//! Hostile expressions end soon, and say why. Were any of these not bounded, this would take hours or all memory.

use rstest::rstest;

use super::*;

fn world(when: &str, list: &str) -> World {
    World::with(
        json!({"parameters": [{"name": "xs", "type": "json", "value": list}, {"name": "s", "value": "a".repeat(20_000)}]}),
        step(json!({"when": when})),
    )
}

fn ones(count: usize) -> String {
    json!(vec![1; count]).to_string()
}

#[rstest]
#[case("parameters.xs.all(x, parameters.xs.all(y, x == y))")]
#[case("parameters.xs.map(x, parameters.xs).size() > 1")]
#[case("parameters.xs.map(x, parameters.s + parameters.s).size() > 1")]
#[case("parameters.xs.exists(x, parameters.xs.exists(y, false)) || true")]
#[case("parameters.xs.filter(x, parameters.s.matches(\"(a?){100}b\")).size() > 1")]
#[case("parameters.xs.map(x, [1,2,3,4,5,6,7,8,9].map(y, [1,2,3,4,5,6,7,8,9])).size() > 1")]
fn a_loop_in_a_loop_is_bounded(#[case] when: &str) {
    let failure = failed(world(when, &ones(15_000)).when());
    assert!(failure.message.contains("cost too much"), "{failure:?}");
    // The same of a few is no matter.
    assert!(world(when, &ones(3)).when().is_ok());
}

#[test]
fn doubling_is_bounded() {
    for (start, step) in [("[1]", ".map(x, [x, x])"), ("[parameters.s]", ".map(x, x + x)")] {
        let when = format!("{start}{}.size() > 1", step.repeat(40));
        let failure = failed(world(&when, "[]").when());
        assert!(failure.message.contains("cost too much"), "{failure:?}");
    }
}

#[test]
fn many_leaves_share_one_account() {
    let leaves = vec!["{{ parameters.xs.map(x, x).size() }}"; 3000];
    let fields = json!({"template": template(json!({"args": leaves}))});
    let spec = json!({"parameters": [{"name": "xs", "type": "json", "value": ones(10_000)}]});
    assert!(failed(World::with(spec.clone(), step(fields)).render()).message.contains("cost too much"));
    let unread = vec!["{{ true ? \"\" : string(parameters.xs) }}"; 3000];
    let fields = json!({"template": template(json!({"args": unread}))});
    assert!(failed(World::with(spec, step(fields)).render()).message.contains("cost too much"));
}

#[test]
fn what_values_add_to_a_job_is_bounded() {
    let leaves = vec!["{{ parameters.s }}"; 60];
    let fields = json!({"template": template(json!({"args": leaves}))});
    let spec = json!({"parameters": [{"name": "s", "value": "a".repeat(20_000)}]});
    let failure = failed(World::with(spec, step(fields)).render());
    assert_eq!(failure.reason, "DataTooLarge");
    assert!(failure.message.contains("more than 1048576 bytes"), "{failure:?}");
}

#[test]
fn a_result_is_bounded() {
    let fields = json!({"template": template(json!({"args": ["{{ parameters.s + parameters.s + parameters.s + parameters.s }}"]}))});
    let spec = json!({"parameters": [{"name": "s", "value": "a".repeat(20_000)}]});
    let failure = failed(World::with(spec, step(fields)).render());
    assert_eq!(failure.reason, "DataTooLarge");
    assert!(failure.message.contains("80000 bytes"), "{failure:?}");
}

/// As deep as admission allows, on a thread with the stack of a worker (2 MiB).
#[rstest]
#[case("", "1", " + 1", 120, " == 121")]
#[case("", "parameters.xs", "[0]", 30, " == 1")]
#[case("(", "1", ")", 30, " == 1")]
#[case("[", "1", "]", 30, " == dyn(1)")]
#[case("[1].map(x, ", "[1]", ")", 1, " == dyn(1)")]
#[case("dyn(", "1", ")", 15, " == 1")]
#[case("true ? 1 : ", "1", "", 100, " == 1")]
#[case("", "[1]", ".map(x, [x])", 40, " == dyn(1)")]
#[case("!", "true", "", 100, "")]
#[case("{1: ", "2", "}", 15, " == dyn(1)")]
fn deep_expressions_do_not_overflow_the_stack(
    #[case] before: &str,
    #[case] inner: &str,
    #[case] after: &str,
    #[case] times: usize,
    #[case] end: &str,
) {
    let when = format!("{}{inner}{}{end}", before.repeat(times), after.repeat(times));
    let world = world(&when, "[1]");
    let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| world.when()));
    assert!(outcome.is_ok(), "{when}");
}

#[test]
fn deep_expressions_in_loops_do_not_overflow_the_stack() {
    let sum = format!("1{}", " + 1".repeat(100));
    let when = format!("[1].map(x, [1].map(y, {sum})) == [[101]]");
    assert_eq!(world(&when, "[]").when(), Ok(true));
    let lists = format!("{}x{}", "[".repeat(25), "]".repeat(25));
    let when = format!("[1].all(x, [1].exists(y, {lists} == {lists}))");
    assert_eq!(world(&when, "[]").when(), Ok(true));
}

#[test]
fn deep_json_is_no_deeper_than_the_reader_allows() {
    let nested = format!("{}1{}", "[".repeat(127), "]".repeat(127));
    assert_eq!(world("parameters.xs == parameters.xs", &nested).when(), Ok(true));
    let deeper = format!("{}1{}", "[".repeat(500), "]".repeat(500));
    let parameter =
        json!({"name": "xs", "type": "json", "valueFrom": {"configMapKeyRef": {"name": "c", "key": "k"}}});
    let world =
        World::with(json!({"parameters": [parameter]}), step(json!({"when": "parameters.xs == dyn(1)"})));
    let failure = failed(world.config("c", Some(&[("k", &deeper)])).when());
    assert_eq!(failure.reason, "ParameterInvalid");
}

#[test]
fn costly_paths_are_bounded_for_all_inputs_together() {
    let entries: Vec<Value> = (0..2_000).map(|i| json!({"a": i})).collect();
    let inputs: Vec<Value> = (0..200)
        .map(|i| json!({"name": format!("p{i}"), "valueFrom": {"jsonPath": "load:$..[?@.a == 1999].a"}}))
        .collect();
    let mut world = World::of(step(json!({"inputs": {"parameters": inputs}})));
    world.documents.insert("load".to_owned(), json!({"output": entries}));
    assert!(failed(world.render()).message.contains("too many places"));
}
