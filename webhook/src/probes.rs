//! Health, readiness and metrics, in plain HTTP on a port of their own.
//!
//! Paths and texts are those of Kubernetes' own components: `/healthz`, `/readyz`, each with `?verbose`, and
//! `/metrics` in `OpenMetrics` text.

use std::fmt::Write as _;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use hyper::StatusCode;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::accept;
use crate::shutdown::Shutdown;

/// Connections at one time; further ones wait.
const CONNECTIONS: usize = 64;
/// From the last answer to the end of the next head.
const HEADER: Duration = Duration::from_mins(1);

type Check = Arc<dyn Fn() -> Result<(), String> + Send + Sync>;
type Detail = Arc<dyn Fn() -> String + Send + Sync>;

/// Named checks and the registry of metrics.
///
/// A check is asked at each probe, so it should look at memory only; its error says why, to whoever can reach the
/// port. Liveness should fail only where a restart would help.
#[derive(Clone)]
pub struct Probes {
    live: Vec<(String, Check)>,
    ready: Vec<(String, Check)>,
    details: Vec<(String, Detail)>,
    registry: Arc<Registry>,
}

impl Probes {
    /// Probes with one check: readiness fails, by the name `shutdown`, from the first trigger on.
    pub fn new(registry: Arc<Registry>, shutdown: Shutdown) -> Self {
        let probes = Self { live: Vec::new(), ready: Vec::new(), details: Vec::new(), registry };
        probes.ready(
            "shutdown",
            move || {
                if shutdown.has_begun() { Err("shutting down".into()) } else { Ok(()) }
            },
        )
    }

    /// Adds a check of liveness.
    #[must_use]
    pub fn live(
        mut self,
        name: impl Into<String>,
        check: impl Fn() -> Result<(), String> + Send + Sync + 'static,
    ) -> Self {
        self.live.push((name.into(), Arc::new(check)));
        self
    }

    /// Adds a check of readiness.
    #[must_use]
    pub fn ready(
        mut self,
        name: impl Into<String>,
        check: impl Fn() -> Result<(), String> + Send + Sync + 'static,
    ) -> Self {
        self.ready.push((name.into(), Arc::new(check)));
        self
    }

    /// Adds a line of `/readyz?verbose`, for people: readiness does not depend on it.
    #[must_use]
    pub fn tell(
        mut self,
        name: impl Into<String>,
        what: impl Fn() -> String + Send + Sync + 'static,
    ) -> Self {
        self.details.push((name.into(), Arc::new(what)));
        self
    }

    /// Returns the routes. `/healthz` and `/readyz` answer 200, or 503 naming the checks that failed.
    pub fn router(&self) -> Router {
        let health = async |probes: State<Self>, query: RawQuery| {
            report("healthz", &probes.live, &[], is_verbose(query))
        };
        let ready = async |probes: State<Self>, query: RawQuery| {
            report("readyz", &probes.ready, &probes.details, is_verbose(query))
        };
        Router::new()
            .route("/healthz", get(health).fallback(not_get))
            .route("/readyz", get(ready).fallback(not_get))
            .route("/metrics", get(async |probes: State<Self>| probes.metrics()).fallback(not_get))
            .fallback(async || {
                text(StatusCode::NOT_FOUND, "there are /healthz, /readyz and /metrics\n".into())
            })
            .with_state(self.clone())
    }

    /// Answers on `listener` until `until` ends, which should be the end of the server: readiness is asked for
    /// during shutdown too.
    pub async fn serve(self, listener: TcpListener, until: impl Future<Output = ()>) {
        let router = self.router();
        let slots = Arc::new(Semaphore::new(CONNECTIONS));
        let errors = Counter::default();
        let ended = CancellationToken::new();
        let _end = ended.clone().drop_guard();
        let mut until = pin!(until);
        loop {
            let next =
                async { (Arc::clone(&slots).acquire_owned().await, accept::next(&listener, &errors).await) };
            let (slot, stream) = tokio::select! {
                biased;
                () = &mut until => return,
                next = next => next,
            };
            let (router, ended) = (router.clone(), ended.clone());
            tokio::spawn(async move {
                let _slot = slot;
                let connection = hyper::server::conn::http1::Builder::new()
                    .timer(TokioTimer::new())
                    .header_read_timeout(HEADER)
                    .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
                tokio::select! {
                    () = ended.cancelled() => {}
                    // A prober that goes away early is no concern of ours.
                    _ = connection => {}
                }
            });
        }
    }

    fn metrics(&self) -> Response {
        let mut body = String::new();
        if encode(&mut body, &self.registry).is_err() {
            return text(StatusCode::INTERNAL_SERVER_ERROR, "a metric cannot be written\n".into());
        }
        let mut response = text(StatusCode::OK, body);
        let openmetrics = "application/openmetrics-text; version=1.0.0; charset=utf-8";
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(openmetrics));
        response
    }
}

fn report(probe: &str, checks: &[(String, Check)], details: &[(String, Detail)], verbose: bool) -> Response {
    let mut lines = String::from("[+]ping ok\n");
    let mut passed = true;
    for (name, check) in checks {
        let outcome =
            catch_unwind(AssertUnwindSafe(|| check())).unwrap_or_else(|_| Err("the check panicked".into()));
        // Writing to a String cannot fail.
        _ = match outcome {
            Ok(()) => writeln!(lines, "[+]{name} ok"),
            Err(why) => {
                passed = false;
                writeln!(lines, "[-]{name} failed: {why}")
            }
        };
    }
    for (name, what) in details {
        let words = catch_unwind(AssertUnwindSafe(|| what()))
            .unwrap_or_else(|_| "unknown: asking panicked".to_owned());
        // Writing to a String cannot fail.
        _ = writeln!(lines, "[i]{name}: {words}");
    }
    match (passed, verbose) {
        (true, false) => text(StatusCode::OK, "ok".into()),
        (true, true) => text(StatusCode::OK, format!("{lines}{probe} check passed\n")),
        (false, _) => text(StatusCode::SERVICE_UNAVAILABLE, format!("{lines}{probe} check failed\n")),
    }
}

/// Returns true if a probe asks for each check, as `?verbose` or `?verbose=...`.
fn is_verbose(RawQuery(query): RawQuery) -> bool {
    query.is_some_and(|query| query.split('&').any(|pair| pair.split('=').next() == Some("verbose")))
}

async fn not_get() -> Response {
    text(StatusCode::METHOD_NOT_ALLOWED, "ask with GET\n".into())
}

fn text(status: StatusCode, body: String) -> Response {
    (status, body).into_response()
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use http_body_util::BodyExt as _;
    use hyper::Request;
    use tower::ServiceExt as _;

    use super::*;

    async fn get(probes: &Probes, uri: &str) -> (u16, String) {
        let response = probes.router().oneshot(Request::get(uri).body(Body::empty()).unwrap()).await.unwrap();
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn readiness_names_each_check_and_why_it_fails() {
        let probes = Probes::new(Arc::default(), Shutdown::new()).ready("certificate", || Ok(()));
        assert_eq!(get(&probes, "/readyz").await, (200, "ok".into()));
        let all = "[+]ping ok\n[+]shutdown ok\n[+]certificate ok\nreadyz check passed\n";
        assert_eq!(get(&probes, "/readyz?verbose").await, (200, all.into()));
        let probes = probes.tell("watches", || "pods 3s".into());
        let all = "[+]ping ok\n[+]shutdown ok\n[+]certificate ok\n[i]watches: pods 3s\nreadyz check passed\n";
        assert_eq!(get(&probes, "/readyz?verbose").await, (200, all.into()));
        let probes = probes.ready("store", || Err("not synced".into())).ready("odd", || panic!("oh"));
        let (status, body) = get(&probes, "/readyz").await;
        assert_eq!(status, 503);
        assert!(body.contains("[-]store failed: not synced\n[-]odd failed: the check panicked\n"), "{body}");
        assert_eq!(get(&probes, "/healthz?verbose=1").await.0, 200, "readiness is not liveness");
    }

    #[tokio::test]
    async fn readiness_fails_as_soon_as_the_shutdown_begins() {
        let shutdown = Shutdown::new();
        let probes = Probes::new(Arc::default(), shutdown.clone());
        shutdown.trigger();
        let (status, body) = get(&probes, "/readyz").await;
        assert_eq!(status, 503);
        assert!(body.contains("[-]shutdown failed: shutting down\n"), "{body}");
        assert_eq!(get(&probes, "/healthz").await.0, 200);
    }
}
