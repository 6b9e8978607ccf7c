//! Idle connections, as Go's `http.Transport` keeps them.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::client::conn::http1::SendRequest;
use rustls::ClientConfig;
use tokio::time::{Instant, interval};

/// The sending half of a connection.
pub(super) type Sender = SendRequest<Full<Bytes>>;

/// `idleConnsPerHost` of client-go.
const IDLE: usize = 25;
/// `IdleConnTimeout` of Go's default transport.
const KEPT: Duration = Duration::from_secs(90);

/// Connections without a call. The one used last is taken first.
pub(super) struct Pool {
    state: Arc<Mutex<State>>,
    dialled: AtomicU64,
}

struct State {
    tls: Arc<ClientConfig>,
    /// The generation of the trust that connections were made under.
    generation: u64,
    idle: Vec<(Sender, Instant)>,
}

impl Pool {
    /// Empty. Needs a runtime: connections that have been idle too long are closed at their time, not at the next
    /// call.
    pub(super) fn new(tls: Arc<ClientConfig>) -> Self {
        let state = Arc::new(Mutex::new(State { tls, generation: 0, idle: Vec::new() }));
        tokio::spawn(sweep(Arc::downgrade(&state)));
        Self { state, dialled: AtomicU64::new(0) }
    }

    pub(super) fn take(&self) -> Option<Sender> {
        let mut state = self.state();
        state.forget();
        state.idle.pop().map(|(sender, _)| sender)
    }

    /// Keeps a connection, or closes it where there are enough, or those of its time are not wanted any more.
    pub(super) fn put(&self, sender: Sender, generation: u64) {
        let mut state = self.state();
        state.forget();
        if state.generation == generation && state.idle.len() < IDLE {
            state.idle.push((sender, Instant::now()));
        }
    }

    pub(super) fn replace(&self, tls: Arc<ClientConfig>) {
        let mut state = self.state();
        state.tls = tls;
        state.generation += 1;
        state.idle.clear();
    }

    pub(super) fn tls(&self) -> Arc<ClientConfig> {
        Arc::clone(&self.state().tls)
    }

    pub(super) fn generation(&self) -> u64 {
        self.state().generation
    }

    pub(super) fn idle(&self) -> usize {
        let mut state = self.state();
        state.forget();
        state.idle.len()
    }

    pub(super) fn count_dial(&self) {
        self.dialled.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn dialled(&self) -> u64 {
        self.dialled.load(Ordering::Relaxed)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        locked(&self.state)
    }
}

impl State {
    fn forget(&mut self) {
        self.idle.retain(|(sender, since)| !sender.is_closed() && since.elapsed() < KEPT);
    }
}

fn locked(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn sweep(state: Weak<Mutex<State>>) {
    let mut seconds = interval(Duration::from_secs(1));
    loop {
        seconds.tick().await;
        let Some(state) = state.upgrade() else { return };
        locked(&state).forget();
    }
}
