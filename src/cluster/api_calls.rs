//! Counts every call to the API server where it leaves the program: a layer around the whole client.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use futures::future::BoxFuture;
use http::{Method, Request, Response};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;
use tower::{Layer, Service};

/// Calls by verb, resource and code. A layer for a client:
///
/// ```no_run
/// # fn client(config: kube::Config, calls: &headworks::cluster::api_calls::ApiCalls) -> kube::Result<kube::Client> {
/// Ok(kube::client::ClientBuilder::try_from(config)?.with_layer(calls).build())
/// # }
/// ```
#[derive(Clone, Debug, Default)]
pub struct ApiCalls {
    calls: Family<CallLabels, Counter>,
    /// Calls that write something about flows.
    writes: Arc<AtomicU64>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct CallLabels {
    verb: &'static str,
    resource: &'static str,
    code: u16,
}

/// Resources that a label may name; anything else is `other`.
const RESOURCES: [&str; 17] = [
    "configmaps",
    "customresourcedefinitions",
    "endpoints",
    "endpointslices",
    "events",
    "jobflows",
    "jobflows/status",
    "jobs",
    "leases",
    "mutatingwebhookconfigurations",
    "namespaces",
    "nodes",
    "persistentvolumeclaims",
    "pods",
    "secrets",
    "services",
    "validatingwebhookconfigurations",
];
/// Resources that are written for flows.
const FLOWS: [&str; 6] =
    ["configmaps", "events", "jobflows", "jobflows/status", "jobs", "persistentvolumeclaims"];

impl ApiCalls {
    /// Makes the metric and registers it.
    pub fn registered(registry: &mut Registry) -> Self {
        let calls = Self::default();
        registry.register(
            "zen_flow_api_server_calls",
            "Calls to the API server, by verb, resource and HTTP status; code 0: no answer",
            calls.calls.clone(),
        );
        calls
    }

    /// Makes one series, for the page that lists them.
    #[cfg(test)]
    pub(crate) fn touch(&self) {
        self.calls.get_or_create(&CallLabels { verb: "x", resource: "x", code: 0 }).inc();
    }

    /// Returns the number of writes about flows since the start.
    pub(crate) fn writes(&self) -> u64 {
        self.writes.load(Ordering::Relaxed)
    }
}

impl<S> Layer<S> for ApiCalls {
    type Service = Counting<S>;

    fn layer(&self, inner: S) -> Counting<S> {
        Counting { inner, calls: self.clone() }
    }
}

/// A client's service whose calls are counted.
#[derive(Clone, Debug)]
pub struct Counting<S> {
    inner: S,
    calls: ApiCalls,
}

impl<S, B, R> Service<Request<B>> for Counting<S>
where
    S: Service<Request<B>, Response = Response<R>>,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<S::Response, S::Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let (verb, resource) = named(request.method(), request.uri().path(), request.uri().query());
        let labels = CallLabels { verb, resource, code: 0 };
        let call = Call { calls: self.calls.clone(), labels };
        let answer = self.inner.call(request);
        Box::pin(async move {
            // Without this line the closure would capture only a field, and `drop` would run too early.
            let mut call = call;
            let answer = answer.await;
            if let Ok(answer) = &answer {
                call.labels.code = answer.status().as_u16();
            }
            answer
        })
    }
}

/// A call in flight; it counts even if nobody waits for its end.
struct Call {
    calls: ApiCalls,
    labels: CallLabels,
}

impl Drop for Call {
    fn drop(&mut self) {
        let CallLabels { verb, resource, .. } = self.labels;
        if !matches!(verb, "get" | "list" | "watch") && FLOWS.contains(&resource) {
            self.calls.writes.fetch_add(1, Ordering::Relaxed);
        }
        self.calls.calls.get_or_create(&self.labels).inc();
    }
}

/// Returns the resource in a path, as a label.
pub(crate) fn resource(path: &str) -> &'static str {
    named(&Method::GET, path, None).1
}

/// Returns verb and resource of a call, as Kubernetes names them.
fn named(method: &Method, path: &str, query: Option<&str>) -> (&'static str, &'static str) {
    let mut parts = path.trim_matches('/').split('/');
    // `api/VERSION` or `apis/GROUP/VERSION`; what else there is (`version`, `readyz`) is no resource.
    let skipped = match parts.next() {
        Some("api") => parts.next(),
        Some("apis") => parts.nth(1),
        _ => None,
    };
    let mut parts: Vec<&str> = if skipped.is_some() { parts.collect() } else { Vec::new() };
    if parts.len() > 2 && parts[0] == "namespaces" {
        parts.drain(..2);
    }
    let mut resource = parts.first().copied().unwrap_or_default();
    let named = parts.len() > 1;
    if parts.get(2) == Some(&"status") && resource == "jobflows" {
        resource = "jobflows/status";
    }
    let watches =
        query.is_some_and(|query| query.split('&').any(|part| matches!(part, "watch=true" | "watch=1")));
    let verb = match *method {
        Method::GET if watches => "watch",
        Method::GET if named || resource.is_empty() => "get",
        Method::GET => "list",
        Method::POST => "create",
        Method::PUT => "update",
        Method::PATCH => "patch",
        Method::DELETE if named => "delete",
        Method::DELETE => "deletecollection",
        _ => "other",
    };
    (verb, RESOURCES.iter().find(|known| **known == resource).copied().unwrap_or("other"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_named_as_kubernetes_names_them() {
        for (method, path, query, expected) in [
            (Method::GET, "/apis/batch/v1/jobs", Some("labelSelector=a"), ("list", "jobs")),
            (Method::GET, "/api/v1/pods", Some("&watch=true&timeoutSeconds=290"), ("watch", "pods")),
            (Method::GET, "/api/v1/namespaces/x/secrets/y", None, ("get", "secrets")),
            (Method::POST, "/apis/batch/v1/namespaces/x/jobs", Some(""), ("create", "jobs")),
            (Method::DELETE, "/apis/batch/v1/namespaces/x/jobs/y", None, ("delete", "jobs")),
            (Method::GET, "/api/v1/namespaces/x", None, ("get", "namespaces")),
            (
                Method::PATCH,
                "/apis/workflow.kube-zen.io/v1alpha1/namespaces/x/jobflows/y/status",
                None,
                ("patch", "jobflows/status"),
            ),
            (Method::GET, "/apis/x.io/v1/namespaces/x/unheard/y", None, ("get", "other")),
            (Method::GET, "/version", None, ("get", "other")),
        ] {
            assert_eq!(named(&method, path, query), expected, "{method} {path}");
        }
    }

    #[tokio::test]
    async fn a_call_is_counted_with_its_code_and_one_that_is_given_up_without() {
        let calls = ApiCalls::default();
        let answer = tower::service_fn(|request: Request<()>| async move {
            if request.method() == Method::DELETE {
                std::future::pending::<()>().await;
            }
            Ok::<_, std::convert::Infallible>(Response::builder().status(201).body(()).unwrap())
        });
        let mut service = calls.layer(answer);
        let request = |method| {
            Request::builder().method(method).uri("/apis/batch/v1/namespaces/x/jobs/y").body(()).unwrap()
        };
        service.call(request(Method::PATCH)).await.unwrap();
        drop(service.call(request(Method::DELETE)));
        let count =
            |verb, code| calls.calls.get_or_create(&CallLabels { verb, resource: "jobs", code }).get();
        assert_eq!((count("patch", 201), count("delete", 0)), (1, 1));
        assert_eq!(calls.writes(), 2);
    }
}
