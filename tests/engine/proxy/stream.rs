//! Answers on their way back, and watches that are late, cut or gone.

use std::collections::VecDeque;
use std::time::Duration;

use futures::stream;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Bytes, Frame};
use serde_json::json;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::{Body, Error};

/// How watches are treated.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Watching {
    /// Events come this much later.
    pub(crate) late: Duration,
    /// A watch ends after this time, in this way.
    pub(crate) cut: Option<(Duration, End)>,
    /// A watch that begins is told 410 Gone.
    pub(crate) gone: bool,
    /// All this only for watches of this resource.
    pub(crate) only: Option<&'static str>,
}

impl Watching {
    /// How watches of the resource at `path` are treated.
    pub(super) fn of(self, path: &str) -> Self {
        let meant = self.only.is_none_or(|only| path.rsplit('/').next() == Some(only));
        if meant { self } else { Self::default() }
    }
}

/// How a watch ends.
#[derive(Clone, Copy, Debug)]
pub(crate) enum End {
    /// As the API server ends one whose time is over.
    Clean,
    /// The connection breaks.
    Broken,
    /// The API server says that it has lost the thread: an event ERROR with 410 Gone.
    Gone,
}

/// An answer as it is.
pub(super) fn whole(body: kube::client::Body) -> Body {
    body.map_err(Error::from).boxed_unsync()
}

/// An answer of which nothing comes any more once the connection of this number is silent.
pub(super) fn until_muted(from: Body, number: u64, mute: watch::Receiver<u64>) -> Body {
    let frames = stream::unfold((from, mute), move |(mut from, mute)| async move {
        let frame = tokio::select! {
            biased;
            () = muted(number, mute.clone()) => std::future::pending().await,
            frame = from.frame() => frame?,
        };
        Some((frame, (from, mute)))
    });
    StreamBody::new(frames).boxed_unsync()
}

/// Once the connection of this number is silent.
pub(super) async fn muted(number: u64, mut mute: watch::Receiver<u64>) {
    if mute.wait_for(|mute| number < *mute).await.is_err() {
        std::future::pending::<()>().await;
    }
}

struct Watched {
    from: kube::client::Body,
    path: String,
    watching: watch::Receiver<Watching>,
    gap: watch::Receiver<bool>,
    began: Instant,
    /// What has come, and when it goes on.
    held: VecDeque<(Instant, Bytes)>,
    over: bool,
}

/// The events of a watch, treated as wanted.
pub(super) fn watched(
    from: kube::client::Body,
    path: String,
    watching: watch::Receiver<Watching>,
    gap: watch::Receiver<bool>,
) -> Body {
    let watched =
        Watched { from, path, watching, gap, began: Instant::now(), held: VecDeque::new(), over: false };
    StreamBody::new(stream::unfold(watched, Watched::next)).boxed_unsync()
}

impl Watched {
    async fn next(mut self) -> Option<(Result<Frame<Bytes>, Error>, Self)> {
        if self.over {
            return None;
        }
        loop {
            let Watching { late, cut, .. } = self.watching.borrow_and_update().of(&self.path);
            let release = self.held.front().map(|(time, _)| *time);
            let end = cut.map(|(after, _)| self.began + after);
            tokio::select! {
                biased;
                Ok(()) = self.gap.changed() => {
                    let _ = self.gap.wait_for(|gap| !gap).await;
                    return Some((Err("cut off".into()), self));
                }
                () = at(end) => {
                    self.over = true;
                    match cut.map(|(_, end)| end) {
                        Some(End::Gone) => return Some((Ok(Frame::data(gone())), self)),
                        Some(End::Broken) => return Some((Err("cut".into()), self)),
                        _ => return None,
                    }
                }
                () = at(release) => {
                    let (_, bytes) = self.held.pop_front()?;
                    return Some((Ok(Frame::data(bytes)), self));
                }
                Ok(()) = self.watching.changed() => {}
                frame = self.from.frame() => match frame {
                    Some(Ok(frame)) => {
                        if let Ok(bytes) = frame.into_data() {
                            self.held.push_back((Instant::now() + late, bytes));
                        }
                    }
                    Some(Err(error)) => {
                        self.over = true;
                        return Some((Err(error.into()), self));
                    }
                    None => return None,
                },
            }
        }
    }
}

/// At that time, or never.
async fn at(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => std::future::pending().await,
    }
}

fn gone() -> Bytes {
    let status = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": "too old resource version: 1 (2)", "reason": "Expired", "code": 410
    });
    Bytes::from(format!("{}\n", json!({"type": "ERROR", "object": status})))
}
