//! A network that misbehaves on purpose: between the engine and the API server, call by call.
//!
//! The engine speaks plain HTTP to a port of this process, which speaks TLS to the real API server as its admin. What
//! happens to a call that writes is decided by a hook; what happens to watches, and to everything at once, by settings
//! that may change at any time.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, RwLock};

use futures::future::BoxFuture;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONNECTION, CONTENT_TYPE, HOST, HeaderName, HeaderValue, TRANSFER_ENCODING, USER_AGENT};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use kube::Client;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

pub(crate) use call::Call;
pub(crate) use stream::{End, Watching};

mod call;
mod stream;

type Error = Box<dyn std::error::Error + Send + Sync>;
type Body = UnsyncBoxBody<Bytes, Error>;

/// What happens to a call that writes.
#[derive(Default)]
pub(crate) struct Fate {
    /// Done before anything else.
    pub(crate) first: Option<BoxFuture<'static, ()>>,
    /// The API server never hears of it.
    pub(crate) withheld: bool,
    /// Done once the API server has answered.
    pub(crate) then: Option<BoxFuture<'static, ()>>,
    pub(crate) answer: Answer,
}

/// What the caller is told.
#[derive(Clone, Copy, Default)]
pub(crate) enum Answer {
    /// What the API server said.
    #[default]
    True,
    /// This instead: a code and a reason.
    Status(u16, &'static str),
    /// Nothing: the connection closes.
    Nothing,
    /// Nothing, ever.
    Silence,
}

impl Fate {
    /// It goes through.
    pub(crate) fn pass() -> Self {
        Self::default()
    }

    /// The API server never hears of it, and this is the answer.
    pub(crate) fn refused(code: u16, reason: &'static str) -> Self {
        Self { withheld: true, answer: Answer::Status(code, reason), ..Self::default() }
    }

    /// The API server never hears of it, and nobody answers.
    pub(crate) fn lost() -> Self {
        Self { withheld: true, answer: Answer::Nothing, ..Self::default() }
    }

    /// It is done, and nobody hears of it.
    pub(crate) fn answer_lost() -> Self {
        Self { answer: Answer::Nothing, ..Self::default() }
    }

    /// The caller dies before the call leaves it.
    pub(crate) fn dies_before(kill: impl FnOnce() + Send + 'static) -> Self {
        Self { first: Some(Box::pin(async move { kill() })), ..Self::lost() }
    }

    /// The caller dies after the call was done, before it hears of it.
    pub(crate) fn dies_after(kill: impl FnOnce() + Send + 'static) -> Self {
        Self { then: Some(Box::pin(async move { kill() })), ..Self::answer_lost() }
    }

    /// This happens first; then it goes through.
    pub(crate) fn after(what: impl Future<Output = ()> + Send + 'static) -> Self {
        Self { first: Some(Box::pin(what)), ..Self::default() }
    }
}

type Hook = Arc<dyn Fn(&Call) -> Fate + Send + Sync>;

/// The proxy; its connections end with it.
pub(crate) struct Proxy {
    pub(crate) port: u16,
    shared: Arc<Shared>,
    _task: JoinSet<()>,
}

struct Shared {
    upstream: Client,
    /// Told to the API server, so that its audit log tells who called.
    agent: HeaderValue,
    impersonate: Option<HeaderValue>,
    hook: RwLock<Hook>,
    watching: watch::Sender<Watching>,
    /// Nothing comes through, either way.
    gap: watch::Sender<bool>,
    /// Connections that were accepted before this one are silent for good: nothing comes, and nothing says so.
    mute: watch::Sender<u64>,
    accepted: AtomicU64,
    /// Reads at addresses with this end, how many of them go wrong, and how: a code, or nothing is ever answered.
    wrong_reads: Mutex<(String, usize, Option<u16>)>,
    /// Calls that write, by what they write.
    counts: Mutex<BTreeMap<String, usize>>,
}

impl Proxy {
    /// A proxy in front of the API server of `upstream`, which is told that `agent` calls.
    pub(crate) async fn new(upstream: Client, agent: &str, impersonate: Option<&str>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(Shared {
            upstream,
            agent: agent.parse().unwrap(),
            impersonate: impersonate.map(|user| user.parse().unwrap()),
            hook: RwLock::new(Arc::new(|_| Fate::pass())),
            watching: watch::Sender::new(Watching::default()),
            gap: watch::Sender::new(false),
            mute: watch::Sender::new(0),
            accepted: AtomicU64::new(0),
            wrong_reads: Mutex::default(),
            counts: Mutex::default(),
        });
        let mut task = JoinSet::new();
        task.spawn(accept(listener, shared.clone()));
        Self { port, shared, _task: task }
    }

    /// Decide from now on what happens to calls that write. Calls for the Lease are not asked about.
    pub(crate) fn hook(&self, hook: impl Fn(&Call) -> Fate + Send + Sync + 'static) {
        *self.shared.hook.write().unwrap() = Arc::new(hook);
        self.shared.counts.lock().unwrap().clear();
    }

    /// Everything goes through again.
    pub(crate) fn behave(&self) {
        self.hook(|_| Fate::pass());
        self.watch(Watching::default());
        self.gap(false);
    }

    /// How watches are treated from now on, those that run too.
    pub(crate) fn watch(&self, watching: Watching) {
        self.shared.watching.send_replace(watching);
    }

    /// Every connection that is established falls silent for good, as if a firewall had forgotten it: what is sent on it is
    /// lost, and it is not closed. New ones work.
    pub(crate) fn mute(&self) {
        self.shared.mute.send_replace(self.shared.accepted.load(Ordering::SeqCst));
    }

    /// The next reads at addresses with this end are answered with a code, or never.
    pub(crate) fn spoil_reads(&self, end: &str, count: usize, code: Option<u16>) {
        *self.shared.wrong_reads.lock().unwrap() = (end.to_owned(), count, code);
    }

    /// Reads that are still to go wrong.
    pub(crate) fn reads_to_spoil(&self) -> usize {
        self.shared.wrong_reads.lock().unwrap().1
    }

    /// Whether nothing comes through. What is under way when a gap begins is never answered.
    pub(crate) fn gap(&self, gap: bool) {
        self.shared.gap.send_replace(gap);
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        stream.set_nodelay(true).unwrap();
        let shared = shared.clone();
        let number = shared.accepted.fetch_add(1, Ordering::SeqCst);
        connections.spawn(async move {
            let service = service_fn(move |request| shared.clone().unless_muted(number, request));
            let mut server = hyper::server::conn::http1::Builder::new();
            // An error here is a connection that was closed, which is what this program is for.
            let _ = server.timer(TokioTimer::new()).serve_connection(TokioIo::new(stream), service).await;
        });
        while connections.try_join_next().is_some() {}
    }
}

impl Shared {
    /// Serve, for as long as the connection of this number is not silent.
    async fn unless_muted(
        self: Arc<Self>,
        number: u64,
        request: Request<Incoming>,
    ) -> Result<Response<Body>, Error> {
        let mute = self.mute.subscribe();
        tokio::select! {
            biased;
            () = stream::muted(number, mute.clone()) => std::future::pending().await,
            told = self.clone().serve(request) => {
                told.map(|response| response.map(|body| stream::until_muted(body, number, mute.clone())))
            }
        }
    }

    async fn serve(self: Arc<Self>, request: Request<Incoming>) -> Result<Response<Body>, Error> {
        let mut gap = self.gap.subscribe();
        if *gap.borrow_and_update() {
            return silence(gap).await;
        }
        let (parts, body) = request.into_parts();
        let body = body.collect().await?.to_bytes();
        let Some(mut call) = Call::read(&parts.method, &parts.uri, &body) else {
            return self.watch_or_read(parts, body, gap).await;
        };
        call.nth = self.count(&call);
        let hook = self.hook.read().unwrap().clone();
        let fate = if call.resource == "leases" { Fate::pass() } else { hook(&call) };
        let done = async {
            if let Some(first) = fate.first {
                first.await;
            }
            let mut told = None;
            if !fate.withheld {
                told = Some(self.forward(parts, body).await);
            }
            if let Some(then) = fate.then {
                then.await;
            }
            match (fate.answer, told) {
                (Answer::True, Some(told)) => Ok(told?.map(stream::whole)),
                (Answer::Status(code, reason), _) => Ok(status(code, reason)),
                (Answer::Silence, _) => std::future::pending().await,
                (Answer::Nothing | Answer::True, _) => Err("nothing is answered".into()),
            }
        };
        tokio::select! {
            done = done => done,
            Ok(()) = gap.changed() => silence(gap.clone()).await,
        }
    }

    async fn watch_or_read(
        &self,
        parts: hyper::http::request::Parts,
        body: Bytes,
        mut gap: watch::Receiver<bool>,
    ) -> Result<Response<Body>, Error> {
        let watches = parts.uri.query().is_some_and(|query| query.contains("watch=true"));
        let path = parts.uri.path().to_owned();
        if watches && self.watching.borrow().of(&path).gone {
            return Ok(status(410, "Expired"));
        }
        if !watches && let Some(wrong) = self.spoilt(&path) {
            return match wrong {
                Answer::Status(code, reason) => Ok(status(code, reason)),
                _ => std::future::pending().await,
            };
        }
        let told = tokio::select! {
            told = self.forward(parts, body) => told?,
            Ok(()) = gap.changed() => return silence(gap).await,
        };
        let watching = self.watching.subscribe();
        Ok(told.map(
            |body| if watches { stream::watched(body, path, watching, gap) } else { stream::whole(body) },
        ))
    }

    /// The answer to a read that goes wrong.
    fn spoilt(&self, path: &str) -> Option<Answer> {
        let mut wrong = self.wrong_reads.lock().unwrap();
        let is = wrong.1 > 0 && path.ends_with(&wrong.0);
        wrong.1 -= usize::from(is);
        is.then(|| wrong.2.map_or(Answer::Silence, |code| Answer::Status(code, "InternalError")))
    }

    fn count(&self, call: &Call) -> usize {
        let mut counts = self.counts.lock().unwrap();
        let count = counts.entry(format!("{} {}", call.verb, call.resource)).or_default();
        *count += 1;
        *count
    }

    async fn forward(
        &self,
        mut parts: hyper::http::request::Parts,
        body: Bytes,
    ) -> Result<Response<kube::client::Body>, Error> {
        for header in [HOST, CONNECTION, TRANSFER_ENCODING] {
            parts.headers.remove(header);
        }
        parts.headers.insert(USER_AGENT, self.agent.clone());
        if let Some(user) = &self.impersonate {
            parts.headers.insert(HeaderName::from_static("impersonate-user"), user.clone());
            for group in ["system:serviceaccounts", "system:authenticated"] {
                let group = HeaderValue::from_static(group);
                parts.headers.append(HeaderName::from_static("impersonate-group"), group);
            }
        }
        // A call goes on even if the caller hangs up or dies: what has left a machine cannot be called back.
        let (upstream, request) = (self.upstream.clone(), Request::from_parts(parts, body.into()));
        let mut told = tokio::spawn(async move { upstream.send(request).await }).await??;
        for header in [CONNECTION, TRANSFER_ENCODING] {
            told.headers_mut().remove(header);
        }
        Ok(told)
    }
}

/// Say nothing until the gap is over, and then close the connection.
async fn silence(mut gap: watch::Receiver<bool>) -> Result<Response<Body>, Error> {
    let _ = gap.wait_for(|gap| !gap).await;
    Err("cut off".into())
}

/// The API server's way to say no.
fn status(code: u16, reason: &str) -> Response<Body> {
    let message = format!("a test says {code}");
    let body = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": message, "reason": reason, "code": code
    });
    let body = Full::from(body.to_string()).map_err(Error::from).boxed_unsync();
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::from_u16(code).unwrap();
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// Whether a method changes something.
fn writes(method: &Method) -> bool {
    [Method::POST, Method::PUT, Method::PATCH, Method::DELETE].contains(method)
}
