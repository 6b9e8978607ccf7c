//! SIGTERM and SIGINT.

use headworks_webhook::Shutdown;
use tokio::signal::unix::{SignalKind, signal};

/// The first SIGTERM or SIGINT begins the lame duck, the second stops immediately. As PID 1 of a container this is also
/// what makes the signals work at all.
pub(super) fn trigger_on_signals(shutdown: &Shutdown) -> anyhow::Result<()> {
    for kind in [SignalKind::terminate(), SignalKind::interrupt()] {
        let mut signals = signal(kind)?;
        let shutdown = shutdown.clone();
        tokio::spawn(async move {
            while signals.recv().await.is_some() {
                tracing::info!("told to stop: answering what still comes");
                shutdown.trigger();
            }
        });
    }
    Ok(())
}
