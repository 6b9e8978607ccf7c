//! A call of a webhook, its HTTP answer, and the ways in which it can fail.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{ACCEPT, CONTENT_TYPE, HOST, HeaderMap, HeaderValue, RETRY_AFTER, USER_AGENT};
use hyper::{Request, StatusCode};

/// One call of a webhook.
#[derive(Clone, Debug)]
pub struct Call {
    path: String,
    pub(super) phase: Phase,
    pub(super) uid: String,
    body: Bytes,
    pub(super) timeout: Duration,
}

/// The kind of webhook that is called: the two may answer differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// May answer with a patch.
    Mutating,
    /// Must not.
    Validating,
}

/// The reason for which a user would read `failed calling webhook`.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// No connection.
    #[error("dial: {0}")]
    Dial(#[source] std::io::Error),
    /// No TLS.
    #[error("handshake: {0}")]
    Handshake(#[source] std::io::Error),
    /// The connection broke under the call.
    #[error("{connection} connection: {error}")]
    Broken {
        /// `reused` if it had carried a call before, else `new`.
        connection: &'static str,
        /// The cause.
        #[source]
        error: hyper::Error,
    },
    /// The webhook's `timeoutSeconds` are over.
    #[error("context deadline exceeded")]
    Deadline,
    /// An HTTP error, after all that may be asked again was.
    #[error("status {status}: {text}")]
    Status {
        /// The HTTP status.
        status: u16,
        /// The body.
        text: String,
    },
    /// An answer that the API server does not take.
    #[error("{0}")]
    Answer(String),
}

impl CallError {
    /// One word for each variant, to count by.
    pub fn category(&self) -> &'static str {
        match self {
            Self::Dial(_) => "dial",
            Self::Handshake(_) => "handshake",
            Self::Broken { .. } => "broken",
            Self::Deadline => "deadline",
            Self::Status { .. } => "status",
            Self::Answer(_) => "answer",
        }
    }
}

impl Call {
    /// A call with the `timeoutSeconds` of our manifests: 5. `uid` is that of the review in `body`.
    pub fn new(path: &str, phase: Phase, uid: &str, body: impl Into<Bytes>) -> Self {
        let (path, uid, body) = (path.to_owned(), uid.to_owned(), body.into());
        Self { path, phase, uid, body, timeout: Duration::from_secs(5) }
    }

    /// With other `timeoutSeconds`.
    #[must_use]
    pub fn timeout(self, timeout: Duration) -> Self {
        Self { timeout, ..self }
    }

    pub(super) fn request(&self, host: &HeaderValue, left: Duration) -> Request<Full<Bytes>> {
        // What is left of the deadline, rounded up to a second, as the dispatchers of both phases write it.
        let seconds = left.as_secs() + u64::from(left.subsec_nanos() > 0);
        let mut request = Request::new(Full::new(self.body.clone()));
        *request.method_mut() = hyper::Method::POST;
        *request.uri_mut() = format!("{}?timeout={seconds}s", self.path).parse().unwrap_or_default();
        let headers = request.headers_mut();
        headers.insert(HOST, host.clone());
        headers.insert(USER_AGENT, HeaderValue::from_static("kube-apiserver-admission"));
        headers.insert(ACCEPT, HeaderValue::from_static("application/json, */*"));
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        request
    }
}

/// The HTTP answer, before it is judged.
pub(super) struct Reply {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

impl Reply {
    /// Returns the wait before asking again, where it may be asked again.
    pub(super) fn retry_after(&self) -> Option<Duration> {
        if self.status != StatusCode::TOO_MANY_REQUESTS && self.status.as_u16() < 500 {
            return None;
        }
        let seconds = self.headers.get(RETRY_AFTER)?.to_str().ok()?.parse().ok()?;
        Some(Duration::from_secs(seconds))
    }
}
