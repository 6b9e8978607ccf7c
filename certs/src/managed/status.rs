//! Client required: tells the other replicas which certificate this one serves.
//!
//! One Lease of its own, in its own namespace, named after the pod: it needs no right on any pod, and two replicas never
//! write the same object. It is written when the serial changes, owned by the pod (so that it goes with it), and deleted
//! at shutdown.
//!
//! # Why a replica reports before it is ready
//! The old CA goes when no replica serves an old leaf. A replica that had read the old leaf, and was slow to get ready,
//! would be missed. So it first writes what it serves, then reads the Secret once more, and only then counts as ready: the
//! writer either sees its report, or it sees what the writer had written before looking.

use std::time::Duration;

use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use serde_json::{Value, json};
use tokio::{
    sync::watch,
    time::{Instant, sleep},
};

use super::{ApiError, ReplicaRef, api::Api, observe::View, replicas::Census};
use crate::Pair;

/// On every report's Lease.
pub const REPORT_LABEL: (&str, &str) = ("headworks.kube-zen.io/report", "certificate");
/// The serial that the replica serves.
pub const SERIAL_ANNOTATION: &str = "headworks.kube-zen.io/certificate-serial";
/// The end of that certificate (RFC 3339).
pub const NOT_AFTER_ANNOTATION: &str = "headworks.kube-zen.io/certificate-not-after";
/// The Secret that it is from.
pub const SECRET_ANNOTATION: &str = "headworks.kube-zen.io/certificate-secret";

const FIRST_RETRY: Duration = Duration::from_millis(500);
const LAST_RETRY: Duration = Duration::from_secs(30);
/// A replica that cannot report gets ready after this long all the same: by then it has read the Secret again and again.
/// A rotation waits then until the old leaf has expired.
const GIVE_UP: Duration = Duration::from_mins(1);

/// Whether this replica has reported, as far as readiness goes.
pub(crate) type Reported = watch::Sender<Result<(), String>>;

/// Reports for ever.
pub(crate) async fn report(
    api: &Api,
    view: &View,
    replica: &ReplicaRef,
    mut pairs: watch::Receiver<Option<std::sync::Arc<Pair>>>,
    reported: &Reported,
) {
    let mut observed = view.subscribe();
    let (began, mut failures) = (Instant::now(), 0_u32);
    loop {
        let secret = observed.borrow_and_update().version();
        let pair = pairs.borrow_and_update().clone();
        let outcome = match &pair {
            Some(pair) => tell(api, view, replica, pair).await.map(|()| true),
            None => Ok(false),
        };
        match outcome {
            Ok(true) => {
                failures = 0;
                let told = pair.as_ref().map(|pair| pair.serial());
                let serves = pairs.borrow().as_ref().map(|pair| pair.serial().to_owned());
                if told == serves.as_deref() {
                    reported.send_if_modified(|before| std::mem::replace(before, Ok(())).is_err());
                }
            }
            Ok(false) => {}
            Err(error) => {
                tracing::warn!(%error, "cannot report which certificate is served, trying again");
                let late = began.elapsed() >= GIVE_UP;
                reported.send_if_modified(|before| {
                    let now =
                        if late { Ok(()) } else { Err(format!("the serial cannot be reported: {error}")) };
                    let changed = before.is_err() && *before != now;
                    if changed {
                        *before = now;
                    }
                    changed
                });
                let wait = FIRST_RETRY.saturating_mul(1 << failures.min(10)).min(LAST_RETRY);
                failures = failures.saturating_add(1);
                sleep(wait).await;
                continue;
            }
        }
        // The Secret changes rarely; a report that somebody deleted is written again then.
        tokio::select! {
            _ = pairs.changed() => {}
            _ = observed.wait_for(|seen| seen.version() != secret) => {}
        }
    }
}

async fn tell(api: &Api, view: &View, replica: &ReplicaRef, pair: &Pair) -> Result<(), ApiError> {
    api.report(replica, pair).await?;
    let secret = api.get_secret().await?;
    view.secret(secret);
    Ok(())
}

impl Api {
    /// Writes what this replica serves. An apply that changes nothing is no write.
    pub(super) async fn report(&self, replica: &ReplicaRef, pair: &Pair) -> Result<(), ApiError> {
        let params = PatchParams::apply(&self.manager).force();
        let body = lease(&self.secret, replica, pair);
        self.in_time(self.leases.patch(&replica.lease(), &params, &Patch::Apply(&body))).await.map(|_| ())
    }

    /// This replica serves no more.
    pub(super) async fn withdraw(&self, replica: &ReplicaRef) -> Result<(), ApiError> {
        self.in_time(self.leases.delete(&replica.lease(), &DeleteParams::default())).await.map(|_| ())
    }

    /// Who is there, and what they report.
    pub(super) async fn census(&self) -> Result<Census, ApiError> {
        let (label, value) = REPORT_LABEL;
        let leases = ListParams::default().labels(&format!("{label}={value}"));
        let slices = ListParams::default().labels(&format!("kubernetes.io/service-name={}", self.service));
        // In this order: a replica that comes between the two has reported before it is ready.
        let slices = self.in_time(self.slices.list(&slices)).await?;
        let leases = self.in_time(self.leases.list(&leases)).await?;
        let mut census = Census::default();
        for endpoint in slices.items.into_iter().flat_map(|slice| slice.endpoints) {
            let conditions = endpoint.conditions.unwrap_or_default();
            let answers = conditions.ready.unwrap_or(true) || conditions.serving.unwrap_or(false);
            let pod = endpoint.target_ref.and_then(|target| target.name);
            let name = pod.or_else(|| endpoint.addresses.into_iter().next()).unwrap_or_default();
            *census.endpoints.entry(name).or_default() |= answers;
        }
        for lease in leases.items {
            let annotation = |key| lease.metadata.annotations.as_ref().and_then(|all| all.get(key)).cloned();
            let pod = lease.spec.as_ref().and_then(|spec| spec.holder_identity.clone());
            if annotation(SECRET_ANNOTATION).as_ref() == Some(&self.secret)
                && let (Some(pod), Some(serial)) = (pod, annotation(SERIAL_ANNOTATION))
            {
                census.reports.insert(pod, serial);
            }
        }
        Ok(census)
    }
}

fn lease(secret: &str, replica: &ReplicaRef, pair: &Pair) -> Value {
    let ReplicaRef { pod, uid } = replica;
    let (label, value) = REPORT_LABEL;
    let owners: Vec<_> =
        uid.iter().map(|uid| json!({"apiVersion": "v1", "kind": "Pod", "name": pod, "uid": uid})).collect();
    json!({
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {
            "name": replica.lease(),
            "labels": {label: value},
            "annotations": {
                SERIAL_ANNOTATION: pair.serial(),
                NOT_AFTER_ANNOTATION: pair.not_after().to_string(),
                SECRET_ANNOTATION: secret,
            },
            "ownerReferences": owners,
        },
        "spec": {"holderIdentity": pod},
    })
}
