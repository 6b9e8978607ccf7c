//! From an HTTP request to an HTTP response, whatever it arrived on.
//!
//! Verdicts are CPU work of mostly well under a millisecond, seldom of many. They run on tokio's blocking threads:
//! the hop costs some ten microseconds, and in return a rule that takes long delays neither the other calls of
//! its worker nor the 503 that its own caller gets at the deadline. A review that runs on past its deadline keeps
//! its turn until it ends, so what is counted as running is what runs.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Body;
use hyper::header::{ALLOW, CONNECTION, CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER};
use hyper::{Method, Request, Response, StatusCode};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout, timeout_at};
use tracing::field::Empty;

use crate::body::{self, Unread};
use crate::deadline;
use crate::limits::Limits;
use crate::metrics::{Counted, Metrics, RefusedLabels};
use crate::overload::Gate;
use crate::respond::{Answer, judge};
use crate::review::{Phase, Review};
use crate::verdict::Admit;

/// A review that takes longer is logged as a warning.
const SLOW_SECONDS: f64 = 0.1;

/// Rule sets mounted at paths, with the bounds they run in.
///
/// [`Server`](crate::Server) puts it on a TLS listener; tests and benchmarks can call [`handle`](Self::handle)
/// without one.
pub struct Service {
    routes: HashMap<String, Route>,
    pub(crate) limits: Limits,
    pub(crate) metrics: Metrics,
    gate: Gate,
    budget: Arc<Semaphore>,
}

#[derive(Clone)]
struct Route {
    phase: Phase,
    admit: Arc<dyn Admit>,
}

/// Why a request gets an HTTP error and no review.
enum Refusal {
    NoSuchPath,
    NotPost,
    NotJson,
    TooLarge(usize),
    SlowBody,
    BrokenBody,
    Overloaded,
    Late,
}

impl Service {
    /// A service with nothing mounted yet.
    pub fn new(limits: Limits, metrics: Metrics) -> Self {
        let gate = Gate::new(limits.in_flight, limits.queue);
        let budget = Arc::new(Semaphore::new(limits.bodies.min(Semaphore::MAX_PERMITS)));
        Self { routes: HashMap::new(), limits, metrics, gate, budget }
    }

    /// Mounts one phase of a rule set at an absolute path, in place of what was there.
    #[must_use]
    pub fn route(mut self, path: impl Into<String>, phase: Phase, admit: Arc<dyn Admit>) -> Self {
        self.routes.insert(path.into(), Route { phase, admit });
        self
    }

    /// Answers one request. Must be called within a tokio runtime that has its timer enabled.
    ///
    /// A review is answered 200 with an `AdmissionReview`, whatever its verdict. All else is text: 404 unknown
    /// path, 405 not POST, 415 not JSON, 413 body over the limit, 408 body too slow, 400 body broken off, and
    /// with `Retry-After: 1`, upon which an API server calls again, 429 too many waiting and 503 past the deadline.
    pub async fn handle<B>(&self, request: Request<B>) -> Response<Full<Bytes>>
    where
        B: Body<Data = Bytes>,
    {
        let _counted = Counted::in_gauge(&self.metrics.in_flight);
        match self.answer(request).await {
            Ok(body) => json(body),
            Err(refusal) => {
                match refusal {
                    Refusal::Overloaded => _ = self.metrics.overload.inc(),
                    Refusal::Late => _ = self.metrics.deadline.inc(),
                    _ => {}
                }
                let response = refusal.response();
                let code = response.status().as_u16();
                self.metrics.refused.get_or_create(&RefusedLabels { code }).inc();
                // An overload is no time to write a line for each: the counter has them all.
                tracing::debug!(code, "request refused");
                response
            }
        }
    }

    async fn answer<B>(&self, request: Request<B>) -> Result<Vec<u8>, Refusal>
    where
        B: Body<Data = Bytes>,
    {
        let arrived = Instant::now();
        let route = self.routes.get(request.uri().path()).ok_or(Refusal::NoSuchPath)?.clone();
        if request.method() != Method::POST {
            return Err(Refusal::NotPost);
        }
        if !is_json(request.headers()) {
            return Err(Refusal::NotJson);
        }
        let deadline = arrived + deadline::allowance(request.uri().query(), &self.limits);
        timeout_at(deadline, self.review(route, request.into_body(), arrived))
            .await
            .map_err(|_| Refusal::Late)?
    }

    async fn review<B>(&self, route: Route, body: B, arrived: Instant) -> Result<Vec<u8>, Refusal>
    where
        B: Body<Data = Bytes>,
    {
        let read = body::read(body, self.limits.body, &self.budget);
        let held = timeout(self.limits.body_read, read).await.map_err(|_| Refusal::SlowBody)?;
        let held = held.map_err(|unread| match unread {
            Unread::TooLarge => Refusal::TooLarge(self.limits.body),
            Unread::NoRoom => Refusal::Overloaded,
            Unread::Broken => Refusal::BrokenBody,
        })?;
        let turn = self.gate.enter().map_err(|_| Refusal::Overloaded)?.turn().await;
        let metrics = self.metrics.clone();
        let judged = tokio::task::spawn_blocking(move || {
            let answer = route.judge(&held.bytes, arrived, &metrics);
            drop((held, turn));
            answer.body
        });
        // It cannot panic, only be cancelled by a runtime that is going away.
        judged.await.map_err(|_| Refusal::Late)
    }
}

impl Route {
    /// Judges in a span, and writes the one log line and the one observation of this review.
    fn judge(&self, body: &[u8], arrived: Instant, metrics: &Metrics) -> Answer {
        let span =
            tracing::info_span!("review", uid = Empty, kind = Empty, operation = Empty, namespace = Empty);
        let _entered = span.enter();
        let answer = judge(&*self.admit, self.phase, body, |review: &Review| {
            span.record("uid", clip(&review.uid));
            span.record("kind", clip(&review.kind.kind));
            span.record("operation", review.operation.as_str());
            span.record("namespace", review.namespace.as_deref().map(clip));
        });
        let seconds = arrived.elapsed().as_secs_f64();
        metrics.reviewed(&answer, self.admit.kinds(), seconds);
        log(&answer, seconds);
        answer
    }
}

fn log(answer: &Answer, seconds: f64) {
    let Answer { causes, .. } = *answer;
    let uid = clip(&answer.uid);
    let kind = clip(&answer.kind);
    let namespace = answer.namespace.as_deref().map(clip);
    let operation = answer.operation.map(crate::Operation::as_str);
    let decision = answer.decision.as_str();
    if seconds > SLOW_SECONDS {
        tracing::warn!(uid, kind, operation, namespace, decision, causes, seconds, "reviewed, slowly");
    } else {
        tracing::info!(uid, kind, operation, namespace, decision, causes, seconds, "reviewed");
    }
}

/// The start of a name that came from outside: none that Kubernetes allows is longer than 253 characters.
fn clip(text: &str) -> &str {
    text.char_indices().nth(253).map_or(text, |(end, _)| &text[..end])
}

fn is_json(headers: &HeaderMap) -> bool {
    let value = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = value.split(';').next().unwrap_or_default();
    essence.trim().eq_ignore_ascii_case("application/json")
}

fn json(body: Vec<u8>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

impl Refusal {
    fn response(&self) -> Response<Full<Bytes>> {
        let (status, text) = match self {
            Self::NoSuchPath => {
                (StatusCode::NOT_FOUND, "no admission review is served at this path\n".into())
            }
            Self::NotPost => {
                (StatusCode::METHOD_NOT_ALLOWED, "an admission review is asked for with POST\n".into())
            }
            Self::NotJson => (
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "an admission review is read from Content-Type application/json\n".into(),
            ),
            Self::TooLarge(limit) => (
                StatusCode::PAYLOAD_TOO_LARGE,
                format!("the body is longer than the {limit} bytes that are read\n"),
            ),
            Self::SlowBody => (StatusCode::REQUEST_TIMEOUT, "the body took too long to arrive\n".into()),
            Self::BrokenBody => (StatusCode::BAD_REQUEST, "the body broke off\n".into()),
            Self::Overloaded => (
                StatusCode::TOO_MANY_REQUESTS,
                "too many reviews are waiting, try again in a second\n".into(),
            ),
            Self::Late => (
                StatusCode::SERVICE_UNAVAILABLE,
                "no verdict was reached within the deadline, try again in a second\n".into(),
            ),
        };
        let mut response = Response::new(Full::new(Bytes::from(text)));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
        match self {
            Self::NotPost => _ = headers.insert(ALLOW, HeaderValue::from_static("POST")),
            Self::Overloaded | Self::Late => _ = headers.insert(RETRY_AFTER, HeaderValue::from_static("1")),
            // The rest of the body may be on its way still.
            Self::TooLarge(_) | Self::SlowBody | Self::BrokenBody => {
                headers.insert(CONNECTION, HeaderValue::from_static("close"));
            }
            Self::NoSuchPath | Self::NotJson => {}
        }
        response
    }
}
