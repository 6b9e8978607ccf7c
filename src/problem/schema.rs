//! The shape of an object: which fields there are, and what stands in them.
//!
//! A [`Shape`] is compiled from an `OpenAPI` schema, ours or that of a Kubernetes kind, and held against a raw JSON
//! value. Unlike a typed decoder it does not stop at the first wrong type: [`Shape::check`] reports everything, with
//! paths, and hands back the value with what was wrong put right just enough for the typed decoder to go on.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::field_path::{FieldPath, Place, Segment};

/// The form that a value has to have.
#[derive(Clone, Debug)]
pub enum Shape {
    /// Anything.
    Any,
    /// A text, of the listed ones if there are any.
    Text {
        /// The allowed values; empty: any.
        one_of: Vec<String>,
        /// The most characters.
        max: Option<usize>,
    },
    /// A whole number within bounds.
    Integer {
        /// Least value.
        min: Option<i64>,
        /// Greatest value.
        max: Option<i64>,
    },
    /// A number within bounds.
    Number {
        /// Least value.
        min: Option<f64>,
        /// Greatest value.
        max: Option<f64>,
    },
    /// true or false.
    Boolean,
    /// A whole number or a text, such as a port.
    IntOrText,
    /// A number or a text that says one with a unit, such as `500m`.
    Quantity,
    /// Fields by name.
    Object(Arc<Fields>),
    /// Keys that the user chooses.
    Map(Arc<Shape>),
    /// A list.
    List {
        /// The shape of every entry.
        items: Arc<Shape>,
        /// The most entries.
        max: Option<usize>,
    },
}

/// The fields of an object, in the order of the schema.
#[derive(Debug, Default)]
pub struct Fields {
    list: Vec<Field>,
    /// Places in `list`, sorted by the length of the name and the name: most comparisons are of two numbers.
    sorted: Vec<usize>,
    required: Vec<usize>,
    /// True if other fields are kept as they are.
    open: bool,
}

#[derive(Clone, Debug)]
struct Field {
    name: String,
    shape: Shape,
    required: bool,
}

impl Fields {
    fn new(list: Vec<Field>, open: bool) -> Self {
        let mut sorted: Vec<usize> = (0..list.len()).collect();
        sorted.sort_by(|&a, &b| by_length(&list[a].name, &list[b].name));
        let required = (0..list.len()).filter(|&i| list[i].required).collect();
        Self { list, sorted, required, open }
    }

    fn get(&self, name: &str) -> Option<&Field> {
        self.rank(name).map(|i| &self.list[i])
    }

    /// The place of a field in the schema's order.
    fn rank(&self, name: &str) -> Option<usize> {
        let at = self.sorted.binary_search_by(|&i| by_length(&self.list[i].name, name)).ok()?;
        Some(self.sorted[at])
    }

    /// The names, in the order of the schema.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.list.iter().map(|field| field.name.as_str())
    }
}

fn by_length(a: &str, b: &str) -> std::cmp::Ordering {
    a.len().cmp(&b.len()).then_with(|| a.cmp(b))
}

/// Something about the shape of a value that is wrong.
#[derive(Debug)]
pub enum Fault<'a> {
    /// Another JSON type was wanted; the word says which.
    Type {
        /// The value that is there.
        found: &'a Value,
        /// The wanted value, for people: "a whole number".
        wanted: &'static str,
    },
    /// The field is not in the schema.
    Unknown {
        /// The fields there are.
        known: &'a Fields,
    },
    /// A required field is absent.
    Missing,
    /// The text is none of the allowed ones.
    NotOneOf {
        /// The value that is there.
        found: &'a str,
        /// The allowed texts.
        allowed: &'a [String],
    },
    /// The number is out of range; the text says which range: "at least 1".
    Range {
        /// The value that is there.
        found: &'a Value,
        /// The wanted value, for people.
        wanted: String,
    },
    /// The text is too long.
    TooLong {
        /// The characters it has.
        found: usize,
        /// The most.
        max: usize,
    },
    /// The list is too long.
    TooMany {
        /// Its length.
        found: usize,
        /// The most.
        max: usize,
    },
}

/// Receives the faults.
pub trait Report {
    /// A fault at `place`. `shape` is what was wanted there.
    ///
    /// Gives back whether the value may stay: `true` for a text that stands in for another type (an expression), so
    /// that it is neither taken out nor looked into.
    fn fault(&mut self, place: &Place<'_>, shape: &Shape, fault: Fault<'_>) -> bool;
}

impl Shape {
    /// Compiles a schema. `$ref`s are looked up in `$defs` of the same document.
    ///
    /// A schema has no order; `order` gives the fields of a type in theirs, by its title or name in `$defs`. Fields
    /// that it does not name come after the others, in the order of the alphabet.
    pub fn compile(schema: &Value, order: Order) -> Self {
        Compiler { definitions: schema.get("$defs"), done: BTreeMap::new(), order, type_name: String::new() }
            .shape(schema)
    }

    /// An object with these fields, each with its name, shape and whether it is required.
    pub fn object<'a>(fields: impl IntoIterator<Item = (&'a str, Shape, bool)>) -> Self {
        let fields = fields.into_iter();
        let list = fields.map(|(name, shape, required)| Field { name: name.to_owned(), shape, required });
        Self::Object(Arc::new(Fields::new(list.collect(), false)))
    }

    /// The same object with nothing required at its top.
    #[must_use]
    pub fn all_optional(self) -> Self {
        let Self::Object(fields) = self else { return self };
        let list = fields.list.iter().map(|field| Field { required: false, ..field.clone() });
        Self::Object(Arc::new(Fields::new(list.collect(), fields.open)))
    }

    /// Replaces the schema at `path` by `graft`; `[]` descends into a list's entries.
    #[must_use]
    pub fn graft(self, path: &str, graft: Shape) -> Self {
        let Some((head, rest)) = path.split_once('.').or((!path.is_empty()).then_some((path, ""))) else {
            return graft;
        };
        match self {
            Self::List { items, max } if head == "[]" => {
                Self::List { items: Arc::new((*items).clone().graft(rest, graft)), max }
            }
            Self::Object(fields) => {
                let list = fields.list.iter().cloned().map(|mut field| {
                    if field.name == head {
                        field.shape = field.shape.graft(rest, graft.clone());
                    }
                    field
                });
                Self::Object(Arc::new(Fields::new(list.collect(), fields.open)))
            }
            other => other,
        }
    }

    /// Reports everything that is wrong with the shape of `value`.
    ///
    /// Gives back a corrected copy if something had to be corrected for a typed decoder: wrong values of optional
    /// fields and `null`s are taken out, wrong or missing values of required ones become empty ones of their type.
    pub fn check(&self, value: &Value, place: &Place<'_>, report: &mut dyn Report) -> Option<Value> {
        match self.walk(value, place, report) {
            Outcome::Sound => None,
            Outcome::Mended(value) => Some(value),
            Outcome::Wrong => Some(self.empty()),
        }
    }

    fn walk(&self, value: &Value, place: &Place<'_>, report: &mut dyn Report) -> Outcome {
        match (self, value) {
            (Self::Any, _)
            | (Self::Boolean, Value::Bool(_))
            | (Self::IntOrText | Self::Quantity, Value::String(_))
            | (Self::Quantity, Value::Number(_)) => Outcome::Sound,
            (Self::Text { one_of, max }, Value::String(text)) => {
                // Counted only where the bytes could be too many characters.
                if let Some(max) = max.filter(|max| text.len() > *max)
                    && text.chars().count() > max
                {
                    report.fault(place, self, Fault::TooLong { found: text.chars().count(), max });
                }
                if one_of.is_empty() || one_of.iter().any(|allowed| allowed == text) {
                    return Outcome::Sound;
                }
                self.wrong(place, report, Fault::NotOneOf { found: text, allowed: one_of })
            }
            (Self::Integer { min, max }, Value::Number(number)) => match whole(number) {
                None if number.as_f64().is_some_and(|number| number.fract() == 0.0) => {
                    self.wrong(place, report, Fault::Range { found: value, wanted: range(*min, *max) })
                }
                None => self.wrong(place, report, Fault::Type { found: value, wanted: self.wanted() }),
                Some(n) if min.is_some_and(|min| n < min) || max.is_some_and(|max| n > max) => {
                    // The greatest number that fits is of interest only to who went beyond it.
                    let max = max.filter(|max| n > *max || *max != i64::from(i32::MAX));
                    self.wrong(place, report, Fault::Range { found: value, wanted: range(*min, max) })
                }
                Some(_) => Outcome::Sound,
            },
            (Self::Number { min, max }, Value::Number(number)) => {
                let n = number.as_f64().unwrap_or(f64::NAN);
                if min.is_some_and(|min| n < min) || max.is_some_and(|max| n > max) {
                    return self.wrong(
                        place,
                        report,
                        Fault::Range { found: value, wanted: range(*min, *max) },
                    );
                }
                Outcome::Sound
            }
            (Self::IntOrText, Value::Number(number)) if whole(number).is_some() => Outcome::Sound,
            (Self::Object(fields), Value::Object(map)) => self.walk_object(fields, map, place, report),
            (Self::Map(items), Value::Object(map)) => {
                let mut mended: Option<Map<String, Value>> = None;
                for (key, entry) in map {
                    // As if absent, as for fields.
                    if entry.is_null() {
                        Outcome::Wrong.store(key, &mut mended, map, || None);
                        continue;
                    }
                    let outcome = items.walk(entry, &place.key(key), report);
                    outcome.store(key, &mut mended, map, || None);
                }
                mended.map_or(Outcome::Sound, |map| Outcome::Mended(Value::Object(map)))
            }
            (Self::List { items, max }, Value::Array(list)) => {
                let mut mended: Option<Vec<Value>> = None;
                let mut list = list.as_slice();
                if let Some(max) = max
                    && list.len() > *max
                {
                    report.fault(place, self, Fault::TooMany { found: list.len(), max: *max });
                    // Entries beyond the limit are not looked at: a million of them must not cost more.
                    list = &list[..*max];
                    mended = Some(list.to_vec());
                }
                for (i, entry) in list.iter().enumerate() {
                    match items.walk(entry, &place.index(i), report) {
                        Outcome::Sound => {}
                        Outcome::Mended(entry) => mended.get_or_insert_with(|| list.to_vec())[i] = entry,
                        Outcome::Wrong => mended.get_or_insert_with(|| list.to_vec())[i] = items.empty(),
                    }
                }
                mended.map_or(Outcome::Sound, |list| Outcome::Mended(Value::Array(list)))
            }
            _ => self.wrong(place, report, Fault::Type { found: value, wanted: self.wanted() }),
        }
    }

    fn walk_object(
        &self,
        fields: &Fields,
        map: &Map<String, Value>,
        place: &Place<'_>,
        report: &mut dyn Report,
    ) -> Outcome {
        let mut mended: Option<Map<String, Value>> = None;
        // Walks the fields that are there, not those that could be: a pod has a few of the forty fields it may have.
        for (key, value) in map {
            let Some(field) = fields.get(key) else {
                if !fields.open {
                    report.fault(&place.field(key), self, Fault::Unknown { known: fields });
                }
                continue;
            };
            let empty = || field.required.then(|| field.shape.empty());
            if value.is_null() {
                if !field.required {
                    Outcome::Wrong.store(key, &mut mended, map, || None);
                }
            } else {
                field.shape.walk(value, &place.field(key), report).store(key, &mut mended, map, empty);
            }
        }
        for &i in &fields.required {
            let field = &fields.list[i];
            if map.get(&field.name).is_none_or(Value::is_null) {
                report.fault(&place.field(&field.name), &field.shape, Fault::Missing);
                Outcome::Wrong.store(&field.name, &mut mended, map, || Some(field.shape.empty()));
            }
        }
        mended.map_or(Outcome::Sound, |map| Outcome::Mended(Value::Object(map)))
    }

    fn wrong(&self, place: &Place<'_>, report: &mut dyn Report, fault: Fault<'_>) -> Outcome {
        if report.fault(place, self, fault) { Outcome::Sound } else { Outcome::Wrong }
    }

    /// The least value of this shape.
    fn empty(&self) -> Value {
        match self {
            Self::Any => Value::Null,
            Self::Text { one_of, .. } => Value::from(one_of.first().cloned().unwrap_or_default()),
            Self::IntOrText => Value::from(""),
            Self::Quantity => Value::from("0"),
            Self::Integer { min, .. } => Value::from(min.unwrap_or(0).max(0)),
            Self::Number { min, .. } => Value::from(min.unwrap_or(0.0).max(0.0)),
            Self::Boolean => Value::from(false),
            Self::List { .. } => Value::Array(Vec::new()),
            Self::Map(_) => Value::Object(Map::new()),
            Self::Object(fields) => fields
                .list
                .iter()
                .filter(|field| field.required)
                .map(|field| (field.name.clone(), field.shape.empty()))
                .collect(),
        }
    }

    /// The shape at `path`, if the schema reaches that far.
    pub fn at<'a>(&'a self, path: &[Segment]) -> Option<&'a Shape> {
        let Some((head, rest)) = path.split_first() else { return Some(self) };
        match (self, head) {
            (Self::Object(fields), Segment::Field(name) | Segment::Key(name)) => {
                fields.get(name)?.shape.at(rest)
            }
            (Self::Map(items), Segment::Key(_) | Segment::Field(_))
            | (Self::List { items, .. }, Segment::Index(_)) => items.at(rest),
            _ => None,
        }
    }

    /// The order of two paths in a document of this shape: the schema's order of fields, then list indices.
    pub fn order(&self, a: &FieldPath, b: &FieldPath) -> std::cmp::Ordering {
        let Some(at) = a.0.iter().zip(&b.0).position(|(x, y)| x != y) else {
            return a.0.len().cmp(&b.0.len());
        };
        match (&a.0[at], &b.0[at]) {
            (Segment::Index(x), Segment::Index(y)) => x.cmp(y),
            (Segment::Field(x), Segment::Field(y)) => {
                let shape = self.at(&a.0[..at]);
                rank(shape, x).cmp(&rank(shape, y)).then(x.cmp(y))
            }
            (Segment::Key(x), Segment::Key(y)) => x.cmp(y),
            (Segment::Field(_), _) => std::cmp::Ordering::Less,
            (_, Segment::Field(_)) => std::cmp::Ordering::Greater,
            (Segment::Index(_), _) => std::cmp::Ordering::Less,
            _ => std::cmp::Ordering::Greater,
        }
    }

    /// Describes the wanted value, for people.
    pub fn wanted(&self) -> &'static str {
        match self {
            Self::Any => "a value",
            Self::Text { .. } => "a string",
            Self::Integer { .. } => "a whole number",
            Self::Number { .. } => "a number",
            Self::Boolean => "true or false",
            Self::IntOrText => "a whole number or a string",
            Self::Quantity => "a quantity such as 500m or 1Gi",
            Self::Object(_) | Self::Map(_) => "an object",
            Self::List { .. } => "a list",
        }
    }
}

fn rank(shape: Option<&Shape>, name: &str) -> usize {
    match shape {
        Some(Shape::Object(fields)) => fields.rank(name).unwrap_or(usize::MAX),
        _ => usize::MAX,
    }
}

enum Outcome {
    Sound,
    Mended(Value),
    Wrong,
}

impl Outcome {
    /// Note the outcome for `key` in the copy of `map`, which is made when it is first needed.
    fn store(
        self,
        key: &str,
        mended: &mut Option<Map<String, Value>>,
        map: &Map<String, Value>,
        empty: impl FnOnce() -> Option<Value>,
    ) {
        let value = match self {
            Self::Sound => return,
            Self::Mended(value) => Some(value),
            Self::Wrong => empty(),
        };
        let mended = mended.get_or_insert_with(|| map.clone());
        match value {
            Some(value) => {
                mended.insert(key.to_owned(), value);
            }
            None => {
                mended.remove(key);
            }
        }
    }
}

/// JSON has one kind of number; `3.0` is a whole number for the API server as well.
fn whole(number: &serde_json::Number) -> Option<i64> {
    number.as_i64().or_else(|| {
        let float = number.as_f64()?;
        #[expect(
            clippy::cast_possible_truncation,
            reason = "checked: whole and within the exact range of f64"
        )]
        (float.fract() == 0.0 && float.abs() < 9.0e15).then_some(float as i64)
    })
}

fn range<T: std::fmt::Display>(min: Option<T>, max: Option<T>) -> String {
    match (min, max) {
        (Some(min), Some(max)) => format!("from {min} to {max}"),
        (Some(min), None) => format!("at least {min}"),
        (None, Some(max)) => format!("at most {max}"),
        (None, None) => "a number".to_owned(),
    }
}

/// The fields of a type in their order, by the type's name.
pub type Order = fn(&str) -> Option<&'static [&'static str]>;

struct Compiler<'a> {
    definitions: Option<&'a Value>,
    done: BTreeMap<String, Shape>,
    order: Order,
    /// The type that is being compiled.
    type_name: String,
}

impl Compiler<'_> {
    fn shape(&mut self, schema: &Value) -> Shape {
        if let Some(name) = schema.get("$ref").and_then(Value::as_str) {
            let name = name.trim_start_matches("#/$defs/").replace("~1", "/");
            // The schema of a quantity says no more than "a number or a text"; its name does.
            if name.ends_with(".resource.Quantity") {
                return Shape::Quantity;
            }
            if let Some(shape) = self.done.get(&name) {
                return shape.clone();
            }
            let Some(schema) = self.definitions.and_then(|all| all.get(&name)) else { return Shape::Any };
            let around = std::mem::replace(&mut self.type_name, name.clone());
            let shape = self.shape(schema);
            self.type_name = around;
            self.done.insert(name, shape.clone());
            return shape;
        }
        if schema.get("x-kubernetes-int-or-string").is_some() {
            return Shape::IntOrText;
        }
        // An enum whose values are documented is a choice of constants.
        if let Some(options) = schema.get("oneOf").and_then(Value::as_array) {
            let words = options.iter().flat_map(|option| match option.get("const") {
                Some(Value::String(word)) => vec![word.clone()],
                _ => texts(option.get("enum")),
            });
            return Shape::Text { one_of: words.collect(), max: None };
        }
        // An optional enum may come as `anyOf: [$ref, null]`.
        if let Some(options) = schema.get("anyOf").and_then(Value::as_array) {
            return options.first().map_or(Shape::Any, |first| self.shape(first));
        }
        let kind = match schema.get("type") {
            Some(Value::String(kind)) => kind.as_str(),
            Some(Value::Array(kinds)) => {
                kinds.iter().filter_map(Value::as_str).find(|k| *k != "null").unwrap_or("")
            }
            _ => "",
        };
        let max_items = schema.get("maxItems").and_then(Value::as_u64).and_then(|n| usize::try_from(n).ok());
        match kind {
            "string" => {
                let max = schema.get("maxLength").and_then(Value::as_u64);
                Shape::Text {
                    one_of: texts(schema.get("enum")),
                    max: max.and_then(|max| usize::try_from(max).ok()),
                }
            }
            "integer" => {
                let bound = |key| schema.get(key).and_then(Value::as_f64);
                #[expect(
                    clippy::cast_possible_truncation,
                    reason = "bounds of our schema are small whole numbers"
                )]
                Shape::Integer {
                    min: bound("minimum").map(|n| n as i64),
                    max: bound("maximum").map(|n| n as i64),
                }
            }
            "number" => Shape::Number {
                min: schema.get("minimum").and_then(Value::as_f64),
                max: schema.get("maximum").and_then(Value::as_f64),
            },
            "boolean" => Shape::Boolean,
            "array" => Shape::List {
                items: Arc::new(schema.get("items").map_or(Shape::Any, |items| self.shape(items))),
                max: max_items,
            },
            "object" => self.object(schema),
            _ => Shape::Any,
        }
    }

    fn object(&mut self, schema: &Value) -> Shape {
        if let Some(items @ Value::Object(_)) = schema.get("additionalProperties") {
            return Shape::Map(Arc::new(self.shape(items)));
        }
        let open = schema.get("x-kubernetes-preserve-unknown-fields") == Some(&Value::Bool(true));
        let Some(properties) = schema.get("properties").and_then(Value::as_object) else {
            return if open {
                Shape::Any
            } else {
                Shape::Object(Arc::new(Fields { open: true, ..Fields::default() }))
            };
        };
        let required = texts(schema.get("required"));
        let title = schema.get("title").and_then(Value::as_str).unwrap_or(&self.type_name);
        let order = (self.order)(title).unwrap_or_default();
        let mut list: Vec<Field> = properties
            .iter()
            .map(|(name, schema)| Field {
                name: name.clone(),
                shape: self.shape(schema),
                required: required.contains(name),
            })
            .collect();
        list.sort_by_key(|field| order.iter().position(|name| *name == field.name).unwrap_or(usize::MAX));
        Shape::Object(Arc::new(Fields::new(list, open)))
    }
}

fn texts(list: Option<&Value>) -> Vec<String> {
    let list = list.and_then(Value::as_array).into_iter().flatten();
    list.filter_map(Value::as_str).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests;
