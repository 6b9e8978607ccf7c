//! The clock, metrics and event sink that callers provide.

use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;
use tokio::sync::mpsc;

use crate::metrics::Metrics;

/// Clock, metrics and event sink of a source. `Hooks::default()` uses the system clock and discards metrics and events.
#[derive(Clone)]
pub struct Hooks {
    /// Source of the current time.
    pub clock: Arc<dyn Clock>,
    /// Counters and gauges, registered by the caller.
    pub metrics: Metrics,
    /// Sink of [`CertEvent`]s.
    pub events: Events,
}

impl Default for Hooks {
    fn default() -> Self {
        Self { clock: Arc::new(SystemClock), metrics: Metrics::default(), events: Events::none() }
    }
}

impl fmt::Debug for Hooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hooks").finish_non_exhaustive()
    }
}

/// A clock. Only code that does I/O has one; pure code takes `now` as a parameter.
pub trait Clock: Send + Sync + 'static {
    /// Returns the wall-clock time.
    fn now(&self) -> Timestamp;
}

/// The machine's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }
}

impl<F: Fn() -> Timestamp + Send + Sync + 'static> Clock for F {
    fn now(&self) -> Timestamp {
        self()
    }
}

/// A change or problem that an operator should know of: meant to become a Kubernetes Event.
///
/// Never carries key material; at most serial numbers, names, dates and error texts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertEvent {
    /// `Warning` if it needs attention.
    pub kind: EventKind,
    /// One CamelCase word, bounded: `CertificateRejected`, `CaBundleRepaired` and so on.
    pub reason: &'static str,
    /// One sentence.
    pub message: String,
}

/// The two types of Kubernetes Events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventKind {
    /// Something that went as it should.
    Normal,
    /// Something that needs attention.
    Warning,
}

/// The sending end for [`CertEvent`]s. Sending neither blocks nor fails.
#[derive(Clone, Debug)]
pub struct Events(Option<mpsc::UnboundedSender<CertEvent>>);

impl Events {
    /// Creates a channel. Give the sender to [`Hooks`], and write a Kubernetes Event for each event that is received.
    ///
    /// Unbounded, because events are sent once per change and never per request or retry.
    pub fn channel() -> (Self, mpsc::UnboundedReceiver<CertEvent>) {
        let (sender, receiver) = mpsc::unbounded_channel();
        (Self(Some(sender)), receiver)
    }

    /// Creates a sink that discards every event.
    pub fn none() -> Self {
        Self(None)
    }

    pub(crate) fn normal(&self, reason: &'static str, message: String) {
        tracing::info!(reason, "{message}");
        self.send(CertEvent { kind: EventKind::Normal, reason, message });
    }

    pub(crate) fn warning(&self, reason: &'static str, message: String) {
        tracing::warn!(reason, "{message}");
        self.send(CertEvent { kind: EventKind::Warning, reason, message });
    }

    fn send(&self, event: CertEvent) {
        if let Some(sender) = &self.0 {
            // A receiver that is gone means shutdown: nobody writes Events any more.
            let _ = sender.send(event);
        }
    }
}
