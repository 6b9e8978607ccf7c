//! The cause of a Job's failure: the first container that failed, or the pod itself where no container did.

use std::fmt;

use jiff::Timestamp;

use super::document::{MOST_OF_CONTAINER, limit};
use crate::flows::observed::{Container, Ended, Job, Pod, PodPhase};

/// The most characters of a termination message that are repeated in a status.
const MOST_SAID: usize = 256;

/// The first failure.
#[derive(Clone, Copy, Debug)]
pub(super) enum Blame<'a> {
    /// A container that ended with an exit code other than 0.
    Container(&'a Pod, &'a Container, &'a Ended),
    /// A pod that failed as a whole, such as one that was evicted.
    Pod(&'a Pod),
}

impl Blame<'_> {
    /// The container's exit code.
    pub(super) fn exit_code(&self) -> Option<i64> {
        match self {
            Self::Container(_, _, ended) => Some(ended.exit_code),
            Self::Pod(_) => None,
        }
    }

    /// The time at which the container ended.
    pub(super) fn at(&self) -> Option<Timestamp> {
        match self {
            Self::Container(_, _, ended) => ended.finished,
            Self::Pod(_) => None,
        }
    }
}

/// Finds the first container that failed, in the pods that are Failed by themselves: a container that ends because its
/// pod is deleted is a consequence of something else.
///
/// A container that is not in the step's template was injected by somebody else, and is the cause only if no other
/// container failed.
pub(super) fn first_failure<'a>(job: &Job, pods: &[&'a Pod]) -> Option<Blame<'a>> {
    let failed = || pods.iter().copied().filter(|pod| pod.phase == PodPhase::Failed && !pod.deleting);
    let containers = failed().flat_map(|pod| {
        pod.containers.iter().enumerate().filter_map(move |(index, container)| {
            let ended = container.ended.as_ref().filter(|ended| ended.exit_code != 0)?;
            // Sidecars are stopped once the others are done, often by a signal. Times are whole seconds.
            let rank = (container.sidecar, !job.has_container(&container.name));
            let order = (rank, ended.finished.is_none(), ended.finished, pod.created, &pod.name, index);
            Some((order, Blame::Container(pod, container, ended)))
        })
    });
    let container = containers.min_by(|(a, _), (b, _)| a.cmp(b)).map(|(_, blame)| blame);
    // A pod that was evicted is deleted as well, and says why.
    let whole = || {
        let failed = pods.iter().copied().filter(|pod| pod.phase == PodPhase::Failed && pod.reason.is_some());
        failed.min_by_key(|pod| (pod.created, &pod.name)).map(Blame::Pod)
    };
    match container {
        Some(Blame::Container(_, Container { sidecar: true, .. }, _)) => whole().or(container),
        Some(_) => container,
        None => whole(),
    }
}

impl fmt::Display for Blame<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut cut = false;
        let message = match self {
            Self::Container(pod, container, ended) => {
                let kind = if container.init { "init container" } else { "container" };
                write!(
                    f,
                    "{kind} \"{}\" of pod \"{}\" exited with {}",
                    container.name, pod.name, ended.exit_code
                )?;
                if !matches!(&*ended.reason, "" | "Error" | "Completed") {
                    write!(f, " ({})", ended.reason)?;
                }
                // The kubelet keeps the end of a message that is too long, so that it begins within a line.
                cut = ended.message.len() >= MOST_OF_CONTAINER && limit(pod) == MOST_OF_CONTAINER;
                &*ended.message
            }
            Self::Pod(pod) => {
                write!(f, "pod \"{}\" failed", pod.name)?;
                if let Some(reason) = &pod.reason {
                    write!(f, " ({reason})")?;
                }
                pod.message.as_deref().unwrap_or_default()
            }
        };
        match first_line(message) {
            line if line.is_empty() => Ok(()),
            line if cut => write!(f, ": …{line}"),
            line => write!(f, ": {line}"),
        }
    }
}

/// Returns the first line that is not blank, cut to [`MOST_SAID`] characters. Control characters are left out: a
/// container wrote them, and they could move the cursor of a terminal.
fn first_line(text: &str) -> String {
    let line = text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default();
    let mut chars = line.chars().filter(|c| !c.is_control());
    let mut cut: String = chars.by_ref().take(MOST_SAID).collect();
    if chars.next().is_some() {
        cut.pop();
        cut.push('…');
    }
    cut
}
