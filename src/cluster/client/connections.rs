//! The connections of a client, which are replaced once one of them falls silent.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use kube::{Client, Config};

/// A call that its caller gave up after so long without a head makes the connections suspect, too.
const SUSPECT: Duration = Duration::from_secs(4);

/// The error of a call of which nothing was heard for too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("nothing was heard for {} s; the connection is closed", .0.as_secs())]
pub struct Silence(pub(super) Duration);

/// The client in use. It is replaced, with all its connections, when one of them falls silent.
pub(super) struct Connections {
    config: Config,
    current: Mutex<Current>,
}

struct Current {
    client: Client,
    generation: u64,
    /// One of its connections fell silent: the next call makes another client.
    suspect: bool,
}

impl Connections {
    pub(super) fn new(config: Config) -> kube::Result<Self> {
        let client = Client::try_from(config.clone())?;
        Ok(Self { config, current: Mutex::new(Current { client, generation: 0, suspect: false }) })
    }

    /// Returns the client to call with, and its generation.
    pub(super) fn current(&self) -> (u64, Client) {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if std::mem::take(&mut current.suspect) {
            match Client::try_from(self.config.clone()) {
                Ok(client) => {
                    current.client = client;
                    current.generation += 1;
                }
                Err(error) => tracing::warn!(%error, "no fresh connections could be made"),
            }
        }
        (current.generation, current.client.clone())
    }

    /// Records that a connection of this generation fell silent. Calls on its other connections go on.
    fn suspect(&self, generation: u64) {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        current.suspect |= current.generation == generation;
    }
}

/// The client that a call was made with, for reporting that its connection fell silent.
#[derive(Clone)]
pub(super) struct Connection {
    connections: Arc<Connections>,
    generation: u64,
}

impl Connection {
    /// Reports that the connection fell silent.
    pub(super) fn suspect(&self) {
        self.connections.suspect(self.generation);
    }
}

/// A call that waits for its head, until it is over or given up.
pub(super) struct Waiting {
    pub(super) connection: Connection,
    since: Instant,
    pub(super) over: bool,
}

impl Waiting {
    pub(super) fn begin(connections: Arc<Connections>, generation: u64) -> Self {
        Self { connection: Connection { connections, generation }, since: Instant::now(), over: false }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if !self.over && self.since.elapsed() >= SUSPECT {
            self.connection.suspect();
        }
    }
}
