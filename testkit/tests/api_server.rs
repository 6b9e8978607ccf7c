//! The caller against a server that does as each test tells it.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use headworks_testkit::{ApiServer, Call, CallError, Load, Phase};
use http_body_util::{BodyExt as _, Full};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use rcgen::{CertificateParams, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::TcpListener;
use tokio::time::{Instant, sleep};
use tokio_rustls::TlsAcceptor;

/// Whatever takes longer has failed.
const SOON: Duration = Duration::from_mins(1);

/// What the server does with its n-th request; None closes the connection.
type Script = Box<dyn Fn(usize) -> Option<Response<String>> + Send + Sync>;

struct Server {
    address: SocketAddr,
    root: CertificateDer<'static>,
    heads: Arc<Mutex<Vec<String>>>,
    connections: Arc<AtomicUsize>,
    resumed: Arc<AtomicUsize>,
}

impl Server {
    async fn start(script: impl Fn(usize) -> Option<Response<String>> + Send + Sync + 'static) -> Self {
        let key = KeyPair::generate().unwrap();
        let root = CertificateParams::new(vec!["svc.ns.svc".to_owned()]).unwrap().self_signed(&key).unwrap();
        let root = root.der().clone();
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls =
            ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let tls = tls.with_no_client_auth().with_single_cert(vec![root.clone()], key).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = Self {
            address: listener.local_addr().unwrap(),
            root,
            heads: Arc::default(),
            connections: Arc::default(),
            resumed: Arc::default(),
        };
        let (heads, connections, resumed) =
            (server.heads.clone(), server.connections.clone(), server.resumed.clone());
        let (acceptor, script) = (TlsAcceptor::from(Arc::new(tls)), Arc::new(Box::new(script) as Script));
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let Ok(stream) = acceptor.accept(stream).await else { continue };
                connections.fetch_add(1, Ordering::SeqCst);
                if stream.get_ref().1.handshake_kind() == Some(rustls::HandshakeKind::Resumed) {
                    resumed.fetch_add(1, Ordering::SeqCst);
                }
                let (heads, script) = (heads.clone(), script.clone());
                let service = service_fn(move |request: Request<hyper::body::Incoming>| {
                    let (heads, script) = (heads.clone(), script.clone());
                    async move {
                        let (head, body) = request.into_parts();
                        body.collect().await.unwrap();
                        let number = {
                            let mut heads = heads.lock().unwrap();
                            heads.push(format!("{} {} {:?}", head.method, head.uri, head.headers));
                            heads.len()
                        };
                        let answer = script(number).ok_or_else(|| std::io::Error::other("as told"))?;
                        Ok::<_, std::io::Error>(answer.map(|text| Full::new(Bytes::from(text))))
                    }
                });
                let http = hyper::server::conn::http1::Builder::new();
                let connection = http.serve_connection(TokioIo::new(stream), service);
                tokio::spawn(async move { _ = connection.await });
            }
        });
        server
    }

    fn caller(&self) -> ApiServer {
        let address = self.address;
        let tls = ApiServer::tls([self.root.clone()]).unwrap();
        ApiServer::new("svc.ns.svc", tls, move || address).unwrap()
    }

    fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

fn json(text: &str) -> Response<String> {
    Response::builder().header("content-type", "application/json").body(text.to_owned()).unwrap()
}

fn allowed() -> Response<String> {
    json(
        r#"{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","response":{"uid":"7","allowed":true}}"#,
    )
}

fn status(code: u16, retry_after: &str) -> Response<String> {
    let response = Response::builder().status(code).header("retry-after", retry_after);
    response.body("come back\n".to_owned()).unwrap()
}

fn call() -> Call {
    Call::new("/v", Phase::Validating, "7", "{}")
}

/// Waits until so many connections are idle.
async fn idle(caller: &ApiServer, count: usize) {
    let end = Instant::now() + Duration::from_secs(20);
    while caller.idle() != count {
        assert!(Instant::now() < end, "{} are idle, not {count}", caller.idle());
        sleep(Duration::from_millis(2)).await;
    }
}

#[tokio::test]
async fn a_connection_is_used_again_and_the_rest_of_the_deadline_is_in_the_query() {
    let server = Server::start(|_| Some(allowed())).await;
    let caller = server.caller();
    for _ in 0..3 {
        assert!(caller.call(&call()).await.unwrap().allowed);
        idle(&caller, 1).await;
    }
    assert_eq!(server.connections(), 1);
    let head = server.heads.lock().unwrap()[0].clone();
    assert!(head.starts_with("POST /v?timeout=5s "), "{head}");
    assert!(head.contains(r#""host": "svc.ns.svc:443""#), "{head}");
}

#[tokio::test]
async fn twenty_five_connections_are_kept_and_each_was_a_full_handshake() {
    let server = Server::start(|_| Some(allowed())).await;
    let caller = server.caller();
    let mut calls = Vec::new();
    for _ in 0..40 {
        let caller = caller.clone();
        calls.push(tokio::spawn(async move { caller.call(&call().timeout(SOON)).await.unwrap() }));
    }
    for call in calls {
        call.await.unwrap();
    }
    sleep(Duration::from_millis(50)).await; // a twenty-sixth would be put back in this time
    assert!(caller.idle() <= 25, "{}", caller.idle());
    assert_eq!(server.resumed.load(Ordering::SeqCst), 0);
    let address = server.address;
    let single = caller.without_keep_alive(move || address);
    let before = server.connections();
    for _ in 0..3 {
        single.call(&call()).await.unwrap();
    }
    assert_eq!((server.connections() - before, single.idle()), (3, 0));
    assert_eq!(server.resumed.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_call_that_breaks_on_its_way_is_lost_and_not_sent_again() {
    let server = Server::start(|number| (number != 2).then(allowed)).await;
    let caller = server.caller();
    caller.call(&call()).await.unwrap();
    idle(&caller, 1).await;
    let error = caller.call(&call()).await.unwrap_err();
    assert!(matches!(error, CallError::Broken { connection: "reused", .. }), "{error}");
    assert_eq!(server.heads.lock().unwrap().len(), 2);
    caller.call(&call()).await.unwrap();
}

#[tokio::test]
async fn an_answer_that_says_close_ends_its_connection() {
    let closing = || {
        let mut answer = allowed();
        answer.headers_mut().insert("connection", "close".parse().unwrap());
        answer
    };
    let server = Server::start(move |_| Some(closing())).await;
    let caller = server.caller();
    for _ in 0..2 {
        caller.call(&call()).await.unwrap();
    }
    assert_eq!((server.connections(), caller.idle()), (2, 0));
}

#[tokio::test]
async fn only_429_and_5xx_with_a_number_of_seconds_are_asked_again() {
    let server = Server::start(|number| Some(if number < 3 { status(429, "0") } else { allowed() })).await;
    assert_eq!(server.caller().call(&call()).await.unwrap().retries, 2);
    for (code, retry_after) in [(429, "soon"), (503, ""), (404, "1")] {
        let server = Server::start(move |_| Some(status(code, retry_after))).await;
        let error = server.caller().call(&call()).await.unwrap_err();
        assert_eq!(error.to_string(), format!("status {code}: come back"));
        assert_eq!(server.heads.lock().unwrap().len(), 1);
    }
    let server = Server::start(|_| Some(status(503, "0"))).await;
    assert!(matches!(server.caller().call(&call()).await, Err(CallError::Status { status: 503, .. })));
    assert_eq!(server.heads.lock().unwrap().len(), 11, "ten times again");
    let server = Server::start(|_| Some(status(503, "30"))).await;
    let error = server.caller().call(&call().timeout(Duration::from_millis(300))).await.unwrap_err();
    assert!(matches!(error, CallError::Deadline), "within the deadline only: {error}");
}

#[tokio::test]
async fn another_trust_is_another_client() {
    let (old, new) = (Server::start(|_| Some(allowed())).await, Server::start(|_| Some(allowed())).await);
    let here = Arc::new(Mutex::new(old.address));
    let route = here.clone();
    let tls = ApiServer::tls([old.root.clone()]).unwrap();
    let caller = ApiServer::new("svc.ns.svc", tls, move || *route.lock().unwrap()).unwrap();
    caller.call(&call()).await.unwrap();
    idle(&caller, 1).await;
    *here.lock().unwrap() = new.address;
    caller.call(&call()).await.unwrap();
    idle(&caller, 1).await;
    assert_eq!(old.heads.lock().unwrap().len(), 2, "a connection stays where it is");
    caller.trust(ApiServer::tls([new.root.clone()]).unwrap());
    assert_eq!(caller.idle(), 0);
    caller.call(&call()).await.unwrap();
    assert_eq!(new.heads.lock().unwrap().len(), 1);
    caller.trust(ApiServer::tls([old.root.clone()]).unwrap());
    assert!(matches!(caller.call(&call()).await, Err(CallError::Handshake(_))));
}

#[tokio::test]
async fn an_answer_is_held_to_what_the_api_server_wants() {
    let review = |response: &str| {
        format!(
            r#"{{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","response":{{"uid":"7","allowed":true{response}}}}}"#
        )
    };
    let patch = r#","patch":"W10=","patchType":"JSONPatch""#;
    for (phase, text, wrong) in [
        (Phase::Validating, "{}".to_owned(), "webhook response was absent"),
        (Phase::Validating, review("").replace('7', "8"), r#"expected response.uid="7", got "8""#),
        (
            Phase::Validating,
            review("").replace("io/v1", "io/v1beta1"),
            "expected webhook response of admission.k8s.io/v1, Kind=AdmissionReview, got admission.k8s.io/v1beta1, Kind=AdmissionReview",
        ),
        (Phase::Validating, review(patch), "validating webhook may not return response.patch"),
        (Phase::Mutating, review(&patch[..15]), "webhook returned response.patch but not response.patchType"),
        (Phase::Mutating, review(&patch[15..]), "webhook returned response.patchType but not response.patch"),
        (
            Phase::Mutating,
            review(&patch.replace("W10=", "e30=")),
            "response.patch is no list of operations in base64",
        ),
    ] {
        let server = Server::start(move |_| Some(json(&text))).await;
        let error = server.caller().call(&Call::new("/v", phase, "7", "{}")).await.unwrap_err();
        assert_eq!(error.to_string(), wrong);
    }
    let text = review(patch);
    let server = Server::start(move |_| Some(json(&text))).await;
    let answer = server.caller().call(&Call::new("/v", Phase::Mutating, "7", "{}")).await.unwrap();
    assert_eq!(answer.patch, Some(serde_json::json!([])));
    let server = Server::start(|_| Some(Response::new("{}".to_owned()))).await;
    assert!(matches!(server.caller().call(&call()).await, Err(CallError::Answer(_))), "no content type");
}

#[tokio::test]
async fn a_load_calls_at_its_rate_and_reports_each_failure() {
    let server = Server::start(|number| (number != 10).then(allowed)).await;
    let begin = Instant::now();
    let load = Load::start(&server.caller(), 100.0, |_| call());
    while server.heads.lock().unwrap().len() < 20 {
        assert!(begin.elapsed() < SOON, "it does not call");
        sleep(Duration::from_millis(10)).await;
    }
    let report = load.stop().await;
    let most = begin.elapsed().as_millis() / 10 + 1;
    assert_eq!(report.calls(), server.heads.lock().unwrap().len());
    assert!(report.calls() > 10 && report.calls() as u128 <= most, "{report}, at most {most}");
    assert_eq!(report.failures.len(), 1, "{report}");
    assert!(report.to_string().contains("broken: 1\n"), "{report}");
}
