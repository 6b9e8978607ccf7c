//! What the controller has to tell: Events for people, numbers for machines. Pure; others carry it out.

use std::sync::Arc;

use jiff::Timestamp;

use super::batch::Job;
use super::decide::View;
use super::incumbent::Incumbent;
use super::key::Key;
use super::memory::Kind;
use super::status::Status;

/// Something to tell.
#[derive(Clone, Debug, PartialEq)]
pub enum Note {
    /// An Event on the source.
    Event {
        /// The source.
        source: Key,
        /// Its UID.
        uid: Arc<str>,
        /// Whether it is a Warning.
        warning: bool,
        /// The reason.
        reason: String,
        /// The note.
        message: String,
    },
    /// A slice with another leader was acknowledged.
    Failover {
        /// The source.
        source: Key,
        /// Why: a bounded word.
        cause: &'static str,
        /// When what caused it was received.
        trigger: Option<Timestamp>,
        /// When it was decided.
        decided: Timestamp,
        /// When the write was acknowledged.
        acknowledged: Timestamp,
        /// Since when the leader before it led, if there was one.
        led_since: Option<Timestamp>,
    },
    /// A write failed: of which kind, and a bounded word.
    Failed(Kind, &'static str),
    /// A write will be tried again.
    Retry,
    /// Writes of this kind for this source wait from now on, because there were too many.
    Limited(Key, Kind),
    /// A write of this kind was sent that had waited for that.
    Delayed(Kind),
    /// Ports could not be resolved.
    Unresolved(Key, usize),
    /// How a source is now.
    Gauges {
        /// The source.
        source: Key,
        /// How many candidates it has.
        candidates: usize,
        /// Whether its leader answers.
        served: bool,
    },
    /// A source is none any more.
    Forgotten(Key),
}

/// What came of a job.
#[derive(Debug, Default)]
pub(crate) struct Outcomes {
    pub(crate) created: bool,
    pub(crate) acknowledged: bool,
    pub(crate) overtaken: bool,
    pub(crate) failed: Option<(Kind, &'static str)>,
    /// Before and after.
    pub(crate) switched: Option<(Incumbent, Incumbent)>,
    /// Who led last, where nobody did just before.
    pub(crate) last: Option<(String, String)>,
}

impl Outcomes {
    pub(crate) fn notes(&self, job: &Job, uid: Option<&Arc<str>>, now: Timestamp) -> Vec<Note> {
        let mut notes = Vec::new();
        let source = &job.source;
        let event = |warning: bool, reason: &str, message: String| {
            let (source, reason) = (source.clone(), reason.to_owned());
            uid.cloned().map(|uid| Note::Event { source, uid, warning, reason, message })
        };
        if self.created {
            notes.extend(event(false, "LeaderServiceCreated", "the leader Service was created".to_owned()));
        }
        if let Some((before, after)) = &self.switched {
            let cause = job.cause.unwrap_or("first");
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
                trigger: job.trigger,
                decided: job.decided,
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

/// Tell that writes of this kind wait because there were too many.
pub(crate) fn limited(source: &Key, uid: Option<&Arc<str>>, kind: Kind) -> impl Iterator<Item = Note> {
    let event = uid.cloned().map(|uid| Note::Event {
        source: source.clone(),
        uid,
        warning: true,
        reason: "TooManyWrites".to_owned(),
        message: format!(
            "{} was written too often, and is written once a second until that ends; somebody may undo what headworks writes",
            kind.what()
        ),
    });
    event.into_iter().chain([Note::Limited(source.clone(), kind)])
}

/// What is new since `before`: each once.
pub(crate) fn news(
    source: &Key,
    uid: Option<&Arc<str>>,
    before: Option<&Status>,
    after: Option<&View>,
) -> Vec<Note> {
    let Some(view) = after else { return vec![Note::Forgotten(source.clone())] };
    let after = &view.status;
    let mut notes =
        vec![Note::Gauges { source: source.clone(), candidates: after.candidates, served: view.served }];
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
