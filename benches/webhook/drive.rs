//! The client: calls as an API server makes them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use headworks_testkit::{ApiServer, Call, Load, Phase, Report};
use tokio::task::JoinSet;
use tokio::time::{interval, sleep};

use crate::review;
use crate::server::{Child, NAME};

/// The path at which flows are validated.
pub(crate) const FLOW: &str = "/validate-jobflow";
/// Callers at saturation, each of which waits for its answer.
const CALLERS: usize = 8;

/// Makes the n-th call.
#[derive(Clone)]
pub(crate) struct Calls {
    before: Arc<str>,
    after: Arc<str>,
}

impl Calls {
    pub(crate) fn new() -> Self {
        let text = review::template();
        let (before, after) = text.split_once("\"UID\"").unwrap();
        Self { before: before.into(), after: after.into() }
    }

    pub(crate) fn call(&self, path: &str, number: u64) -> Call {
        let uid = format!("705ab4f5-6393-11e8-b7cc-{number:012}");
        let body = format!("{}\"{uid}\"{}", self.before, self.after);
        Call::new(path, Phase::Validating, &uid, body)
    }
}

pub(crate) struct Driver<'a> {
    server: &'a Child,
    calls: Calls,
}

impl<'a> Driver<'a> {
    pub(crate) fn new(server: &'a Child) -> Self {
        Self { server, calls: Calls::new() }
    }

    /// A caller with no connections yet.
    pub(crate) fn caller(&self, keep_alive: bool) -> ApiServer {
        let address = self.server.address;
        let tls = ApiServer::tls([self.server.root.clone()]).unwrap();
        let caller = ApiServer::new(NAME, tls, move || address).unwrap();
        if keep_alive { caller } else { caller.without_keep_alive(move || address) }
    }

    fn start(&self, path: &'static str, keep_alive: bool, rate: f64) -> Load {
        let calls = self.calls.clone();
        Load::start(&self.caller(keep_alive), rate, move |number| calls.call(path, number))
    }

    /// An open loop.
    pub(crate) async fn load(
        &self,
        path: &'static str,
        keep_alive: bool,
        rate: f64,
        lasting: Duration,
    ) -> Report {
        let load = self.start(path, keep_alive, rate);
        sleep(lasting).await;
        let report = load.stop().await;
        eprintln!("{path}, {rate}/s, {}: {report}", if keep_alive { "kept" } else { "new" });
        report
    }

    /// The same, with a new certificate four times a second.
    pub(crate) async fn load_with_reloads(
        &self,
        path: &'static str,
        keep_alive: bool,
        rate: f64,
        lasting: Duration,
    ) -> Report {
        let load = self.start(path, keep_alive, rate);
        let (begin, mut ticks) = (Instant::now(), interval(Duration::from_millis(250)));
        while begin.elapsed() < lasting {
            ticks.tick().await;
            self.server.reload();
        }
        let report = load.stop().await;
        eprintln!("{path}, {rate}/s, reloads: {report}");
        report
    }

    /// Calls a second, where each caller waits for its answer and calls again.
    pub(crate) async fn saturate(&self, path: &'static str, lasting: Duration) -> f64 {
        let (caller, begin) = (self.caller(true), Instant::now());
        let mut callers = JoinSet::new();
        for number in 0..CALLERS as u64 {
            let (caller, calls) = (caller.clone(), self.calls.clone());
            callers.spawn(async move {
                let mut made = 0_u32;
                while begin.elapsed() < lasting {
                    caller.call(&calls.call(path, number)).await.unwrap();
                    made += 1;
                }
                made
            });
        }
        let made: u32 = callers.join_all().await.into_iter().sum();
        let rate = f64::from(made) / begin.elapsed().as_secs_f64();
        eprintln!("{path} at saturation: {rate:.0}/s");
        rate
    }

    /// The part of the flows so far within half a millisecond, in per cent, and their p99 in milliseconds, both by the
    /// server's own histogram, read between the bounds of its buckets.
    pub(crate) fn handling(&self) -> (f64, f64) {
        let text = self.server.metrics();
        let series = "headworks_webhook_review_duration_seconds_bucket{";
        let buckets: Vec<(f64, f64)> = text
            .lines()
            .filter(|line| line.contains("kind=\"JobFlow\"") && line.contains("decision=\"allowed\""))
            .filter_map(|line| {
                let (_, rest) = line.strip_prefix(series)?.split_once("le=\"")?;
                let (bound, rest) = rest.split_once('"')?;
                let bound = if bound == "+Inf" { f64::INFINITY } else { bound.parse().ok()? };
                Some((bound, rest.rsplit_once(' ')?.1.parse().ok()?))
            })
            .collect();
        let all = buckets.last().expect("a histogram").1;
        let within = buckets.iter().find(|(bound, _)| *bound >= 0.0005).unwrap().1 / all * 100.0;
        let (mut low, mut below) = (0.0, 0.0);
        for (bound, count) in buckets {
            if count >= all * 0.99 {
                let p99 = low + (bound.min(10.0) - low) * (all * 0.99 - below) / (count - below);
                return (within, p99 * 1000.0);
            }
            (low, below) = (bound, count);
        }
        unreachable!("the last bucket holds all")
    }
}
