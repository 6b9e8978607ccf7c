//! Errors of Kubernetes clients, without the objects that they may quote.
//!
//! A client that cannot decode an answer quotes what it could not decode, and the answer may be a Secret. Nothing of
//! that may reach a log line, an event or a condition.

use std::fmt;

use kube::runtime::watcher;

/// Displays an error of a call. An answer that cannot be decoded is named and not quoted.
///
/// The API server's own refusals are kept word for word: they name objects, fields and users, and no values of a Secret.
pub struct RedactedCall<'a>(&'a kube::Error);

/// Displays an error of a watch, as code and reason where the API server refuses it.
pub struct RedactedWatch<'a>(&'a watcher::Error);

impl<'a> RedactedCall<'a> {
    /// Wraps an error for display.
    pub fn new(error: &'a kube::Error) -> Self {
        Self(error)
    }
}

impl<'a> RedactedWatch<'a> {
    /// Wraps an error for display.
    pub fn new(error: &'a watcher::Error) -> Self {
        Self(error)
    }
}

impl fmt::Display for RedactedCall<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            kube::Error::SerdeError(_) => f.write_str("an answer could not be decoded"),
            other => write!(f, "{other}"),
        }
    }
}

impl fmt::Display for RedactedWatch<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use watcher::Error as E;
        match self.0 {
            E::WatchError(status) => write!(f, "{} {}", status.code, status.reason),
            E::NoResourceVersion => f.write_str("no resourceVersion"),
            E::InitialListFailed(error) | E::WatchStartFailed(error) | E::WatchFailed(error) => match error {
                kube::Error::Api(status) => write!(f, "{} {}", status.code, status.reason),
                other => RedactedCall::new(other).fmt(f),
            },
        }
    }
}
