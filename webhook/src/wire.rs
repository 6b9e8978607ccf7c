//! `AdmissionReview` on the wire, both ways.
//!
//! Our own types, because kube's serialise a patch as an array of integers and know no `details`. The answer is
//! checked here against what the API server accepts and passes on, so that no rule has to know it.

use std::collections::{BTreeMap, HashSet};
use std::fmt::Display;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use crate::lenient;
use crate::review::{Phase, Review};
use crate::verdict::{Denial, Details, Outcome, Verdict};

/// Characters of all warnings together that the API server passes on (`truncateAtTotalRunes`).
const WARNINGS_TOTAL: usize = 4096;
/// Characters it leaves of each warning once there are more than that (`truncateItemRunes`).
const WARNING_EACH: usize = 256;

const V1: &str = "admission.k8s.io/v1";
const V1BETA1: &str = "admission.k8s.io/v1beta1";

/// The two versions the API server may speak; each is answered in kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Version {
    V1,
    V1Beta1,
}

impl Version {
    fn of(api_version: &str) -> Option<Self> {
        match api_version {
            V1 => Some(Self::V1),
            V1BETA1 => Some(Self::V1Beta1),
            _ => None,
        }
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::V1 => V1,
            Self::V1Beta1 => V1BETA1,
        }
    }
}

/// A body that is no review, with what is needed to say so to the right caller.
#[derive(Debug)]
pub(crate) struct Malformed {
    pub version: Version,
    pub uid: String,
    pub denial: Denial,
}

#[derive(Deserialize)]
struct Incoming {
    #[serde(rename = "apiVersion")]
    api_version: String,
    kind: String,
    request: Option<Review>,
}

/// Decodes a body in one pass; only if that fails is it read a second time, leniently, for the uid.
pub(crate) fn decode(body: &[u8]) -> Result<(Version, Review), Box<Malformed>> {
    let unreadable = |error: &dyn Display| {
        malformed(body, format!("the body is no AdmissionReview that can be read: {error}"))
    };
    // Checked as a whole, UTF-8 costs a tenth less than string by string.
    let text = str::from_utf8(body).map_err(|error| unreadable(&error))?;
    let incoming = serde_json::from_str::<Incoming>(text).map_err(|error| unreadable(&error))?;
    if incoming.kind != "AdmissionReview" {
        return Err(malformed(body, format!("expected kind \"AdmissionReview\", got {:?}", incoming.kind)));
    }
    let Some(version) = Version::of(&incoming.api_version) else {
        let message =
            format!("expected apiVersion \"{V1}\" or \"{V1BETA1}\", got {:?}", incoming.api_version);
        return Err(malformed(body, message));
    };
    match incoming.request {
        Some(review) => Ok((version, review)),
        None => Err(malformed(body, "the AdmissionReview has no request".into())),
    }
}

fn malformed(body: &[u8], message: String) -> Box<Malformed> {
    let envelope = lenient::envelope(body);
    Box::new(Malformed {
        version: envelope.api_version.as_deref().and_then(Version::of).unwrap_or(Version::V1),
        uid: envelope.uid.unwrap_or_default(),
        denial: Denial::bad_request(message),
    })
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Outgoing<'a> {
    api_version: &'static str,
    kind: &'static str,
    response: Response<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Response<'a> {
    uid: &'a str,
    allowed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<Status<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    patch: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    patch_type: Option<&'static str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    audit_annotations: BTreeMap<String, &'a str>,
}

#[derive(Serialize)]
struct Status<'a> {
    #[serde(rename = "status")]
    outcome: &'static str,
    message: &'a str,
    reason: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    details: Option<&'a Details>,
    code: u16,
}

/// Writes the answer that carries `verdict`. JSON, one line.
pub(crate) fn encode(version: Version, uid: &str, phase: Phase, verdict: &Verdict) -> Vec<u8> {
    let (allowed, status, patch) = match &verdict.outcome {
        Outcome::Allowed { patch } if phase == Phase::Mutate && !patch.is_empty() => {
            // An operation holds strings and a Value only, and both always serialise.
            (true, None, serde_json::to_vec(patch).ok().map(|json| STANDARD.encode(json)))
        }
        Outcome::Allowed { .. } => (true, None, None),
        Outcome::Denied(denial) => (false, Some(status(denial)), None),
    };
    let response = Response {
        uid,
        allowed,
        status,
        patch_type: patch.is_some().then_some("JSONPatch"),
        patch,
        warnings: clean_warnings(&verdict.warnings),
        audit_annotations: verdict
            .audit
            .iter()
            .map(|(key, value)| (key.replace('/', "."), value.as_str()))
            .collect(),
    };
    let outgoing = Outgoing { api_version: version.as_str(), kind: "AdmissionReview", response };
    serde_json::to_vec(&outgoing).unwrap_or_default()
}

fn status(denial: &Denial) -> Status<'_> {
    Status {
        outcome: "Failure",
        message: &denial.message,
        reason: &denial.reason,
        details: denial.details.as_ref(),
        code: denial.code.max(400),
    }
}

/// Returns the warnings that the API server would pass on, and the number of those it would not.
///
/// The rule is that of `k8s.io/apiserver/pkg/endpoints/filters/warning.go`: a control character makes a warning
/// vanish, repeats are dropped, and once 4,096 characters are exceeded in total each is cut to 256.
fn clean_warnings(warnings: &[String]) -> Vec<String> {
    let mut seen = HashSet::new();
    let mut clean: Vec<String> = warnings
        .iter()
        .map(|text| text.replace(char::is_control, " ").trim().to_owned())
        .filter(|text| !text.is_empty() && seen.insert(text.clone()))
        .collect();
    let length = |text: &String| text.chars().count();
    if clean.iter().map(length).sum::<usize>() <= WARNINGS_TOTAL {
        return clean;
    }
    for text in &mut clean {
        if length(text) > WARNING_EACH {
            *text = text.chars().take(WARNING_EACH - 3).chain("...".chars()).collect();
        }
    }
    if clean.iter().map(length).sum::<usize>() <= WARNINGS_TOTAL {
        return clean;
    }
    let all = clean.len();
    let mut left = WARNINGS_TOTAL - "and 4294967295 more warnings".len();
    let kept = clean
        .iter()
        .take_while(|text| left.checked_sub(length(text)).map(|rest| left = rest).is_some())
        .count();
    clean.truncate(kept);
    clean.push(format!("and {} more warnings", all - kept));
    clean
}

#[cfg(test)]
mod tests;
