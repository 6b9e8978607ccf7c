//! The arithmetic of waiting: how long to wait after failures, and how often something may happen. Pure: every function
//! takes the time as a parameter. Used by the controllers, below all of them.

#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

pub mod backoff;
pub mod token_bucket;

pub use backoff::Backoff;
pub use token_bucket::TokenBucket;
