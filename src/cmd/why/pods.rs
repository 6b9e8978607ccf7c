//! PURE: finds the trouble of a pod.

use headworks::names::CONTAINERS_ANNOTATION;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ContainerState, ContainerStatus, Event, Pod};

use super::diagnosis::Diagnosis;
use crate::cmd::words::clean;

/// The containers of a pod, those that run first in front.
pub(super) fn containers(pod: &Pod) -> impl Iterator<Item = &ContainerStatus> {
    let status = pod.status.as_ref();
    let first = status.and_then(|status| status.init_container_statuses.as_ref());
    let then = status.and_then(|status| status.container_statuses.as_ref());
    first.into_iter().chain(then).flatten()
}

/// The containers of the template that a step's Job was made from.
fn of_template(job: &Job) -> Vec<&str> {
    let annotations = job.metadata.annotations.as_ref();
    let names = annotations.and_then(|annotations| annotations.get(CONTAINERS_ANNOTATION));
    names.map(|names| names.split(',').collect()).unwrap_or_default()
}

/// `Running on node-1`.
pub(super) fn phase(pod: &Pod) -> String {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref()).unwrap_or("Pending");
    let node = pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref());
    let going = if pod.metadata.deletion_timestamp.is_some() { ", being deleted" } else { "" };
    node.map_or_else(|| format!("{phase}{going}"), |node| format!("{phase} on {node}{going}"))
}

/// `waiting: ImagePullBackOff`.
pub(super) fn state(container: &ContainerStatus) -> String {
    let restarts = match container.restart_count {
        0 => String::new(),
        1 => ", restarted once".to_owned(),
        n => format!(", restarted {n} times"),
    };
    format!("{}{restarts}", of(container.state.as_ref()))
}

fn of(state: Option<&ContainerState>) -> String {
    match state {
        Some(ContainerState { running: Some(_), .. }) => "running".to_owned(),
        Some(ContainerState { terminated: Some(ended), .. }) => match ended.reason.as_deref() {
            Some(reason @ ("OOMKilled" | "DeadlineExceeded" | "ContainerCannotRun" | "StartError")) => {
                format!("ended: {reason}, exit code {}", ended.exit_code)
            }
            _ => format!("ended: exit code {}", ended.exit_code),
        },
        Some(ContainerState { waiting: Some(waiting), .. }) => {
            format!(
                "waiting: {}",
                waiting.reason.as_deref().map_or_else(|| "to be started".to_owned(), clean)
            )
        }
        _ => "not started".to_owned(),
    }
}

/// The first thing that went wrong with a pod: it keeps the pod from running, or ended it.
/// Containers of the step's template are checked before those that somebody else put into the pod.
pub(super) fn trouble(pod: &Pod, job: Option<&Job>, events: &[Event]) -> Option<Diagnosis> {
    let status = pod.status.as_ref()?;
    let unscheduled = status
        .conditions
        .iter()
        .flatten()
        .find(|condition| condition.type_ == "PodScheduled" && condition.status == "False");
    if let Some(condition) = unscheduled {
        let said = condition.message.as_deref().map_or_else(|| "no node takes it".to_owned(), clean);
        return Some(Diagnosis::new(format!("its pod finds no node: {said}")).fix(
            "make room in the cluster, or ask for less: resources.requests, nodeSelector, affinity and tolerations \
             of the step's template",
        ));
    }
    if let Some(found) = containers(pod).find_map(|container| waiting(container, pod)) {
        return Some(found);
    }
    if let Some(reason) = status.reason.as_deref().map(clean) {
        let said = status.message.as_deref().map(|said| format!(": {}", clean(said))).unwrap_or_default();
        return Some(Diagnosis::new(format!("its pod was ended from outside: {reason}{said}")));
    }
    let ours = job.map(of_template).unwrap_or_default();
    let (ours, others): (Vec<_>, Vec<_>) =
        containers(pod).partition(|container| ours.contains(&container.name.as_str()));
    if let Some(found) = ours.into_iter().chain(others).find_map(ended) {
        return Some(found);
    }
    // A pod that is being set up has no state of its own to tell what it lacks.
    let waits = containers(pod)
        .any(|container| container.state.as_ref().is_some_and(|state| state.waiting.is_some()))
        || status.phase.as_deref() == Some("Pending");
    let warning = events.iter().rev().find(|event| {
        event.type_.as_deref() == Some("Warning") && event.involved_object.uid == pod.metadata.uid
    });
    let warning = warning.filter(|_| waits)?;
    let said = warning.message.as_deref().map(clean).unwrap_or_default();
    let reason = warning.reason.as_deref().map(clean).unwrap_or_default();
    Some(
        Diagnosis::new(format!("its pod cannot be set up: {reason}: {said}"))
            .fix("look at the volumes, ConfigMaps and Secrets that the step's template names"),
    )
}

fn waiting(container: &ContainerStatus, pod: &Pod) -> Option<Diagnosis> {
    let waiting = container.state.as_ref()?.waiting.as_ref()?;
    let said = waiting.message.as_deref().map(|said| format!(": {}", clean(said))).unwrap_or_default();
    let name = &container.name;
    let diagnosis = match waiting.reason.as_deref()? {
        "ErrImagePull"
        | "ImagePullBackOff"
        | "InvalidImageName"
        | "ErrImageNeverPull"
        | "RegistryUnavailable" => {
            let image = image(container, pod);
            Diagnosis::new(format!("the image {image:?} of container {name:?} cannot be pulled{said}")).fix(
                "check the image's name and tag, imagePullPolicy, and imagePullSecrets where the registry asks for a login",
            )
        }
        "CreateContainerConfigError" => {
            Diagnosis::new(format!("container {name:?} lacks something that it names{said}"))
                .fix("make that ConfigMap, Secret or key; the container starts by itself then")
        }
        reason @ ("CreateContainerError" | "RunContainerError" | "StartError") => {
            Diagnosis::new(format!("container {name:?} cannot be started: {reason}{said}"))
                .fix("check its command, volumeMounts and securityContext")
        }
        "CrashLoopBackOff" => {
            let last = container.last_state.as_ref();
            Diagnosis::new(format!(
                "container {name:?} ends again and again ({}); restartPolicy OnFailure starts it anew",
                of(last)
            ))
            .logs()
        }
        _ => return None,
    };
    Some(diagnosis)
}

fn ended(container: &ContainerStatus) -> Option<Diagnosis> {
    let ended = container.state.as_ref()?.terminated.as_ref().filter(|ended| ended.exit_code != 0)?;
    let name = &container.name;
    Some(match ended.reason.as_deref() {
        Some("OOMKilled") => {
            Diagnosis::new(format!("container {name:?} was killed: it used more memory than its limit"))
                .fix("raise resources.limits.memory in the step's template, or use less")
        }
        Some(reason @ ("ContainerCannotRun" | "StartError")) => {
            let said = ended.message.as_deref().map(|said| format!(": {}", clean(said))).unwrap_or_default();
            Diagnosis::new(format!("container {name:?} could not be started: {reason}{said}"))
                .fix("check its command, volumeMounts and securityContext")
        }
        _ => {
            let hint = match ended.exit_code {
                126 => ", its command may not be executed",
                127 => ", its command was not found",
                137 => ", it was killed (SIGKILL)",
                139 => ", it crashed (SIGSEGV)",
                143 => ", it was told to end (SIGTERM)",
                _ => "",
            };
            Diagnosis::new(format!("container {name:?} ended with exit code {}{hint}", ended.exit_code))
                .logs()
        }
    })
}

/// The image as the template has it; the status may have it resolved, or not at all.
fn image<'a>(container: &'a ContainerStatus, pod: &'a Pod) -> &'a str {
    let spec = pod.spec.as_ref();
    let init = spec.and_then(|spec| spec.init_containers.as_ref()).into_iter().flatten();
    let main = spec.map(|spec| &spec.containers).into_iter().flatten();
    let found = init.chain(main).find(|one| one.name == container.name);
    found.and_then(|one| one.image.as_deref()).unwrap_or(&container.image)
}
