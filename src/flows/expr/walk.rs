//! One walk over a syntax tree finds the names that an expression refers to, and its type.

use cel::common::ast::{CallExpr, ComprehensionExpr, EntryExpr, Expr, IdedExpr, LiteralValue, operators};

use super::functions;
use super::names::show;
use super::read::Segment;
use super::types::Type;
use super::{Read, References, Scope};
use crate::problem::code;
use crate::problem::field_path::Place;
use crate::problem::suggest::{did_you_mean, nearest};
use crate::problem::{Problem, Problems};

mod names;
mod operation;

const ROOTS: [&str; 5] = ["parameters", "steps", "flow", "step", "resources"];
const STEP_PROPERTIES: [&str; 7] =
    ["phase", "outputs", "exitCode", "attempt", "startTime", "completionTime", "message"];
const FLOW_PROPERTIES: [&str; 6] = ["name", "namespace", "uid", "labels", "annotations", "createdAt"];
const SELF_PROPERTIES: [&str; 2] = ["name", "attempt"];
/// Comprehensions inside comprehensions; evaluation has no step budget, so its cost is bounded here.
const MAX_LOOPS: usize = 2;

/// The property of `flow` nearest to a name.
pub(super) fn nearest_flow_property(name: &str) -> Option<&'static str> {
    FLOW_PROPERTIES.iter().find(|known| **known == name).copied().or_else(|| nearest(name, FLOW_PROPERTIES))
}

/// A walk. `'a` is the tree's.
pub(super) struct Walk<'a, 'w> {
    place: &'w Place<'w>,
    scope: &'w dyn Scope,
    out: &'w mut Problems,
    references: &'w mut References,
    /// Names bound by comprehensions.
    bound: Vec<&'a str>,
    loops: usize,
    /// Keys of what was reported already.
    reported: Vec<String>,
}

impl<'a, 'w> Walk<'a, 'w> {
    pub(super) fn new(
        place: &'w Place<'w>,
        scope: &'w dyn Scope,
        out: &'w mut Problems,
        references: &'w mut References,
    ) -> Self {
        Self { place, scope, out, references, bound: Vec::new(), loops: 0, reported: Vec::new() }
    }

    /// Reports a `when` that is known to be something else than true or false.
    pub(super) fn must_be_bool(&mut self, found: Type, tree: &IdedExpr, text: &str) {
        if matches!(found, Type::Bool | Type::Unknown) {
            return;
        }
        let hint = match path(tree) {
            Some((root, segments)) if found == Type::Text => {
                format!("compare it, as in {} == \"...\"", written(root, &segments))
            }
            _ => "compare it with something".to_owned(),
        };
        let what = format!("must be true or false, and this is {}", found.as_str());
        self.out.push(Problem::invalid(code::WRONG_RESULT_TYPE, self.place, text.trim(), what).hint(hint));
    }

    /// Checks a tree, and returns its type.
    pub(super) fn visit(&mut self, tree: &'a IdedExpr) -> Type {
        if let Some((root, segments)) = path(tree)
            && self.is_root(root)
        {
            return self.reference(root, &segments);
        }
        match &tree.expr {
            Expr::Unspecified => Type::Unknown,
            Expr::Literal(literal) => Type::of(literal),
            Expr::Ident(name) => {
                self.variable(name);
                Type::Unknown
            }
            Expr::Select(select) => {
                if let Some((root, segments)) = tested(tree)
                    && self.is_root(root)
                    && Read::of(root, &segments).is_some()
                {
                    self.reference(root, &segments);
                    return Type::Bool;
                }
                self.visit(&select.operand);
                if select.test { Type::Bool } else { Type::Unknown }
            }
            Expr::Call(call) => self.call(call),
            Expr::Comprehension(comprehension) => self.comprehension(comprehension),
            Expr::List(list) => {
                for element in &list.elements {
                    self.visit(element);
                }
                Type::List
            }
            Expr::Map(map) => {
                for entry in &map.entries {
                    self.entry(&entry.expr);
                }
                Type::Map
            }
            Expr::Struct(object) => {
                self.report(Problem::not_found(
                    code::UNKNOWN_VARIABLE,
                    self.place,
                    object.type_name.as_str(),
                    "there is no type of this name",
                ));
                Type::Unknown
            }
        }
    }

    /// Tests whether a name is one of the [`ROOTS`], and not bound by a comprehension.
    fn is_root(&self, name: &str) -> bool {
        ROOTS.contains(&name) && !self.bound.contains(&name)
    }

    fn entry(&mut self, entry: &'a EntryExpr) {
        match entry {
            EntryExpr::StructField(field) => {
                self.visit(&field.value);
            }
            EntryExpr::MapEntry(entry) => {
                self.visit(&entry.key);
                self.visit(&entry.value);
            }
        }
    }

    fn call(&mut self, call: &'a CallExpr) -> Type {
        if let Some(found) = self.operator(call) {
            return found;
        }
        let name = call.func_name.as_str();
        let function = functions::find(name);
        let (count, method) = (call.args.len(), call.target.is_some());
        let fits = function.is_some_and(|function| {
            if method { function.method.contains(&count) } else { function.global.contains(&count) }
        });
        if !fits {
            self.function(name, function, method);
        }
        if let Some(target) = &call.target
            && (fits
                || !matches!(target.expr, Expr::Ident(_))
                || path(target).is_some_and(|(root, _)| ROOTS.contains(&root)))
        {
            self.visit(target);
        }
        for argument in &call.args {
            // A macro that was called wrongly leaves its variables unbound: one problem is enough.
            if fits || function.is_none_or(|function| function.method != [2] && function.method != [2, 3]) {
                self.visit(argument);
            }
        }
        function.filter(|_| fits).map_or(Type::Unknown, |function| function.result)
    }

    fn function(&mut self, name: &str, function: Option<&functions::Function>, method: bool) {
        let problem = |what: &str| Problem::not_found(code::UNKNOWN_FUNCTION, self.place, name, what);
        let problem = match function {
            Some(function) if function.global.is_empty() && !method => {
                problem("is called on a value").hint(format!("write it as in {}", function.example))
            }
            Some(function) if function.method.is_empty() && method => {
                problem("is not called on a value").hint(format!("write it as in {}", function.example))
            }
            Some(function) => problem("takes another number of arguments")
                .hint(format!("write it as in {}", function.example)),
            None => {
                let hint = match name {
                    "now" | "timestamp" | "duration" => "expressions have no clock".to_owned(),
                    _ => did_you_mean(name, functions::NAMES)
                        .unwrap_or_else(|| format!("the functions are {}", functions::NAMES.join(", "))),
                };
                problem("there is no function of this name").hint(hint)
            }
        };
        self.report(problem);
    }

    fn comprehension(&mut self, comprehension: &'a ComprehensionExpr) -> Type {
        self.visit(&comprehension.iter_range);
        let start = self.visit(&comprehension.accu_init);
        self.loops += 1;
        if self.loops == MAX_LOOPS + 1 {
            let what = format!("all, exists, map and filter nest at most {MAX_LOOPS} deep");
            let problem = Problem::invalid(code::EXPRESSION_TOO_LARGE, self.place, self.loops, what);
            self.report(problem.hint("compute a part of it in an input parameter"));
        }
        let bound = self.bound.len();
        self.bound.push(&comprehension.iter_var);
        self.bound.extend(comprehension.iter_var2.as_deref());
        self.visit(&comprehension.loop_cond);
        self.visit(&comprehension.loop_step);
        self.bound.truncate(bound);
        self.loops -= 1;
        match self.visit(&comprehension.result) {
            Type::Unknown => start,
            found => found,
        }
    }

    fn report(&mut self, problem: Problem) {
        let key = problem.message();
        if !self.reported.contains(&key) {
            self.reported.push(key);
            self.out.push(problem);
        }
    }

    /// Reports a problem once for each step.
    fn report_once(&mut self, step: &str, problem: Problem) {
        let key = format!("step {step}");
        if !self.reported.contains(&key) {
            self.reported.push(key);
            self.out.push(problem);
        }
    }
}

/// The path that a tree is, if it is one: a name, then selections and indices.
pub(super) fn path(tree: &IdedExpr) -> Option<(&str, Vec<Segment<'_>>)> {
    let mut segments = Vec::new();
    let mut here = tree;
    loop {
        match &here.expr {
            Expr::Ident(name) => {
                segments.reverse();
                return Some((name, segments));
            }
            // `has(a.b)` is a test of the path, not the path.
            Expr::Select(select) if !select.test => {
                segments.push(Segment::Name(&select.field));
                here = &select.operand;
            }
            Expr::Call(call) if call.func_name == operators::INDEX => {
                let [map, key] = call.args.as_slice() else { return None };
                segments.push(match &key.expr {
                    Expr::Literal(LiteralValue::String(name)) => Segment::Name(name.inner()),
                    _ => Segment::Index(key),
                });
                here = map;
            }
            _ => return None,
        }
    }
}

/// The path that `has(...)` asks for, if the tree is one.
pub(super) fn tested(tree: &IdedExpr) -> Option<(&str, Vec<Segment<'_>>)> {
    let Expr::Select(select) = &tree.expr else { return None };
    let (root, mut segments) = path(&select.operand).filter(|_| select.test)?;
    segments.push(Segment::Name(&select.field));
    Some((root, segments))
}

/// A step's phase: the step. For folding.
pub(super) fn phase_of(tree: &IdedExpr) -> Option<&str> {
    match path(tree) {
        Some(("steps", segments)) => match segments.as_slice() {
            [Segment::Name(step), Segment::Name("phase")] => Some(step),
            _ => None,
        },
        _ => None,
    }
}

fn written(root: &str, segments: &[Segment<'_>]) -> String {
    segments.iter().fold(root.to_owned(), |text, segment| match segment {
        Segment::Name(name) => show(&text, name),
        Segment::Index(_) => text + "[...]",
    })
}
