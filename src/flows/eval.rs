//! Values at run time: what an expression, a parameter or an output comes to. Pure; what has to be read is asked for.
//!
//! Everything fails closed: what cannot be evaluated fails its step with words that say why, and never counts as true,
//! empty or zero. No value stands in those words, since it may be a Secret's.
//!
//! Expressions go through the front end that admission uses ([`expr`](super::expr)), so a name means the same to both;
//! what they read is then looked up in the flow and its status, and the crate `cel` computes with it, metered.

use serde_json::Value;

use self::reader::Reader;
use super::api::{OutputValue, Step};
use super::expr;
use crate::problem::field_path::FieldPath;

mod cel;
mod convert;
mod kubelet_escape;
mod lack;
mod meter;
mod needs;
mod outputs;
mod parameters;
mod paths;
mod reader;
mod reads;
mod render;
mod scene;
mod scope;
mod template_slots;
mod words;

use lack::Lack;

pub use lack::{Failure, Unready};
pub use reads::{Reads, reads, sources};
pub use render::Rendered;
pub use scene::{Scene, Source, Sources, Unread};

/// Decides whether the step's `when` lets it run; true without one.
pub fn when(scene: &Scene<'_>) -> Result<bool, Unready> {
    let reader = reader(scene)?;
    let Some(text) = &reader.step.when else { return Ok(true) };
    let place = FieldPath::default().field("spec").field("steps").index(scene.step).field("when");
    let Some(expression) = reader.parse(text, &place, expr::parse_when)? else { return Ok(true) };
    reader.ask(&expression.bind().reads)?;
    match reader.evaluate(&expression) {
        Ok(Value::Bool(value)) => Ok(value),
        Ok(other) => {
            let why = format!("must be true or false, and is {}", super::typed::kind(&other));
            Err(Lack::wrong(why).at(&place, text).into())
        }
        Err(lack) => Err(lack.at(&place, text).into()),
    }
}

/// The step's template and metadata with every expression replaced.
///
/// Every declared input is found out, used or not, except that a Secret is read only where its value is written into
/// the Job. An env value that is one Secret parameter and nothing else becomes a `secretKeyRef`.
pub fn render(scene: &Scene<'_>) -> Result<Rendered, Unready> {
    render::render(&reader(scene)?)
}

/// Reads a step's outputs from its result document.
pub fn outputs(step: &Step, document: &Value) -> Result<Vec<OutputValue>, Failure> {
    outputs::of(step, document)
}

fn reader<'a>(scene: &Scene<'a>) -> Result<Reader<'a>, Unready> {
    Reader::new(scene).ok_or_else(|| Lack::wrong("there is no such step").into())
}

#[cfg(test)]
mod tests;
