//! A Job of the simulated cluster, and the state of it that is visible.

use std::sync::Arc;

use super::case::{Case, End};
use super::manifest::{UID, instant};
use super::reference::Micros;
use crate::flows::eval::Rendered;
use crate::flows::observed::{
    Container, Ended, Job, JobCondition, JobConditionKind, JobShape, Pod, PodPhase, id,
};
use crate::flows::plan::{Gone, JobSeen};

/// The time that the Job controller takes from a pod's end to the Job's condition.
const BATCH: Micros = 1_000_000;
/// The time before a Job's end at which its target condition becomes visible.
const NOTICE: Micros = 200_000;
/// The time for which a Job that is being deleted still exists.
const LINGER: Micros = 700_000;

/// A Job.
#[derive(Clone, Debug)]
pub(super) struct Real {
    pub(super) name: String,
    pub(super) uid: String,
    pub(super) step: usize,
    pub(super) attempt: i64,
    /// The template that it was created from.
    pub(super) rendered: Box<Rendered>,
    pub(super) backoff_limit: i64,
    pub(super) created: Micros,
    pub(super) ends: Micros,
    pub(super) end: End,
    /// The time of its deletion, by anybody.
    pub(super) deleted: Option<Micros>,
    /// The way in which it is observed.
    pub(super) manner: Manner,
}

/// Differences between Jobs that do not change their ends.
#[derive(Clone, Copy, Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "they have nothing to do with each other")]
pub(super) struct Manner {
    /// The delay with which everything about it is seen.
    pub(super) lag: Micros,
    /// Its pod is seen, so that the condition is a second late; else only conditions are.
    pub(super) by_pod: bool,
    /// After its pod has succeeded it ends in a Failed condition.
    pub(super) turns: bool,
    /// It announces its end.
    pub(super) announces: bool,
    /// It still exists for a while after its deletion.
    pub(super) lingers: bool,
    /// It is deleted in the moment in which its condition reports its end, as with a TTL of 0.
    pub(super) swept: bool,
    /// There is another Job that claims to be the one of this attempt, and reports another end.
    pub(super) doubled: bool,
}

/// The visible state of a Job.
pub(super) enum Seen {
    Nothing,
    There(JobSeen),
    /// It existed: its last state.
    Gone(JobSeen),
}

impl Real {
    /// Tells whether it really runs.
    pub(super) fn is_live(&self, now: Micros) -> bool {
        now < self.ends && self.deleted.is_none_or(|deleted| now < deleted)
    }

    /// Tells whether its end is visible by now.
    pub(super) fn has_shown_its_end(&self, now: Micros) -> bool {
        let end = self.deleted.map_or(self.ends, |deleted| deleted.min(self.ends));
        end + self.manner.lag <= now
    }

    /// The instants at which something new is seen of it.
    pub(super) fn instants(&self) -> impl Iterator<Item = Micros> {
        let by_pod = self.is_seen_by_pod();
        let last = self.last();
        let own = [
            Some(self.created),
            Some(self.ends),
            by_pod.then_some(last),
            (by_pod && self.backoff_limit > 0).then(|| self.middle()),
            self.manner.announces.then_some(last - NOTICE),
            self.deleted,
            self.deleted.filter(|_| self.manner.lingers).map(|deleted| deleted + LINGER),
        ];
        let lag = self.manner.lag;
        own.into_iter().flatten().map(move |at| at + lag)
    }

    pub(super) fn seen(&self, now: Micros) -> Seen {
        let now = now - self.manner.lag;
        if now < self.created {
            return Seen::Nothing;
        }
        let linger = if self.manner.lingers { LINGER } else { 0 };
        let gone = self.deleted.filter(|deleted| deleted + linger <= now);
        let now = gone.unwrap_or(now);
        let pods = if self.is_seen_by_pod() { self.pods(now) } else { Vec::new() };
        let seen = JobSeen::new(Arc::new(self.job(now)), pods.into_iter().map(Arc::new).collect());
        match gone {
            None => Seen::There(seen),
            Some(_) => Seen::Gone(JobSeen { ended: Vec::new(), gone: Some(Gone::Seen), ..seen }),
        }
    }

    /// The last instant at which its condition changes.
    fn last(&self) -> Micros {
        if self.is_seen_by_pod() { self.ends + BATCH } else { self.ends }
    }

    /// The time at which it is deleted without an action of the planner.
    pub(super) fn goes_by_itself(&self) -> Option<Micros> {
        match self.end {
            End::Lost => Some(self.ends),
            _ => self.manner.swept.then(|| self.last()),
        }
    }

    /// Makes another Job that claims to be this attempt's: under another name, or under this one once it is free.
    pub(super) fn double(&self, now: Micros, same_name: bool) -> JobSeen {
        let ours = self.job(now);
        let (kind, reason) = match self.end {
            End::Success => (JobConditionKind::Failed, "DeadlineExceeded"),
            End::Failure | End::Lost => (JobConditionKind::Complete, "CompletionsReached"),
        };
        let name = if same_name { ours.name.clone() } else { format!("{}-x", ours.name).into() };
        let uid = format!("{}-x", ours.uid).into();
        let (reason, message, at) = (reason.into(), "".into(), Some(ours.created));
        let conditions = vec![JobCondition { kind, reason, message, at }];
        JobSeen::new(Arc::new(Job { name, uid, conditions, deleting: false, ..ours }), Vec::new())
    }

    fn middle(&self) -> Micros {
        i64::midpoint(self.created, self.ends)
    }

    /// Tells whether its pod is seen. A failed pod decides alone only where the Job creates no other.
    fn is_seen_by_pod(&self) -> bool {
        self.manner.by_pod && (self.end != End::Failure || self.backoff_limit == 0)
    }

    fn job(&self, now: Micros) -> Job {
        let mut conditions = Vec::new();
        let mut add = |kind, reason: &str, at: Micros| {
            if at <= now && self.end != End::Lost {
                let (reason, message) = (reason.into(), "".into());
                conditions.push(JobCondition { kind, reason, message, at: Some(instant(at)) });
            }
        };
        let late = if self.is_seen_by_pod() { BATCH } else { 0 };
        let succeeds = self.end == End::Success && !(self.manner.turns && self.is_seen_by_pod());
        let (target, last, reason) = if succeeds {
            (JobConditionKind::SuccessCriteriaMet, JobConditionKind::Complete, "CompletionsReached")
        } else {
            (JobConditionKind::FailureTarget, JobConditionKind::Failed, "DeadlineExceeded")
        };
        if self.manner.announces {
            add(target, reason, self.ends + late - NOTICE);
        }
        add(last, reason, self.ends + late);
        Job {
            name: self.name.as_str().into(),
            uid: self.uid.as_str().into(),
            flow: format!("default/flow/{UID}").into(),
            step: Case::name(self.step).into(),
            attempt: self.attempt,
            created: instant(self.created),
            deleting: self.deleted.is_some_and(|deleted| deleted <= now),
            containers: "main".into(),
            shape: JobShape {
                completions: Some(1),
                backoff_limit: Some(self.backoff_limit),
                restart_never: true,
                ..JobShape::default()
            },
            conditions,
            active: i64::from(now < self.ends),
            succeeded: 0,
            failed: 0,
            completed_indexes: None,
            document: "{}".into(),
        }
    }

    fn pods(&self, now: Micros) -> Vec<Pod> {
        let mut pods = Vec::new();
        // Where the Job may make another pod, one that failed decides nothing.
        if self.backoff_limit > 0 && self.middle() <= now {
            pods.push(self.pod(0, PodPhase::Failed, Some(self.middle())));
        }
        let phase = match self.end {
            _ if now < self.ends => PodPhase::Running,
            End::Success => PodPhase::Succeeded,
            End::Failure => PodPhase::Failed,
            End::Lost => PodPhase::Running,
        };
        pods.push(self.pod(1, phase, (self.ends <= now).then_some(self.ends)));
        pods
    }

    fn pod(&self, number: i64, phase: PodPhase, finished: Option<Micros>) -> Pod {
        let ended = finished.filter(|_| phase != PodPhase::Running).map(|at| Ended {
            exit_code: i64::from(phase == PodPhase::Failed),
            reason: if phase == PodPhase::Failed { "Error" } else { "Completed" }.into(),
            message: "".into(),
            started: Some(instant(self.created)),
            finished: Some(instant(at)),
        });
        Pod {
            name: format!("{}-{number}", self.name).into(),
            uid: format!("{}-{number}", self.uid).into(),
            job: id("default", &self.name, &self.uid),
            created: instant(self.created),
            deleting: false,
            tracked: true,
            phase,
            restarts: 0,
            index: None,
            node: None,
            reason: None,
            message: None,
            ephemeral: 0,
            containers: vec![Container { name: "main".into(), init: false, sidecar: false, ended }],
            waiting: None,
        }
    }
}
