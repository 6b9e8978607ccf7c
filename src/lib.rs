//! headworks: admits batch flows and leader Services on Kubernetes. Modules in reading order.

pub mod admission;
pub mod cluster;
pub mod election;
pub mod flows;
pub mod k8s;
pub mod leaders;
pub mod manifest;
pub mod names;
pub mod pacing;
pub mod problem;
pub mod telemetry;
