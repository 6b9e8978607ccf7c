use proptest::prelude::*;
use rstest::rstest;
use serde_json::{Value, json};

use super::*;
use crate::flows::jsonpath::parse;

fn select<'v>(path: &str, document: &'v Value) -> Vec<&'v Value> {
    let path = parse(path).unwrap_or_else(|error| panic!("{path}: {error:?}"));
    path.select(document).unwrap_or_else(|error| panic!("{error}"))
}

#[rstest]
#[case("$", json!([{"a": [1, 2, {"b": 3}], "c d": null}]))]
#[case("$.a[0]", json!([1]))]
#[case("$.a[-1].b", json!([3]))]
#[case("$.a[-4]", json!([]))]
#[case("$.a[9]", json!([]))]
#[case("$['c d']", json!([null]))]
#[case(".a[:2]", json!([1, 2]))]
#[case("$.a[::-1]", json!([{"b": 3}, 2, 1]))]
#[case("$.a[::0]", json!([]))]
#[case("$.a[9007199254740991:-9007199254740991:-9007199254740991]", json!([{"b": 3}]))]
#[case("$..b", json!([3]))]
#[case("$.a[*]", json!([1, 2, {"b": 3}]))]
#[case("$['a','c d'][0]", json!([1]))]
#[case("$.a[?@ > 1]", json!([2]))]
#[case("$.a[?@.b]", json!([{"b": 3}]))]
#[case("$.a[?!@.b && @ != 1]", json!([2]))]
#[case("$.a[?count(@.x) == 0]", json!([1, 2, {"b": 3}]))]
#[case("$[?@[?@.b == 3]]", json!([[1, 2, {"b": 3}]]))]
#[case("$.a[?@ == 1.00000000000000001]", json!([1]))]
#[case("$.a[?@ < 1.0000000000000002]", json!([1]))]
#[case("$.a[?@.x == @.y]", json!([1, 2, {"b": 3}]))]
#[case("$.a[?@.x <= @.y]", json!([1, 2, {"b": 3}]))]
#[case("$.a[?@ <= 1]", json!([1]))]
#[case("$[?@ > $]", json!([]))]
#[case("$.a[?value($.a[-2]) == @]", json!([2]))]
#[case("$.a[?$.a[-2] == @]", json!([2]))]
#[case("$[?@ >= null]", json!([null]))]
#[case("$.a[?$.a[0] == @]", json!([1]))]
#[case("$[?value(@..b) == 3]", json!([[1, 2, {"b": 3}]]))]
#[case("$[?length(@) == 3]", json!([[1, 2, {"b": 3}]]))]
#[case("$.a[?count($.a[-1]) > 0]", json!([1, 2, {"b": 3}]))]
fn a_path_selects(#[case] path: &str, #[case] wanted: Value) {
    let document = json!({"a": [1, 2, {"b": 3}], "c d": null});
    assert_eq!(json!(select(path, &document)), wanted);
}

#[test]
fn regular_expressions_are_those_of_rfc_9485() {
    let document = json!(["abc", "ab\r", "xabc", "a.c", 3]);
    assert_eq!(json!(select("$[?match(@, 'a.c')]", &document)), json!(["abc", "a.c"]));
    assert_eq!(json!(select(r"$[?match(@, 'a\\.c')]", &document)), json!(["a.c"]));
    assert_eq!(json!(select("$[?match(@, 'a[.]c')]", &document)), json!(["a.c"]));
    assert_eq!(json!(select("$[?search(@, 'b.')]", &document)), json!(["abc", "xabc"]));
    assert_eq!(json!(select("$[?match(@, 'abc|x')]", &document)), json!(["abc"]));
    assert_eq!(json!(select("$[?search(@, '(')]", &document)), json!([]));
}

/// Were any of these not bounded, this test would take years, or all memory.
#[test]
fn hostile_paths_end_soon() {
    let deep =
        (0..100).fold(json!(1), |inner, _| json!({"a": inner, "b": [1, "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab"]}));
    let wide = json!((0..20_000).map(|i| json!({"a": i, "b": [i]})).collect::<Vec<_>>());
    let many = |piece: &str, times: usize| format!("${}", piece.repeat(times));
    for (path, document) in [
        (many("..*", 300), &deep),
        ("$..*..*..*..*..*".to_owned(), &deep),
        ("$..[?@..[?@..[?@..[?@.x]]]]".to_owned(), &deep),
        ("$[?$..a == @.b]".replace("$..a", "value($..a)"), &wide),
        ("$..[?count($..*) > 1]".to_owned(), &wide),
        ("$[?$[?@.a == 19999]]".to_owned(), &wide),
        ("$..[?search(@, '(a{1000}){1000}')]".to_owned(), &deep),
    ] {
        assert_eq!(parse(&path).unwrap().select(document), Err(TooCostly), "{path}");
    }
    assert_eq!(select("$[?@.a == 19999].b[0]", &wide), [&json!(19_999)]);
    assert_eq!(select("$..b", &wide).len(), 20_000);
}

fn document() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-2_i64..4).prop_map(Value::from),
        prop::sample::select(vec![0.5, 1.0, 1e-17, -1.5]).prop_map(Value::from),
        prop::sample::select(vec!["", "a", "ab", "x.y", "é\n"]).prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 40, 5, |inner| {
        let key = prop::sample::select(vec!["a", "b", "x y", "c"]).prop_map(str::to_owned);
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::btree_map(key, inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

fn singular(root: &'static str) -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![".a", ".b", "['x y']", "[0]", "[1]"]);
    prop::collection::vec(piece, 0..3).prop_map(move |pieces| root.to_owned() + &pieces.concat())
}

/// A filter; `inner` gives the segments of the paths in it.
///
/// Left out is what the other implementation does otherwise than the RFC, and has its cases above: `<=` of nothing and
/// nothing, the order of lists and truths, and `[-1]` in the path that a function takes.
fn filter(inner: impl Strategy<Value = String> + Clone + 'static) -> impl Strategy<Value = String> {
    let path = (prop::sample::select(vec!["@", "$"]), prop::collection::vec(inner, 0..3))
        .prop_map(|(root, segments)| root.to_owned() + &segments.concat());
    let literal = prop::sample::select(vec!["1", "0", "1.0", "0.5", "'a'", "'ab'", "null", "true", "1e-18"])
        .prop_map(str::to_owned)
        .boxed();
    let ordered = prop::sample::select(vec!["1", "0", "0.5", "'a'", "'ab'", "1e-18"]);
    let scalar = prop_oneof![
        literal.clone(),
        singular("@").prop_map(|path| format!("length({path})")),
        path.clone().prop_map(|path| format!("count({})", path.replace("[-1]", "[1]"))),
    ]
    .boxed();
    let side = prop_oneof![
        scalar.clone(),
        singular("@"),
        singular("$"),
        path.clone().prop_map(|path| format!("value({})", path.replace("[-1]", "[1]"))),
    ]
    .boxed();
    let atom = prop_oneof![
        path.clone(),
        path.prop_map(|path| format!("!{path}")),
        (side.clone(), prop::sample::select(vec!["==", "!="]), side.clone())
            .prop_map(|(a, operator, b)| format!("{a} {operator} {b}")),
        (side, prop::sample::select(vec!["<", ">"]), ordered)
            .prop_map(|(a, operator, b)| format!("{a} {operator} {b}")),
        (singular("@"), prop::sample::select(vec!["a", "a.*", "[ab]+", "x\\\\.y"]), any::<bool>()).prop_map(
            |(path, pattern, whole)| format!(
                "{}({path}, '{pattern}')",
                if whole { "match" } else { "search" }
            )
        ),
    ];
    (atom.clone(), prop::option::of((prop::sample::select(vec!["&&", "||"]), atom))).prop_map(|(a, more)| {
        match more {
            Some((operator, b)) => format!("{a} {operator} ({b})"),
            None => a,
        }
    })
}

fn segment() -> BoxedStrategy<String> {
    let plain = prop::sample::select(vec![
        ".a",
        ".b",
        "['x y']",
        ".*",
        "[*]",
        "..a",
        "..*",
        "[0]",
        "[-1]",
        "[1:]",
        "[:2]",
        "[::-1]",
        "[-2:3:2]",
        "[3:0:-2]",
        "['a','b',0]",
        "[0,0]",
        "..[0]",
        "..['a',*]",
    ])
    .prop_map(str::to_owned)
    .boxed();
    let once = filter(plain.clone()).prop_map(|filter| format!("[?{filter}]")).boxed();
    let twice = filter(prop_oneof![plain.clone(), once.clone()].boxed())
        .prop_map(|filter| format!("[?{filter}]"))
        .boxed();
    prop_oneof![4 => plain, 1 => once, 1 => twice.prop_map(|filter| format!("..{filter}"))].boxed()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn another_implementation_selects_the_same(
        segments in prop::collection::vec(segment(), 0..4), document in document()
    ) {
        let text = format!("${}", segments.concat());
        let theirs = serde_json_path::JsonPath::parse(&text).unwrap_or_else(|error| panic!("{text}: {error}"));
        let ours = parse(&text).unwrap_or_else(|error| panic!("{text}: {error:?}"));
        prop_assert_eq!(ours.select(&document).unwrap(), theirs.query(&document).all(), "{}", text);
    }
}
