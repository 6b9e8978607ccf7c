//! What a call writes.

use std::fmt;

use hyper::body::Bytes;
use hyper::{Method, Uri};
use serde_json::Value;

/// A call that writes.
#[derive(Clone)]
pub(crate) struct Call {
    /// `create`, `update`, `patch` or `delete`, as RBAC has it.
    pub(crate) verb: &'static str,
    /// The resource with its subresource, such as `jobflows/status`.
    pub(crate) resource: String,
    /// The object's name, from the address or the body.
    pub(crate) name: String,
    /// How many calls of this verb for this resource there have been, with this one.
    pub(crate) nth: usize,
}

impl Call {
    /// The call, if it writes.
    pub(super) fn read(method: &Method, uri: &Uri, body: &Bytes) -> Option<Self> {
        if !super::writes(method) {
            return None;
        }
        let verb = match *method {
            Method::POST => "create",
            Method::PUT => "update",
            Method::PATCH => "patch",
            _ => "delete",
        };
        let parts: Vec<&str> = uri.path().split('/').filter(|part| !part.is_empty()).collect();
        // /api/v1/... or /apis/GROUP/VERSION/..., perhaps namespaces/NAME, then the resource.
        let rest = if parts.first() == Some(&"api") { parts.get(2..)? } else { parts.get(3..)? };
        let rest = match rest {
            ["namespaces", _, rest @ ..] if !rest.is_empty() => rest,
            rest => rest,
        };
        let resource = match rest {
            [resource, _, sub, ..] => format!("{resource}/{sub}"),
            [resource, ..] => (*resource).to_owned(),
            [] => return None,
        };
        let named =
            || serde_json::from_slice::<Value>(body).ok()?["metadata"]["name"].as_str().map(str::to_owned);
        let name = rest.get(1).map(|name| (*name).to_owned()).or_else(named).unwrap_or_default();
        Some(Self { verb, resource, name, nth: 0 })
    }

    pub(crate) fn is(&self, verb: &str, resource: &str) -> bool {
        self.verb == verb && self.resource == resource
    }

    pub(crate) fn is_status(&self) -> bool {
        self.is("patch", "jobflows/status")
    }

    pub(crate) fn is_job(&self) -> bool {
        self.is("create", "jobs")
    }
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} #{}", self.verb, self.resource, self.nth)
    }
}
