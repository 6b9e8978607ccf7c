//! Reads a request's body, within its limits.

use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf as _, Bytes};
use http_body_util::BodyExt as _;
use hyper::body::Body;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

/// Time in which the rest of a body that is too long may arrive.
const DRAIN: Duration = Duration::from_secs(1);

/// A body in memory, counted against the budget until dropped.
#[derive(Debug)]
pub(crate) struct Held {
    pub bytes: Vec<u8>,
    _share: Option<OwnedSemaphorePermit>,
}

/// Reason that a body was not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unread {
    /// It is, or says it is, longer than one body may be.
    TooLarge,
    /// All bodies together are as long as they may be.
    NoRoom,
    /// The caller went away or broke the protocol.
    Broken,
}

/// Reads `body` if it is no longer than `limit` bytes and the `budget` of all bodies has room for it.
pub(crate) async fn read<B>(body: B, limit: usize, budget: &Arc<Semaphore>) -> Result<Held, Unread>
where
    B: Body<Data = Bytes>,
{
    let mut body = pin!(body);
    let declared = body.size_hint().lower();
    if declared > limit as u64 {
        drain(body.as_mut(), limit, declared).await;
        return Err(Unread::TooLarge);
    }
    let mut bytes = Vec::new();
    let mut share: Option<OwnedSemaphorePermit> = None;
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|_| Unread::Broken)?.into_data() else { continue };
        if data.len() > limit - bytes.len() {
            drain(body.as_mut(), limit, 0).await;
            return Err(Unread::TooLarge);
        }
        let size = u32::try_from(data.len()).map_err(|_| Unread::TooLarge)?;
        let more = Arc::clone(budget).try_acquire_many_owned(size).map_err(|_| Unread::NoRoom)?;
        match &mut share {
            Some(share) => share.merge(more),
            None => share = Some(more),
        }
        bytes.extend_from_slice(&data);
    }
    Ok(Held { bytes, _share: share })
}

/// Throws away what a caller is still sending, up to `limit` bytes, if that can be the end of it.
///
/// Closing a socket with bytes unread resets the connection, and the caller may lose the answer that says why.
async fn drain<B: Body<Data = Bytes>>(mut body: Pin<&mut B>, limit: usize, declared: u64) {
    let mut left = limit.saturating_mul(2);
    if declared > left as u64 {
        return;
    }
    let drained = timeout(DRAIN, async {
        while let Some(Ok(frame)) = body.frame().await {
            let Some(rest) = left.checked_sub(frame.data_ref().map_or(0, Bytes::remaining)) else { return };
            left = rest;
        }
    });
    // A slower caller gets its answer as well.
    _ = drained.await;
}

#[cfg(test)]
mod tests {
    use http_body_util::Full;

    use super::*;

    async fn length(size: usize, budget: &Arc<Semaphore>) -> Result<Held, Unread> {
        read(Full::new(Bytes::from(vec![b' '; size])), 10, budget).await
    }

    #[tokio::test]
    async fn the_limit_is_taken_and_one_byte_more_is_not() {
        let budget = Arc::new(Semaphore::new(100));
        assert_eq!(length(10, &budget).await.unwrap().bytes.len(), 10);
        assert_eq!(length(11, &budget).await.unwrap_err(), Unread::TooLarge);
        assert_eq!(length(0, &budget).await.unwrap().bytes.len(), 0);
    }

    #[tokio::test]
    async fn all_bodies_share_one_budget_and_give_it_back() {
        let budget = Arc::new(Semaphore::new(15));
        let held = length(10, &budget).await.unwrap();
        assert_eq!(length(10, &budget).await.unwrap_err(), Unread::NoRoom);
        drop(held);
        assert!(length(10, &budget).await.is_ok());
        assert_eq!(budget.available_permits(), 15);
    }
}
