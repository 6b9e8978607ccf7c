//! Classifies the errors of calls that create something. Pure.

use std::time::Duration;

use jiff::Timestamp;
use kube::core::Status;

use crate::flows::plan::{Refusal, RefusalKind};
use crate::pacing::Backoff;

/// The waits before a refused creation is retried.
const BACKOFF: Backoff = Backoff { first: Duration::from_secs(1), longest: Duration::from_secs(30) };

/// Classifies an error. `before` is the refusal of the last try, whose wait the next one doubles.
pub(super) fn read(error: &kube::Error, before: Option<&Refusal>, now: Timestamp) -> Refusal {
    let (kind, message) = match error {
        kube::Error::Api(status) => (kind(status), status.message.clone()),
        // The call may have succeeded before the connection broke: the same name makes a retry safe.
        other => (RefusalKind::Transient, other.to_string()),
    };
    let again = matches!(kind, RefusalKind::Quota | RefusalKind::Transient).then(|| later(before, now));
    Refusal { kind, message, at: now, again }
}

/// Returns the refusal for a call without an answer: it may have succeeded, and the same name makes a retry safe.
pub(super) fn late(before: Option<&Refusal>, now: Timestamp) -> Refusal {
    let message = "the API server did not answer in time".to_owned();
    Refusal { kind: RefusalKind::Transient, message, at: now, again: Some(later(before, now)) }
}

/// Returns when to retry.
fn later(before: Option<&Refusal>, now: Timestamp) -> Timestamp {
    let last = before.and_then(|before| Duration::try_from(before.again?.duration_since(before.at)).ok());
    now.checked_add(BACKOFF.following(last)).unwrap_or(now)
}

/// Classifies a status. 403 has three meanings: a quota, which changes; a missing right, which somebody may still grant;
/// a policy that denied the request, and will deny it again.
fn kind(status: &Status) -> RefusalKind {
    match status.code {
        403 if status.message.contains("exceeded quota") => RefusalKind::Quota,
        403 if status.message.contains("denied the request") || status.message.contains("denied request") => {
            RefusalKind::Invalid
        }
        400 | 405 | 406 | 413 | 415 | 422 => RefusalKind::Invalid,
        409 if status.reason == "AlreadyExists" => RefusalKind::NameConflict,
        _ => RefusalKind::Transient,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn api(code: u16, message: &str) -> kube::Error {
        kube::Error::Api(Box::new(Status::failure(message, "Any").with_code(code)))
    }

    #[test]
    fn errors_that_may_heal_are_tried_again_ever_later() {
        let now = Timestamp::UNIX_EPOCH;
        let mut last: Option<Refusal> = None;
        let mut waits = Vec::new();
        for _ in 0..7 {
            let refusal =
                read(&api(403, "jobs.batch \"x\" is forbidden: exceeded quota: q"), last.as_ref(), now);
            assert_eq!(refusal.kind, RefusalKind::Quota);
            waits.push(refusal.again.unwrap().duration_since(now).as_secs());
            last = Some(refusal);
        }
        assert_eq!(waits, [1, 2, 4, 8, 16, 30, 30]);
    }

    #[test]
    fn what_cannot_heal_is_not_tried_again() {
        let now = Timestamp::UNIX_EPOCH;
        for (code, message) in
            [(422, "is invalid"), (400, "bad"), (403, "admission webhook \"x\" denied the request: no")]
        {
            let refusal = read(&api(code, message), None, now);
            assert_eq!((refusal.kind, refusal.again), (RefusalKind::Invalid, None), "{code}");
        }
        for (code, message) in
            [(403, "cannot create resource"), (429, "slow"), (500, "oops"), (404, "no namespace")]
        {
            assert_eq!(read(&api(code, message), None, now).kind, RefusalKind::Transient, "{code}");
        }
    }
}
