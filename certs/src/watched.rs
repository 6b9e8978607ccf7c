//! A directory that somebody else writes, watched: what mounted pairs and client CAs have in common.
//!
//! The directory is watched, never a file in it: a watch on `tls.crt` goes deaf at the first swap of a mounted
//! volume. Besides, every [`Pace::poll`] counts as a change, so that any update is seen even where the kernel's
//! notices are not to be had (inotify limit, network file systems, a directory made anew).

mod files;
mod notice;

use std::{path::Path, time::Duration};

use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at, timeout_at};

use notice::Notices;

pub(crate) use files::read;
pub(crate) use notice::Report;

/// How often, and how soon.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    /// Contents are compared this often.
    pub(crate) poll: Duration,
    /// Notices are gathered for this long before reading.
    pub(crate) debounce: Duration,
}

/// Tells when to look.
pub(crate) struct Watched {
    notices: Notices,
    polls: Interval,
    debounce: Duration,
}

impl Watched {
    /// Begins at once: what changes from now on is told. `report` hears how it is being watched, at each change.
    pub(crate) fn new(dir: &Path, pace: Pace, report: Report) -> Self {
        let mut polls = interval_at(Instant::now() + pace.poll, pace.poll);
        polls.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { notices: Notices::new(dir, report), polls, debounce: pace.debounce }
    }

    /// Resolves when the contents may have changed.
    pub(crate) async fn changed(&mut self) {
        tokio::select! {
            () = self.notices.next() => self.settle().await,
            _ = self.polls.tick() => self.notices.ensure(),
        }
    }

    /// A swap is a handful of notices: waits until they pause, but not for ever.
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
