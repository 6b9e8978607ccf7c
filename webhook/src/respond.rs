//! Answers one review without a socket: bytes in, bytes out.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::review::{Operation, Phase, Review};
use crate::verdict::{Admit, Denial, Outcome, Verdict};
use crate::wire::{self, Version};

/// Answers the body of one admission call with the body of the answer.
///
/// Any bytes are answered: the result is always an `AdmissionReview` in JSON, of the version that was asked in,
/// with the uid wherever one can be found. A body that cannot be read is a denial with code 400; a panic in the
/// rules is one with code 500. Sizes are not checked here, [`Service`](crate::Service) does that.
///
/// ```
/// use headworks_webhook::{Admit, Phase, Review, Verdict, respond};
///
/// struct Yes;
/// impl Admit for Yes {
///     fn kinds(&self) -> &[&'static str] { &[] }
///     fn mutate(&self, _: Review) -> Verdict { Verdict::allow() }
///     fn validate(&self, _: Review) -> Verdict { Verdict::allow() }
/// }
///
/// let answer = respond(&Yes, Phase::Validate, br#"{"apiVersion":"admission.k8s.io/v1","request":{"uid":"7","#);
/// assert!(String::from_utf8_lossy(&answer).contains(r#""uid":"7","allowed":false"#));
/// ```
pub fn respond(admit: &dyn Admit, phase: Phase, body: &[u8]) -> Vec<u8> {
    judge(admit, phase, body, |_| ()).body
}

/// An answer, and what telemetry may know of it: never a part of the object.
pub(crate) struct Answer {
    pub body: Vec<u8>,
    pub uid: String,
    pub kind: String,
    pub operation: Option<Operation>,
    pub namespace: Option<String>,
    pub decision: Decision,
    pub causes: usize,
}

/// Outcome of a review.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Decision {
    Allowed,
    Patched,
    Denied,
    Malformed,
    Panicked,
}

impl Decision {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Allowed => "allowed",
            Self::Patched => "patched",
            Self::Denied => "denied",
            Self::Malformed => "malformed",
            Self::Panicked => "panicked",
        }
    }
}

/// Decodes, shows the review to telemetry, asks the rules, encodes.
pub(crate) fn judge(admit: &dyn Admit, phase: Phase, body: &[u8], show: impl FnOnce(&Review)) -> Answer {
    let (version, review) = match wire::decode(body) {
        Ok(decoded) => decoded,
        Err(malformed) => return refuse(malformed.version, malformed.uid, phase, malformed.denial),
    };
    show(&review);
    let (uid, kind) = (review.uid.clone(), review.kind.kind.clone());
    let (operation, namespace) = (review.operation, review.namespace.clone());
    // The review is the rules' own: a panic leaves nothing of ours half written.
    let verdict = catch_unwind(AssertUnwindSafe(|| match phase {
        Phase::Mutate => admit.mutate(review),
        Phase::Validate => admit.validate(review),
    }));
    let (verdict, decision) = match verdict {
        Ok(verdict) => {
            let decision = decision(phase, &verdict);
            (verdict, decision)
        }
        Err(_) => (Verdict::deny(Denial::internal(PANICKED)), Decision::Panicked),
    };
    Answer {
        body: wire::encode(version, &uid, phase, &verdict),
        decision,
        causes: causes(&verdict),
        uid,
        kind,
        operation: Some(operation),
        namespace,
    }
}

const PANICKED: &str =
    "internal error: a rule stopped unexpectedly while it judged this object; this is a bug in the webhook";

fn refuse(version: Version, uid: String, phase: Phase, denial: Denial) -> Answer {
    Answer {
        body: wire::encode(version, &uid, phase, &Verdict::deny(denial)),
        uid,
        kind: String::new(),
        operation: None,
        namespace: None,
        decision: Decision::Malformed,
        causes: 0,
    }
}

fn decision(phase: Phase, verdict: &Verdict) -> Decision {
    match &verdict.outcome {
        Outcome::Allowed { patch } if phase == Phase::Mutate && !patch.is_empty() => Decision::Patched,
        Outcome::Allowed { .. } => Decision::Allowed,
        Outcome::Denied(_) => Decision::Denied,
    }
}

fn causes(verdict: &Verdict) -> usize {
    match &verdict.outcome {
        Outcome::Denied(Denial { details: Some(details), .. }) => details.causes.len(),
        Outcome::Denied(_) => 1,
        Outcome::Allowed { .. } => 0,
    }
}

#[cfg(test)]
mod tests;
