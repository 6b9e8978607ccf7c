//! The client of `headworks run` and what all controllers do with it: counting calls, bounding silences, writing Events,
//! restarting watches. No kind of object is known here.

pub mod api_calls;
pub mod client;
pub mod events;
pub(crate) mod watch_backoff;
pub(crate) mod watch_errors;
