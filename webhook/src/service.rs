//! Answers an HTTP request, on any transport.
//!
//! Verdicts are CPU work of mostly well under a millisecond, seldom of many. They run on tokio's blocking threads:
//! the hop costs some ten microseconds, and in return a rule that takes long delays neither the other calls of
//! its worker nor the 503 that its own caller gets at the deadline. A review that runs on past its deadline keeps
//! its turn until it ends, so what is counted as running is what runs.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{FromRequest, Request, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{BoxError, Router};
use bytes::Bytes;
use hyper::StatusCode;
use hyper::header::{ALLOW, CONNECTION, CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout, timeout_at};
use tower::ServiceExt as _;
use tower_http::catch_panic::CatchPanicLayer;
use tracing::field::Empty;

use crate::body::{self, Held, Unread};
use crate::deadline;
use crate::limits::Limits;
use crate::metrics::{Counted, Metrics, RefusedLabels};
use crate::overload::Gate;
use crate::respond::{Answer, judge};
use crate::review::{Operation, Phase, Review};
use crate::verdict::Admit;

/// A review that takes longer is logged as a warning.
const SLOW_SECONDS: f64 = 0.1;

/// Rule sets mounted at paths, with the bounds they run in: an [`axum::Router`] and what its handlers share.
///
/// [`Server`](crate::Server) puts it on a TLS listener; tests and benchmarks can call [`handle`](Self::handle)
/// without one.
pub struct Service {
    mounts: BTreeMap<String, Mount>,
    router: Router,
    pub(crate) limits: Limits,
    pub(crate) metrics: Metrics,
    bounds: Arc<Bounds>,
}

/// One phase of a rule set, and the bounds it shares with all others.
#[derive(Clone)]
struct Mount {
    phase: Phase,
    admit: Arc<dyn Admit>,
    bounds: Arc<Bounds>,
}

/// The bounds on size, number and time of all requests together.
struct Bounds {
    limits: Limits,
    metrics: Metrics,
    gate: Gate,
    budget: Arc<Semaphore>,
}

/// The instant at which the head of a request was complete.
#[derive(Clone, Copy)]
struct Arrived(Instant);

/// The reason for an HTTP error in place of a review.
enum Refusal {
    NoSuchPath,
    NotPost,
    NotJson,
    TooLarge(usize),
    SlowBody,
    BrokenBody,
    Overloaded,
    Late,
    Panicked,
}

impl Service {
    /// A service with nothing mounted yet.
    pub fn new(limits: Limits, metrics: Metrics) -> Self {
        let gate = Gate::new(limits.in_flight, limits.queue);
        let budget = Arc::new(Semaphore::new(limits.bodies.min(Semaphore::MAX_PERMITS)));
        let bounds = Arc::new(Bounds { limits: limits.clone(), metrics: metrics.clone(), gate, budget });
        let mounts = BTreeMap::new();
        Self { router: router(&mounts, &bounds), mounts, limits, metrics, bounds }
    }

    /// Mounts one phase of a rule set at an absolute path, in place of what was there.
    #[must_use]
    pub fn route(mut self, path: impl Into<String>, phase: Phase, admit: Arc<dyn Admit>) -> Self {
        let bounds = Arc::clone(&self.bounds);
        self.mounts.insert(path.into(), Mount { phase, admit, bounds });
        self.router = router(&self.mounts, &self.bounds);
        self
    }

    /// Answers one request. Must be called within a tokio runtime that has its timer enabled.
    ///
    /// A review is answered 200 with an `AdmissionReview`, whatever its verdict. All else is text: 404 unknown
    /// path, 405 not POST, 415 not JSON, 413 body over the limit, 408 body too slow, 400 body broken off, 500 a
    /// mistake of ours, and with `Retry-After: 1`, upon which an API server calls again, 429 too many waiting and
    /// 503 past the deadline.
    pub async fn handle<B>(&self, request: hyper::Request<B>) -> Response
    where
        B: hyper::body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        match self.router.clone().oneshot(request.map(Body::new)).await {
            Ok(response) => response,
            Err(never) => match never {},
        }
    }
}

/// The routes, and around them from the inside out: the deadline, the counters, and a net for panics.
fn router(mounts: &BTreeMap<String, Mount>, bounds: &Arc<Bounds>) -> Router {
    let mut router = Router::new();
    for (path, mount) in mounts {
        let method = post(review).fallback(async || Refusal::NotPost).with_state(mount.clone());
        router = router.route(path, method);
    }
    router
        .fallback(async || Refusal::NoSuchPath)
        .layer(middleware::from_fn_with_state(Arc::clone(bounds), within_deadline))
        .layer(CatchPanicLayer::custom(|_| Refusal::Panicked.into_response()))
        .layer(middleware::from_fn_with_state(Arc::clone(bounds), counted))
}

/// Counts a request while it is answered, and its refusal by status.
async fn counted(State(bounds): State<Arc<Bounds>>, request: Request, next: Next) -> Response {
    let metrics = &bounds.metrics;
    let _counted = Counted::in_gauge(&metrics.in_flight);
    let response = next.run(request).await;
    let status = response.status();
    if status != StatusCode::OK {
        match status {
            StatusCode::TOO_MANY_REQUESTS => _ = metrics.overload.inc(),
            StatusCode::SERVICE_UNAVAILABLE => _ = metrics.deadline.inc(),
            _ => {}
        }
        let code = status.as_u16();
        metrics.refused.get_or_create(&RefusedLabels { code }).inc();
        // An overload is no time to write a line for each: the counter has them all.
        tracing::debug!(code, "request refused");
    }
    response
}

/// Gives a request as long as its caller waits.
async fn within_deadline(State(bounds): State<Arc<Bounds>>, mut request: Request, next: Next) -> Response {
    let arrived = Instant::now();
    request.extensions_mut().insert(Arrived(arrived));
    let deadline = arrived + deadline::allowance(request.uri().query(), &bounds.limits);
    let answer = timeout_at(deadline, next.run(request)).await;
    answer.unwrap_or_else(|_| Refusal::Late.into_response())
}

/// A review's body, read within its bounds, and the instant of its arrival.
struct ReviewBody {
    held: Held,
    arrived: Instant,
}

impl FromRequest<Mount> for ReviewBody {
    type Rejection = Refusal;

    async fn from_request(request: Request, mount: &Mount) -> Result<Self, Refusal> {
        let Bounds { limits, budget, .. } = &*mount.bounds;
        if !is_json(request.headers()) {
            return Err(Refusal::NotJson);
        }
        let arrived = request.extensions().get().map_or_else(Instant::now, |Arrived(arrived)| *arrived);
        let read = body::read(request.into_body(), limits.body, budget);
        let held = timeout(limits.body_read, read).await.map_err(|_| Refusal::SlowBody)?;
        let held = held.map_err(|unread| match unread {
            Unread::TooLarge => Refusal::TooLarge(limits.body),
            Unread::NoRoom => Refusal::Overloaded,
            Unread::Broken => Refusal::BrokenBody,
        })?;
        Ok(Self { held, arrived })
    }
}

/// Judges a body that has been read. The turn is taken here and by no layer: while a body arrives, another review runs.
async fn review(State(mount): State<Mount>, body: ReviewBody) -> Result<Response, Refusal> {
    let ReviewBody { held, arrived } = body;
    let turn = mount.bounds.gate.enter().map_err(|_| Refusal::Overloaded)?.turn().await;
    let judged = tokio::task::spawn_blocking(move || {
        let answer = mount.judge(&held.bytes, arrived, &mount.bounds.metrics);
        drop((held, turn));
        answer.body
    });
    // It cannot panic, only be cancelled by a runtime that is going away.
    Ok(json(judged.await.map_err(|_| Refusal::Late)?))
}

impl Mount {
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
    let operation = answer.operation.map(Operation::as_str);
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

fn json(body: Vec<u8>) -> Response {
    let mut response = Response::new(Body::from(body));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let (status, text): (_, String) = match &self {
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
            Self::Panicked => {
                (StatusCode::INTERNAL_SERVER_ERROR, "internal error: please report it\n".into())
            }
        };
        // axum calls a String plain text.
        let mut response = (status, text).into_response();
        let headers = response.headers_mut();
        match self {
            Self::NotPost => _ = headers.insert(ALLOW, HeaderValue::from_static("POST")),
            Self::Overloaded | Self::Late => _ = headers.insert(RETRY_AFTER, HeaderValue::from_static("1")),
            // The rest of the body may be on its way still.
            Self::TooLarge(_) | Self::SlowBody | Self::BrokenBody => {
                headers.insert(CONNECTION, HeaderValue::from_static("close"));
            }
            Self::NoSuchPath | Self::NotJson | Self::Panicked => {}
        }
        response
    }
}
