//! The input of an evaluation: a step of a flow, and what was read for it.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::Value;

use crate::flows::api::{JobFlow, StepStatus};

/// The step that is evaluated, and everything that the result depends on.
#[derive(Clone, Copy)]
pub struct Scene<'a> {
    /// The flow.
    pub flow: &'a JobFlow,
    /// The status of its steps, by their index in `flow.spec.steps`.
    pub steps: &'a [StepStatus],
    /// The index of the step.
    pub step: usize,
    /// The attempt that is about to start, counted from 1.
    pub attempt: i64,
    /// The ConfigMaps and Secrets that were read.
    pub sources: &'a Sources,
    /// The result document of a step that is done, if its Job is still there.
    pub document: &'a dyn Fn(&str) -> Option<Value>,
}

/// ConfigMaps and Secrets that were read for one decision. They are never kept.
#[derive(Clone, Default)]
pub struct Sources {
    /// Their data, or that there is no such object.
    pub read: BTreeMap<Source, Option<BTreeMap<String, Vec<u8>>>>,
    /// Those that could not be read.
    pub unread: BTreeMap<Source, Unread>,
}

/// Reasons for which a ConfigMap or Secret could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unread {
    /// An error that may pass by itself, and is not worth telling of yet.
    Passing,
    /// For people: what is wrong, and a fix.
    Reported(String),
}

/// A ConfigMap or Secret in the flow's namespace.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// A ConfigMap, by name.
    ConfigMap(String),
    /// A Secret, by name.
    Secret(String),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ConfigMap(name) => write!(f, "ConfigMap \"{name}\""),
            Self::Secret(name) => write!(f, "Secret \"{name}\""),
        }
    }
}
