//! How headworks talks to a cluster: the client that every controller shares. No kind of object is known here.

pub mod api_calls;
pub mod client;
