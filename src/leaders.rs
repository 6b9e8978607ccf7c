//! The leader Service: its rules, and the controller that keeps it on one healthy pod.

pub mod leader_name;
pub mod rules;
