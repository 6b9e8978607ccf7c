//! Ends a connection whose peer makes no progress.
//!
//! hyper's own header timeout starts when the connection falls idle, not with the first byte of a head, so it
//! cannot tell a slow loris (5 s) from an API server that keeps a connection for its next call (90 s). This can.

use std::io::{self, ErrorKind, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

use crate::limits::Limits;

/// State of a connection, shared by the stream and the task that answers its requests.
#[derive(Debug)]
pub(crate) struct Pace {
    state: Mutex<State>,
    idle: Duration,
    /// None where bytes without a request are normal, as in HTTP/2.
    header: Option<Duration>,
}

#[derive(Debug)]
struct State {
    busy: usize,
    /// Time since which nothing is being answered.
    since: Instant,
    /// Time of the first byte of the next head.
    head: Option<Instant>,
}

/// A request is being answered until this is dropped.
#[derive(Debug)]
pub(crate) struct Busy(Arc<Pace>);

impl Pace {
    pub(crate) fn new(limits: &Limits, is_http2: bool) -> Arc<Self> {
        let state = Mutex::new(State { busy: 0, since: Instant::now(), head: None });
        Arc::new(Self { state, idle: limits.idle, header: (!is_http2).then_some(limits.header) })
    }

    /// A head is complete.
    pub(crate) fn busy(self: &Arc<Self>) -> Busy {
        let mut state = self.state();
        state.busy += 1;
        state.head = None;
        drop(state);
        Busy(Arc::clone(self))
    }

    fn arrived(&self) {
        let mut state = self.state();
        if state.busy == 0 {
            state.head.get_or_insert_with(Instant::now);
        }
    }

    /// Returns the time at which the connection will have been idle too long, and true if that is within a head.
    fn due(&self) -> Option<(Instant, bool)> {
        let state = self.state();
        if state.busy > 0 {
            return None;
        }
        match (state.head, self.header) {
            (Some(head), Some(header)) => Some((head + header, true)),
            (Some(last), None) => Some((last.max(state.since) + self.idle, false)),
            (None, _) => Some((state.since + self.idle, false)),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.busy -= 1;
        state.since = Instant::now();
        state.head = None;
    }
}

/// A stream that ends when it has been idle too long, and fails when a head or a write has.
pub(crate) struct Paced<S> {
    stream: S,
    pace: Arc<Pace>,
    write: Duration,
    reading: Option<Pin<Box<Sleep>>>,
    writing: Option<Pin<Box<Sleep>>>,
}

impl<S> Paced<S> {
    pub(crate) fn new(stream: S, pace: Arc<Pace>, limits: &Limits) -> Self {
        Self { stream, pace, write: limits.write, reading: None, writing: None }
    }

    /// Passes on the outcome of a write, and turns a wait that is too long into an error.
    fn written<T>(&mut self, cx: &mut Context<'_>, outcome: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if outcome.is_ready() {
            self.writing = None;
            return outcome;
        }
        let limit = self.write;
        let timer = self.writing.get_or_insert_with(|| Box::pin(sleep_until(Instant::now() + limit)));
        ready!(timer.as_mut().poll(cx));
        Poll::Ready(Err(ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Paced<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        if let Poll::Ready(outcome) = Pin::new(&mut this.stream).poll_read(cx, buf) {
            if buf.filled().len() > before {
                this.pace.arrived();
            }
            return Poll::Ready(outcome);
        }
        // A peer that stands still is seen here: hyper always waits for the next head, or the end, in a read.
        let Some((due, in_head)) = this.pace.due() else { return Poll::Pending };
        let timer = this.reading.get_or_insert_with(|| Box::pin(sleep_until(due)));
        if timer.deadline() != due {
            timer.as_mut().reset(due);
        }
        ready!(timer.as_mut().poll(cx));
        Poll::Ready(if in_head { Err(ErrorKind::TimedOut.into()) } else { Ok(()) })
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Paced<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let outcome = Pin::new(&mut this.stream).poll_write(cx, buf);
        this.written(cx, outcome)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let outcome = Pin::new(&mut this.stream).poll_write_vectored(cx, bufs);
        this.written(cx, outcome)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let outcome = Pin::new(&mut this.stream).poll_flush(cx);
        this.written(cx, outcome)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let outcome = Pin::new(&mut this.stream).poll_shutdown(cx);
        this.written(cx, outcome)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};

    use super::*;

    fn paced(is_http2: bool) -> (Paced<DuplexStream>, DuplexStream, Arc<Pace>) {
        let limits = Limits::default();
        let (near, far) = duplex(16);
        let pace = Pace::new(&limits, is_http2);
        (Paced::new(near, Arc::clone(&pace), &limits), far, pace)
    }

    #[tokio::test(start_paused = true)]
    async fn an_idle_connection_ends_after_120_seconds_from_the_last_answer() {
        let (mut near, _far, pace) = paced(false);
        let begin = Instant::now();
        let busy = pace.busy();
        tokio::time::sleep(Duration::from_secs(7)).await;
        drop(busy);
        assert_eq!(near.read(&mut [0; 8]).await.unwrap(), 0);
        assert_eq!(begin.elapsed().as_secs(), 127);
    }

    #[tokio::test(start_paused = true)]
    async fn a_head_that_drips_in_fails_5_seconds_after_its_first_byte() {
        let (mut near, mut far, _pace) = paced(false);
        let drip = tokio::spawn(async move {
            while far.write_all(b"x").await.is_ok() {
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        });
        tokio::time::sleep(Duration::from_mins(1)).await;
        let begin = Instant::now();
        let error = loop {
            if let Err(error) = near.read(&mut [0; 8]).await {
                break error;
            }
        };
        assert_eq!((error.kind(), begin.elapsed().as_secs()), (ErrorKind::TimedOut, 5));
        drip.abort();
    }

    #[tokio::test(start_paused = true)]
    async fn while_a_request_is_answered_nothing_is_timed() {
        let (mut near, _far, pace) = paced(false);
        let _busy = pace.busy();
        let mut byte = [0; 8];
        let read = tokio::time::timeout(Duration::from_hours(1), near.read(&mut byte));
        assert!(read.await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn bytes_between_requests_are_normal_in_http2() {
        let (mut near, mut far, _pace) = paced(true);
        far.write_all(b"ping").await.unwrap();
        let begin = Instant::now();
        assert_eq!(near.read(&mut [0; 8]).await.unwrap(), 4);
        assert_eq!(near.read(&mut [0; 8]).await.unwrap(), 0);
        assert_eq!(begin.elapsed().as_secs(), 120);
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_does_not_read_is_given_up_after_10_seconds() {
        let (mut near, _far, _pace) = paced(false);
        let begin = Instant::now();
        let error = near.write_all(&[0; 64]).await.unwrap_err();
        assert_eq!((error.kind(), begin.elapsed().as_secs()), (ErrorKind::TimedOut, 10));
    }
}
