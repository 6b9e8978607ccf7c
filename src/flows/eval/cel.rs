//! Evaluates a bound expression with the crate `cel`.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, LazyLock};

use cel::common::value::{CowVal, Val};
use cel::context::VariableResolver;
use cel::{Context, Env, ExecutionError};
use serde_json::Value;

use super::meter;
use super::meter::Meter;
use super::{Lack, convert, words};
use crate::flows::expr;
use crate::flows::expr::Bound;

/// CEL's standard library, as `expr::FUNCTIONS` lists it.
static ENV: LazyLock<Arc<Env>> =
    LazyLock::new(|| Arc::new(Env::default().with_optional_support(false).with_stdlib()));

const USED_UP: &str =
    "evaluating the step's expressions would cost too much; read less, or compute it in a step";

/// The value of an expression. `values` are those of its reads; that one is lacking matters only if it is reached.
/// The error does not name the place.
pub(super) fn evaluate(
    bound: &Bound,
    values: &[Result<Value, Lack>],
    meter: &Arc<Meter>,
) -> Result<Value, Lack> {
    values.iter().flatten().for_each(|value| meter.hand_over(value));
    if meter.is_used_up() {
        return Err(Lack::wrong(USED_UP));
    }
    if let (Some(_), [value]) = (bound.only(), values) {
        return value.clone();
    }
    let tree = meter::meter(bound.tree.clone());
    let slots = Slots(values.iter().map(|value| value.as_ref().ok().map(convert::to_cel)).collect());
    // A panic of the crate would be a bug of its own; it must not become the planner's.
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        let mut context = Context::with_env(Arc::clone(&ENV));
        meter::install(&mut context, meter);
        context.set_variable_resolver(&slots);
        // By way of the crate's own code: `resolve_val` would be compiled, recursion and all, into ours.
        Ok(convert::from_cel(&context.resolve(&tree)?))
    }));
    // First of all: where it has run out, even a result is none.
    if meter.is_used_up() {
        return Err(Lack::wrong(USED_UP));
    }
    match outcome {
        Ok(Ok(Ok(value))) => Ok(value),
        Ok(Ok(Err(why))) => Err(Lack::wrong(why)),
        Ok(Err(ExecutionError::UndeclaredReference(name))) if expr::slot_index(&name).is_some() => {
            let lacking = expr::slot_index(&name).and_then(|index| values.get(index));
            match lacking {
                Some(Err(lack)) => Err(lack.clone()),
                _ => Err(Lack::wrong("cannot be evaluated")),
            }
        }
        Ok(Err(error)) => Err(Lack::wrong(words::explain(&error, &bound.tree))),
        Err(_) => Err(Lack::wrong("cannot be evaluated")),
    }
}

/// The variables that stand for the values read.
struct Slots<'v>(Vec<Option<Box<dyn Val + 'v>>>);

impl VariableResolver for Slots<'_> {
    fn resolve<'b>(&'b self, variable: &str) -> Option<CowVal<'b, 'b>> {
        self.0.get(expr::slot_index(variable)?)?.as_deref().map(CowVal::Borrowed)
    }
}
