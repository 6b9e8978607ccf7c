//! Client required: logs as they are written, of containers as they start.

use std::collections::{HashMap, HashSet};
use std::io::Write;
use std::time::Duration;

use anyhow::bail;
use futures::StreamExt;
use futures::stream::SelectAll;
use headworks::flows::api::{JobFlow, StepPhase};
use kube::runtime::{WatchStreamExt, watcher};
use tokio::time::{MissedTickBehavior, interval};

use super::lines;
use super::print::{prefix, warn, write_line};
use super::selection::Selection;
use super::source::{self, Source};
use crate::cmd::cluster::Cluster;
use crate::cmd::flow_view::FlowView;

/// Ticks between two listings while nothing in particular is expected: the next pod of a Job that has many.
const SLOW: u32 = 5;
/// Attempts at a log that is refused. A container that has only just started may have none yet.
const TRIES: u32 = 5;

/// Prints until the step or the flow is over and everything was printed.
///
/// New attempts are read from the flow's status: they are recorded there before their Jobs are created. Between that
/// and the start of their containers the pods are listed every second.
pub(super) async fn follow(
    cluster: &Cluster,
    first: JobFlow,
    selection: &Selection,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    let name = first.metadata.name.clone().unwrap_or_default();
    let mut versions = Box::pin(watcher::watch_object(cluster.api::<JobFlow>(), &name).default_backoff());
    let mut tick = interval(Duration::from_secs(1));
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut flow, mut logs, mut opened) = (first, SelectAll::new(), HashSet::new());
    let (mut due, mut waits, mut ticks) = (true, false, 0_u32);
    let mut refused: HashMap<Source, u32> = HashMap::new();
    loop {
        if due {
            (due, ticks) = (false, 0);
            // Judged by the status before this listing: what started meanwhile is seen by the next.
            let over = is_over(&flow, selection);
            let seen = source::list(cluster, &flow, selection).await?;
            waits = seen.waits;
            let labels = source::labels(&seen.sources, selection.only.is_some());
            for (source, label) in seen.sources.into_iter().zip(labels) {
                if opened.contains(&source) {
                    continue;
                }
                match lines::open(cluster, &source, &selection.params).await {
                    Ok(lines) => {
                        let (prefix, from) = (prefix(&label, selection.style), source.clone());
                        logs.push(lines.map(move |line| (prefix.clone(), from.clone(), line)).boxed());
                        opened.insert(source);
                    }
                    Err(error) => {
                        let tries = refused.entry(source.clone()).or_default();
                        *tries += 1;
                        if over || *tries >= TRIES {
                            warn(&source, &error);
                            opened.insert(source);
                        } else {
                            waits = true;
                        }
                    }
                }
            }
            if over && logs.is_empty() {
                return Ok(out.flush()?);
            }
        }
        tokio::select! {
            Some((prefix, source, line)) = logs.next() => {
                match line {
                    Ok(line) => write_line(out, &prefix, &line)?,
                    Err(error) => warn(&source, &error.into()),
                }
                out.flush()?;
            }
            version = versions.next() => match version {
                Some(Ok(Some(version))) => (flow, due) = (version, true),
                Some(Ok(None)) => bail!("{name} was deleted, and its logs with it"),
                // It is watched anew.
                Some(Err(_)) => {}
                None => bail!("the watch of {name} ended"),
            },
            _ = tick.tick() => {
                ticks += 1;
                let over = is_over(&flow, selection);
                due = if over {
                    logs.is_empty()
                } else {
                    waits || expects(&flow, selection, &opened) || ticks >= SLOW
                };
            }
        }
    }
}

/// True once nothing more will start.
fn is_over(flow: &JobFlow, selection: &Selection) -> bool {
    let view = FlowView::new(flow);
    view.is_over() || selection.only.is_some_and(|step| view.phase(step).is_final())
}

/// True while a running step has an attempt whose log was not opened yet.
fn expects(flow: &JobFlow, selection: &Selection, opened: &HashSet<Source>) -> bool {
    let view = FlowView::new(flow);
    (0..view.dag.len()).any(|step| {
        let attempt = view.status(step).and_then(|status| status.attempt).unwrap_or(1);
        selection.only.is_none_or(|only| only == step)
            && view.phase(step) == StepPhase::Running
            && !opened.iter().any(|one| one.step == view.dag.name(step) && one.attempt == attempt)
    })
}
