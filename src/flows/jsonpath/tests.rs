use proptest::prelude::*;

use super::*;

fn query(text: &str) -> String {
    parse(text).unwrap_or_else(|error| panic!("{text}: {error:?}")).query
}

fn error(text: &str) -> (usize, String) {
    let error = parse(text).map(|path| path.query).expect_err(text);
    (error.column, error.message + "; " + &error.hint.unwrap_or_default())
}

#[test]
fn rfc_paths_stay_and_kubectls_are_translated() {
    for (text, rfc) in [
        ("$.status.succeeded", "$.status.succeeded"),
        ("$['a b'][0]", "$['a b'][0]"),
        ("{.status.succeeded}", "$.status.succeeded"),
        ("{ .status }", "$.status"),
        (".status.conditions[*].type", "$.status.conditions[*].type"),
        ("status.phase", "$.status.phase"),
        ("{$.output}", "$.output"),
        ("{@.output}", "$.output"),
        (r".metadata.labels.app\.kubernetes\.io/name", "$.metadata.labels['app.kubernetes.io/name']"),
        (".metadata.labels.my-label", "$.metadata.labels['my-label']"),
        ("{..name}", "$..name"),
        ("{.items[?(@.a=='x')].b}", "$.items[?(@.a=='x')].b"),
        ("$", "$"),
    ] {
        assert_eq!(query(text), rfc, "{text}");
    }
}

#[test]
fn mistakes_are_told_with_their_column_in_the_users_text() {
    assert_eq!(error("$.a["), (4, "`[` is not closed; close it with `]`".to_owned()));
    assert_eq!(error("{.a[}").0, 4);
    assert_eq!(error("$[?(@.a > 1]"), (4, "`(` is not closed; close it with `)`".to_owned()));
    assert_eq!(error("$['a").1, "a string is not closed; close it with `'`");
    assert_eq!(error("a b"), (2, "unexpected blank; names with blanks are written as ['a name']".to_owned()));
    assert_eq!(query("$.a [0]"), "$.a [0]");
    assert_eq!(error("$.a-b"), (4, "unexpected `-`; write a name with `-` in it as ['a-b']".to_owned()));
    assert_eq!(error("").0, 1);
    assert!(error("{range .items[*]}{.name}{end}").1.contains("[*]"));
    assert!(error("{.a}{.b}").1.contains("second path"));
    assert!(error("{.a").1.contains("not closed"));
    assert_eq!(error("é[").0, 2);
    assert!(error(&format!("$.{}", "a".repeat(MAX_BYTES))).1.contains("1024"));
    assert!(error(&format!("$[?{}@.a{}]", "(".repeat(200), ")".repeat(200))).1.contains("nest"));
}

#[test]
fn what_only_one_implementation_reads_is_refused() {
    for text in [
        "$.e gr",
        "e gr",
        "$. a",
        "$.. a",
        "$[1 2]",
        "$[- 1]",
        "$['a\nb']",
        "$[?@.a == 1 .5]",
        "$[?length (@.a) > 1]",
        "$[?@.a in $.b]",
        "$[?in(@.a, $.b)]",
        "$[?any_of(@.a, $.b)]",
        "$[?length(@.a)]",
        "$[?match(@.a, 'b') == true]",
        "$[?length(@.*) > 1]",
        "$[?count(1) > 1]",
        "$[?value('a') == 1]",
        "$[?search(@..a, 'b')]",
        "$[?@[?length(@.a)]]",
    ] {
        assert!(serde_json_path::JsonPath::parse(text).is_err(), "{text}");
        assert!(parse(text).is_err(), "{text}");
    }
    for text in [
        "$ .a",
        "$[ 1 , 'x y' ]",
        "$[?( @.a == -1 && ! ( @ .b ) )]",
        "$[?length(@.a) > 1.5e3]",
        "$[?count(@..a) > 1 && match(@['a'], 'b')]",
        "$[?length(value($..a)) == 2]",
        "$.a1 .b",
    ] {
        assert!(serde_json_path::JsonPath::parse(text).is_ok(), "{text}");
        assert!(parse(text).is_ok(), "{text}");
    }
}

#[test]
fn numbers_that_no_document_can_hold_are_refused() {
    for (text, column, words) in [
        ("l[?8.4e444>44 ]", 4, "numbers are at most 1.7976931348623157e308"),
        ("$[?@.a == -1E+309]", 12, "numbers are at most"),
        ("$[9007199254740992]", 3, "integers are at most 9007199254740991"),
        ("$[-9007199254740992]", 4, "integers are at most"),
        ("$[1:9007199254740992]", 5, "integers are at most"),
        ("$[::99999999999999999999]", 5, "integers are at most"),
        ("$[?@.a < 9007199254740993.5]", 10, "integers are at most"),
    ] {
        let (at, said) = error(text);
        assert!(at == column && said.starts_with(words), "{text}: {at}: {said}");
        assert!(said.ends_with("; write a smaller number"), "{said}");
    }
    for text in [
        "$[9007199254740991]",
        "$[-9007199254740991]",
        "$[?@.a == 8.4e44]",
        "$[?@.a == 1e-444]",
        "$[?@.a == 0e+99999999999999999999]",
        "$[?@.a == 0.000001e310]",
        "$.a9007199254740992",
        "$['9e999']",
    ] {
        assert!(serde_json_path::JsonPath::parse(text).is_ok(), "{text}");
        assert!(parse(text).is_ok(), "{text}");
    }
}

#[test]
fn the_step_stands_before_the_first_colon() {
    assert_eq!(split_step("load:$.a[1:2]"), (Some("load"), "$.a[1:2]"));
    assert_eq!(split_step("$.a[1:2]"), (None, "$.a[1:2]"));
    assert_eq!(split_step("load:{.a}"), (Some("load"), "{.a}"));
    assert_eq!(split_step(".a"), (None, ".a"));
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(text in "\\PC{0,60}") {
        let _ = parse(&text);
        let _ = split_step(&text);
    }

    #[test]
    fn no_text_of_path_pieces_makes_it_panic(
        pieces in prop::collection::vec(prop::sample::select(
            vec!["$", ".", "..", "a", "[", "]", "'", "\"", "\\", "{", "}", "*", "?", "(", ")", "@", "é", "0", ":", ","]), 0..24)
    ) {
        let _ = parse(&pieces.concat());
    }

    #[test]
    fn rfc_paths_are_valid_exactly_when_another_implementation_says_so(
        pieces in prop::collection::vec(prop::sample::select(
            vec![".a", "..b", "[0]", "[*]", "['x']", "[1:2]", "[?@.a]", "[?@.a == 1]", ".", "[", "]", ".*", "[-1]", "[::2]", "1", "['a',1]"]), 0..6)
    ) {
        let text = format!("${}", pieces.concat());
        prop_assert_eq!(parse(&text).is_ok(), serde_json_path::JsonPath::parse(&text).is_ok(), "{}", text);
    }
}
