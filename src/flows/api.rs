//! The `JobFlow` API, as users write it and as headworks writes it back, its names, defaults and schema. No behaviour.
//!
//! Field names, enums and defaults are those of zen-flow's `workflow.kube-zen.io/v1alpha1`, whose manifests apply
//! unchanged; what came later is marked *new* in the module that defines it.

pub mod crd;
pub mod data;
pub mod defaults;
pub mod flow;
pub mod order;
pub mod phase;
pub mod policy;
pub mod reason;
pub mod status;
pub mod step;
pub mod template;
mod words;

pub use data::*;
pub use flow::*;
pub use phase::*;
pub use policy::*;
pub use reason::*;
pub use status::*;
pub use step::*;
pub use template::*;
