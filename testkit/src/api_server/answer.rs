//! The demands of the API server on an answer: `VerifyAdmissionResponse`, for `admission.k8s.io/v1`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper::header::CONTENT_TYPE;
use serde::Deserialize;
use serde_json::Value;

use super::call::{Call, CallError, Phase, Reply};

/// An answer that the API server takes.
#[derive(Clone, Debug)]
pub struct Answer {
    /// True if the object may be stored.
    pub allowed: bool,
    /// The patch, as JSON; a mutating webhook's only.
    pub patch: Option<Value>,
    /// `response.status`: why not.
    pub status: Value,
    /// Warnings for the user.
    pub warnings: Vec<String>,
    /// The times that it was asked again, as `Retry-After` demands.
    pub retries: u32,
}

#[derive(Deserialize)]
struct Review {
    #[serde(rename = "apiVersion", default)]
    api_version: String,
    #[serde(default)]
    kind: String,
    response: Option<Response>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Response {
    #[serde(default)]
    uid: String,
    #[serde(default)]
    allowed: bool,
    #[serde(default)]
    status: Value,
    patch: Option<String>,
    patch_type: Option<String>,
    #[serde(default)]
    warnings: Vec<String>,
}

/// Judges what came back after the last retry.
pub(super) fn judge(call: &Call, reply: &Reply, retries: u32) -> Result<Answer, CallError> {
    let status = reply.status.as_u16();
    if !(200..=206).contains(&status) {
        let text = String::from_utf8_lossy(&reply.body).trim_end().to_owned();
        return Err(CallError::Status { status, text });
    }
    let kind = reply.headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    if kind.split(';').next() != Some("application/json") {
        return wrong(format!("no decoder for content type {kind:?}"));
    }
    let review: Review = match serde_json::from_slice(&reply.body) {
        Ok(review) => review,
        Err(error) => return wrong(format!("the answer is no AdmissionReview: {error}")),
    };
    let Some(response) = review.response else { return wrong("webhook response was absent".to_owned()) };
    if response.uid != call.uid {
        return wrong(format!("expected response.uid={:?}, got {:?}", call.uid, response.uid));
    }
    if (review.api_version.as_str(), review.kind.as_str()) != ("admission.k8s.io/v1", "AdmissionReview") {
        let Review { api_version, kind, .. } = review;
        return wrong(format!(
            "expected webhook response of admission.k8s.io/v1, Kind=AdmissionReview, got {api_version}, Kind={kind}"
        ));
    }
    let patch = patch(call.phase, &response)?;
    let Response { allowed, status, warnings, .. } = response;
    Ok(Answer { allowed, patch, status, warnings, retries })
}

fn patch(phase: Phase, response: &Response) -> Result<Option<Value>, CallError> {
    let patch = response.patch.as_deref().unwrap_or_default();
    match (phase, patch.is_empty(), response.patch_type.as_deref()) {
        (_, true, None) => Ok(None),
        (Phase::Validating, false, _) => wrong("validating webhook may not return response.patch".to_owned()),
        (Phase::Validating, true, Some(_)) => {
            wrong("validating webhook may not return response.patchType".to_owned())
        }
        (Phase::Mutating, false, None) => {
            wrong("webhook returned response.patch but not response.patchType".to_owned())
        }
        (Phase::Mutating, true, Some(_)) => {
            wrong("webhook returned response.patchType but not response.patch".to_owned())
        }
        (Phase::Mutating, false, Some("JSONPatch")) => {
            let decoded = STANDARD.decode(patch).ok().and_then(|json| serde_json::from_slice(&json).ok());
            match decoded {
                Some(Value::Array(operations)) => Ok(Some(Value::Array(operations))),
                _ => wrong("response.patch is no list of operations in base64".to_owned()),
            }
        }
        (Phase::Mutating, false, Some(other)) => {
            wrong(format!("webhook returned invalid response.patchType of {other:?}"))
        }
    }
}

fn wrong<T>(what: String) -> Result<T, CallError> {
    Err(CallError::Answer(what))
}
