//! Requests about one Lease. Each ends by its deadline.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kube::{Api, Client, api::PostParams};
use tokio::time::{Instant, timeout_at};

use super::Timing;
use super::campaign::{Record, Request, Response};

/// One Lease, and what was last read of it.
pub(super) struct Leases {
    api: Api<Lease>,
    name: String,
    identity: String,
    seconds: i32,
    known: Option<Lease>,
    /// The category of the failure that was logged last: it is not logged twice in a row.
    reported: Option<&'static str>,
}

/// Reasons for which a request fails.
#[derive(Debug, thiserror::Error)]
pub(super) enum LeaseError {
    /// Nothing was written: the Lease has changed, or is gone.
    #[error("another writer was first")]
    Conflict,
    /// No answer in time. A write may have happened, or may happen yet.
    #[error("no answer from the API server in time")]
    Timeout,
    /// The API server answered with an error.
    #[error("the API server refused: {0}")]
    Refused(#[source] Box<kube::Error>),
    /// There was no connection.
    #[error("the API server cannot be reached: {0}")]
    Unreachable(#[source] Box<kube::Error>),
}

impl LeaseError {
    /// A word of a fixed list, for metric labels.
    pub(super) fn category(&self) -> &'static str {
        match self {
            Self::Conflict => "conflict",
            Self::Timeout => "timeout",
            Self::Refused(_) => "refused",
            Self::Unreachable(_) => "unreachable",
        }
    }
}

impl From<kube::Error> for LeaseError {
    fn from(error: kube::Error) -> Self {
        match error {
            // Conflict and AlreadyExists (409); NotFound (404): the Lease that was to be written to has gone.
            kube::Error::Api(status)
                if status.code == 409 || (status.code == 404 && !no_namespace(&status)) =>
            {
                Self::Conflict
            }
            kube::Error::Api(_) => Self::Refused(Box::new(error)),
            _ => Self::Unreachable(Box::new(error)),
        }
    }
}

/// Tests whether the namespace was not found: a retry does not help soon, so this is logged as an error of its own.
fn no_namespace(status: &kube::core::Status) -> bool {
    status.details.as_ref().is_some_and(|details| details.kind == "namespaces")
}

impl Leases {
    pub(super) fn new(client: Client, namespace: &str, name: &str, identity: &str, timing: Timing) -> Self {
        Self {
            api: Api::namespaced(client, namespace),
            name: name.to_owned(),
            identity: identity.to_owned(),
            seconds: seconds(timing.lease()),
            known: None,
            reported: None,
        }
    }

    /// Sends a request and returns its response, `deadline` at the latest.
    pub(super) async fn send(&mut self, request: Request, deadline: Instant) -> Result<Response, LeaseError> {
        let result = match request {
            Request::Read => {
                self.read(deadline).await.map(|lease| lease.map_or(Response::Absent, Response::Found))
            }
            Request::Write { version, acquired, transitions } => {
                let now = Timestamp::now();
                let spec = LeaseSpec {
                    holder_identity: Some(self.identity.clone()),
                    lease_duration_seconds: Some(self.seconds),
                    acquire_time: Some(MicroTime(acquired.unwrap_or(now))),
                    renew_time: Some(MicroTime(now)),
                    lease_transitions: Some(transitions),
                    ..LeaseSpec::default()
                };
                self.write(version, spec, deadline).await.map(Response::Written)
            }
        };
        match &result {
            Ok(_) => {
                if self.reported.take().is_some() {
                    tracing::info!("the Lease can be read and written again");
                }
            }
            Err(LeaseError::Conflict) => tracing::debug!("another candidate wrote the Lease first"),
            Err(error) if self.reported != Some(error.category()) => {
                tracing::warn!(%error, "the Lease cannot be read or written; will retry");
                self.reported = Some(error.category());
            }
            Err(error) => tracing::debug!(%error, "still not"),
        }
        result
    }

    /// Writes that nobody holds the Lease, if this candidate still does. Tries twice, in case of one conflict.
    pub(super) async fn release(&mut self, deadline: Instant) {
        for _ in 0..2 {
            match self.try_release(deadline).await {
                Err(LeaseError::Conflict) => {}
                Err(error) => {
                    return tracing::warn!(%error, "the Lease was not released; it runs out by itself");
                }
                Ok(()) => return tracing::info!("released"),
            }
        }
    }

    async fn try_release(&mut self, deadline: Instant) -> Result<(), LeaseError> {
        let Some(record) = self.read(deadline).await?.filter(|record| record.holder == self.identity) else {
            return Ok(());
        };
        let now = MicroTime(Timestamp::now());
        let spec = LeaseSpec {
            holder_identity: Some(String::new()),
            lease_duration_seconds: Some(1),
            acquire_time: Some(now.clone()),
            renew_time: Some(now),
            lease_transitions: Some(record.transitions),
            ..LeaseSpec::default()
        };
        self.write(Some(record.version), spec, deadline).await.map(drop)
    }

    async fn read(&mut self, deadline: Instant) -> Result<Option<Record>, LeaseError> {
        let lease = in_time(deadline, self.api.get_opt(&self.name)).await?;
        let record = lease.as_ref().map(record);
        self.known = lease;
        Ok(record)
    }

    /// Writes `spec` over `version`, or creates the Lease if there is no version. Fields that others have written
    /// beside it, such as labels, stays.
    async fn write(
        &mut self,
        version: Option<String>,
        spec: LeaseSpec,
        deadline: Instant,
    ) -> Result<Record, LeaseError> {
        let params = PostParams { field_manager: Some(crate::names::HEADWORKS.to_owned()), dry_run: false };
        let creates = version.is_none();
        let mut lease = self.known.clone().filter(|_| !creates).unwrap_or_default();
        let LeaseSpec { strategy, preferred_holder, .. } = lease.spec.take().unwrap_or_default();
        lease.spec = Some(LeaseSpec { strategy, preferred_holder, ..spec });
        lease.metadata = ObjectMeta {
            name: Some(self.name.clone()),
            // That makes it a compare-and-swap.
            resource_version: version,
            managed_fields: None,
            ..lease.metadata
        };
        let written = if creates {
            in_time(deadline, self.api.create(&params, &lease)).await?
        } else {
            in_time(deadline, self.api.replace(&self.name, &params, &lease)).await?
        };
        let record = record(&written);
        self.known = Some(written);
        Ok(record)
    }
}

async fn in_time<T>(deadline: Instant, call: impl Future<Output = kube::Result<T>>) -> Result<T, LeaseError> {
    timeout_at(deadline, call).await.map_err(|_| LeaseError::Timeout)?.map_err(LeaseError::from)
}

/// Extracts the parts of a Lease that a campaign needs.
fn record(lease: &Lease) -> Record {
    let spec = lease.spec.clone().unwrap_or_default();
    Record {
        version: lease.metadata.resource_version.clone().unwrap_or_default(),
        holder: spec.holder_identity.unwrap_or_default(),
        lease: spec.lease_duration_seconds.and_then(|n| u64::try_from(n).ok()).map(Duration::from_secs),
        acquired: spec.acquire_time.map(|at| at.0),
        renewed: spec.renew_time.map(|at| at.0),
        transitions: spec.lease_transitions.unwrap_or_default(),
    }
}

/// Whole seconds, rounded up.
fn seconds(span: Duration) -> i32 {
    let whole = span.as_secs() + u64::from(span.subsec_nanos() > 0);
    i32::try_from(whole).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_is_written_in_whole_seconds_and_never_shorter_than_it_is() {
        assert_eq!(seconds(Duration::from_secs(15)), 15);
        assert_eq!(seconds(Duration::from_millis(1_001)), 2);
    }

    #[test]
    fn a_lease_with_nothing_in_it_is_free() {
        assert_eq!(record(&Lease::default()), Record::default());
    }
}
