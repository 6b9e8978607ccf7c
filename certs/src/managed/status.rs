//! Client required: reports to the other replicas which certificate this one serves.
//!
//! Each replica writes one Lease of its own, in its own namespace, named after the pod: it needs no permission on any pod,
//! and two replicas never write the same object. The Lease is written when the serial changes, is owned by the pod (so
//! that it is deleted with it), and is deleted at shutdown.
//!
//! # Why a replica reports before it is ready
//! The old CA leaves the bundle when no replica serves an old leaf. A replica that had read the old leaf, and was slow to
//! get ready, would be missed. So it first writes what it serves, then reads the Secret once more, and only then counts as
//! ready: either the writer sees its report, or the replica sees what the writer had written before listing the replicas.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use crate::backoff::Backoff;
use crate::managed::apply::{Api, ApiError};
use crate::managed::config::ReplicaRef;
use crate::managed::state::Store;
use crate::pair::Pair;

const BACKOFF: Backoff = Backoff::new(Duration::from_millis(500), Duration::from_secs(30));
/// A replica that cannot report gets ready after this long all the same: by then it has read the Secret several times.
/// A rotation then waits until the old leaf has expired.
const GIVE_UP: Duration = Duration::from_mins(1);

/// Result of reporting for readiness: an error until the serial has been reported once.
pub(crate) type Reported = watch::Sender<Result<(), String>>;

/// Reports forever.
pub(crate) async fn report(
    api: &Api,
    store: &Store,
    replica: &ReplicaRef,
    mut pairs: watch::Receiver<Option<Arc<Pair>>>,
    reported: &Reported,
) {
    let mut cluster = store.subscribe();
    let (began, mut failures) = (Instant::now(), 0_u32);
    loop {
        let secret = cluster.borrow_and_update().version();
        let pair = pairs.borrow_and_update().clone();
        let outcome = match &pair {
            Some(pair) => report_once(api, store, replica, pair).await.map(|()| true),
            None => Ok(false),
        };
        match outcome {
            Ok(true) => {
                failures = 0;
                let written = pair.as_ref().map(|pair| pair.serial());
                let served = pairs.borrow().as_ref().map(|pair| pair.serial().to_owned());
                // Reading the Secret once more may have brought another pair: that one is reported first.
                if written == served.as_deref() {
                    reported.send_if_modified(|before| std::mem::replace(before, Ok(())).is_err());
                }
            }
            Ok(false) => {}
            Err(error) => {
                tracing::warn!(%error, "cannot report which certificate is served, trying again");
                record_failure(reported, &error, began.elapsed() >= GIVE_UP);
                failures = failures.saturating_add(1);
                sleep(BACKOFF.after(failures)).await;
                continue;
            }
        }
        // The Secret changes rarely, so a report that somebody deleted is written again when it does.
        tokio::select! {
            _ = pairs.changed() => {}
            _ = cluster.wait_for(|cluster| cluster.version() != secret) => {}
        }
    }
}

/// Writes the report, then reads the Secret once more.
async fn report_once(api: &Api, store: &Store, replica: &ReplicaRef, pair: &Pair) -> Result<(), ApiError> {
    api.report(replica, pair).await?;
    let secret = api.get_secret().await?;
    store.update_secret(secret);
    Ok(())
}

/// Gives the reason to readiness; with `give_up`, lets the replica become ready without a report.
fn record_failure(reported: &Reported, error: &ApiError, give_up: bool) {
    let now = if give_up { Ok(()) } else { Err(format!("the serial cannot be reported: {error}")) };
    reported.send_if_modified(|before| {
        // Once reported, it stays so: a later failure takes no replica out of service.
        let changed = before.is_err() && *before != now;
        if changed {
            *before = now;
        }
        changed
    });
}
