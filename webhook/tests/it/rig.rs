//! A server on loopback, rules that act on an object's name, and clients.

use std::net::SocketAddr;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use bytes::Bytes;
use headworks_webhook::{
    Admit, Denial, Limits, Metrics, PatchOperation, Phase, Review, Server, Service, Shutdown, Tls,
    TlsOptions, Verdict,
};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::CONTENT_TYPE;
use hyper::{HeaderMap, Request};
use hyper_util::rt::TokioIo;
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;
use rustls::ClientConfig;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::authority::Ca;

pub(crate) const PATH: &str = "/validate-jobflow";

/// Time limit for anything that should happen soon, on a machine that may be busy.
pub(crate) const SOON: Duration = Duration::from_mins(1);

/// Panics over `panic`, denies `wrong`, patches all in the mutating phase, and stops at `slow` until let go.
#[derive(Default)]
pub(crate) struct Rules {
    slow: Mutex<(usize, bool)>,
    changed: Condvar,
}

impl Rules {
    /// Waits until so many reviews of `slow` are being judged.
    pub(crate) async fn slow(&self, count: usize) {
        until(|| self.slow.lock().unwrap().0 == count).await;
    }

    /// Lets them all go on.
    pub(crate) fn let_go(&self) {
        self.slow.lock().unwrap().1 = true;
        self.changed.notify_all();
    }
}

impl Admit for Rules {
    fn kinds(&self) -> &[&'static str] {
        &["JobFlow"]
    }

    fn mutate(&self, _: Review) -> Verdict {
        Verdict::patch(vec![PatchOperation::Add { path: "/x".into(), value: json!(1) }])
    }

    fn validate(&self, review: Review) -> Verdict {
        match review.name.as_deref() {
            Some("panic") => panic!("as asked"),
            Some("wrong") => {
                Verdict::deny(Denial::invalid(review.object.clone().unwrap_or_default().to_string()))
            }
            Some("slow") => {
                let mut slow = self.slow.lock().unwrap();
                slow.0 += 1;
                while !slow.1 {
                    slow = self.changed.wait(slow).unwrap();
                }
                Verdict::allow()
            }
            _ => Verdict::allow(),
        }
    }
}

/// A running server.
pub(crate) struct Rig {
    pub(crate) address: SocketAddr,
    pub(crate) ca: Ca,
    pub(crate) rules: Arc<Rules>,
    pub(crate) shutdown: Shutdown,
    pub(crate) tls: watch::Sender<Tls>,
    pub(crate) registry: Arc<Registry>,
    server: JoinHandle<()>,
}

impl Rig {
    pub(crate) async fn start(limits: Limits) -> Self {
        Self::start_with(limits, |_| {}).await
    }

    pub(crate) async fn start_with(limits: Limits, change: impl FnOnce(&mut TlsOptions)) -> Self {
        let ca = Ca::new();
        let mut options = ca.options();
        change(&mut options);
        let (tls, receiver) = watch::channel(Tls::new(options).unwrap());
        let rules = Arc::new(Rules::default());
        let mut registry = Registry::default();
        let shutdown = Shutdown::new();
        let service = Service::new(limits, Metrics::new(&mut registry))
            .route(PATH, Phase::Validate, rules.clone())
            .route("/mutate-jobflow", Phase::Mutate, rules.clone());
        let server = Server::new(Arc::new(service), receiver, shutdown.clone());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = tokio::spawn(server.run(listener));
        Self { address, ca, rules, shutdown, tls, registry: Arc::new(registry), server }
    }

    /// A TLS connection with nothing sent.
    pub(crate) async fn dial(&self, config: ClientConfig) -> std::io::Result<TlsStream<TcpStream>> {
        let stream = TcpStream::connect(self.address).await?;
        TlsConnector::from(Arc::new(config)).connect("localhost".try_into().unwrap(), stream).await
    }

    /// A connection kept alive.
    pub(crate) async fn client(&self) -> Client {
        Client::over(self.dial(self.ca.client()).await.unwrap()).await
    }

    /// A metric's value, by its name with labels as `/metrics` has them.
    pub(crate) fn metric(&self, name: &str) -> f64 {
        let mut text = String::new();
        encode(&mut text, &self.registry).unwrap();
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        value.map_or(0.0, |value| value.parse().unwrap())
    }

    /// Waits until a metric has this value.
    pub(crate) async fn metric_is(&self, name: &str, value: f64) {
        until(|| (self.metric(name) - value).abs() < f64::EPSILON).await;
    }

    /// Waits until the server has stopped.
    pub(crate) async fn stopped(self) {
        timeout(SOON, self.server).await.expect("the server stops").unwrap();
    }

    pub(crate) fn has_stopped(&self) -> bool {
        self.server.is_finished()
    }
}

/// One HTTP/1.1 connection.
pub(crate) struct Client(pub(crate) SendRequest<Full<Bytes>>);

/// An answer, read to its end.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl Client {
    pub(crate) async fn over(stream: TlsStream<TcpStream>) -> Self {
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        Self(sender)
    }

    pub(crate) async fn post(&mut self, path: &str, body: impl Into<Bytes>) -> Answer {
        self.send(Request::post(path).header(CONTENT_TYPE, "application/json").body(body.into()).unwrap())
            .await
    }

    pub(crate) async fn send(&mut self, request: Request<Bytes>) -> Answer {
        self.try_send(request).await.unwrap()
    }

    pub(crate) async fn try_send(&mut self, request: Request<Bytes>) -> hyper::Result<Answer> {
        self.0.ready().await?;
        let exchange = async {
            let (parts, body) = self.0.send_request(request.map(Full::new)).await?.into_parts();
            let body = String::from_utf8(body.collect().await?.to_bytes().to_vec()).unwrap();
            Ok(Answer { status: parts.status.as_u16(), headers: parts.headers, body })
        };
        timeout(SOON, exchange).await.expect("an answer comes")
    }
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// `response` of the review that this must be.
    pub(crate) fn review(&self) -> Value {
        assert_eq!((self.status, self.header("content-type")), (200, "application/json"), "{self:?}");
        let mut review: Value = serde_json::from_str(&self.body).unwrap();
        assert_eq!(review["kind"], "AdmissionReview");
        review["response"].take()
    }

    /// Asserts that it is text, of this status.
    pub(crate) fn refuses(&self, status: u16, text: &str) {
        assert_eq!((self.status, self.body.as_str()), (status, text));
        assert_eq!(self.header("content-type"), "text/plain; charset=utf-8");
    }
}

/// A review of an object of this name.
pub(crate) fn review(name: &str) -> String {
    json!({
        "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
        "request": {
            "uid": format!("uid-{name}"), "name": name, "namespace": "team", "operation": "CREATE",
            "kind": {"group": "workflow.kube-zen.io", "version": "v1alpha1", "kind": "JobFlow"},
            "resource": {"group": "workflow.kube-zen.io", "version": "v1alpha1", "resource": "jobflows"},
            "userInfo": {"username": "jane"}, "object": {"metadata": {"name": name}},
        },
    })
    .to_string()
}

/// Waits until it holds.
pub(crate) async fn until(mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + SOON;
    while !holds() {
        assert!(Instant::now() < end, "it never came to hold");
        sleep(Duration::from_millis(2)).await;
    }
}

pub(crate) fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}
