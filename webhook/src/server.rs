//! The HTTPS listener: connections from the first byte to the lame duck.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};

use axum::response::Response;
use hyper::body::Incoming;
use hyper::header::{CONNECTION, HeaderValue};
use hyper::service::service_fn;
use hyper::{Request, Version};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;

use crate::accept;
use crate::metrics::{Counted, HandshakeLabels};
use crate::pace::{Pace, Paced};
use crate::service::Service;
use crate::shutdown::Shutdown;
use crate::tls::Tls;

/// Serves a [`Service`] over TLS until a shutdown.
pub struct Server {
    shared: Arc<Shared>,
}

struct Shared {
    service: Arc<Service>,
    tls: watch::Receiver<Tls>,
    shutdown: Shutdown,
    last_request: Mutex<Instant>,
    /// Idle connections close, busy ones after their answer.
    stop: CancellationToken,
    /// All connections close.
    kill: CancellationToken,
}

impl Server {
    /// A server that takes its TLS configuration anew from `tls` for each connection.
    pub fn new(service: Arc<Service>, tls: watch::Receiver<Tls>, shutdown: Shutdown) -> Self {
        let last_request = Mutex::new(Instant::now());
        let (stop, kill) = (CancellationToken::new(), CancellationToken::new());
        Self { shared: Arc::new(Shared { service, tls, shutdown, last_request, stop, kill }) }
    }

    /// Serves until `shutdown` is triggered and the lame duck is over; see [`Shutdown`].
    ///
    /// The listener and all connections are closed when it returns. Dropping it instead closes the listener only.
    pub async fn run(self, listener: TcpListener) {
        let Self { shared } = self;
        let limits = &shared.service.limits;
        let most = u32::try_from(limits.connections).unwrap_or(u32::MAX >> 3).max(1);
        let slots = Arc::new(Semaphore::new(most as usize));
        {
            let mut over = pin!(shared.lame_duck());
            let errors = &shared.service.metrics.accept_errors;
            loop {
                let next = async { (slot(&slots).await, accept::next(&listener, errors).await) };
                let (slot, stream) = tokio::select! {
                    biased;
                    () = &mut over => break,
                    (Some(slot), stream) = next => (slot, stream),
                };
                tokio::spawn(Arc::clone(&shared).connection(stream, slot));
            }
        }
        drop(listener);
        shared.stop.cancel();
        tokio::select! {
            _ = slots.acquire_many(most) => {}
            () = shared.drained() => {}
        }
        shared.kill.cancel();
        _ = slots.acquire_many(most).await;
    }
}

/// Waits until there may be one more connection.
async fn slot(slots: &Arc<Semaphore>) -> Option<OwnedSemaphorePermit> {
    Arc::clone(slots).acquire_owned().await.ok()
}

impl Shared {
    /// Ends when the listener is to close: a quiet time or the cap after the first trigger, or the second trigger.
    async fn lame_duck(&self) {
        self.shutdown.begun().await;
        tracing::info!("shutting down: not ready, still answering");
        let begun = Instant::now();
        let limits = &self.service.limits;
        let cap = begun + limits.drain;
        loop {
            let due = (self.last_request().max(begun) + limits.quiet).min(cap);
            if due <= Instant::now() {
                return;
            }
            tokio::select! {
                () = self.shutdown.immediate() => return,
                () = sleep_until(due) => {}
            }
        }
    }

    /// Ends when calls that are still running are to be given up: at the second trigger, or when the longest of
    /// them must have been answered.
    async fn drained(&self) {
        let limits = &self.service.limits;
        let longest = Instant::now() + limits.deadline.max(limits.handshake);
        tokio::select! {
            () = self.shutdown.immediate() => {}
            () = sleep_until(longest) => {}
        }
    }

    fn last_request(&self) -> Instant {
        *self.last_request.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Serves one connection; `_slot` is free again at its end.
    async fn connection(self: Arc<Self>, stream: TcpStream, _slot: OwnedSemaphorePermit) {
        let _counted = Counted::in_gauge(&self.service.metrics.connections);
        let serve = async {
            if let Some(stream) = self.handshake(stream).await {
                Arc::clone(&self).serve(stream).await;
            }
        };
        tokio::select! {
            () = self.kill.cancelled() => {}
            () = serve => {}
        }
    }

    async fn handshake(&self, stream: TcpStream) -> Option<TlsStream<TcpStream>> {
        let tls = self.tls.borrow().clone();
        let accept = TlsAcceptor::from(tls.config).accept(stream);
        let (reason, error) = match timeout(self.service.limits.handshake, accept).await {
            Ok(Ok(stream)) => {
                if let Some(Err(error)) =
                    tls.log.map(|log| log.check(stream.get_ref().1.peer_certificates().unwrap_or_default()))
                {
                    self.service.metrics.unknown_callers.inc();
                    tracing::warn!(%error, "a caller is let in that could not be identified");
                }
                return Some(stream);
            }
            Ok(Err(error)) if error.kind() == std::io::ErrorKind::InvalidData => ("tls", error.to_string()),
            Ok(Err(error)) => ("io", error.to_string()),
            Err(_) => ("timeout", "the handshake took too long".to_owned()),
        };
        self.service.metrics.handshake_failures.get_or_create(&HandshakeLabels { reason }).inc();
        tracing::debug!(reason, error, "handshake failed");
        None
    }

    async fn serve(self: Arc<Self>, stream: TlsStream<TcpStream>) {
        let is_http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
        let limits = &self.service.limits;
        let pace = Pace::new(limits, is_http2);
        let io = TokioIo::new(Paced::new(stream, Arc::clone(&pace), limits));
        let mut builder = auto::Builder::new(TokioExecutor::new());
        builder.http1().header_read_timeout(None);
        let builder = if is_http2 { builder.http2_only() } else { builder.http1_only() };
        let (shared, used) = (Arc::clone(&self), Arc::new(Notify::new()));
        let goodbye = self.goodbye(is_http2, Arc::clone(&used));
        let service = service_fn(move |request| {
            used.notify_one();
            let (shared, busy) = (Arc::clone(&shared), pace.busy());
            async move {
                let response = shared.answer(request).await;
                drop(busy);
                Ok::<_, Infallible>(response)
            }
        });
        let mut connection = pin!(builder.serve_connection(io, service));
        let outcome = tokio::select! {
            outcome = connection.as_mut() => outcome,
            () = goodbye => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = outcome {
            tracing::debug!(error, "connection failed");
        }
    }

    /// Ends when a connection is to be closed from our side.
    ///
    /// HTTP/1.1 waits for the end of the lame duck. HTTP/2 uses GOAWAY in place of `Connection: close`, which loses no
    /// call. But Go's client fails the call that a connection was opened for if GOAWAY arrives before it, so it is sent
    /// only after the first request.
    async fn goodbye(&self, is_http2: bool, used: Arc<Notify>) {
        let sent_away = async {
            self.shutdown.begun().await;
            used.notified().await;
        };
        tokio::select! {
            () = self.stop.cancelled() => {}
            () = sent_away, if is_http2 => {}
        }
    }

    async fn answer(&self, request: Request<Incoming>) -> Response {
        *self.last_request.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        let is_http2 = request.version() == Version::HTTP_2;
        let mut response = self.service.handle(request).await;
        if is_http2 {
            response.headers_mut().remove(CONNECTION);
        } else if self.shutdown.has_begun() {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}
