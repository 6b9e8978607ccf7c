//! Kubernetes' own formats and rules: durations, quantities, label selectors, names. Pure; no client.

#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

pub mod duration;
pub mod hash;
pub mod name_rules;
pub mod quantity;
pub mod selector;
