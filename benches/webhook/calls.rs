//! The calls that are made: reviews of a flow.

use std::sync::Arc;

use headworks_testkit::{Call, Phase};

use crate::review;

/// The path at which flows are validated.
pub(crate) const FLOW: &str = "/validate-jobflow";

/// A maker of numbered calls, each with a flow and a UID of its own.
#[derive(Clone)]
pub(crate) struct Calls {
    before: Arc<str>,
    after: Arc<str>,
}

impl Calls {
    pub(crate) fn new() -> Self {
        let text = review::template();
        let (before, after) = text.split_once("\"UID\"").unwrap();
        Self { before: before.into(), after: after.into() }
    }

    pub(crate) fn call(&self, path: &str, number: u64) -> Call {
        let uid = format!("705ab4f5-6393-11e8-b7cc-{number:012}");
        let body = format!("{}\"{uid}\"{}", self.before, self.after);
        Call::new(path, Phase::Validating, &uid, body)
    }
}
