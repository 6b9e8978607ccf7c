use serde_json::json;

use super::*;

#[derive(Default)]
struct Lines(Vec<String>);

impl Report for Lines {
    fn fault(&mut self, place: &Place<'_>, _: &Shape, fault: Fault<'_>) -> bool {
        let text = match fault {
            Fault::Type { wanted, .. } => format!("wants {wanted}"),
            Fault::Unknown { .. } => "unknown".to_owned(),
            Fault::Missing => "missing".to_owned(),
            Fault::NotOneOf { allowed, .. } => format!("one of {allowed:?}"),
            Fault::Range { wanted, .. } => format!("wants {wanted}"),
            Fault::TooLong { found, max } | Fault::TooMany { found, max } => format!("{found} of {max}"),
        };
        self.0.push(format!("{}: {text}", place.path()));
        false
    }
}

fn shape() -> Shape {
    let schema = json!({
        "type": "object", "required": ["name"], "properties": {
            "name": {"type": "string"},
            "kind": {"type": "string", "enum": ["A", "B"]},
            "count": {"type": "integer", "minimum": 1},
            "labels": {"type": "object", "additionalProperties": {"type": "string"}},
            "list": {"type": "array", "maxItems": 2, "items": {"$ref": "#/$defs/Item"}}
        },
        "$defs": {"Item": {"type": "object", "required": ["id"], "properties": {"id": {"type": "integer"}}}}
    });
    Shape::compile(&schema, |_| Some(&["name", "kind", "count", "labels", "list"]))
}

#[expect(clippy::needless_pass_by_value, reason = "reads better with a literal")]
fn check(value: Value) -> (Vec<String>, Option<Value>) {
    let mut lines = Lines::default();
    let mended = shape().check(&value, &Place::ROOT, &mut lines);
    (lines.0, mended)
}

#[test]
fn a_sound_value_is_not_copied() {
    let (lines, mended) = check(json!({"name": "x", "kind": "A", "count": 1, "list": [{"id": 1.0}]}));
    assert!(lines.is_empty(), "{lines:?}");
    assert_eq!(mended, None);
}

#[test]
fn every_fault_is_told_and_mended_for_the_decoder() {
    let (lines, mended) = check(json!({
        "kind": "C", "count": 0, "labels": {"a": "b", "c": 1}, "extra": null,
        "list": [{"id": "x"}, 7, {"id": 3}]
    }));
    assert_eq!(
        lines,
        [
            "count: wants at least 1",
            "extra: unknown",
            "kind: one of [\"A\", \"B\"]",
            "labels[c]: wants a string",
            "list: 3 of 2",
            "list[0].id: wants a whole number",
            "list[1]: wants an object",
            "name: missing",
        ]
    );
    let mended = mended.unwrap();
    assert_eq!(mended["name"], "");
    assert_eq!(mended["labels"], json!({"a": "b"}));
    assert_eq!(mended["list"], json!([{"id": 0}, {"id": 0}]), "the third is one too many");
    assert!(mended.get("count").is_none());
}

#[test]
fn null_is_absent() {
    let (lines, mended) = check(json!({"name": "x", "count": null}));
    assert!(lines.is_empty(), "{lines:?}");
    assert_eq!(mended, Some(json!({"name": "x"})));
}

#[test]
fn paths_sort_by_the_schema() {
    let shape = shape();
    let mut paths: Vec<FieldPath> =
        ["list[10].id", "list[2].id", "labels[b]", "labels[a]", "name", "list"].map(FieldPath::parse).into();
    paths.sort_by(|a, b| shape.order(a, b));
    let texts: Vec<String> = paths.iter().map(FieldPath::to_string).collect();
    assert_eq!(texts, ["name", "labels[a]", "labels[b]", "list", "list[2].id", "list[10].id"]);
}

#[test]
fn a_graft_replaces_what_the_schema_says() {
    let shape = shape().graft("list.[].id", Shape::Boolean);
    let mut lines = Lines::default();
    shape.check(&json!({"name": "x", "list": [{"id": true}]}), &Place::ROOT, &mut lines);
    assert!(lines.0.is_empty(), "{:?}", lines.0);
}

#[test]
fn of_a_list_that_is_too_long_only_the_start_is_looked_at() {
    let list = Shape::List { items: Arc::new(Shape::Boolean), max: Some(2) };
    let mut told = Lines::default();
    let mended = list.check(&json!([1, true, true, true, 1, 1]), &Place::ROOT.field("l"), &mut told);
    assert_eq!(mended, Some(json!([false, true])));
    assert_eq!(told.0.len(), 2, "{:?}", told.0);
}
