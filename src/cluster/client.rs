//! The client of `headworks run`: kube's, with a limit on every silence. Client required.
//!
//! A connection may die silently: a machine is lost, a NAT forgets, a balancer restarts. kube waits without limit for the
//! head of an answer, and five minutes for the next event of a watch. Here:
//! - every watch, whoever opens it, asks the API server to end it after [`WATCH`]. The API server sends a bookmark two
//!   seconds before, so something is heard of a watch at least that often, and the next one goes on where it ended;
//! - a read of which nothing is heard for [`SILENCE`] fails, head or body, and a write whose head does not come within
//!   [`WRITE`]. Its connection is closed;
//! - connections that stand idle beside one that fell silent are not tried one after the other: the next call is made by a
//!   client with fresh ones;
//! - [`WatchAges`] keeps when something was last heard of the watches of each kind.
//!
//! Commands such as `headworks logs --follow` don't use it: they may wait any time for the next line.

use std::sync::Arc;
use std::time::Duration;

use http::{Method, Request, Response, Uri};
use kube::client::{Body, ClientBuilder};
use kube::{Client, Config};
use tower::{BoxError, service_fn};

mod ages;
mod body;
mod connections;

pub use ages::{TOO_OLD, WatchAges};
pub use connections::Silence;

use ages::{Asked, is_watch};
use body::WatchedBody;
use connections::{Connections, Waiting};

use crate::cluster::api_calls::ApiCalls;

/// The length of a watch; then the API server ends it, and it is restarted where it ended.
pub const WATCH: Duration = Duration::from_secs(20);
/// The longest silence of a read: more than [`WATCH`], so that an API server that is a little late is not cut off.
pub const SILENCE: Duration = Duration::from_secs(24);
/// The longest wait for the head of the answer to a write: more than the 30 s that an admission webhook may take.
pub const WRITE: Duration = Duration::from_secs(35);

/// Makes a client whose calls are counted and whose watches are timed.
pub fn client(config: Config, calls: &ApiCalls, ages: &WatchAges) -> kube::Result<Client> {
    bounded(config, calls, ages, SILENCE)
}

/// Makes the same client, whose reads may be silent for so long.
fn bounded(config: Config, calls: &ApiCalls, ages: &WatchAges, silence: Duration) -> kube::Result<Client> {
    let namespace = config.default_namespace.clone();
    let connections = Arc::new(Connections::new(config)?);
    let ages = ages.clone();
    let service = service_fn(move |request: Request<Body>| {
        let (connections, ages) = (connections.clone(), ages.clone());
        async move { send(connections, &ages, silence, request).await }
    });
    Ok(ClientBuilder::new(service, namespace).with_layer(calls).build())
}

async fn send(
    connections: Arc<Connections>,
    ages: &WatchAges,
    silence: Duration,
    mut request: Request<Body>,
) -> Result<Response<WatchedBody>, BoxError> {
    let asked = ages.asked(request.method(), request.uri());
    let bound = if *request.method() == Method::GET { silence } else { WRITE };
    if let Some(shorter) = shorter(request.uri()) {
        *request.uri_mut() = shorter;
    }
    let (generation, client) = connections.current();
    let mut waiting = Waiting::begin(connections, generation);
    let answer = tokio::time::timeout(bound, client.send(request)).await;
    waiting.over = answer.is_ok();
    match answer {
        Ok(Ok(response)) => {
            if let Some(asked) = &asked {
                asked.heard();
            }
            let connection = waiting.connection.clone();
            Ok(response.map(|body| WatchedBody::new(body, bound, asked, connection)))
        }
        Ok(Err(error)) => {
            asked.into_iter().for_each(Asked::ended);
            Err(error.into())
        }
        Err(_) => {
            asked.into_iter().for_each(Asked::ended);
            Err(Silence(bound).into())
        }
    }
}

/// Returns the address of a watch that ends after [`WATCH`]; `None` for anything else, and for one that ends earlier.
fn shorter(uri: &Uri) -> Option<Uri> {
    const FIELD: &str = "timeoutSeconds=";
    let query = uri.query()?;
    if !is_watch(query) {
        return None;
    }
    let wanted = WATCH.as_secs();
    let given = |part: &str| part.strip_prefix(FIELD).map(str::to_owned);
    if query.split('&').filter_map(given).any(|given| given.parse().is_ok_and(|n: u64| 0 < n && n <= wanted))
    {
        return None;
    }
    let others = query.split('&').filter(|part| !part.is_empty() && given(part).is_none());
    let mut query: Vec<&str> = others.collect();
    let ours = format!("{FIELD}{wanted}");
    query.push(&ours);
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(format!("{}?{}", uri.path(), query.join("&")).parse().ok()?);
    Uri::from_parts(parts).ok()
}

#[cfg(test)]
mod tests;
