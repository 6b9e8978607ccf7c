//! A Job of the simulated cluster, and what is seen of it.

use std::sync::Arc;

use super::super::JobSeen;
use super::case::{Case, End};
use super::manifest::{UID, instant};
use super::reference::Micros;
use crate::flow::eval::Rendered;
use crate::flow::observed::{Container, Ended, Job, JobCondition, JobConditionKind, JobShape, Pod, PodPhase};

/// How long the Job controller takes from a pod's end to the Job's condition.
const BATCH: Micros = 1_000_000;
/// How long before a Job's end its target condition can be seen.
const NOTICE: Micros = 200_000;
/// How long a Job that is being deleted is still there.
const LINGER: Micros = 700_000;

/// A Job.
#[derive(Clone, Debug)]
pub(super) struct Real {
    pub(super) name: String,
    pub(super) uid: String,
    pub(super) step: usize,
    pub(super) attempt: i64,
    /// What it was made from.
    pub(super) rendered: Box<Rendered>,
    pub(super) backoff_limit: i64,
    pub(super) created: Micros,
    pub(super) ends: Micros,
    pub(super) end: End,
    /// When it was deleted, by whomever.
    pub(super) deleted: Option<Micros>,
    /// How it shows itself.
    pub(super) manner: Manner,
}

/// What differs from Job to Job without changing how it ends.
#[derive(Clone, Copy, Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "they have nothing to do with each other")]
pub(super) struct Manner {
    /// How late everything about it is seen.
    pub(super) lag: Micros,
    /// Its pod is seen, so that the condition is a second late; else only conditions are.
    pub(super) by_pod: bool,
    /// After its pod has succeeded it ends in a Failed condition.
    pub(super) turns: bool,
    /// It announces its end.
    pub(super) announces: bool,
    /// It is still there for a while when it is deleted.
    pub(super) lingers: bool,
}

/// What is seen of a Job.
pub(super) enum Seen {
    Nothing,
    There(JobSeen),
    /// It was there.
    Gone,
}

impl Real {
    /// Whether it runs, truly.
    pub(super) fn is_live(&self, now: Micros) -> bool {
        now < self.ends && self.deleted.is_none_or(|deleted| now < deleted)
    }

    /// Whether its end can have been seen.
    pub(super) fn has_shown_its_end(&self, now: Micros) -> bool {
        let end = self.deleted.map_or(self.ends, |deleted| deleted.min(self.ends));
        end + self.manner.lag <= now
    }

    /// The instants at which something new is seen of it.
    pub(super) fn instants(&self) -> impl Iterator<Item = Micros> {
        let by_pod = self.is_seen_by_pod();
        let last = if by_pod { self.ends + BATCH } else { self.ends };
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
        if self.deleted.is_some_and(|deleted| deleted + linger <= now) {
            return Seen::Gone;
        }
        let pods = if self.is_seen_by_pod() { self.pods(now) } else { Vec::new() };
        Seen::There(JobSeen { job: Arc::new(self.job(now)), pods: pods.into_iter().map(Arc::new).collect() })
    }

    fn middle(&self) -> Micros {
        i64::midpoint(self.created, self.ends)
    }

    /// A failed pod decides alone only where the Job makes no other.
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
            flow: UID.into(),
            step: Case::name(self.step).into(),
            attempt: self.attempt,
            created: instant(self.created),
            deleting: self.deleted.is_some_and(|deleted| deleted <= now),
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
            job: self.uid.as_str().into(),
            created: instant(self.created),
            deleting: false,
            tracked: true,
            phase,
            restarts: 0,
            index: None,
            node: None,
            reason: None,
            message: None,
            containers: vec![Container { name: "main".into(), init: false, sidecar: false, ended }],
            waiting: None,
        }
    }
}
