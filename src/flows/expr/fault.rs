//! A mistake in an expression, before it is known where the expression stands.

use crate::problem::code;
use crate::problem::code::Code;

/// Something wrong at a byte offset of the expression.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) code: Code,
    pub(super) offset: usize,
    pub(super) what: String,
    pub(super) hint: Option<String>,
}

impl Fault {
    pub(super) fn syntax(offset: usize, what: impl Into<String>) -> Self {
        Self { code: code::EXPRESSION_SYNTAX, offset, what: what.into(), hint: None }
    }

    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}
