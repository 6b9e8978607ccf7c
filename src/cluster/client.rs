//! The client of `headworks run`: kube's, with an end to every silence. Client required.
//!
//! A connection may die without a word: a machine is lost, a NAT forgets, a balancer restarts. kube waits for the head of
//! an answer for ever, and for the next event of a watch for five minutes. Here:
//! - every watch, whoever opens it, asks the API server to end it after [`WATCH`]. The API server sends a bookmark two
//!   seconds before, so something is heard of a watch at least that often, and the next one goes on where it ended;
//! - a read of which nothing is heard for [`SILENCE`] fails, head or body, and a write whose head does not come within
//!   [`WRITE`]. Its connection is closed;
//! - connections that stand idle beside one that fell silent are not tried one after the other: the next call is made by a
//!   client with fresh ones;
//! - [`WatchAges`] tells when something was last heard of the watches of each kind.
//!
//! Commands such as `headworks logs --follow` don't use it: what they wait for may take any time.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use http::{Method, Request, Response, Uri};
use kube::client::{Body, ClientBuilder};
use kube::{Client, Config};
use tower::{BoxError, service_fn};

mod ages;
mod heard;

pub use ages::{TOO_OLD, WatchAges};

use ages::Asked;
use heard::Heard;

use crate::cluster::api_calls::ApiCalls;

/// How long a watch lasts; then the API server ends it, and it is begun again where it ended.
pub const WATCH: Duration = Duration::from_secs(20);
/// The longest silence of a read: more than [`WATCH`], so that an API server that is a little late is not cut off.
pub const SILENCE: Duration = Duration::from_secs(24);
/// The longest wait for the head of the answer to a write: more than the 30 s that an admission webhook may take.
pub const WRITE: Duration = Duration::from_secs(35);
/// A call that its caller gave up after so long without a head makes the connections suspect, too.
const SUSPECT: Duration = Duration::from_secs(4);

/// Nothing was heard of a call for too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("nothing was heard for {} s; the connection is closed", .0.as_secs())]
pub struct Silence(Duration);

/// A client on `config` whose calls are counted and whose watches are timed.
pub fn client(config: Config, calls: &ApiCalls, ages: &WatchAges) -> kube::Result<Client> {
    bounded(config, calls, ages, SILENCE)
}

/// The same; reads may be silent for so long.
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
) -> Result<Response<Heard>, BoxError> {
    let asked = ages.asked(request.method(), request.uri());
    let bound = if *request.method() == Method::GET { silence } else { WRITE };
    if let Some(shorter) = shorter(request.uri()) {
        *request.uri_mut() = shorter;
    }
    let (generation, client) = connections.current();
    let mut waiting = Waiting { connections, generation, since: Instant::now(), over: false };
    let answer = tokio::time::timeout(bound, client.send(request)).await;
    waiting.over = answer.is_ok();
    match answer {
        Ok(Ok(response)) => {
            if let Some(asked) = &asked {
                asked.heard();
            }
            let told = Told { connections: waiting.connections.clone(), generation };
            Ok(response.map(|body| Heard::new(body, bound, asked, told)))
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

/// The address of a watch that ends after [`WATCH`]; `None` for anything else, and for one that ends before.
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

/// Whether a query is that of a watch.
fn is_watch(query: &str) -> bool {
    query.split('&').any(|part| matches!(part, "watch=true" | "watch=1"))
}

/// The client in use. Its connections are left behind, all of them, when one falls silent.
struct Connections {
    config: Config,
    current: Mutex<Current>,
}

struct Current {
    client: Client,
    generation: u64,
    /// One of its connections fell silent: the next call makes another client.
    suspect: bool,
}

impl Connections {
    fn new(config: Config) -> kube::Result<Self> {
        let client = Client::try_from(config.clone())?;
        Ok(Self { config, current: Mutex::new(Current { client, generation: 0, suspect: false }) })
    }

    /// The client to call with, and its generation.
    fn current(&self) -> (u64, Client) {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if std::mem::take(&mut current.suspect) {
            match Client::try_from(self.config.clone()) {
                Ok(client) => {
                    current.client = client;
                    current.generation += 1;
                }
                Err(error) => tracing::warn!(%error, "no fresh connections could be made"),
            }
        }
        (current.generation, current.client.clone())
    }

    /// A connection of this generation fell silent. What is on its way on others of it goes on.
    fn suspect(&self, generation: u64) {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        current.suspect |= current.generation == generation;
    }
}

/// A call that waits for its head, until it is over or given up.
struct Waiting {
    connections: Arc<Connections>,
    generation: u64,
    since: Instant,
    over: bool,
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if !self.over && self.since.elapsed() >= SUSPECT {
            self.connections.suspect(self.generation);
        }
    }
}

/// Where a body tells that it fell silent.
struct Told {
    connections: Arc<Connections>,
    generation: u64,
}

impl Told {
    fn silent(&self) {
        self.connections.suspect(self.generation);
    }
}

#[cfg(test)]
mod tests;
