//! A client that dies at one of its writes, or is overtaken at it.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use futures::future::BoxFuture;
use http::{Method, Request};
use tokio::sync::watch;
use tower::{Layer, Service};

/// Outcome of a write.
pub(crate) enum Fate {
    Pass,
    /// The process dies before the API server hears of it.
    DieBefore,
    /// The process dies when the API server has done it.
    DieAfter,
    /// Something else happens first.
    Second(BoxFuture<'static, ()>),
}

/// A write of the Secret or of a configuration.
#[derive(Clone, Debug)]
pub(crate) struct Write {
    pub(crate) nth: usize,
    pub(crate) method: Method,
    pub(crate) path: String,
}

type Hook = dyn Fn(&Write) -> Fate + Send + Sync;

/// A layer for a client.
#[derive(Clone)]
pub(crate) struct Tap {
    hook: Arc<Hook>,
    count: Arc<AtomicUsize>,
    writes: Arc<Mutex<Vec<Write>>>,
    died: watch::Sender<bool>,
}

impl Tap {
    pub(crate) fn new(hook: impl Fn(&Write) -> Fate + Send + Sync + 'static) -> Self {
        let (count, writes) = (Arc::default(), Arc::default());
        Self { hook: Arc::new(hook), count, writes, died: watch::Sender::new(false) }
    }

    pub(crate) fn writes(&self) -> Vec<Write> {
        self.writes.lock().unwrap().clone()
    }

    pub(crate) async fn died(&self) {
        self.died.subscribe().wait_for(|died| *died).await.unwrap();
    }
}

impl<S> Layer<S> for Tap {
    type Service = Tapped<S>;

    fn layer(&self, inner: S) -> Tapped<S> {
        Tapped { inner, tap: self.clone() }
    }
}

pub(crate) struct Tapped<S> {
    inner: S,
    tap: Tap,
}

impl<S, B> Service<Request<B>> for Tapped<S>
where
    S: Service<Request<B>>,
    S::Future: Send + 'static,
    S::Response: Send,
    S::Error: Send,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<S::Response, S::Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        let answer = self.inner.call(request); // nothing is sent until it is awaited
        if method == Method::GET || path.contains("/leases") {
            return Box::pin(answer);
        }
        let tap = self.tap.clone();
        let write = Write { nth: tap.count.fetch_add(1, Ordering::SeqCst), method, path };
        tap.writes.lock().unwrap().push(write.clone());
        let fate = (tap.hook)(&write);
        Box::pin(async move {
            match fate {
                Fate::Pass => answer.await,
                Fate::Second(first) => {
                    first.await;
                    answer.await
                }
                Fate::DieBefore => {
                    tap.died.send_replace(true);
                    std::future::pending().await
                }
                Fate::DieAfter => {
                    drop(answer.await);
                    tap.died.send_replace(true);
                    std::future::pending().await
                }
            }
        })
    }
}
