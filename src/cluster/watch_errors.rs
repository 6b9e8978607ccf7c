//! Errors of watches, without the objects that they may quote.

use std::fmt;

use kube::runtime::watcher;

/// Displays an error of a watch for the log. An error of decoding quotes the object, which may hold anything; so does
/// the message of a status.
pub(crate) struct Redacted<'a>(pub(crate) &'a watcher::Error);

impl fmt::Display for Redacted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use watcher::Error as E;
        let error = match self.0 {
            E::InitialListFailed(error) | E::WatchStartFailed(error) | E::WatchFailed(error) => error,
            E::WatchError(status) => return write!(f, "{} {}", status.code, status.reason),
            E::NoResourceVersion => return f.write_str("no resourceVersion"),
        };
        match error {
            kube::Error::Api(status) => write!(f, "{} {}", status.code, status.reason),
            kube::Error::SerdeError(_) => f.write_str("an answer could not be decoded"),
            other => write!(f, "{other}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use kube::core::Status;

    use super::*;

    #[test]
    fn no_error_quotes_an_object() {
        let quoting = serde_json::from_str::<u8>("\"hush\"").unwrap_err();
        let refused = Status::failure("hush", "Forbidden").with_code(403);
        for (error, expected) in [
            (watcher::Error::WatchFailed(kube::Error::SerdeError(quoting)), "an answer could not be decoded"),
            (watcher::Error::InitialListFailed(kube::Error::Api(Box::new(refused.clone()))), "403 Forbidden"),
            (watcher::Error::WatchError(Box::new(refused)), "403 Forbidden"),
        ] {
            assert_eq!(Redacted(&error).to_string(), expected);
        }
    }
}
