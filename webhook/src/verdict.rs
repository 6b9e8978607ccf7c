//! Answer of a rule set: allowed, perhaps with a patch, or denied, with every problem.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::review::Review;

/// A rule set for one or more kinds: the only thing a user of this crate implements.
///
/// Both methods are synchronous and pure: they take the review (whose object they may take apart instead of copying
/// it), read their own memory, and do no I/O. They run on
/// a thread that may block, and a panic answers the one request it happened in with a denial of code 500; its
/// message goes to the panic hook of the process, so it should quote no object. A method that no configuration
/// calls can answer [`Verdict::allow`].
pub trait Admit: Send + Sync + 'static {
    /// Returns the kinds of this rule set, `JobFlow` for example. They are the values of the metric label `kind`; a review of
    /// any other kind is judged all the same and counted as `other`.
    fn kinds(&self) -> &[&'static str];

    /// Answers in the mutating phase.
    fn mutate(&self, review: Review) -> Verdict;

    /// Answers in the validating phase. A patch in it is not sent.
    fn validate(&self, review: Review) -> Verdict;
}

/// One verdict.
///
/// ```
/// use headworks_webhook::{Denial, Verdict};
///
/// let fine = Verdict::allow().warn("spec.ttl: deprecated, use spec.retention").audit("decision", "allowed");
/// let wrong = Verdict::deny(Denial::invalid("the flow has no steps"));
/// # let _ = (fine, wrong);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Verdict {
    /// Allowed or denied.
    pub outcome: Outcome,
    /// Shown to the user by kubectl, whether allowed or denied, without a `Warning:` prefix. On the way out
    /// control characters become spaces, and beyond 4,096 characters in total each is cut to 256.
    pub warnings: Vec<String>,
    /// Audit annotations as key and value. The API server prefixes the key with the webhook's name and a `/`, so
    /// a `/` in a key becomes a `.` on the way out.
    pub audit: Vec<(String, String)>,
}

/// The decision itself.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// The object may be stored, after the patch if there is one.
    Allowed {
        /// RFC 6902 operations in order; sent in the mutating phase only.
        patch: Vec<PatchOperation>,
    },
    /// The object may not be stored.
    Denied(Denial),
}

/// Reason that an object is denied: a Kubernetes `Status`, of which kubectl prints each cause as a bullet if
/// `reason` is `Invalid` and `details` has kind and name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denial {
    /// HTTP status the user's call ends with, 400 or above (the API server turns a lower one into 400).
    pub code: u16,
    /// Kubernetes' machine-readable reason: `Invalid`, `Forbidden`, `BadRequest` ...
    pub reason: String,
    /// The whole refusal as text.
    pub message: String,
    /// The refusal in parts.
    pub details: Option<Details>,
}

/// The parts of a denial, as `metav1.StatusDetails`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Details {
    /// API group of the refused object.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub group: String,
    /// Its kind.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub kind: String,
    /// Its name, or its `generateName`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Everything that is wrong, in the order to be shown.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub causes: Vec<Cause>,
}

/// One thing that is wrong, as `metav1.StatusCause`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Cause {
    /// `FieldValueInvalid`, `FieldValueNotFound`, `FieldValueRequired` ... (`metav1.CauseType`).
    pub reason: String,
    /// A sentence on the problem and what to do.
    pub message: String,
    /// Path of the field: `spec.steps[0].name`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub field: String,
}

/// One operation of a JSON patch (RFC 6902). `path` and `from` are JSON pointers (RFC 6901).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "lowercase")]
#[expect(missing_docs, reason = "the fields are the RFC's, named as it names them")]
pub enum PatchOperation {
    /// Adds a member or inserts an element.
    Add { path: String, value: Value },
    /// Removes what is there.
    Remove { path: String },
    /// Replaces what is there.
    Replace { path: String, value: Value },
    /// Moves a value.
    Move { from: String, path: String },
    /// Copies a value.
    Copy { from: String, path: String },
    /// Fails the whole patch unless the value is equal.
    Test { path: String, value: Value },
}

impl Verdict {
    /// Allows the object as it is.
    pub fn allow() -> Self {
        Self::patch(Vec::new())
    }

    /// Allows the object once these operations are applied; none means as it is.
    pub fn patch(patch: Vec<PatchOperation>) -> Self {
        Self { outcome: Outcome::Allowed { patch }, warnings: Vec::new(), audit: Vec::new() }
    }

    /// Denies the object.
    pub fn deny(denial: Denial) -> Self {
        Self { outcome: Outcome::Denied(denial), warnings: Vec::new(), audit: Vec::new() }
    }

    /// Adds a warning.
    #[must_use]
    pub fn warn(mut self, warning: impl Into<String>) -> Self {
        self.warnings.push(warning.into());
        self
    }

    /// Adds an audit annotation.
    #[must_use]
    pub fn audit(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.audit.push((key.into(), value.into()));
        self
    }

    /// Returns true if the object may be stored.
    pub fn is_allowed(&self) -> bool {
        matches!(self.outcome, Outcome::Allowed { .. })
    }
}

impl Denial {
    /// 422 `Invalid`: the object itself is wrong.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self { code: 422, reason: "Invalid".into(), message: message.into(), details: None }
    }

    /// 403 `Forbidden`: the object may be right, the change is not this user's to make.
    pub fn forbidden(message: impl Into<String>) -> Self {
        Self { code: 403, reason: "Forbidden".into(), message: message.into(), details: None }
    }

    /// Adds details.
    #[must_use]
    pub fn with_details(mut self, details: Details) -> Self {
        self.details = Some(details);
        self
    }

    pub(crate) fn bad_request(message: impl Into<String>) -> Self {
        Self { code: 400, reason: "BadRequest".into(), message: message.into(), details: None }
    }

    pub(crate) fn internal(message: impl Into<String>) -> Self {
        Self { code: 500, reason: "InternalError".into(), message: message.into(), details: None }
    }
}
