//! Notes for the outside: Events for people and numbers for metrics. The shell around the core publishes them.

use std::sync::Arc;

use jiff::Timestamp;

use super::batch::WriteBatch;
use super::incumbent::Incumbent;
use super::key::Key;
use super::memory::WriteKind;
use super::status::SourceReport;
use super::status::Status;

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Note {
    /// An Event on the source.
    Event {
        source: Key,
        /// The UID of the source.
        uid: Arc<str>,
        /// It is a Warning.
        warning: bool,
        reason: String,
        message: String,
    },
    /// A slice with another leader was written.
    Failover {
        source: Key,
        /// The reason as a bounded word.
        cause: &'static str,
        /// The time at which the change that led to it was received.
        trigger: Option<Timestamp>,
        decided: Timestamp,
        acknowledged: Timestamp,
        /// The time at which the leader before it took over, if there was one.
        led_since: Option<Timestamp>,
    },
    /// A write of this kind failed, with the reason as a bounded word.
    Failed(WriteKind, &'static str),
    /// A write will be retried.
    Retry,
    /// Writes of this kind for this source wait from now on, because there were too many.
    Limited(Key, WriteKind),
    /// A write of this kind was sent after such a wait.
    Delayed(WriteKind),
    /// This number of ports could not be resolved.
    Unresolved(Key, usize),
    /// The state of a source.
    Gauges {
        source: Key,
        candidates: usize,
        /// Its leader serves.
        served: bool,
    },
    /// A Service no longer asks for a leader.
    Forgotten(Key),
}

/// The outcomes of a batch.
#[derive(Debug, Default)]
pub(crate) struct Outcomes {
    pub(crate) created: bool,
    pub(crate) acknowledged: bool,
    pub(crate) overtaken: bool,
    pub(crate) failed: Option<(WriteKind, &'static str)>,
    /// The incumbents before and after the batch, if they differ.
    pub(crate) switched: Option<(Incumbent, Incumbent)>,
    /// Name and UID of the pod that led last, where none did just before.
    pub(crate) last: Option<(String, String)>,
}

impl Outcomes {
    pub(crate) fn notes(&self, batch: &WriteBatch, uid: Option<&Arc<str>>, now: Timestamp) -> Vec<Note> {
        let mut notes = Vec::new();
        let source = &batch.source;
        let event = |warning: bool, reason: &str, message: String| {
            let (source, reason) = (source.clone(), reason.to_owned());
            uid.cloned().map(|uid| Note::Event { source, uid, warning, reason, message })
        };
        if self.created {
            notes.extend(event(false, "LeaderServiceCreated", "the leader Service was created".to_owned()));
        }
        if let Some((before, after)) = &self.switched {
            let cause = batch.cause.unwrap_or("first");
            notes.extend(match (before.pod.as_ref().or(self.last.as_ref()), &after.pod) {
                (Some((_, from)), Some((to, uid))) if from == uid => {
                    event(false, "LeaderRoutingAvailable", format!("{to} leads again"))
                }
                (Some((from, _)), Some((to, uid))) => {
                    let what = if from == to {
                        format!("{to} leads again, as another pod of that name, UID {uid}")
                    } else {
                        format!("{to} leads instead of {from}")
                    };
                    let gap = if before.pod.is_none() { "; nobody led in between" } else { "" };
                    event(false, "LeaderChanged", format!("{what} ({cause}){gap}"))
                }
                (None, Some((to, _))) => event(false, "LeaderRoutingAvailable", format!("{to} leads")),
                _ => None,
            });
            notes.push(Note::Failover {
                source: source.clone(),
                cause,
                trigger: batch.trigger,
                decided: batch.decided,
                acknowledged: now,
                led_since: before.since.filter(|_| before.pod.is_some()),
            });
        }
        if let Some((kind, word)) = self.failed {
            notes.push(Note::Failed(kind, word));
        }
        if self.overtaken || self.failed.is_some() {
            notes.push(Note::Retry);
        }
        notes
    }
}

/// Notes that writes of this kind wait because there were too many.
pub(crate) fn limited(source: &Key, uid: Option<&Arc<str>>, kind: WriteKind) -> impl Iterator<Item = Note> {
    let event = uid.cloned().map(|uid| Note::Event {
        source: source.clone(),
        uid,
        warning: true,
        reason: "TooManyWrites".to_owned(),
        message: format!(
            "{} was written too often, and is written once a second until that ends; somebody may undo what headworks writes",
            kind.object()
        ),
    });
    event.into_iter().chain([Note::Limited(source.clone(), kind)])
}

/// Notes every difference from `before` once.
pub(crate) fn news(
    source: &Key,
    uid: Option<&Arc<str>>,
    before: Option<&Status>,
    after: Option<&SourceReport>,
) -> Vec<Note> {
    let Some(report) = after else { return vec![Note::Forgotten(source.clone())] };
    let after = &report.status;
    let mut notes =
        vec![Note::Gauges { source: source.clone(), candidates: after.candidates, served: report.served }];
    let none = Status::default();
    let before = before.unwrap_or(&none);
    let mut warn = |reason: &str, message: String| {
        if let Some(uid) = uid.cloned() {
            notes.push(Note::Event {
                source: source.clone(),
                uid,
                warning: true,
                reason: reason.to_owned(),
                message,
            });
        }
    };
    for condition in after.conditions.iter().filter(|condition| !before.conditions.contains(condition)) {
        let (reason, message) = condition.split_once(": ").unwrap_or(("Routing", condition));
        warn(reason, message.to_owned());
    }
    if before.reason != after.reason {
        match after.reason.as_str() {
            "NoPodsFound" => warn("NoPodsFound", "no pod that has not ended matches the selector".to_owned()),
            "NoReadyPods" => {
                warn("NoReadyPods", "no pod can lead; `headworks leader why` tells why".to_owned());
            }
            "NoLeaseHolder" => warn("NoReadyPods", "no candidate holds the Lease".to_owned()),
            _ => {}
        }
    }
    let ports: Vec<&String> =
        after.unresolved_ports.iter().filter(|port| !before.unresolved_ports.contains(port)).collect();
    for port in &ports {
        warn("PortResolutionFailed", format!("the leader has no port for {port}; the others work"));
    }
    let count = ports.len();
    if count > 0 {
        notes.push(Note::Unresolved(source.clone(), count));
    }
    notes
}
