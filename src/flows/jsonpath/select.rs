//! Selects the values of a path from a document (RFC 9535, 2.3 to 2.5).
//!
//! Our own walk over the parsed tree. That of `jsonpath-rust` writes a normalised path for every place that it visits,
//! and nothing bounds how many these are: `$..*..*..*` multiplies. It also differs from the RFC where it matters: the
//! `count` of nothing is not 0, `@[?...]` in a filter asks of the entry itself, and numbers are equal that are not. A
//! property test holds this one against another implementation.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;

use jsonpath_rust::parser::model::{Segment, Selector};
use serde_json::Value;

use super::JsonPath;
use crate::problem::pattern::Pattern;

mod filter;

/// The most places that a selection looks at; a place is a value, or 64 bytes of a text that is compared.
pub const MAX_PLACES: usize = 1_000_000;

/// The path would look at more places of the document than it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooCostly;

impl std::fmt::Display for TooCostly {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the path looks at too many places of the document")
    }
}

impl JsonPath {
    /// The values that the path selects, in the order of the RFC.
    pub fn select<'v>(&self, document: &'v Value) -> Result<Vec<&'v Value>, TooCostly> {
        self.select_within(document, &Cell::new(MAX_PLACES))
    }

    /// The same where several selections share one account of places.
    pub fn select_within<'v>(
        &self,
        document: &'v Value,
        left: &Cell<usize>,
    ) -> Result<Vec<&'v Value>, TooCostly> {
        Search { root: document, left, patterns: RefCell::default() }.query(&self.tree.segments, document)
    }
}

/// One selection.
struct Search<'v, 'l> {
    root: &'v Value,
    /// Places that may still be looked at.
    left: &'l Cell<usize>,
    /// Regular expressions of `match` and `search`, compiled; `None` if they are none.
    patterns: RefCell<HashMap<String, Option<Pattern>>>,
}

impl<'v> Search<'v, '_> {
    fn spend(&self, places: usize) -> Result<(), TooCostly> {
        self.left.set(self.left.get().checked_sub(places).ok_or(TooCostly)?);
        Ok(())
    }

    fn query(&self, segments: &[Segment], from: &'v Value) -> Result<Vec<&'v Value>, TooCostly> {
        let mut nodes = vec![from];
        for segment in segments {
            let mut next = Vec::new();
            for node in nodes {
                self.segment(segment, node, &mut next)?;
            }
            nodes = next;
        }
        Ok(nodes)
    }

    fn segment(&self, segment: &Segment, node: &'v Value, out: &mut Vec<&'v Value>) -> Result<(), TooCostly> {
        match segment {
            Segment::Selector(selector) => self.selector(selector, node, out),
            Segment::Selectors(list) => list.iter().try_for_each(|one| self.selector(one, node, out)),
            Segment::Descendant(inner) => {
                self.segment(inner, node, out)?;
                self.children(node, |child| self.segment(segment, child, out))
            }
        }
    }

    fn selector(
        &self,
        selector: &Selector,
        node: &'v Value,
        out: &mut Vec<&'v Value>,
    ) -> Result<(), TooCostly> {
        self.spend(1)?;
        match selector {
            Selector::Name(name) => out.extend(node.as_object().and_then(|map| map.get(name))),
            Selector::Index(index) => out.extend(at(node, *index)),
            Selector::Wildcard => self.children(node, |child| {
                out.push(child);
                Ok(())
            })?,
            Selector::Slice(start, end, step) => {
                if let Some(list) = node.as_array() {
                    for index in slice(list.len(), *start, *end, step.unwrap_or(1)) {
                        self.spend(1)?;
                        out.extend(list.get(index));
                    }
                }
            }
            Selector::Filter(filter) => self.children(node, |child| {
                if self.truth(filter, child)? {
                    out.push(child);
                }
                Ok(())
            })?,
        }
        Ok(())
    }

    fn children(
        &self,
        node: &'v Value,
        mut each: impl FnMut(&'v Value) -> Result<(), TooCostly>,
    ) -> Result<(), TooCostly> {
        let mut visit = |child| {
            self.spend(1)?;
            each(child)
        };
        match node {
            Value::Array(list) => list.iter().try_for_each(&mut visit),
            Value::Object(map) => map.values().try_for_each(&mut visit),
            _ => Ok(()),
        }
    }
}

/// An entry of a list, from its end if `index` is negative.
pub(super) fn at(node: &Value, index: i64) -> Option<&Value> {
    let list = node.as_array()?;
    let index = match usize::try_from(index) {
        Ok(index) => index,
        Err(_) => list.len().checked_sub(usize::try_from(index.unsigned_abs()).ok()?)?,
    };
    list.get(index)
}

/// The indices of a slice (RFC 9535, 2.3.4.2).
fn slice(len: usize, start: Option<i64>, end: Option<i64>, step: i64) -> Vec<usize> {
    let Ok(len) = i64::try_from(len) else { return Vec::new() };
    let normal = |index: i64| if index < 0 { len.saturating_add(index) } else { index };
    let (mut at, end) = match step {
        1.. => (normal(start.unwrap_or(0)).clamp(0, len), normal(end.unwrap_or(len)).clamp(0, len)),
        _ => (
            normal(start.unwrap_or(len - 1)).clamp(-1, len - 1),
            // Absent is before the first, which no index says.
            end.map_or(-1, |end| normal(end).clamp(-1, len - 1)),
        ),
    };
    let mut found = Vec::new();
    while (step > 0 && at < end) || (step < 0 && at > end) {
        found.extend(usize::try_from(at));
        at = at.saturating_add(step);
    }
    found
}

#[cfg(test)]
mod tests;
