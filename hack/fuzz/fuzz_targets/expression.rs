//! Fuzzes expressions: any text as a `when`, as an expression, and as a text with expressions in it.
#![no_main]

use cel::{Context, Value as Cel};
use headworks::flows::api::ValueType;
use headworks::flows::expr;
use headworks::flows::expr::{Part, Scope};
use headworks::problem::Problems;
use headworks::problem::field_path::Place;
use libfuzzer_sys::fuzz_target;

/// A flow with names that are easy to get wrong.
struct Flow;

impl Scope for Flow {
    fn parameter(&self, name: &str) -> Option<Option<ValueType>> {
        self.parameters().contains(&name).then_some(Some(ValueType::Json))
    }
    fn parameters(&self) -> Vec<&str> {
        vec!["day", "max-rows", "max", "x-1"]
    }
    fn steps(&self) -> &[&str] {
        &["load", "load-a", "in", "sign-off", "0-day"]
    }
    fn is_ancestor(&self, step: &str) -> bool {
        step != "sign-off"
    }
    fn current(&self) -> Option<&str> {
        Some("sign-off")
    }
    fn output(&self, _: &str, name: &str) -> Option<Option<ValueType>> {
        (name == "rows").then_some(Some(ValueType::Int))
    }
    fn outputs(&self, _: &str) -> Vec<&str> {
        vec!["rows"]
    }
    fn resources(&self) -> Vec<&str> {
        vec!["data", "data-volume"]
    }
}

fn messages(problems: &Problems) -> Vec<String> {
    let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
    for line in &lines {
        assert!(!line.contains(char::is_control), "a problem is one line: {line:?}");
    }
    lines
}

fuzz_target!(|text: &str| {
    let place = Place::ROOT.field("when");
    let problems = |check: &dyn Fn(&mut Problems)| {
        let mut out = Problems::new();
        check(&mut out);
        messages(&out)
    };
    let once = problems(&|out| drop(expr::check_when(text, &place, &Flow, out)));
    assert_eq!(
        once,
        problems(&|out| drop(expr::check_when(text, &place, &Flow, out))),
        "the same problems both times"
    );
    problems(&|out| drop(expr::check_expression(text, &place, &Flow, out)));
    problems(&|out| drop(expr::check_text(text, &place, &Flow, out)));

    // Plain text stays unchanged.
    let mut out = Problems::new();
    let template = expr::parse_text(text, &place, &Flow, &mut out);
    if !expr::has_expression(text) {
        let whole: String = template
            .parts
            .iter()
            .map(|part| match part {
                Part::Text(text) => text.as_str(),
                Part::Expression(_) => panic!("there is no expression"),
            })
            .collect();
        assert_eq!(whole, text);
    }
    let mut out = Problems::new();
    if let Some(expression) = expr::parse_when(text, &place, &Flow, &mut out) {
        // A result that is known before the flow runs is the result at run time.
        if let Some(expected) = expr::constant(text, &Flow)
            && let Ok(Cel::Bool(found)) = Cel::resolve(&expression.tree, &Context::default())
        {
            assert_eq!(found, expected, "{}", expression.cel);
        }
    }
});
