//! Bounds the cost of evaluating. The crate has no step budget, and a few lines of `map` in `map` could fill any
//! memory.
//!
//! Before a tree is evaluated, [`meter`] puts calls into it that charge a [`Meter`]: `@use` for everything that is read
//! (what is computed is never larger than what was read for it), `@loop` for what a comprehension is about to do, and
//! `@matches` for regular expressions, which it also bounds. Once the meter is used up every further call fails, and
//! whatever came out counts as a failure.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use cel::common::ast::{CallExpr, ComprehensionExpr, Expr, IdedExpr, LiteralValue, operators};
use cel::common::types::{CelBool, CelBytes, CelInt, CelList, CelMap, CelString};
use cel::common::value::{CowVal, Val};
use cel::{Context, ExecutionError, FunctionContext};
use serde_json::Value;

use crate::flows::expr::{each_part, parts};
use crate::problem::pattern::{Pattern, PatternError};

/// The cost that all expressions of a step may have together: about a byte of memory, or a nanosecond, each.
pub(super) const BUDGET: u64 = 32 * 1024 * 1024;
/// The cost of a value beside its bytes.
const VALUE: u64 = 64;
/// The cost of a node of a syntax tree each time it is evaluated.
const NODE: u64 = 32;
/// The cost of compiling a regular expression.
const COMPILE: u64 = 20_000;
/// The least cost of matching a byte of a text.
const MATCHED: u64 = 64;

const USE: &str = "@use";
const LOOP: &str = "@loop";
const MATCHES: &str = "@matches";

/// The cost that may still be spent.
pub(super) struct Meter(AtomicU64);

impl Meter {
    pub(super) fn new(budget: u64) -> Arc<Self> {
        Arc::new(Self(AtomicU64::new(budget)))
    }

    /// Tests whether more was asked for than there was.
    pub(super) fn is_used_up(&self) -> bool {
        self.0.load(Ordering::Relaxed) == 0
    }

    /// Pay for handing a value over.
    pub(super) fn hand_over(&self, value: &Value) {
        // The caller learns of it by `is_used_up`.
        let _ = self.spend(|| json(value));
    }

    /// Pay. What is bought is weighed only while there is something left: `all` and `exists` go on after an error, and
    /// every further turn has to cost next to nothing.
    fn spend(&self, cost: impl FnOnce() -> u64) -> Result<(), ExecutionError> {
        let left = self.0.load(Ordering::Relaxed);
        let left = if left == 0 { 0 } else { left.saturating_sub(cost()) };
        self.0.store(left, Ordering::Relaxed);
        if left == 0 { Err(ExecutionError::function_error(USE, "")) } else { Ok(()) }
    }
}

type Function = Box<
    dyn for<'c, 'v> Fn(&mut FunctionContext<'c, 'v>) -> Result<CowVal<'c, 'v>, ExecutionError> + Send + Sync,
>;

/// Gives a context the functions that charge `meter`.
pub(super) fn install(context: &mut Context<'_, '_>, meter: &Arc<Meter>) {
    let used = Arc::clone(meter);
    let read: Function = Box::new(move |call| {
        let value = last(call)?;
        used.spend(|| weight(value.as_ref()))?;
        Ok(value)
    });
    let used = Arc::clone(meter);
    let each: Function = Box::new(move |call| {
        let (body, range) = (last(call)?, last(call)?);
        let body = body.downcast_ref::<CelInt>().map_or(0, |cost| u64::try_from(*cost.inner()).unwrap_or(0));
        let turns = range.as_sizer().map_or(0, |sizer| u64::try_from(*sizer.size().inner()).unwrap_or(0));
        used.spend(|| weight(range.as_ref()).saturating_add(turns.saturating_mul(body)))?;
        Ok(range)
    });
    let used = Arc::clone(meter);
    let regex: Function = Box::new(move |call| {
        let (pattern, text) = (last(call)?, last(call)?);
        let (Some(text), Some(pattern)) =
            (text.downcast_ref::<CelString>(), pattern.downcast_ref::<CelString>())
        else {
            let types = [&text, &pattern].map(|value| value.get_type().name().to_owned());
            return Err(ExecutionError::no_such_overload("matches", types.into()));
        };
        used.spend(|| COMPILE + size(pattern.len()))?;
        let pattern = compile(pattern)?;
        used.spend(|| MATCHED * size(pattern.cost) * size(text.len()))?;
        Ok(CowVal::owned(CelBool::from(pattern.is_match(text))))
    });
    for (name, function) in [(USE, read), (LOOP, each), (MATCHES, regex)] {
        // Refused only for a name that the library has, and it has none with an `@`.
        let _ = context.add_function(name, function);
    }
}

fn compile(pattern: &str) -> Result<Pattern, ExecutionError> {
    Pattern::new(pattern).map_err(|error| {
        let why = match error {
            PatternError::Malformed => "the regular expression cannot be read",
            PatternError::TooLarge => "the regular expression is too large",
        };
        ExecutionError::function_error("matches", why)
    })
}

/// Takes the last argument.
fn last<'c, 'v>(call: &mut FunctionContext<'c, 'v>) -> Result<CowVal<'c, 'v>, ExecutionError> {
    call.args.pop().ok_or_else(ExecutionError::missing_argument_or_target)
}

/// About the bytes that a copy of a value takes.
fn weight(value: &dyn Val) -> u64 {
    if let Some(text) = value.downcast_ref::<CelString>() {
        VALUE + size(text.len())
    } else if let Some(bytes) = value.downcast_ref::<CelBytes>() {
        VALUE + size(bytes.inner().len())
    } else if let Some(list) = value.downcast_ref::<CelList>() {
        list.inner().iter().fold(VALUE, |sum, entry| sum.saturating_add(weight(entry.as_ref())))
    } else if let Some(map) = value.downcast_ref::<CelMap>() {
        map.inner().iter().fold(VALUE, |sum, (key, entry)| {
            sum.saturating_add(weight(key.inner())).saturating_add(weight(entry.as_ref()))
        })
    } else {
        VALUE
    }
}

/// The cost of a JSON value, counted in the same way.
fn json(value: &Value) -> u64 {
    match value {
        Value::String(text) => VALUE + size(text.len()),
        Value::Array(list) => list.iter().fold(VALUE, |sum, entry| sum.saturating_add(json(entry))),
        Value::Object(map) => map.iter().fold(VALUE, |sum, (key, entry)| {
            sum.saturating_add(VALUE + size(key.len())).saturating_add(json(entry))
        }),
        _ => VALUE,
    }
}

fn size(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX / 1024)
}

/// Inserts the calls that charge a meter into a tree.
pub(super) fn meter(mut tree: IdedExpr) -> IdedExpr {
    match &mut tree.expr {
        Expr::Ident(name) if name.starts_with("@result") => tree,
        Expr::Ident(_) => charged(tree),
        Expr::Select(select) if !select.test => {
            inside(&mut tree);
            charged(tree)
        }
        Expr::Call(call) if call.func_name == operators::INDEX => {
            inside(&mut tree);
            charged(tree)
        }
        Expr::Select(_) => {
            inside(&mut tree);
            tree
        }
        Expr::Comprehension(comprehension) => {
            looped(comprehension);
            tree
        }
        other => {
            if let Expr::Call(call) = other
                && call.func_name == "matches"
            {
                MATCHES.clone_into(&mut call.func_name);
                let target = call.target.take().map(|target| *target);
                call.args.splice(0..0, target);
            }
            each_part(other, &mut |part| *part = meter(std::mem::take(part)));
            tree
        }
    }
}

/// Meters the inside of a path: the values on the way are looked at, not copied, so only its end is charged.
fn inside(tree: &mut IdedExpr) {
    let path = |tree: &IdedExpr| match &tree.expr {
        Expr::Ident(_) => true,
        Expr::Select(select) => !select.test,
        Expr::Call(call) => call.func_name == operators::INDEX,
        _ => false,
    };
    let step = |part: &mut IdedExpr| {
        if path(part) {
            inside(part);
        } else {
            *part = meter(std::mem::take(part));
        }
    };
    match &mut tree.expr {
        Expr::Select(select) => step(&mut select.operand),
        Expr::Call(call) => {
            if let [map, key] = call.args.as_mut_slice() {
                step(map);
                *key = meter(std::mem::take(key));
            }
        }
        _ => {}
    }
}

fn looped(comprehension: &mut ComprehensionExpr) {
    let body = i64::try_from(cost(&comprehension.loop_step)).unwrap_or(i64::MAX);
    let range = meter(std::mem::take(&mut comprehension.iter_range));
    let body = literal(LiteralValue::Int(CelInt::from(body)));
    comprehension.iter_range = call(LOOP, vec![range, body]);
    comprehension.loop_step = meter(std::mem::take(&mut comprehension.loop_step));
}

/// Returns the cost of evaluating a tree once, without that of the values it reads.
fn cost(tree: &IdedExpr) -> u64 {
    let own = match &tree.expr {
        Expr::Literal(LiteralValue::String(text)) => size(text.len()),
        Expr::Literal(LiteralValue::Bytes(bytes)) => size(bytes.inner().len()),
        _ => 0,
    };
    parts(&tree.expr).into_iter().fold(NODE + own, |sum, part| sum.saturating_add(cost(part)))
}

fn charged(tree: IdedExpr) -> IdedExpr {
    call(USE, vec![tree])
}

fn call(name: &str, args: Vec<IdedExpr>) -> IdedExpr {
    let expr = Expr::Call(CallExpr { func_name: name.to_owned(), target: None, args });
    IdedExpr { id: 0, expr }
}

fn literal(value: LiteralValue) -> IdedExpr {
    IdedExpr { id: 0, expr: Expr::Literal(value) }
}
