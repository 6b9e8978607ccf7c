//! Who is to blame: the first container that failed, or the pod itself where no container did.

use std::fmt;

use jiff::Timestamp;

use super::document::{MOST_OF_CONTAINER, limit};
use crate::flows::observed::{Container, Ended, Job, Pod, PodPhase};

/// How much of what a container said is repeated; characters.
const MOST_SAID: usize = 256;

/// What failed first.
#[derive(Clone, Copy, Debug)]
pub(super) enum Blame<'a> {
    /// A container that ended, and should not have ended so.
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

    /// When the container ended.
    pub(super) fn at(&self) -> Option<Timestamp> {
        match self {
            Self::Container(_, _, ended) => ended.finished,
            Self::Pod(_) => None,
        }
    }
}

/// The first container that failed, in the pods that are Failed by themselves: what ends because its pod is deleted
/// is a consequence of something else.
///
/// A container that is not of the step's template was put into the pod by somebody else, and is to blame only where no
/// other is.
pub(super) fn first_failure<'a>(job: &Job, pods: &[&'a Pod]) -> Option<Blame<'a>> {
    let failed = || pods.iter().copied().filter(|pod| pod.phase == PodPhase::Failed && !pod.deleting);
    let containers = failed().flat_map(|pod| {
        pod.containers.iter().enumerate().filter_map(move |(place, container)| {
            let ended = container.ended.as_ref().filter(|ended| ended.exit_code != 0)?;
            // Sidecars are stopped once the others are done, often by a signal. Times are whole seconds.
            let whose = (container.sidecar, !job.has_container(&container.name));
            let order = (whose, ended.finished.is_none(), ended.finished, pod.created, &pod.name, place);
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
        let said = match self {
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
                // Of what is too long the kubelet keeps the end: it begins within a line.
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
        match first_line(said) {
            line if line.is_empty() => Ok(()),
            line if cut => write!(f, ": …{line}"),
            line => write!(f, ": {line}"),
        }
    }
}

/// The first line that says something, cut to [`MOST_SAID`] characters. Whatever could move a terminal's cursor is
/// left out: it was written by a container.
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
