//! Request of the API server: one `AdmissionRequest`, decoded once.
//!
//! Shapes follow `k8s.io/api/admission/v1`. `v1beta1` has the same fields. Only what a rule may decide by is
//! kept; unknown fields are ignored, so a newer API server can be served.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Deserializer};
use serde_json::Value;

/// One request for a verdict, as `AdmissionReview.request` carries it.
///
/// Its `Debug` form leaves `object`, `old_object`, `options` and the user's extra attributes out: objects are
/// never logged. In tests, build one with `serde_json::from_value`:
///
/// ```
/// let review: headworks_webhook::Review = serde_json::from_value(serde_json::json!({
///     "uid": "705ab4f5",
///     "kind": {"group": "", "version": "v1", "kind": "Service"},
///     "resource": {"group": "", "version": "v1", "resource": "services"},
///     "operation": "CREATE",
///     "userInfo": {"username": "jane"},
///     "object": {"metadata": {"name": "db"}},
/// }))?;
/// assert_eq!(review.kind.kind, "Service");
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Review {
    /// Identifies this call; the answer carries it back.
    pub uid: String,
    /// The kind of `object`.
    pub kind: GroupVersionKind,
    /// The resource asked for.
    pub resource: GroupVersionResource,
    /// `status` or `scale`, for example; none when the resource itself is written.
    #[serde(default, deserialize_with = "filled")]
    pub sub_resource: Option<String>,
    /// The object's name; none at CREATE with `generateName`.
    #[serde(default, deserialize_with = "filled")]
    pub name: Option<String>,
    /// The object's namespace; none if it is cluster-scoped.
    #[serde(default, deserialize_with = "filled")]
    pub namespace: Option<String>,
    /// The operation on the object.
    pub operation: Operation,
    /// The user who requests it.
    #[serde(rename = "userInfo", default)]
    pub user: UserInfo,
    /// The object as it would be stored; none at DELETE.
    #[serde(default)]
    pub object: Option<Value>,
    /// The object as it is stored; none at CREATE.
    #[serde(default)]
    pub old_object: Option<Value>,
    /// True if nothing will be stored: the verdict must have no side effect.
    #[serde(default, deserialize_with = "or_default")]
    pub dry_run: bool,
    /// `CreateOptions`, `UpdateOptions` or `DeleteOptions` of the call.
    #[serde(default)]
    pub options: Option<Value>,
}

/// One of the two admission phases that a path can serve.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Phase {
    /// Called from a `MutatingWebhookConfiguration`: the answer may carry a patch.
    Mutate,
    /// Called from a `ValidatingWebhookConfiguration`: the answer never carries a patch.
    Validate,
}

/// The verb of the request, one of the four that admission knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Operation {
    /// A new object.
    Create,
    /// A change of an object, by PUT, PATCH or apply.
    Update,
    /// An object's removal.
    Delete,
    /// A connection to a sub-resource such as `exec`.
    Connect,
}

impl Operation {
    /// The spelling of the API: `CREATE`, `UPDATE`, `DELETE`, `CONNECT`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Create => "CREATE",
            Self::Update => "UPDATE",
            Self::Delete => "DELETE",
            Self::Connect => "CONNECT",
        }
    }
}

/// Names a kind exactly.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct GroupVersionKind {
    /// Empty for the core group.
    #[serde(default)]
    pub group: String,
    /// `v1`, for example.
    pub version: String,
    /// `Service`, for example.
    pub kind: String,
}

/// Names a resource exactly.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct GroupVersionResource {
    /// Empty for the core group.
    #[serde(default)]
    pub group: String,
    /// `v1`, for example.
    pub version: String,
    /// `services`, for example: plural, lower case.
    pub resource: String,
}

/// The requesting user, as the API server authenticated them.
#[derive(Clone, Default, PartialEq, Eq, Deserialize)]
pub struct UserInfo {
    /// `jane` or `system:serviceaccount:<namespace>:<name>`, for example.
    #[serde(default, deserialize_with = "or_default")]
    pub username: String,
    /// Identifies the user across time, if the authenticator knows it.
    #[serde(default, deserialize_with = "or_default")]
    pub uid: String,
    /// Groups the user is in.
    #[serde(default, deserialize_with = "or_default")]
    pub groups: Vec<String>,
    /// Further attributes from the authenticator.
    #[serde(default, deserialize_with = "or_default")]
    pub extra: BTreeMap<String, Vec<String>>,
}

impl fmt::Debug for Review {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Review")
            .field("uid", &self.uid)
            .field("kind", &self.kind)
            .field("resource", &self.resource)
            .field("sub_resource", &self.sub_resource)
            .field("name", &self.name)
            .field("namespace", &self.namespace)
            .field("operation", &self.operation)
            .field("user", &self.user)
            .field("dry_run", &self.dry_run)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for UserInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UserInfo")
            .field("username", &self.username)
            .field("uid", &self.uid)
            .field("groups", &self.groups)
            .finish_non_exhaustive()
    }
}

/// Go writes an absent string as "", null or nothing at all: all three are `None`.
fn filled<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    Ok(Option::<String>::deserialize(from)?.filter(|text| !text.is_empty()))
}

/// Go writes an empty list or map as null.
fn or_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(from: D) -> Result<T, D::Error> {
    Ok(Option::<T>::deserialize(from)?.unwrap_or_default())
}
