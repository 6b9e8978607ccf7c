use proptest::prelude::*;

use super::*;

fn labels(list: &[(&str, &str)]) -> BTreeMap<String, String> {
    list.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

fn matches(selector: &str, list: &[(&str, &str)]) -> bool {
    Selector::parse(selector).unwrap().matches(&labels(list))
}

fn error(selector: &str) -> String {
    Selector::parse(selector).unwrap_err().to_string()
}

fn contradictions(selector: &str) -> Vec<(String, usize)> {
    let selector = Selector::parse(selector).unwrap();
    selector.contradictions().into_iter().map(|found| (found.key, found.column)).collect()
}

#[test]
fn selectors_select_as_kubernetes_selects() {
    let pod = [("app", "db"), ("role", "primary"), ("empty", "")];
    for (selector, expected) in [
        ("", true),
        ("app=db", true),
        ("app==db", true),
        ("app = db , role in ( primary , backup ) , !draining", true),
        ("app!=db", false),
        ("gone!=x", true),
        ("gone notin (x)", true),
        ("role notin (primary)", false),
        ("app", true),
        ("!app", false),
        ("gone", false),
        ("empty=", true),
        ("empty in (,x)", true),
        ("empty in ()", true),
        ("app=,role=primary", false),
        ("example.com/x,app", false),
    ] {
        assert_eq!(matches(selector, &pod), expected, "{selector}");
    }
    assert!(matches("in in (notin)", &[("in", "notin")]), "keywords are keys where a key is wanted");
}

#[test]
fn syntax_errors_carry_the_column() {
    assert_eq!(error("app=db,"), "nothing follows the `,` at column 7");
    assert_eq!(error("app db"), "`db` where `=`, `!=`, `in`, `notin` or `,` is wanted at column 5");
    assert_eq!(error("app in db"), "`db` where `(` is wanted at column 8");
    assert_eq!(error("app in (a"), "it ends where `,` or `)` is wanted at column 10");
    assert_eq!(error("a,,b"), "`,` where a key is wanted at column 3");
    assert_eq!(error("a=b=c"), "`=` where `,` is wanted at column 4");
    assert_eq!(error("!"), "it ends where a key is wanted at column 2");
    assert!(error("a > 3").starts_with("`>` is not supported"));
    assert!(error("-a=b").starts_with("the key `-a` "));
    assert!(error("ä,b=ü").ends_with("at column 1"));
    assert!(error("a=-").ends_with("at column 3"));
    assert!(Selector::parse(&"a,".repeat(4_000)).is_err());
}

#[test]
fn contradictions_are_found_where_they_arise() {
    assert_eq!(contradictions("a=1,a=2"), [("a".to_owned(), 5)]);
    assert_eq!(contradictions("a,!a"), [("a".to_owned(), 3)]);
    assert_eq!(contradictions("!a,a=1"), [("a".to_owned(), 4)]);
    assert_eq!(contradictions("a in (x),a notin (x)"), [("a".to_owned(), 10)]);
    assert_eq!(contradictions("a notin (x),a in (x)"), [("a".to_owned(), 13)]);
    assert!(contradictions("a in (x,y),a notin (x),a,!b,b!=c").is_empty());
}

fn requirement() -> impl Strategy<Value = String> {
    let key = prop::sample::select(vec!["a", "b"]);
    let values = prop::collection::vec(prop::sample::select(vec!["x", "y", "z", ""]), 1..3);
    (key, 0..6, values).prop_map(|(key, operator, values)| match operator {
        0 => format!("{key}={}", values[0]),
        1 => format!("{key}!={}", values[0]),
        2 => format!("{key} in ({})", values.join(",")),
        3 => format!("{key} notin ({})", values.join(",")),
        4 => key.to_owned(),
        _ => format!("!{key}"),
    })
}

/// Every set of labels over two keys and four values.
fn all_labels() -> Vec<BTreeMap<String, String>> {
    let values = [None, Some("x"), Some("y"), Some("z"), Some(""), Some("other")];
    let mut all = Vec::new();
    for a in values {
        for b in values {
            let pairs: Vec<(&str, &str)> =
                [("a", a), ("b", b)].into_iter().filter_map(|(k, v)| Some((k, v?))).collect();
            all.push(labels(&pairs));
        }
    }
    all
}

/// A second reading of one requirement, by its text.
fn holds(text: &str, labels: &BTreeMap<String, String>) -> bool {
    let list = |text: &str| text.trim_end_matches(')').split(',').map(str::to_owned).collect::<Vec<_>>();
    if let Some((key, values)) = text.split_once(" in (") {
        return labels.get(key).is_some_and(|value| list(values).contains(value));
    }
    if let Some((key, values)) = text.split_once(" notin (") {
        return labels.get(key).is_none_or(|value| !list(values).contains(value));
    }
    if let Some((key, value)) = text.split_once("!=") {
        return labels.get(key).is_none_or(|there| there != value);
    }
    if let Some((key, value)) = text.split_once('=') {
        return labels.get(key).is_some_and(|there| there == value);
    }
    text.strip_prefix('!').map_or_else(|| labels.contains_key(text), |key| !labels.contains_key(key))
}

proptest! {
    #[test]
    fn matching_and_contradictions_agree_with_brute_force(list in prop::collection::vec(requirement(), 0..5)) {
        let text = list.join(",");
        let selector = Selector::parse(&text).unwrap();
        let mut any = false;
        for labels in all_labels() {
            let expected = list.iter().all(|text| holds(text, &labels));
            prop_assert_eq!(selector.matches(&labels), expected, "{} {:?}", text, labels);
            any |= expected;
        }
        prop_assert_eq!(selector.contradictions().is_empty(), any, "{}", text);
    }

    #[test]
    fn no_text_panics(text in "[-a-z=!(), ä<>\t/.]{0,40}|\\PC{0,40}") {
        if let Ok(selector) = Selector::parse(&text) {
            selector.contradictions();
        }
    }
}
