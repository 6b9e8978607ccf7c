//! Jobs and pods that read as sentences: `job().completions(2)`, `pod("a").failed(3, "no such table")`.

use jiff::{SignedDuration, Timestamp};

use super::{Container, Ended, Job, JobCondition, JobConditionKind, JobShape, Pod, PodPhase};

/// `s` seconds after ten o'clock.
pub(crate) fn at(s: i64) -> Timestamp {
    "2026-11-24T10:00:00Z".parse::<Timestamp>().unwrap() + SignedDuration::from_secs(s)
}

/// The Job of the step `load`: one completion, no retries, `restartPolicy: Never`.
pub(crate) fn job() -> Job {
    Job {
        name: "f-load-0123456789".into(),
        uid: "job-uid".into(),
        flow: "n/f/flow-uid".into(),
        step: "load".into(),
        attempt: 1,
        created: at(0),
        deleting: false,
        containers: "main".into(),
        shape: JobShape {
            completions: Some(1),
            backoff_limit: Some(0),
            restart_never: true,
            ..JobShape::default()
        },
        conditions: Vec::new(),
        active: 0,
        succeeded: 0,
        failed: 0,
        completed_indexes: None,
        document: "{}".into(),
    }
}

impl Job {
    pub(crate) fn shape(mut self, change: impl FnOnce(&mut JobShape)) -> Self {
        change(&mut self.shape);
        self
    }
    pub(crate) fn completions(self, n: i64) -> Self {
        self.shape(|shape| shape.completions = Some(n))
    }
    pub(crate) fn indexed(self, n: i64) -> Self {
        self.completions(n).shape(|shape| shape.indexed = true)
    }
    pub(crate) fn backoff_limit(self, n: i64) -> Self {
        self.shape(|shape| shape.backoff_limit = Some(n))
    }
    /// With a condition that is True, ten seconds after ten.
    pub(crate) fn with(mut self, kind: JobConditionKind, reason: &str, message: &str) -> Self {
        let (reason, message) = (reason.into(), message.into());
        self.conditions.push(JobCondition { kind, reason, message, at: Some(at(10)) });
        self
    }
    pub(crate) fn counted(mut self, succeeded: i64) -> Self {
        self.succeeded = succeeded;
        self
    }
    pub(crate) fn counted_indexes(mut self, indexes: &str) -> Self {
        self.completed_indexes = Some(indexes.into());
        self
    }
}

/// A pod of [`job`] that runs: one container `main`, not counted yet.
pub(crate) fn pod(name: &str) -> Pod {
    Pod {
        name: name.into(),
        uid: format!("uid-{name}").into(),
        job: job().id(),
        created: at(0),
        deleting: false,
        tracked: true,
        phase: PodPhase::Running,
        restarts: 0,
        index: None,
        node: Some("node-1".into()),
        reason: None,
        message: None,
        containers: vec![container("main")],
        ephemeral: 0,
        waiting: None,
    }
}

/// A container that runs.
pub(crate) fn container(name: &str) -> Container {
    Container { name: name.into(), init: false, sidecar: false, ended: None }
}

impl Container {
    pub(crate) fn ended(mut self, exit_code: i64, second: i64, said: &str) -> Self {
        let reason = if exit_code == 0 { "Completed" } else { "Error" }.into();
        let finished = Some(at(second));
        self.ended = Some(Ended { exit_code, reason, message: said.into(), started: Some(at(1)), finished });
        self
    }
    pub(crate) fn reason(mut self, reason: &str) -> Self {
        self.ended.as_mut().unwrap().reason = reason.into();
        self
    }
    pub(crate) fn init(mut self) -> Self {
        self.init = true;
        self
    }
    pub(crate) fn sidecar(mut self) -> Self {
        (self.init, self.sidecar) = (true, true);
        self
    }
}

impl Pod {
    /// Succeeded at a second after ten, having said something.
    pub(crate) fn succeeded(mut self, second: i64, said: &str) -> Self {
        self.phase = PodPhase::Succeeded;
        self.containers = vec![container("main").ended(0, second, said)];
        self
    }
    /// Failed in the fifth second with an exit code and last words.
    pub(crate) fn failed(mut self, exit_code: i64, said: &str) -> Self {
        self.phase = PodPhase::Failed;
        self.containers = vec![container("main").ended(exit_code, 5, said)];
        self
    }
    pub(crate) fn containers(mut self, containers: Vec<Container>) -> Self {
        self.containers = containers;
        self
    }
    pub(crate) fn index(mut self, index: i64) -> Self {
        self.index = Some(index);
        self
    }
    pub(crate) fn restarted(mut self, times: i64) -> Self {
        self.restarts = times;
        self
    }
    pub(crate) fn deleting(mut self) -> Self {
        self.deleting = true;
        self
    }
    /// Its finalizer is gone.
    pub(crate) fn untracked(mut self) -> Self {
        self.tracked = false;
        self
    }
}

/// [`job`] with a condition, for the tests of whoever reads conditions.
pub(crate) fn complete() -> Job {
    job().with(JobConditionKind::Complete, "CompletionsReached", "Reached expected number of succeeded pods")
}
