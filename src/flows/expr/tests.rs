use std::collections::BTreeMap;
use std::sync::Arc;

use cel::{Context, Env, Value};
use proptest::prelude::*;

use super::*;
use crate::flows::api::ValueType;
use crate::problem::Problem;

/// Steps `extract` (outputs `rows`: int, `out-1`), `load` and `load-a` before the step `here`; `later` after it.
struct World;

const STEPS: [&str; 5] = ["extract", "load", "load-a", "here", "later"];

fn known() -> BTreeMap<&'static str, ValueType> {
    BTreeMap::from([
        ("name", ValueType::String),
        ("max-rows", ValueType::Int),
        ("count", ValueType::Int),
        ("on", ValueType::Bool),
        ("data", ValueType::Json),
    ])
}

impl Scope for World {
    fn parameter(&self, name: &str) -> Option<Option<ValueType>> {
        known().get(name).map(|found| Some(*found))
    }
    fn parameters(&self) -> Vec<&str> {
        known().into_keys().collect()
    }
    fn steps(&self) -> &[&str] {
        &STEPS
    }
    fn is_ancestor(&self, step: &str) -> bool {
        ["extract", "load", "load-a"].contains(&step)
    }
    fn current(&self) -> Option<&str> {
        Some("here")
    }
    fn output(&self, step: &str, name: &str) -> Option<Option<ValueType>> {
        match (step, name) {
            ("extract", "rows") => Some(Some(ValueType::Int)),
            ("extract", "out-1") => Some(Some(ValueType::String)),
            _ => None,
        }
    }
    fn outputs(&self, step: &str) -> Vec<&str> {
        if step == "extract" { vec!["rows", "out-1"] } else { Vec::new() }
    }
    fn resources(&self) -> Vec<&str> {
        vec!["data-volume"]
    }
}

fn lines(out: &Problems) -> Vec<String> {
    out.iter().map(Problem::message).collect()
}

fn when(text: &str) -> Vec<String> {
    let mut out = Problems::new();
    check_when(text, &Place::ROOT, &World, &mut out);
    lines(&out)
}

fn leaf(text: &str) -> Vec<String> {
    let mut out = Problems::new();
    check_text(text, &Place::ROOT, &World, &mut out);
    lines(&out)
}

/// The only problem of a `when`.
#[track_caller]
fn one(text: &str) -> String {
    let mut found = when(text);
    assert_eq!(found.len(), 1, "{text}: {found:#?}");
    found.remove(0)
}

#[track_caller]
fn says(text: &str, code: &str, words: &str) {
    let line = one(text);
    assert!(line.contains(code) && line.contains(words), "{text}: {line}");
}

#[test]
fn sound_expressions_have_no_problem() {
    for text in [
        "",
        "true",
        "steps.extract.phase == \"Succeeded\"",
        "steps.extract.phase == 'Succeeded' && steps['load'].phase != 'Failed'",
        "steps.load-a.phase == \"Succeeded\"",
        "steps[\"load-a\"].phase in [\"Succeeded\", \"Skipped\"]",
        "parameters.max-rows > 3",
        "parameters.max-rows - 1 > parameters.count-1",
        "parameters.on",
        "int(parameters.name) > 3",
        "parameters.data.rows > 3 && parameters.data[\"x\"][0] == 1",
        "steps.extract.outputs.rows > 0 && steps.extract.outputs.out-1 != \"\"",
        "steps[\"extract\"].outputs.out-1 == \"x\"",
        "has(flow.labels.team) && flow.labels[\"team\"] == \"a\"",
        "has(steps.extract.outputs.rows) && has(steps[\"load-a\"].exitCode) && !has(parameters.name)",
        "[1, 2].exists(x, x > parameters.count)",
        "type(parameters.name) == string",
        "resources.data-volume.size() > 3",
        "parameters.name.matches(\"^a\") ? true : step.attempt > 1",
        "steps.extract.exitCode == 0 || steps.extract.startTime != \"\"",
        "parameters.name == 'a}}b' // said",
    ] {
        assert_eq!(when(text), Vec::<String>::new(), "{text}");
    }
}

#[test]
fn syntax_is_told_with_its_column() {
    assert_eq!(
        one("true && (1 +"),
        "Invalid value: \"true && (1 +\": expression ends too soon at column 13; something is missing after this (HW301)"
    );
    says("parameters.name = 1", "HW301", "unexpected `=` at column 17; write ==");
    says("steps.load-a.phase = 1", "HW301", "at column 20;");
    says("\"é\" == é", "HW301", "unexpected `é` at column 8");
    says("parameters.name == \"a", "HW301", "a string is not closed at column 20");
    says("true\n&& (", "HW301", "line 2, column 5");
    says("steps.if.phase == \"Failed\"", "HW301", "steps[\"if\"]");
    says("true and false", "HW301", "write && for");
    says("parameters.on == {{ true }}", "HW301", "column 18; write the expression without braces");
    says("size(", "HW301", "`)` is missing");
    says("true & false", "HW301", "&&");
}

#[test]
fn unknown_names_are_told_once_with_the_nearest() {
    assert_eq!(
        one("steps.extrct.phase == \"Succeded\" || steps.extrct.outputs.x == \"\""),
        "Not found: \"extrct\": no step has this name; did you mean \"extract\"? (HW305)"
    );
    says("step.phase == \"Succeeded\"", "HW313", "`step` has no such property");
    says("step.extract.phase == \"Succeeded\"", "HW313", "\"step.extract\"");
    says("stepz.extract.phase == \"Succeeded\"", "HW303", "did you mean \"steps\"?");
    says("count > 3", "HW303", "write parameters.count");
    says("steps.load.phase == Succeeded", "HW303", "write \"Succeeded\", with quotes");
    says("parameters.cuont > 1", "HW304", "did you mean \"count\"?");
    says("steps.laod-a.phase == \"Failed\"", "HW305", "did you mean \"load-a\"?");
    says("steps.extract.outputs.row > 3", "HW306", "did you mean \"rows\"?");
    says("has(steps.extract.outputs.row)", "HW306", "did you mean \"rows\"?");
    says("steps.load.outputs.rows > 3", "HW306", "declare it in the outputs of \"load\"");
    says("steps.load.phase == \"Succeded\"", "HW307", "did you mean \"Succeeded\"?");
    says("steps.load.phase in [\"Done\"]", "HW307", "the phases are");
    says("flow.nmae == \"x\"", "HW313", "did you mean \"name\"?");
    says("steps.load.foo == \"x\"", "HW313", "has phase, outputs");
    says("resources.data-volme == \"x\"", "HW314", "did you mean \"data-volume\"?");
    says("steps.load == \"x\"", "HW313", "write steps.load.phase");
    says("steps[parameters.name].phase == \"Failed\"", "HW313", "a name is needed here");
}

#[test]
fn a_step_that_is_no_ancestor_is_told_with_the_cure() {
    assert_eq!(
        one("steps.later.phase == \"Failed\" && steps.later.exitCode == 1"),
        "Invalid value: \"steps.later.phase\": step \"later\" may not have run when this step starts; \
         add \"later\" to dependencies (HW308)"
    );
    says("steps.here.phase == \"Failed\"", "HW308", "its own result");
    says("has(steps.later.exitCode)", "HW308", "add \"later\" to dependencies");
}

#[test]
fn types_are_told_where_they_are_known() {
    says("parameters.name", "HW309", "must be true or false, and this is a string");
    says("steps.load.phase", "HW309", "compare it, as in steps.load.phase ==");
    says("1 + 2", "HW309", "a whole number");
    says("parameters.name > 3", "HW309", "write int(parameters.name), or declare it with type: int");
    says("parameters.count == \"3\"", "HW309", "never equal");
    says("parameters.name && true", "HW309", "`&&` takes true or false");
    says("parameters.name + 1 == \"a1\"", "HW309", "`+` does not take");
    says("\"a\" in parameters.name", "HW309", "contains");
    says("parameters.name.a == 1", "HW313", "type: json");
}

#[test]
fn unknown_functions_and_wrong_calls_are_told() {
    says("contians(parameters.name, \"a\")", "HW310", "did you mean \"contains\"?");
    says("contains(parameters.name, \"a\")", "HW310", "\"abc\".contains(\"b\")");
    says("now() > 3", "HW310", "no clock");
    says("parameters.name.upperAscii() == \"A\"", "HW310", "no function of this name");
    says("size(1, 2) == 3", "HW310", "number of arguments");
    says("optional.of(1) == 1", "HW310", "no function of this name");
}

#[test]
fn every_function_of_the_table_can_be_called() {
    let env = Arc::new(Env::default().with_optional_support(false).with_stdlib());
    for function in &functions::TABLE {
        let tree =
            syntax::tree(function.example).unwrap_or_else(|error| panic!("{}: {error}", function.name));
        let value = Value::resolve(&tree, &Context::with_env(env.clone()));
        assert!(value.is_ok(), "{}: {value:?}", function.example);
        assert_eq!(
            when(&format!("{} == dyn(1)", function.example)),
            Vec::<String>::new(),
            "{}",
            function.name
        );
    }
}

#[test]
fn go_templates_are_refused_with_the_cel_that_says_the_same() {
    for (text, words) in [
        ("{{ if eq .x \"y\" }}", "x == \"y\" ? "),
        ("{{ .Values.name }}", "parameters.name"),
        ("{{ index .data \"k\" }}", "parameters.data[\"k\"]"),
        ("{{ .JobFlow.Foo }}", "flow.name"),
        ("{{ parameters.name | upper }}", "pipe"),
        ("{{ end }}", "CONDITION"),
        ("{{ eq .name \"a\" }}", "parameters.name == \"a\""),
        ("{{ $x }}", "variable"),
        ("{{- parameters.name }}", "remove the `-`"),
        ("{{/* c */}}", "comments"),
    ] {
        let found = leaf(text);
        assert_eq!(found.len(), 1, "{text}: {found:?}");
        assert!(
            found[0].contains("(HW311)") && found[0].replace("\\\"", "\"").contains(words),
            "{text}: {found:?}"
        );
    }
}

#[test]
fn deprecated_spellings_are_read_and_told() {
    for (text, modern) in [
        ("always", "`true`"),
        ("never", "`false`"),
        ("{{ .StepStatus.load.Phase }} ", "HW"),
        ("{{ steps.load.phase == 'Failed' }}", "`steps.load.phase == 'Failed'`"),
        ("{{ .StepStatus.load-a.Phase == 'Failed' }}", "steps[\"load-a\"].phase"),
        ("${parameters.on}", "`parameters.on`"),
    ] {
        let line = when(text).join("\n");
        assert!(line.contains(modern) && line.contains("(HW913)") || modern == "HW", "{text}: {line}");
    }
    for (text, modern) in [
        ("a {{.parameters.name}}", "`{{ parameters.name }}`"),
        ("${parameters.max-rows}", "parameters[\"max-rows\"]"),
        ("{{ .JobFlow.Name }}", "`{{ flow.name }}`"),
        ("{{.JobFlow.UID}}", "flow.uid"),
    ] {
        let found = leaf(text);
        assert!(found.len() == 1 && found[0].contains(modern), "{text}: {found:?}");
    }
    assert!(leaf("{{parameters.name}}").is_empty());
    assert!(when("false").is_empty());
}

fn parts(text: &str) -> Vec<String> {
    let mut out = Problems::new();
    let template = parse_text(text, &Place::ROOT, &World, &mut out);
    assert_eq!(lines(&out), Vec::<String>::new(), "{text}");
    let show = |part: Part| match part {
        Part::Text(text) => text,
        Part::Expression(expression) => format!("<{}>", expression.cel.trim()),
    };
    template.parts.into_iter().map(show).collect()
}

#[test]
fn texts_are_taken_apart_and_escapes_resolved() {
    assert_eq!(parts("a {{ parameters.name }} b"), ["a ", "<parameters.name>", " b"]);
    assert_eq!(parts("{{ {'a': {'b': '}}'}}.a.b }}!"), ["<{'a': {'b': '}}'}}.a.b>", "!"]);
    assert_eq!(parts(r"\{{ x }} ${HOME}"), ["{{ x }} ${HOME}"]);
    assert_eq!(parts(r"\\{{ parameters.name }}"), [r"\", "<parameters.name>"]);
    assert_eq!(parts(r"\${parameters.name} $(x)"), ["${parameters.name} $(x)"]);
    assert_eq!(parts("{{parameters.name}}{{ step.name }}"), ["<parameters.name>", "<step.name>"]);
}

#[test]
fn unclosed_braces_are_told_where_they_open() {
    let found = leaf("ab {{ parameters.name }");
    assert!(found[0].contains("`{{` at column 4 is not closed") && found[0].contains("HW302"), "{found:?}");
    let found = leaf("é {{ \"a }} {{ parameters.nam }}");
    assert!(found[0].contains("a string is not closed at column 6"), "{found:?}");
    assert!(found[1].contains("HW304"), "{found:?}");
}

#[test]
fn what_a_text_reads_is_handed_back() {
    let mut out = Problems::new();
    let text = "{{ parameters.name }} {{ steps.extract.outputs.rows + parameters.max-rows }} {{ resources.data-volume }}";
    let read = check_text(text, &Place::ROOT, &World, &mut out);
    assert_eq!(read.parameters, ["name", "max-rows"]);
    assert_eq!(read.outputs, [("extract".to_owned(), "rows".to_owned())]);
    assert_eq!(read.steps, ["extract"]);
    assert_eq!(read.resources, ["data-volume"]);
}

#[test]
fn hostile_texts_are_bounded_before_they_are_parsed() {
    let deep = ["(", "[", "!(", "a.", "a+", "a[", "a?b:", "f(", "{1:", "-", "!"];
    for piece in deep {
        let found = when(&piece.repeat(1300));
        assert!(found.len() == 1 && found[0].contains("(HW312)"), "{piece}: {found:?}");
        let _ = when(&(piece.repeat(20) + "true"));
    }
    says(&"a".repeat(MAX_BYTES + 1), "HW312", "at most 4096 bytes");
    let nested = "[1].all(a, [1].all(b, [1].all(c, true)))";
    says(nested, "HW312", "at most 2 deep");
    assert!(when("[1].map(a, a).filter(b, b > 1).all(c, [1].all(d, true))").is_empty());
}

/// Were any of these quadratic, this test would take minutes.
#[test]
fn a_text_of_a_hundred_thousand_mistakes_is_read_to_its_end() {
    for text in ["{{ ", "{{ steps.nobody.phase }} ", "{{ {1: "] {
        assert!(!leaf(&text.repeat(100_000)).is_empty(), "{text}");
    }
    for text in ["\\", "{{ 'a' }}", "{{ \"\"\" }} "] {
        assert!(leaf(&text.repeat(100_000)).is_empty(), "{text}");
    }
}

#[test]
fn constants_are_folded() {
    for (text, value) in [
        ("true", Some(true)),
        ("never", Some(false)),
        ("{{ false }}", Some(false)),
        ("1 > 2 || \"a\" == \"a\"", Some(true)),
        ("!(1 == 1)", Some(false)),
        ("parameters.on && false", Some(false)),
        ("parameters.on || false", None),
        ("parameters.on", None),
        ("(", None),
    ] {
        assert_eq!(constant(text, &World), value, "{text}");
    }
}

#[test]
fn a_contradiction_to_a_dependency_is_found() {
    let phases = |step: &str| (step == "load").then(|| vec!["Succeeded"]);
    let why = |text: &str| never_runs(text, &World, &phases);
    assert_eq!(
        why("steps.load.phase == \"Failed\"").as_deref(),
        Some("`when` is never true: when this step starts, \"load\" is Succeeded")
    );
    assert!(why("steps.load.phase in [\"Failed\", \"Skipped\"] && parameters.on").is_some());
    assert_eq!(why("steps.load.phase == \"Succeeded\""), None);
    assert_eq!(why("steps.load.phase == \"Failed\" || parameters.on"), None);
    assert_eq!(why("steps.extract.phase == \"Failed\""), None);
    assert_eq!(why("false").as_deref(), Some("`when` is always false"));
}

const PIECES: [&str; 52] = [
    "parameters",
    "steps",
    ".",
    "-",
    "load",
    "load-a",
    "phase",
    "outputs",
    "[",
    "]",
    "(",
    ")",
    "{",
    "}",
    "{{",
    "}}",
    "\"",
    "'",
    "\\",
    "\\x",
    "\\u12",
    "é",
    "1",
    "1.",
    "0x",
    "u",
    "e",
    " ",
    "\n",
    "//",
    "$",
    "${parameters.",
    "|",
    "||",
    "&&",
    "!",
    "==",
    "in",
    "if",
    "a",
    ",",
    ":",
    "?",
    "all",
    "x",
    "r",
    "b",
    "`",
    "always",
    "has",
    "map",
    "\r",
];

proptest! {
    #[test]
    fn no_text_makes_checks_panic(text in "\\PC{0,80}") {
        let _ = (when(&text), leaf(&text), constant(&text, &World));
        let _ = leaf(&format!("{{{{ {text} }}}}"));
    }

    #[test]
    fn no_text_of_cel_pieces_makes_checks_panic(
        pieces in prop::collection::vec(prop::sample::select(PIECES.to_vec()), 0..40)
    ) {
        let text = pieces.concat();
        let _ = (when(&text), leaf(&text), constant(&text, &World));
        let _ = leaf(&format!("{{{{{text}}}}}"));
    }
}
