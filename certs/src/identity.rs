//! The identity a TLS server presents: always the newest good pair.

use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwapOption;
use jiff::{SignedDuration, Timestamp};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio::sync::watch;

use crate::pair::Pair;

/// An identity that has less than this left takes its pod out of service, unless [`Identity::with_margin`] says less.
pub const EXPIRY_MARGIN: SignedDuration = SignedDuration::from_mins(10);

/// The pair being served, or none yet. Clones share it.
///
/// A handshake reads it without a lock; open connections keep the pair they began with.
///
/// ```
/// use std::sync::Arc;
/// # fn main() -> Result<(), rustls::Error> {
/// let identity = headworks_certs::Identity::new();
/// let provider = Arc::new(rustls::crypto::ring::default_provider());
/// let config = rustls::ServerConfig::builder_with_provider(provider)
///     .with_safe_default_protocol_versions()?
///     .with_no_client_auth()
///     .with_cert_resolver(Arc::new(identity.clone()));
/// # let _ = config; Ok(()) }
/// ```
#[derive(Clone)]
pub struct Identity(Arc<Inner>);

struct Inner {
    current: ArcSwapOption<Pair>,
    changed: watch::Sender<Option<Arc<Pair>>>,
    margin: SignedDuration,
}

impl Identity {
    /// Creates an identity without a pair: handshakes fail until one is installed.
    pub fn new() -> Self {
        Self::with_margin(EXPIRY_MARGIN)
    }

    /// Creates an identity with another margin, for certificates that live for minutes. See
    /// [`Lifetimes::margin`](crate::Lifetimes::margin).
    pub fn with_margin(margin: SignedDuration) -> Self {
        let (current, changed) = (ArcSwapOption::empty(), watch::Sender::new(None));
        Self(Arc::new(Inner { current, changed, margin }))
    }

    /// Returns the pair that new handshakes get.
    pub fn current(&self) -> Option<Arc<Pair>> {
        self.0.current.load_full()
    }

    /// Returns a receiver of every change. It begins with the current pair.
    pub fn subscribe(&self) -> watch::Receiver<Option<Arc<Pair>>> {
        self.0.changed.subscribe()
    }

    /// Serves `pair` from the next handshake on. Returns true if that is a change.
    pub fn install(&self, pair: Pair) -> bool {
        let same = self.current().is_some_and(|current| current.chain() == pair.chain());
        if same {
            return false; // a key belongs to its leaf: equal chains are equal pairs
        }
        let pair = Arc::new(pair);
        self.0.current.store(Some(Arc::clone(&pair)));
        self.0.changed.send_replace(Some(pair));
        true
    }

    /// Checks that a pair is loaded, and valid for at least the margin more.
    ///
    /// # Errors
    /// A sentence for `/readyz?verbose` on what is missing.
    pub fn readiness(&self, now: Timestamp) -> Result<(), String> {
        let Some(pair) = self.current() else {
            return Err("no certificate loaded yet".to_owned());
        };
        let (serial, not_after) = (pair.serial(), pair.not_after());
        if not_after < now {
            return Err(format!("certificate {serial} expired at {not_after}"));
        }
        let margin = self.0.margin;
        if not_after.duration_since(now) < margin {
            return Err(format!("certificate {serial} expires at {not_after}, within {margin:#}"));
        }
        if now < pair.not_before() {
            return Err(format!("certificate {serial} is valid only from {}", pair.not_before()));
        }
        Ok(())
    }
}

impl Default for Identity {
    fn default() -> Self {
        Self::new()
    }
}

impl ResolvesServerCert for Identity {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.0.current.load().as_ref().map(|pair| pair.certified())
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Identity").field(&self.current()).finish()
    }
}

#[cfg(test)]
mod tests;
