//! What the crate asks of its surroundings: the time, a place for numbers, an ear for events.

use std::{fmt, sync::Arc};

use jiff::Timestamp;
use tokio::sync::mpsc;

use crate::Metrics;

/// The surroundings of a source. `Hooks::default()` is the system clock, metrics nobody reads, events nobody hears.
#[derive(Clone)]
pub struct Hooks {
    /// Where "now" comes from.
    pub clock: Arc<dyn Clock>,
    /// Counters and gauges, registered by the caller.
    pub metrics: Metrics,
    /// Where [`CertEvent`]s go.
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

/// The one clock of the shells. Pure code takes `now` as a parameter instead.
pub trait Clock: Send + Sync + 'static {
    /// The wall-clock time.
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

/// Something an operator should find beside the object: meant to become a Kubernetes Event.
///
/// Never carries key material; at most serial numbers, names, dates and error texts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertEvent {
    /// Whether it needs attention.
    pub kind: EventKind,
    /// One CamelCase word, bounded: `CertificateRejected`, `CaBundleRepaired` and so on.
    pub reason: &'static str,
    /// One sentence.
    pub message: String,
}

/// The two types of Kubernetes Events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventKind {
    /// For the record.
    Normal,
    /// Someone should look.
    Warning,
}

/// The sending end for [`CertEvent`]s. Sending neither blocks nor fails.
#[derive(Clone, Debug)]
pub struct Events(Option<mpsc::UnboundedSender<CertEvent>>);

impl Events {
    /// A channel: give the sender to [`Hooks`], turn what comes out into Kubernetes Events.
    ///
    /// Unbounded, because events are sent once per change and never per request or retry.
    pub fn channel() -> (Self, mpsc::UnboundedReceiver<CertEvent>) {
        let (sender, receiver) = mpsc::unbounded_channel();
        (Self(Some(sender)), receiver)
    }

    /// Nobody listens.
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
            // A receiver that is gone means shutdown: nobody is left to tell.
            let _ = sender.send(event);
        }
    }
}
