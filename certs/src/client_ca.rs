//! CAs of the callers, watched in a file that another tool writes.
//!
//! # Guarantees
//! - The file's directory is watched with the same care as a mounted pair's: swaps of a mounted volume, files written
//!   in place or renamed over, a directory deleted and created again, no file notifications at all.
//! - A file that cannot be used leaves the last good CAs in force, with a counter and one event.
//!
//! # Caveat
//! There are no earlier CAs at the start, so [`ClientCa::open`] fails then: a server that must require callers'
//! certificates must not begin without knowing which to accept.

mod metrics;

#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use rustls::pki_types::CertificateDer;
use tokio::sync::watch;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::facts::Facts;
use crate::hooks::{Events, Hooks};
use crate::pair;
use crate::pair::Rejection;
use crate::watched::{self, Timing, Watched};

pub use metrics::ClientCaMetrics;

/// CA certificates, DER, as they stand in the file.
pub type Roots = Vec<CertificateDer<'static>>;

/// The file, and how often it is read.
#[derive(Clone, Debug)]
pub struct ClientCaConfig {
    /// PEM: one CA certificate or several.
    pub file: PathBuf,
    /// Interval at which contents are compared: 10 seconds.
    pub poll: Duration,
    /// Time for which file notifications are gathered before reading: 100 milliseconds.
    pub debounce: Duration,
}

impl ClientCaConfig {
    /// Creates a configuration with the defaults.
    pub fn new(file: impl Into<PathBuf>) -> Self {
        Self { file: file.into(), poll: Duration::from_secs(10), debounce: Duration::from_millis(100) }
    }
}

/// Reason to reject a file of CAs.
#[derive(Debug, thiserror::Error)]
pub enum ClientCaError {
    /// It cannot be read, is empty, or is no PEM of certificates.
    #[error(transparent)]
    Rejected(#[from] Rejection),
    /// A certificate that signs no others, such as a leaf that was put there by mistake.
    #[error("certificate {number} in it is no CA certificate")]
    NotCa {
        /// Its number in the file, from 1.
        number: usize,
    },
    /// None is valid any more.
    #[error("every CA certificate in it has expired")]
    Expired,
}

impl ClientCaError {
    /// Returns a bounded word for metric labels.
    pub fn category(&self) -> &'static str {
        match self {
            Self::Rejected(rejection) => rejection.category(),
            Self::NotCa { .. } => "not_ca",
            Self::Expired => "expired",
        }
    }
}

/// A file of CAs that was accepted once, and is followed by [`run`](Self::run).
#[derive(Debug)]
pub struct ClientCa {
    config: ClientCaConfig,
    hooks: Hooks,
    metrics: ClientCaMetrics,
    roots: watch::Sender<Roots>,
}

impl ClientCa {
    /// Reads the file for the first time.
    ///
    /// # Errors
    /// [`ClientCaError`] for this first version. A later version that is wrong is an event instead.
    pub async fn open(
        config: ClientCaConfig,
        hooks: Hooks,
        metrics: ClientCaMetrics,
    ) -> Result<Self, ClientCaError> {
        let roots = read(&config.file, hooks.clock.now()).await?;
        metrics.source().loaded();
        Ok(Self { config, hooks, metrics, roots: watch::Sender::new(roots) })
    }

    /// Returns a receiver of the newest good CAs.
    pub fn roots(&self) -> watch::Receiver<Roots> {
        self.roots.subscribe()
    }

    /// Follows the file. Returns after `shutdown`.
    pub async fn run(self, shutdown: CancellationToken) {
        tokio::select! {
            () = shutdown.cancelled() => {}
            () = self.follow() => {}
        }
    }

    async fn follow(self) {
        let (metrics, events) = (self.metrics.clone(), self.hooks.events.clone());
        let report = Box::new(move |backend, why: Option<String>| {
            metrics.source().backend(backend);
            if let Some(why) = why {
                events.warning("ClientCaWatchUnavailable", why);
            }
        });
        let timing = Timing { poll: self.config.poll, debounce: self.config.debounce };
        let mut watched = Watched::new(directory(&self.config.file), timing, report);
        let mut refused = None;
        loop {
            self.reload(&mut refused).await;
            watched.changed().await;
        }
    }

    /// Reads the file, and puts new CAs in force. A file in the middle of a change is read up to three times.
    async fn reload(&self, refused: &mut Option<&'static str>) {
        for attempt in 0..3 {
            match read(&self.config.file, self.hooks.clock.now()).await {
                Ok(roots) => {
                    *refused = None;
                    let count = roots.len();
                    if self.roots.send_if_modified(|current| {
                        *current != roots && {
                            *current = roots;
                            true
                        }
                    }) {
                        self.metrics.source().loaded();
                        let message = format!("callers are verified by {count} new CA certificates");
                        self.events().normal("ClientCaLoaded", message);
                    }
                    return;
                }
                Err(error) if attempt == 2 => {
                    // Counted at every attempt, so that an alert sees a failure that lasts; published once.
                    self.metrics.source().rejected(error.category());
                    if refused.replace(error.category()) != Some(error.category()) {
                        let file = self.config.file.display();
                        let message =
                            format!("client CA `{file}`: {error}; the last good one stays in force");
                        self.events().warning("ClientCaRejected", message);
                    }
                }
                Err(_) => sleep(self.config.debounce).await,
            }
        }
    }

    fn events(&self) -> &Events {
        &self.hooks.events
    }
}

/// Returns the directory of a file: the working directory for a bare file name.
fn directory(file: &Path) -> &Path {
    file.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

async fn read(file: &Path, now: Timestamp) -> Result<Roots, ClientCaError> {
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    let [pem] = watched::read(directory(file), [&*name]).await?;
    let roots = pair::chain(&pem)?;
    let mut valid = false;
    for (number, root) in (1..).zip(&roots) {
        let facts = Facts::of(root).map_err(Rejection::Certificate)?;
        if !facts.is_ca {
            return Err(ClientCaError::NotCa { number });
        }
        valid |= now <= facts.not_after;
    }
    if valid { Ok(roots) } else { Err(ClientCaError::Expired) }
}
