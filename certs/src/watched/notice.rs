//! File notifications of one directory, and polling where there are none.

use std::path::{Path, PathBuf};

use notify::event::{AccessKind, AccessMode, ModifyKind};
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::watch;

use crate::metrics::source::Backend;

/// Callback for the way the directory is being watched, and for the reason when it begins to be polled only.
pub(crate) type Report = Box<dyn Fn(Backend, Option<String>) + Send>;

/// Notifications of a directory, coalesced.
pub(super) struct Notices {
    dir: PathBuf,
    report: Report,
    watching: Option<Watching>,
    warned: bool,
}

struct Watching {
    _watcher: RecommendedWatcher,
    /// Changes at every notification. True once the directory itself is gone, after which no more will come.
    gone: watch::Receiver<bool>,
    /// Inode of the watched directory, which may no longer be the one at its path.
    inode: Option<u64>,
}

impl Notices {
    pub(super) fn new(dir: &Path, report: Report) -> Self {
        let mut notices = Self { dir: dir.to_owned(), report, watching: None, warned: false };
        notices.ensure();
        notices
    }

    /// Resolves at a change. Never, while only polling.
    pub(super) async fn next(&mut self) {
        let Some(watching) = &mut self.watching else { return std::future::pending().await };
        let ended = watching.gone.changed().await.is_err() || *watching.gone.borrow_and_update();
        if ended {
            self.watching = None;
            self.ensure();
        }
    }

    /// Watches the directory that is now at the path, unless that is the one being watched already.
    pub(super) fn ensure(&mut self) {
        let inode = inode(&self.dir);
        if self.watching.as_ref().is_some_and(|watching| inode.is_some() && watching.inode == inode) {
            return;
        }
        self.watching = None;
        match begin(&self.dir, inode) {
            Ok(watching) => {
                self.watching = Some(watching);
                self.warned = false;
                (self.report)(Backend::Notify, None);
            }
            Err(error) => {
                let why = format!("cannot watch `{}`, polling instead: {error}", self.dir.display());
                (self.report)(Backend::Poll, (!self.warned).then_some(why));
                self.warned = true;
            }
        }
    }
}

fn begin(dir: &Path, inode: Option<u64>) -> notify::Result<Watching> {
    let (sender, gone) = watch::channel(false);
    let itself = dir.to_owned();
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<Event>| match event {
        // These include our own reading.
        Ok(Event { kind: EventKind::Access(access), .. }) if !is_write(access) => {}
        Ok(event) if is_end(event.kind) && event.paths.contains(&itself) => {
            sender.send_modify(|gone| *gone = true);
        }
        Ok(_) | Err(_) => sender.send_modify(|_| {}),
    })?;
    watcher.watch(dir, RecursiveMode::NonRecursive)?;
    Ok(Watching { _watcher: watcher, gone, inode })
}

fn is_write(access: AccessKind) -> bool {
    access == AccessKind::Close(AccessMode::Write)
}

fn is_end(kind: EventKind) -> bool {
    matches!(kind, EventKind::Remove(_) | EventKind::Modify(ModifyKind::Name(_)))
}

#[cfg(unix)]
fn inode(dir: &Path) -> Option<u64> {
    use std::os::unix::fs::MetadataExt as _;
    std::fs::metadata(dir).ok().map(|metadata| metadata.ino())
}

#[cfg(not(unix))]
fn inode(dir: &Path) -> Option<u64> {
    dir.is_dir().then_some(0)
}
