//! What people are told on the source: the annotation `zen-lead.io/status`, compact JSON.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// The status of one source.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Status {
    /// The pod that leads.
    pub leader: Option<String>,
    /// Since when it, or nobody, leads.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// Why.
    pub reason: String,
    /// How many pods could lead.
    pub candidates: usize,
    /// Grows with every change of the leader.
    pub epoch: u64,
    /// AmbiguousClaim, NameConflict and the like.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<String>,
    /// Ports that the leader does not have.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unresolved_ports: Vec<String>,
}

impl Status {
    /// Read the annotation; what cannot be read is as if absent.
    pub fn read(text: Option<&String>) -> Option<Self> {
        serde_json::from_str(text?).ok()
    }

    /// As the annotation has it.
    pub fn text(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Whether two statuses differ in more than a count.
    pub fn is_news(&self, other: &Self) -> bool {
        Self { candidates: 0, ..self.clone() } != Self { candidates: 0, ..other.clone() }
    }
}
