//! Client required: a flow until it is over.

use std::io::Write;
use std::time::Duration;

use anyhow::bail;
use futures::{Stream, StreamExt};
use headworks::flows::api::JobFlow;
use jiff::{Timestamp, Unit};
use kube::runtime::{WatchStreamExt, watcher};
use tokio::time::{MissedTickBehavior, interval};

use super::screen::{self, Canvas};
use super::view::{View, changes};
use crate::cmd::cluster::Cluster;
use crate::cmd::flow_view::FlowView;
use crate::cmd::style::Style;

/// The flow, whenever it changes. An error after which the watch is tried again is reported and passed over.
fn versions(cluster: &Cluster, name: &str) -> impl Stream<Item = watcher::Result<Option<JobFlow>>> + use<> {
    watcher::watch_object(cluster.api::<JobFlow>(), name).default_backoff()
}

/// Draws the flow on a terminal, again and again, and returns its last state.
pub(super) async fn drawn(
    cluster: &Cluster,
    name: &str,
    first: JobFlow,
    style: Style,
    out: &mut dyn Write,
) -> anyhow::Result<JobFlow> {
    let mut versions = Box::pin(versions(cluster, name));
    // Time goes on, and the window may have changed.
    let mut tick = interval(Duration::from_secs(1));
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut flow, mut canvas, mut trouble) = (first, Canvas::default(), None::<String>);
    loop {
        let over = FlowView::new(&flow).is_over();
        let size = screen::size();
        // A drawing that is higher than the window could not be drawn over; the last one needs not be.
        let height = size.filter(|_| !over).map(|size| size.height.saturating_sub(2));
        let view = View { width: size.map(|size| size.width), height, style, tree: true };
        let mut text = view.render(&flow, Timestamp::now());
        text.extend(trouble.iter().map(|trouble| format!("{trouble}\n")));
        write!(out, "{}", canvas.over(&text))?;
        out.flush()?;
        if over {
            return Ok(flow);
        }
        tokio::select! {
            version = versions.next() => match version {
                Some(Ok(Some(version))) => (flow, trouble) = (version, None),
                Some(Ok(None)) => bail!("{name} was deleted"),
                Some(Err(error)) => trouble = Some(trouble_of(cluster, error)?),
                None => bail!("the watch of {name} ended"),
            },
            _ = tick.tick() => {}
        }
    }
}

/// Prints the flow, then its changes, and returns its last state.
pub(super) async fn listed(
    cluster: &Cluster,
    name: &str,
    first: JobFlow,
    style: Style,
    out: &mut dyn Write,
) -> anyhow::Result<JobFlow> {
    let view = View { width: None, height: None, style, tree: false };
    write!(out, "{}", view.render(&first, Timestamp::now()))?;
    out.flush()?;
    let mut versions = Box::pin(versions(cluster, name));
    let mut flow = first;
    while !FlowView::new(&flow).is_over() {
        match versions.next().await {
            Some(Ok(Some(version))) => {
                let now = Timestamp::now().round(Unit::Second)?;
                for line in changes(&flow, &version) {
                    writeln!(out, "{now} {line}")?;
                }
                out.flush()?;
                flow = version;
            }
            Some(Ok(None)) => bail!("{name} was deleted"),
            Some(Err(error)) => {
                let now = Timestamp::now().round(Unit::Second)?;
                writeln!(out, "{now} {}", trouble_of(cluster, error)?)?;
                out.flush()?;
            }
            None => bail!("the watch of {name} ended"),
        }
    }
    Ok(flow)
}

/// The message about a failed watch, or the error to end with where trying again is of no use.
fn trouble_of(cluster: &Cluster, error: watcher::Error) -> anyhow::Result<String> {
    let error = match error {
        watcher::Error::InitialListFailed(error)
        | watcher::Error::WatchStartFailed(error)
        | watcher::Error::WatchFailed(error) => error,
        watcher::Error::WatchError(status) => kube::Error::Api(status),
        watcher::Error::NoResourceVersion => return Ok("the watch is begun anew".to_owned()),
    };
    let hopeless = matches!(&error, kube::Error::Api(status) if matches!(status.code, 401 | 403 | 404));
    let error = cluster.explain(error);
    if hopeless { Err(error) } else { Ok(format!("trying again: {error:#}")) }
}
