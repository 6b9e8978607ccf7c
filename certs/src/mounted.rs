//! Mounted mode: follows a directory that another tool writes.
//!
//! # Guarantees
//! - Both files are read from one directory: `..data` is resolved once (kubelet swaps that symlink to update a mounted
//!   Secret), and the files are read twice and must agree, for writers that write in place.
//! - The directory is watched, never the files: a watch on `tls.crt` reports nothing after the first swap. Besides, the
//!   contents are compared at every poll, so that any update is seen within [`MountedConfig::poll`] even without file
//!   notifications (inotify limit, network file systems, a directory deleted and created again).
//! - A pair that [`Pair::parse`] rejects leaves the last good pair in service.

#[cfg(test)]
mod tests;

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::PathBuf;
use std::time::Duration;

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::hooks::Hooks;
use crate::identity::Identity;
use crate::intake::Intake;
use crate::pair::Pair;
use crate::watched::{self, Timing, Watched};

/// The directory, and how often it is read.
#[derive(Clone, Debug)]
pub struct MountedConfig {
    /// The directory.
    pub dir: PathBuf,
    /// The chain's file in it: `tls.crt`.
    pub cert_file: String,
    /// The key's file in it: `tls.key`.
    pub key_file: String,
    /// Names a pair must cover.
    pub expected: Vec<String>,
    /// Interval at which contents are compared: 10 seconds.
    pub poll: Duration,
    /// Time for which file notifications are gathered before reading: 100 milliseconds.
    pub debounce: Duration,
}

impl MountedConfig {
    /// Creates a configuration with the defaults; the pair must cover `required` (`<service>.<namespace>.svc`).
    pub fn new(dir: impl Into<PathBuf>, required: impl Into<String>) -> Self {
        Self {
            dir: dir.into(),
            cert_file: "tls.crt".to_owned(),
            key_file: "tls.key".to_owned(),
            expected: vec![required.into()],
            poll: Duration::from_secs(10),
            debounce: Duration::from_millis(100),
        }
    }
}

/// Feeds `identity` from the directory. Returns after `shutdown`.
pub async fn run(config: MountedConfig, identity: Identity, hooks: Hooks, shutdown: CancellationToken) {
    let mut source = Source { config, intake: Intake::new(identity, hooks.clone()), hooks, good: None };
    tokio::select! {
        () = shutdown.cancelled() => {}
        () = source.follow() => {}
    }
}

struct Source {
    config: MountedConfig,
    intake: Intake,
    hooks: Hooks,
    /// Hash of the contents that were accepted last.
    good: Option<u64>,
}

impl Source {
    async fn follow(&mut self) {
        let timing = Timing { poll: self.config.poll, debounce: self.config.debounce };
        let hooks = self.hooks.clone();
        let report = Box::new(move |backend, why| {
            hooks.metrics.source().backend(backend);
            if let Some(why) = why {
                hooks.events.warning("CertificateWatchUnavailable", why);
            }
        });
        let mut watched = Watched::new(&self.config.dir, timing, report);
        loop {
            self.read_once().await;
            watched.changed().await;
        }
    }

    /// Reads the directory, and takes new contents. A directory in the middle of a change is read up to three times before
    /// it is rejected.
    async fn read_once(&mut self) {
        for attempt in 0..3 {
            let MountedConfig { dir, cert_file, key_file, expected, .. } = &self.config;
            let read = watched::read(dir, [cert_file, key_file]).await;
            let outcome = read.and_then(|files| {
                let hash = hash(&files);
                if self.good == Some(hash) {
                    return Ok(None);
                }
                let now = self.hooks.clock.now();
                let [cert, key] = files;
                Pair::parse(&cert, &key, expected, now).map(|pair| Some((hash, pair)))
            });
            match outcome {
                Ok(None) => return,
                Ok(Some((hash, pair))) => {
                    self.good = Some(hash);
                    return self.intake.take(Ok(pair));
                }
                Err(rejection) if attempt == 2 => {
                    self.good = None;
                    return self.intake.take(Err(rejection));
                }
                Err(_) => sleep(self.config.debounce).await,
            }
        }
    }
}

/// Hashes contents to compare them, not for security.
fn hash(files: &[Vec<u8>; 2]) -> u64 {
    let mut hasher = DefaultHasher::new();
    files.hash(&mut hasher);
    hasher.finish()
}
