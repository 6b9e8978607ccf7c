//! Replaces everything that an expression reads from outside by a variable.
//!
//! `steps.load-a.outputs.rows > parameters.max` becomes `@0 > @1`. So nobody who evaluates has to build the maps
//! `steps` and `parameters`, and every reading can fail with words of its own.

use cel::common::ast::{EntryExpr, Expr, IdedEntryExpr, IdedExpr};

use super::expression::add;
use super::{Expression, Read, walk};

/// An expression, ready to be evaluated.
#[derive(Clone, Debug, PartialEq)]
pub struct Bound {
    /// The syntax tree. The variable [`slot`] stands in the place of each reading.
    pub tree: IdedExpr,
    /// The values that are read, each once.
    pub reads: Vec<Read>,
}

impl Bound {
    /// Returns the value that is read, if the expression reads one and does nothing else.
    pub fn only(&self) -> Option<&Read> {
        match (&self.tree.expr, self.reads.as_slice()) {
            (Expr::Ident(_), [read]) => Some(read),
            _ => None,
        }
    }
}

/// The variable that stands for the value at an index of [`Bound::reads`]; no user can write it.
pub fn slot(index: usize) -> String {
    format!("@{index}")
}

/// The index in [`Bound::reads`] that a variable stands for.
pub fn slot_index(slot: &str) -> Option<usize> {
    slot.strip_prefix('@')?.parse().ok()
}

impl Expression {
    /// Replaces everything that is read by variables.
    pub fn bind(&self) -> Bound {
        let mut binder = Binder { reads: Vec::new(), bound: Vec::new() };
        let tree = binder.bind(self.tree.clone());
        Bound { tree, reads: binder.reads }
    }
}

struct Binder {
    reads: Vec<Read>,
    /// Names bound by comprehensions.
    bound: Vec<String>,
}

impl Binder {
    fn bind(&mut self, mut tree: IdedExpr) -> IdedExpr {
        if let Some(read) = self.reading(&tree) {
            add(&mut self.reads, read.clone());
            let index = self.reads.iter().position(|known| *known == read).unwrap_or_default();
            tree.expr = Expr::Ident(slot(index));
            return tree;
        }
        if let Expr::Comprehension(comprehension) = &mut tree.expr {
            let outside = self.bound.len();
            for part in [&mut comprehension.iter_range, &mut comprehension.accu_init] {
                *part = self.bind(std::mem::take(part));
            }
            self.bound.push(comprehension.iter_var.clone());
            self.bound.extend(comprehension.iter_var2.clone());
            for part in [&mut comprehension.loop_cond, &mut comprehension.loop_step] {
                *part = self.bind(std::mem::take(part));
            }
            self.bound.truncate(outside);
            comprehension.result = self.bind(std::mem::take(&mut comprehension.result));
            return tree;
        }
        each_part(&mut tree.expr, &mut |part| *part = self.bind(std::mem::take(part)));
        tree
    }

    fn reading(&self, tree: &IdedExpr) -> Option<Read> {
        let outside = |root: &str| !self.bound.iter().any(|name| name == root);
        if let Some((root, segments)) = walk::tested(tree) {
            let read = Read::of(root, &segments).filter(|_| outside(root))?;
            return Some(Read::Has(Box::new(read)));
        }
        let (root, segments) = walk::path(tree)?;
        Read::of(root, &segments).filter(|_| outside(root))
    }
}

/// The direct parts of an expression; of a comprehension, all.
pub(in crate::flows) fn parts(expr: &Expr) -> Vec<&IdedExpr> {
    fn entry(entry: &IdedEntryExpr) -> Vec<&IdedExpr> {
        match &entry.expr {
            EntryExpr::StructField(field) => vec![&field.value],
            EntryExpr::MapEntry(entry) => vec![&entry.key, &entry.value],
        }
    }
    match expr {
        Expr::Unspecified | Expr::Ident(_) | Expr::Literal(_) => Vec::new(),
        Expr::Call(call) => call.target.iter().map(|target| &**target).chain(&call.args).collect(),
        Expr::List(list) => list.elements.iter().collect(),
        Expr::Select(select) => vec![&select.operand],
        Expr::Map(map) => map.entries.iter().flat_map(entry).collect(),
        Expr::Struct(object) => object.entries.iter().flat_map(entry).collect(),
        Expr::Comprehension(inner) => {
            vec![&inner.iter_range, &inner.accu_init, &inner.loop_cond, &inner.loop_step, &inner.result]
        }
    }
}

/// Do something with every direct part of an expression; of a comprehension, nothing.
pub(in crate::flows) fn each_part(expr: &mut Expr, each: &mut dyn FnMut(&mut IdedExpr)) {
    let entry = |entry: &mut IdedEntryExpr| match &mut entry.expr {
        EntryExpr::StructField(field) => each(&mut field.value),
        EntryExpr::MapEntry(entry) => {
            each(&mut entry.key);
            each(&mut entry.value);
        }
    };
    match expr {
        Expr::Unspecified | Expr::Ident(_) | Expr::Literal(_) | Expr::Comprehension(_) => {}
        Expr::Call(call) => {
            call.target.iter_mut().map(|target| &mut **target).chain(&mut call.args).for_each(each);
        }
        Expr::List(list) => list.elements.iter_mut().for_each(each),
        Expr::Select(select) => each(&mut select.operand),
        Expr::Map(map) => map.entries.iter_mut().for_each(entry),
        Expr::Struct(object) => object.entries.iter_mut().for_each(entry),
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::flows::expr::{NoScope, parse_expression};
    use crate::problem::Problems;
    use crate::problem::field_path::Place;

    fn parse(text: &str) -> Expression {
        let mut out = Problems::new();
        parse_expression(text, &Place::ROOT, &NoScope, &mut out).unwrap_or_else(|| panic!("{text}: {out:?}"))
    }

    /// Names the readings x and y.
    fn rename(tree: &mut IdedExpr) {
        match &mut tree.expr {
            Expr::Ident(name) if slot_index(name).is_some() => {
                *name = ["x", "y"][slot_index(name).unwrap()].to_owned();
            }
            Expr::Comprehension(inner) => {
                rename(&mut inner.iter_range);
                rename(&mut inner.loop_step);
            }
            other => each_part(other, &mut rename),
        }
    }

    #[rstest]
    #[case("parameters.a + parameters.b + parameters.a", "x + y + x")]
    #[case("parameters.a.b[0]", "x.b[0]")]
    #[case("parameters[\"a-b\"]", "x")]
    #[case("steps.a.phase == steps[\"a\"].outputs.o.z", "x == y.z")]
    #[case("flow.labels[step.name] + flow.labels.team", "x[y] + x.team")]
    #[case("has(flow.labels.team) || has(parameters.a.b)", "has(x.team) || has(y.b)")]
    #[case("has(steps.a.outputs.o) && steps.a.outputs.o == 1", "x && y == 1")]
    #[case("has(steps[\"a\"].exitCode) || has(steps.a.outputs.o.z)", "x || has(y.z)")]
    #[case("{resources.a: [flow.name]}", "{x: [y]}")]
    #[case("size(parameters.a) + parameters.b.size()", "size(x) + y.size()")]
    #[case("[1].map(parameters, parameters.a)", "[1].map(parameters, parameters.a)")]
    #[case("parameters.a.map(flow, flow.name + step.name)", "x.map(flow, flow.name + y)")]
    #[case("steps.a.outputs", "steps.a.outputs")]
    fn every_reading_becomes_a_variable(#[case] text: &str, #[case] same: &str) {
        let bound = parse(text).bind();
        let mut tree = bound.tree.clone();
        rename(&mut tree);
        // Nodes are numbered in the order of the text, which is another.
        let number = regex::Regex::new("id: [0-9]+").unwrap();
        let shape = |tree: &IdedExpr| number.replace_all(&format!("{tree:?}"), "").into_owned();
        assert_eq!(shape(&tree), shape(&parse(same).tree), "{:?}", bound.reads);
    }

    #[test]
    fn what_is_read_is_told_in_order() {
        let bound = parse("steps.a.exitCode > 0 ? steps.a.outputs.o : step.name + parameters.p").bind();
        let of_a = |property: &str| Read::Step { step: "a".to_owned(), property: property.to_owned() };
        assert_eq!(
            bound.reads,
            [
                of_a("exitCode"),
                Read::Output { step: "a".to_owned(), name: "o".to_owned() },
                Read::Own("name".to_owned()),
                Read::Parameter("p".to_owned()),
            ]
        );
        assert_eq!(bound.only(), None);
        assert_eq!(parse("parameters.p").bind().only(), Some(&Read::Parameter("p".to_owned())));
        assert_eq!(parse("parameters.p.q").bind().only(), None);
    }
}
