//! A client of webhooks that behaves as the API server's.
//!
//! Read in the source of Kubernetes 1.37: `k8s.io/apiserver/pkg/util/webhook/client.go` (one client for each
//! `clientConfig`, HTTP/1.1, a name that is resolved at each dial), `client-go/transport/cache.go` (25 idle
//! connections, kept 90 s by Go's default, 10 s for a handshake), `client-go/rest/with_retry.go` (429 and 5xx with
//! a numeric `Retry-After` are asked again, ten times at most; nothing else is) and
//! `admission/plugin/webhook/request/admissionreview.go` (what an answer must be).
//!
//! Of Go's `net/http` it keeps what decides whether a call is lost: the connection used last is taken first; one
//! that is known to be closed is not taken; a call of which nothing was written yet goes to another connection,
//! and any other that breaks is lost, because a POST is never sent twice.
//!
//! Left out: a call that dials here takes that connection, where Go takes whichever is free first.

mod answer;
mod call;
mod pool;

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::BodyExt as _;
use hyper::Response;
use hyper::client::conn::http1;
use hyper::header::{CONNECTION, HeaderValue};
use hyper_util::rt::TokioIo;
use rustls::client::Resumption;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tokio_rustls::TlsConnector;

pub use answer::Answer;
pub use call::{Call, CallError, Phase};

use call::Reply;
use pool::{Pool, Sender};

/// `Dialer.Timeout` of client-go.
const DIAL: Duration = Duration::from_secs(30);
/// `TLSHandshakeTimeout` of client-go.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// The most times that client-go asks again.
const MAX_RETRIES: u32 = 10;

/// Calls one webhook. Clones share connections.
#[derive(Clone)]
pub struct ApiServer(Arc<Inner>);

struct Inner {
    name: ServerName<'static>,
    host: HeaderValue,
    route: Box<dyn Fn() -> SocketAddr + Send + Sync>,
    keep_alive: bool,
    pool: Pool,
}

impl ApiServer {
    /// Trust in these roots, and nothing to show of its own.
    pub fn tls(
        roots: impl IntoIterator<Item = CertificateDer<'static>>,
    ) -> Result<ClientConfig, rustls::Error> {
        let builder = builder(roots)?;
        Ok(as_go_does(builder.with_no_client_auth()))
    }

    /// The same, with a client certificate, as an API server has it that is given a kubeconfig for webhooks.
    pub fn tls_with_identity(
        roots: impl IntoIterator<Item = CertificateDer<'static>>,
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
    ) -> Result<ClientConfig, rustls::Error> {
        Ok(as_go_does(builder(roots)?.with_client_auth_cert(chain, key)?))
    }

    /// Calls the webhook that has this name (`<service>.<namespace>.svc`). Where it is, `route` is asked at each
    /// dial, as kube-proxy chooses for each new connection; one that is open stays where it is.
    ///
    /// Must be called within a tokio runtime. What is wrong with the name is told as text.
    pub fn new(
        name: &str,
        tls: ClientConfig,
        route: impl Fn() -> SocketAddr + Send + Sync + 'static,
    ) -> Result<Self, CallError> {
        let wrong = || CallError::Answer(format!("`{name}` is no name of a server"));
        let host = HeaderValue::try_from(format!("{name}:443")).map_err(|_| wrong())?;
        let name = ServerName::try_from(name.to_owned()).map_err(|_| wrong())?;
        let (route, pool) = (Box::new(route), Pool::new(Arc::new(tls)));
        Ok(Self(Arc::new(Inner { name, host, route, keep_alive: true, pool })))
    }

    /// A caller with no connections yet that opens one for each call and keeps none.
    #[must_use]
    pub fn without_keep_alive(&self, route: impl Fn() -> SocketAddr + Send + Sync + 'static) -> Self {
        let Inner { name, host, pool, .. } = &*self.0;
        let (name, host, route) = (name.clone(), host.clone(), Box::new(route));
        Self(Arc::new(Inner { name, host, route, keep_alive: false, pool: Pool::new(pool.tls()) }))
    }

    /// Trusts something else from now on. As a new `caBundle` makes a new client in the API server, connections
    /// that are idle now are not used again.
    pub fn trust(&self, tls: ClientConfig) {
        self.0.pool.replace(Arc::new(tls));
    }

    /// Connections that wait for a call.
    pub fn idle(&self) -> usize {
        self.0.pool.idle()
    }

    /// Connections made so far.
    pub fn dialled(&self) -> u64 {
        self.0.pool.dialled()
    }

    /// Calls, and judges the answer as the API server does. A denial is an answer.
    pub async fn call(&self, call: &Call) -> Result<Answer, CallError> {
        let deadline = Instant::now() + call.timeout;
        timeout_at(deadline, self.attempts(call, deadline)).await.map_err(|_| CallError::Deadline)?
    }

    async fn attempts(&self, call: &Call, deadline: Instant) -> Result<Answer, CallError> {
        let mut retries = 0;
        loop {
            let reply = self.exchange(call, deadline).await?;
            match reply.retry_after() {
                Some(wait) if retries < MAX_RETRIES => {
                    retries += 1;
                    sleep(wait).await;
                }
                _ => return answer::judge(call, &reply, retries),
            }
        }
    }

    async fn exchange(&self, call: &Call, deadline: Instant) -> Result<Reply, CallError> {
        let Inner { host, pool, .. } = &*self.0;
        let generation = pool.generation();
        let mut request = call.request(host, deadline.saturating_duration_since(Instant::now()));
        while let Some(mut sender) = pool.take() {
            match sender.try_send_request(request).await {
                Ok(response) => return self.read(sender, generation, response, "reused").await,
                Err(mut error) => match error.take_message() {
                    Some(unsent) => request = unsent,
                    None => {
                        return Err(CallError::Broken { connection: "reused", error: error.into_error() });
                    }
                },
            }
        }
        let mut sender = self.dial().await?;
        let response = sender.send_request(request).await;
        let response = response.map_err(|error| CallError::Broken { connection: "new", error })?;
        self.read(sender, generation, response, "new").await
    }

    async fn read(
        &self,
        sender: Sender,
        generation: u64,
        response: Response<hyper::body::Incoming>,
        connection: &'static str,
    ) -> Result<Reply, CallError> {
        let (parts, body) = response.into_parts();
        let body = body.collect().await.map_err(|error| CallError::Broken { connection, error })?.to_bytes();
        let closes = parts.headers.get(CONNECTION).is_some_and(|value| value == "close");
        if self.0.keep_alive && !closes {
            let caller = self.clone();
            let mut sender = sender;
            // A moment passes until the connection knows that the answer is over; no call waits for that.
            tokio::spawn(async move {
                if sender.ready().await.is_ok() {
                    caller.0.pool.put(sender, generation);
                }
            });
        }
        Ok(Reply { status: parts.status, headers: parts.headers, body })
    }

    async fn dial(&self) -> Result<Sender, CallError> {
        let Inner { name, route, pool, .. } = &*self.0;
        let late = || std::io::Error::from(std::io::ErrorKind::TimedOut);
        let stream = timeout(DIAL, TcpStream::connect(route())).await;
        let stream = stream.unwrap_or_else(|_| Err(late())).map_err(CallError::Dial)?;
        // As Go does by default.
        stream.set_nodelay(true).map_err(CallError::Dial)?;
        let connect = TlsConnector::from(pool.tls()).connect(name.clone(), stream);
        let stream = timeout(HANDSHAKE, connect).await;
        let stream = stream.unwrap_or_else(|_| Err(late())).map_err(CallError::Handshake)?;
        pool.count_dial();
        let (sender, connection) = http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|error| CallError::Broken { connection: "new", error })?;
        // Its end is learnt by whoever holds the sender.
        tokio::spawn(async move { _ = connection.await });
        Ok(sender)
    }
}

impl fmt::Debug for ApiServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiServer").field("name", &self.0.name).finish_non_exhaustive()
    }
}

fn builder(
    roots: impl IntoIterator<Item = CertificateDer<'static>>,
) -> Result<rustls::ConfigBuilder<ClientConfig, rustls::client::WantsClientCert>, rustls::Error> {
    let mut trusted = RootCertStore::empty();
    for root in roots {
        trusted.add(root)?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    Ok(builder.with_root_certificates(trusted))
}

/// TLS 1.2 or newer, HTTP/1.1 only, and every connection a full handshake.
fn as_go_does(mut config: ClientConfig) -> ClientConfig {
    config.resumption = Resumption::disabled();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config
}
