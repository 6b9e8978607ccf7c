//! Two-stage shutdown signal.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio_util::sync::CancellationToken;

/// Signals the server to stop. Clones are the same shutdown.
///
/// The first [`trigger`](Self::trigger) begins the lame duck: readiness fails immediately, so that no new callers are
/// sent here, while every call is still taken and answered with `Connection: close`, until none came for
/// [`Limits::quiet`](crate::Limits::quiet) or [`Limits::drain`](crate::Limits::drain) is over. Stopping any sooner
/// loses calls: the API server keeps idle connections and goes on using them. The second trigger stops immediately.
#[derive(Clone, Debug, Default)]
pub struct Shutdown {
    triggered: Arc<AtomicBool>,
    begun: CancellationToken,
    immediate: CancellationToken,
}

impl Shutdown {
    /// Creates a shutdown that is not triggered yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Begins the lame duck, or, the second time, stops immediately. Call it once for every signal.
    pub fn trigger(&self) {
        if self.triggered.swap(true, Ordering::AcqRel) {
            self.immediate.cancel();
        }
        self.begun.cancel();
    }

    /// Returns true from the first trigger on.
    pub fn has_begun(&self) -> bool {
        self.begun.is_cancelled()
    }

    /// Waits for the first trigger.
    pub async fn begun(&self) {
        self.begun.cancelled().await;
    }

    /// Waits for the second trigger.
    pub async fn immediate(&self) {
        self.immediate.cancelled().await;
    }
}
