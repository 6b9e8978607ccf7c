//! The status of a source: the annotation `zen-lead.io/status`, compact JSON.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// The status of one source.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Status {
    /// The pod that leads.
    pub leader: Option<String>,
    /// The time at which it began to lead, or the last leader ceased to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// The reason why this pod leads, or none does.
    pub reason: String,
    /// The number of pods that could lead.
    pub candidates: usize,
    /// A number that grows with every change of the leader.
    pub epoch: u64,
    /// Problems, each as `Reason: message`: `NameConflict`, `AmbiguousClaim` and others.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<String>,
    /// Ports that the leader does not have.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unresolved_ports: Vec<String>,
}

impl Status {
    /// Reads the annotation; one that cannot be read counts as absent.
    pub(crate) fn read(text: Option<&String>) -> Option<Self> {
        serde_json::from_str(text?).ok()
    }

    /// The value of the annotation.
    pub(crate) fn text(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Checks whether two statuses differ in more than the number of candidates.
    pub(crate) fn is_news(&self, other: &Self) -> bool {
        Self { candidates: 0, ..self.clone() } != Self { candidates: 0, ..other.clone() }
    }
}

/// The state of a source as a decision found it, for Events and metrics.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct SourceReport {
    pub(crate) status: Status,
    /// True if a leader serves.
    pub(crate) served: bool,
    /// The reason why the incumbent is left, if it is: a bounded word.
    pub(crate) cause: Option<&'static str>,
}
