//! Flows that run: on a real node, in pods, from `apply` to their end.
//!
//! Each test has a namespace of its own and so depends on no other. What happens there is recorded from watches, every
//! version of every object, so a test can ask for a state that lasted for a millisecond, and nothing is found by sleeping.

mod data;
mod failure;
mod jobs;
mod manual;
mod order;
mod people;
mod policy;
mod resources;
mod said;

mod lag;
mod space;
mod status;
pub(crate) mod write;
