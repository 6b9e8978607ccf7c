//! The arithmetic of waiting: how long to wait after failures, and how often something may happen. Pure: every function
//! takes the time as a parameter. Used by the controllers, below all of them.

pub mod backoff;
pub mod token_bucket;

pub use backoff::Backoff;
pub use token_bucket::TokenBucket;
