//! The body of an answer: each frame is a sign of life, and too long a silence ends it.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use http_body::{Body as HttpBody, Frame, SizeHint};
use kube::client::Body;
use tokio::time::{Instant, Sleep, sleep};
use tower::BoxError;

use super::ages::Asked;
use super::connections::{Connection, Silence};

/// A body with a bound on silence.
pub(super) struct WatchedBody {
    /// `None` once it has ended in any way, so that its connection is closed, or free for the next call.
    body: Option<Body>,
    bound: Duration,
    limit: Pin<Box<Sleep>>,
    asked: Option<Asked>,
    connection: Connection,
}

impl WatchedBody {
    pub(super) fn new(body: Body, bound: Duration, asked: Option<Asked>, connection: Connection) -> Self {
        Self { body: Some(body), bound, limit: Box::pin(sleep(bound)), asked, connection }
    }

    fn end(&mut self) {
        self.body = None;
        if let Some(asked) = self.asked.take() {
            asked.ended();
        }
    }
}

impl HttpBody for WatchedBody {
    type Data = bytes::Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, BoxError>>> {
        let this = &mut *self;
        let Some(body) = &mut this.body else { return Poll::Ready(None) };
        match Pin::new(body).poll_frame(context) {
            Poll::Ready(Some(Ok(frame))) => {
                this.limit.as_mut().reset(Instant::now() + this.bound);
                if let Some(asked) = &this.asked {
                    asked.heard();
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(error))) => {
                this.end();
                Poll::Ready(Some(Err(error.into())))
            }
            Poll::Ready(None) => {
                if let Some(asked) = &this.asked {
                    asked.heard();
                }
                this.end();
                Poll::Ready(None)
            }
            Poll::Pending => {
                if this.limit.as_mut().poll(context).is_pending() {
                    return Poll::Pending;
                }
                if let Some(asked) = &this.asked {
                    tracing::warn!(
                        kind = asked.kind(),
                        seconds = this.bound.as_secs(),
                        "a watch fell silent and is begun again"
                    );
                }
                this.connection.suspect();
                this.end();
                Poll::Ready(Some(Err(Silence(this.bound).into())))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(HttpBody::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(|| SizeHint::with_exact(0), HttpBody::size_hint)
    }
}
