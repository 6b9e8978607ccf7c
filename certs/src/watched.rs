//! Watches a directory that another tool writes, for mounted pairs and client CAs.
//!
//! The directory is watched, never a file in it: a watch on `tls.crt` reports nothing after the first swap of a mounted
//! volume. Besides, every [`Timing::poll`] counts as a change, so that any update is seen even without file notifications
//! (inotify limit, network file systems, a directory deleted and created again).

mod files;
mod notice;

use std::path::Path;
use std::time::Duration;

use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at, timeout_at};

use notice::Notices;

pub(crate) use files::read;
pub(crate) use notice::Report;

/// Polling interval and debounce time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timing {
    /// Interval at which contents are compared.
    pub(crate) poll: Duration,
    /// Time for which file notifications are gathered before reading.
    pub(crate) debounce: Duration,
}

/// Resolves whenever the directory should be read again.
pub(crate) struct Watched {
    notices: Notices,
    polls: Interval,
    debounce: Duration,
}

impl Watched {
    /// Begins to watch immediately: no change from now on is missed. `report` is called with the way it is being watched.
    pub(crate) fn new(dir: &Path, timing: Timing, report: Report) -> Self {
        let mut polls = interval_at(Instant::now() + timing.poll, timing.poll);
        polls.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { notices: Notices::new(dir, report), polls, debounce: timing.debounce }
    }

    /// Resolves when the contents may have changed.
    pub(crate) async fn changed(&mut self) {
        tokio::select! {
            () = self.notices.next() => self.settle().await,
            _ = self.polls.tick() => self.notices.ensure(),
        }
    }

    /// Waits until notifications pause, but not forever: one swap causes several.
    async fn settle(&mut self) {
        let latest = Instant::now() + self.debounce * 4;
        loop {
            let pause = (Instant::now() + self.debounce).min(latest);
            if timeout_at(pause, self.notices.next()).await.is_err() {
                return;
            }
        }
    }
}
