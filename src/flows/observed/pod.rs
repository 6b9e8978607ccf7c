//! Reading of pods.

use serde_json::Value;

use super::job::controller;
use super::view::{
    ContainerStatusView, ContainerView, PodConditionView, PodStatusView, PodView, TerminatedView,
};
use super::{Container, Ended, Pod, PodPhase, PodWaiting, PodWaitingKind, id};

/// The finalizer that a pod has until its Job has counted it (`batch.JobTrackingFinalizer`).
const TRACKING: &str = "batch.kubernetes.io/job-tracking";
const INDEX: &str = "batch.kubernetes.io/job-completion-index";
/// The kubelet's reasons if an image cannot be pulled (`pkg/kubelet/images/types.go`, `cri-api/pkg/errors`).
const IMAGE_REASONS: [&str; 7] = [
    "ErrImagePull",
    "ImagePullBackOff",
    "InvalidImageName",
    "ErrImageNeverPull",
    "ImageInspectError",
    "RegistryUnavailable",
    "SignatureValidationFailed",
];
const CONFIG_REASONS: [&str; 2] = ["CreateContainerConfigError", "CreateContainerError"];
/// The most bytes that are kept of a message about a pod.
const LONGEST_MESSAGE: usize = 512;

impl Pod {
    /// Reads the API's JSON; `None` if no Job owns the pod.
    pub fn read(object: Value) -> Result<Option<Self>, serde_json::Error> {
        Ok(Self::from_view(serde_json::from_value(object)?))
    }

    /// Converts a pod that a Job controls; `None` for any other. Only the Job shows whether it is one of ours.
    pub fn from_view(view: PodView) -> Option<Self> {
        let PodView { metadata, spec, mut status } = view;
        let owner = controller(&metadata)
            .filter(|owner| owner.kind == "Job" && owner.api_version.starts_with("batch/"))?;
        let index = metadata.annotations.as_ref().and_then(|annotations| annotations.get(INDEX));
        let phase = match status.phase.as_deref() {
            Some("Pending") | None => PodPhase::Pending,
            Some("Running") => PodPhase::Running,
            Some("Succeeded") => PodPhase::Succeeded,
            Some("Failed") => PodPhase::Failed,
            Some(_) => PodPhase::Unknown,
        };
        let waiting =
            if matches!(phase, PodPhase::Succeeded | PodPhase::Failed) { None } else { waiting(&status) };
        let statuses = status.init_container_statuses.iter().chain(&status.container_statuses);
        let restarts = statuses.map(|status| status.restart_count).fold(0, i64::saturating_add);
        let (reason, message) = reason_of_end(&mut status);
        let ephemeral = spec.ephemeral_containers.len();
        // Statuses are sorted by name; the spec keeps the author's order.
        let init = spec.init_containers.into_iter().map(|view| container(view, true, &mut status));
        let mut containers: Vec<_> = init.collect();
        containers.extend(spec.containers.into_iter().map(|view| container(view, false, &mut status)));
        containers.shrink_to_fit();
        Some(Self {
            name: metadata.name.as_deref()?.into(),
            uid: metadata.uid.as_deref()?.into(),
            // In Kubernetes an owner is always in the same namespace.
            job: id(metadata.namespace.as_deref().unwrap_or_default(), &owner.name, &owner.uid),
            created: metadata.creation_timestamp.as_ref()?.0,
            deleting: metadata.deletion_timestamp.is_some(),
            tracked: metadata.finalizers.iter().flatten().any(|finalizer| finalizer == TRACKING),
            phase,
            restarts,
            index: index.and_then(|index| index.parse().ok()).filter(|index| *index >= 0),
            node: spec.node_name.map(Into::into),
            reason: reason.map(Into::into),
            message: message.filter(|text| !text.is_empty()).map(shortened),
            containers,
            ephemeral,
            waiting,
        })
    }
}

/// Returns the reason and message for which a pod ended as a whole: the kubelet's own, or those of a disruption, such
/// as an eviction or a preemption.
fn reason_of_end(status: &mut PodStatusView) -> (Option<String>, Option<String>) {
    let own = status.reason.take().filter(|text| !text.is_empty());
    let is_target = |condition: &&mut PodConditionView| {
        condition.type_ == "DisruptionTarget" && condition.status == "True"
    };
    match (own, status.conditions.iter_mut().find(is_target)) {
        (None, Some(disruption)) => (disruption.reason.take(), disruption.message.take()),
        (own, _) => (own, status.message.take()),
    }
}

fn container(view: ContainerView, init: bool, status: &mut PodStatusView) -> Container {
    let statuses = if init { &mut status.init_container_statuses } else { &mut status.container_statuses };
    let status = statuses.iter_mut().find(|status| status.name == view.name);
    Container {
        name: view.name.into(),
        init,
        sidecar: init && view.restart_policy.as_deref() == Some("Always"),
        ended: status.and_then(|status| status.state.terminated.take()).map(ended),
    }
}

fn ended(view: TerminatedView) -> Ended {
    Ended {
        exit_code: view.exit_code,
        reason: view.reason.unwrap_or_default().into(),
        message: view.message.unwrap_or_default().into(),
        started: view.started_at.map(|time| time.0),
        finished: view.finished_at.map(|time| time.0),
    }
}

/// Returns the reason why a pod does not run: the scheduler's first, then that of containers in the order in which they
/// start.
fn waiting(status: &PodStatusView) -> Option<PodWaiting> {
    let unscheduled = status
        .conditions
        .iter()
        .find(|condition| condition.type_ == "PodScheduled" && condition.status == "False")
        .map(|condition| PodWaiting {
            kind: PodWaitingKind::Unschedulable,
            message: shortened(
                condition.message.as_deref().or(condition.reason.as_deref()).unwrap_or_default().to_owned(),
            ),
            since: condition.last_transition_time.as_ref().map(|time| time.0),
        });
    let containers = || {
        let mut statuses = status.init_container_statuses.iter().chain(&status.container_statuses);
        statuses.find_map(waiting_container)
    };
    unscheduled.or_else(containers)
}

fn waiting_container(status: &ContainerStatusView) -> Option<PodWaiting> {
    let waiting = status.state.waiting.as_ref()?;
    let reason = waiting.reason.as_deref()?;
    let kind = if IMAGE_REASONS.contains(&reason) {
        PodWaitingKind::ImagePull
    } else if CONFIG_REASONS.contains(&reason) {
        PodWaitingKind::ContainerConfig
    } else {
        // ContainerCreating and PodInitializing are part of every start.
        return None;
    };
    let mut message = format!("container \"{}\": {reason}", status.name);
    if let Some(details) = waiting.message.as_deref().filter(|details| !details.is_empty()) {
        message += ": ";
        message += details;
    }
    Some(PodWaiting { kind, message: shortened(message), since: None })
}

fn shortened(mut text: String) -> Box<str> {
    if text.len() > LONGEST_MESSAGE {
        text.truncate(text.floor_char_boundary(LONGEST_MESSAGE));
    }
    text.into()
}
