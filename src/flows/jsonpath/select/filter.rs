//! Filters: what they ask of an entry, and the functions that they call (RFC 9535, 2.3.5 and 2.4).

use std::borrow::Cow;
use std::cmp::Ordering;

use jsonpath_rust::parser::model::{
    Comparable, Comparison, Filter, FilterAtom, FnArg, Literal, SingularQuery, SingularQuerySegment, Test,
    TestFunction,
};
use serde_json::{Number, Value};

use super::{Search, TooCostly, at};
use crate::problem::pattern::{Pattern, PatternError};

/// The cost of compiling a regular expression, in places.
const COMPILE: usize = 2_000;
/// The least cost of matching a byte.
const MATCHED: usize = 2;

/// A value, or nothing (which is no null).
type Item<'v> = Option<Cow<'v, Value>>;

impl<'v> Search<'v, '_> {
    pub(super) fn truth(&self, filter: &Filter, node: &'v Value) -> Result<bool, TooCostly> {
        self.spend(1)?;
        match filter {
            Filter::Or(list) => {
                for one in list {
                    if self.truth(one, node)? {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
            Filter::And(list) => {
                for one in list {
                    if !self.truth(one, node)? {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
            Filter::Atom(FilterAtom::Filter { expr, not }) => Ok(self.truth(expr, node)? != *not),
            Filter::Atom(FilterAtom::Test { expr, not }) => Ok(self.test(expr, node)? != *not),
            Filter::Atom(FilterAtom::Comparison(comparison)) => self.comparison(comparison, node),
        }
    }

    fn test(&self, asked: &Test, node: &'v Value) -> Result<bool, TooCostly> {
        match asked {
            Test::Function(called) => match &**called {
                TestFunction::Match(text, pattern) => self.regex(text, pattern, node, true),
                TestFunction::Search(text, pattern) => self.regex(text, pattern, node, false),
                _ => Ok(self.function(called, node)?.is_some()),
            },
            query => Ok(!self.nodes(query, node)?.is_empty()),
        }
    }

    fn nodes(&self, query: &Test, node: &'v Value) -> Result<Vec<&'v Value>, TooCostly> {
        match query {
            Test::RelQuery(segments) => self.query(segments, node),
            Test::AbsQuery(query) => self.query(&query.segments, self.root),
            Test::Function(_) => Ok(Vec::new()),
        }
    }

    fn comparison(&self, comparison: &Comparison, node: &'v Value) -> Result<bool, TooCostly> {
        let (a, b) = comparison.vals();
        let (a, b) = (self.comparable(a, node)?, self.comparable(b, node)?);
        let (a, b) = (a.as_deref(), b.as_deref());
        Ok(match comparison {
            Comparison::Eq(..) => self.equal(a, b)?,
            Comparison::Ne(..) => !self.equal(a, b)?,
            Comparison::Lt(..) => self.order(a, b)? == Some(Ordering::Less),
            Comparison::Gt(..) => self.order(a, b)? == Some(Ordering::Greater),
            Comparison::Lte(..) => self.order(a, b)? == Some(Ordering::Less) || self.equal(a, b)?,
            Comparison::Gte(..) => self.order(a, b)? == Some(Ordering::Greater) || self.equal(a, b)?,
        })
    }

    fn comparable(&self, side: &Comparable, node: &'v Value) -> Result<Item<'v>, TooCostly> {
        Ok(match side {
            Comparable::Literal(value) => Some(Cow::Owned(literal(value))),
            Comparable::Function(called) => self.function(called, node)?,
            Comparable::SingularQuery(query) => {
                let (mut here, segments) = match query {
                    SingularQuery::Current(segments) => (Some(node), segments),
                    SingularQuery::Root(segments) => (Some(self.root), segments),
                };
                for segment in segments {
                    self.spend(1)?;
                    here = here.and_then(|value| match segment {
                        SingularQuerySegment::Name(name) => value.as_object()?.get(name),
                        SingularQuerySegment::Index(index) => at(value, *index),
                    });
                }
                here.map(Cow::Borrowed)
            }
        })
    }

    /// The value of a function that gives one.
    fn function(&self, called: &TestFunction, node: &'v Value) -> Result<Item<'v>, TooCostly> {
        Ok(match called {
            TestFunction::Length(argument) => self.value(argument, node)?.and_then(|value| {
                let length = match &*value {
                    Value::String(text) => text.chars().count(),
                    Value::Array(list) => list.len(),
                    Value::Object(map) => map.len(),
                    _ => return None,
                };
                Some(Cow::Owned(Value::from(length)))
            }),
            TestFunction::Count(FnArg::Test(query)) => {
                Some(Cow::Owned(Value::from(self.nodes(query, node)?.len())))
            }
            TestFunction::Value(FnArg::Test(query)) => match self.nodes(query, node)?.as_slice() {
                [one] => Some(Cow::Borrowed(*one)),
                _ => None,
            },
            _ => None,
        })
    }

    /// The value of an argument that is one.
    fn value(&self, argument: &FnArg, node: &'v Value) -> Result<Item<'v>, TooCostly> {
        Ok(match argument {
            FnArg::Literal(value) => Some(Cow::Owned(literal(value))),
            FnArg::Filter(_) => None,
            FnArg::Test(test) => match &**test {
                Test::Function(called) => self.function(called, node)?,
                query => self.nodes(query, node)?.first().map(|value| Cow::Borrowed(*value)),
            },
        })
    }

    /// `match` (of the whole text) and `search`: false of anything but texts, and of a pattern that is none.
    fn regex(&self, text: &FnArg, pattern: &FnArg, node: &'v Value, whole: bool) -> Result<bool, TooCostly> {
        let (text, pattern) = (self.value(text, node)?, self.value(pattern, node)?);
        let (Some(Value::String(text)), Some(Value::String(pattern))) = (text.as_deref(), pattern.as_deref())
        else {
            return Ok(false);
        };
        self.spend(1 + pattern.len())?;
        let pattern = translate(pattern, whole);
        if !self.patterns.borrow().contains_key(&pattern) {
            self.spend(COMPILE)?;
            let compiled = match Pattern::new(&pattern) {
                Ok(compiled) => Some(compiled),
                Err(PatternError::Malformed) => None,
                Err(PatternError::TooLarge) => return Err(TooCostly),
            };
            self.patterns.borrow_mut().insert(pattern.clone(), compiled);
        }
        let patterns = self.patterns.borrow();
        let Some(Some(compiled)) = patterns.get(&pattern) else { return Ok(false) };
        self.spend(MATCHED * compiled.cost * text.len())?;
        Ok(compiled.is_match(text))
    }

    fn equal(&self, a: Option<&Value>, b: Option<&Value>) -> Result<bool, TooCostly> {
        self.spend(1)?;
        let (Some(a), Some(b)) = (a, b) else { return Ok(a.is_none() && b.is_none()) };
        Ok(match (a, b) {
            (Value::Number(a), Value::Number(b)) => numbers(a, b) == Some(Ordering::Equal),
            (Value::String(a), Value::String(b)) => {
                self.spend(a.len().min(b.len()) / 64)?;
                a == b
            }
            (Value::Array(a), Value::Array(b)) => {
                if a.len() != b.len() {
                    return Ok(false);
                }
                for (a, b) in a.iter().zip(b) {
                    if !self.equal(Some(a), Some(b))? {
                        return Ok(false);
                    }
                }
                true
            }
            (Value::Object(a), Value::Object(b)) => {
                if a.len() != b.len() {
                    return Ok(false);
                }
                for (key, a) in a {
                    if !b.contains_key(key) || !self.equal(Some(a), b.get(key))? {
                        return Ok(false);
                    }
                }
                true
            }
            _ => a == b,
        })
    }

    fn order(&self, a: Option<&Value>, b: Option<&Value>) -> Result<Option<Ordering>, TooCostly> {
        Ok(match (a, b) {
            (Some(Value::Number(a)), Some(Value::Number(b))) => numbers(a, b),
            (Some(Value::String(a)), Some(Value::String(b))) => {
                self.spend(a.len().min(b.len()) / 64)?;
                Some(a.cmp(b))
            }
            _ => None,
        })
    }
}

fn numbers(a: &Number, b: &Number) -> Option<Ordering> {
    match (a.as_i64(), b.as_i64(), a.as_u64(), b.as_u64()) {
        (Some(a), Some(b), ..) => Some(a.cmp(&b)),
        (_, _, Some(a), Some(b)) => Some(a.cmp(&b)),
        _ => a.as_f64()?.partial_cmp(&b.as_f64()?),
    }
}

fn literal(literal: &Literal) -> Value {
    match literal {
        Literal::Int(value) => Value::from(*value),
        Literal::Float(value) => Value::from(*value),
        Literal::String(value) => Value::from(value.as_str()),
        Literal::Bool(value) => Value::from(*value),
        Literal::Null => Value::Null,
    }
}

/// An I-Regexp (RFC 9485) as the crate `regex` writes it: its `.` is no line break of any kind.
fn translate(pattern: &str, whole: bool) -> String {
    let mut text = String::with_capacity(pattern.len() + 8);
    let (mut in_class, mut escaped) = (false, false);
    for c in pattern.chars() {
        match c {
            '.' if !in_class && !escaped => text.push_str(r"[^\n\r]"),
            c => text.push(c),
        }
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '[' => in_class = true,
            ']' => in_class = false,
            _ => {}
        }
    }
    if whole { format!(r"\A(?:{text})\z") } else { text }
}
