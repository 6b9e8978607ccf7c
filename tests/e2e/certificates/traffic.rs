//! Callers that never pause.
//!
//! The one is a client without a limiter: server-side applies as dry runs, at a steady rate, half of them of a flow that
//! exists and half of one that does not. The API server asks us twice about each. The other is `kubectl apply
//! --server-side`, which really writes.

use std::fmt;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use kube::api::{DynamicObject, Patch, PatchParams};
use kube::{Api, Client};
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{interval, timeout};
use tokio_util::sync::CancellationToken;

use super::counters::Counters;
use super::number;
use crate::{resource, runtime, try_kubectl};

/// No answer within this is a failed call.
const LIMIT: Duration = Duration::from_secs(30);
/// Calls at one time. One more waits, so a slow moment costs rate and not memory.
const AT_ONCE: usize = 100;

/// Traffic in progress.
pub(super) struct Traffic {
    client: Client,
    before: Counters,
    began: Instant,
    stopped: CancellationToken,
    calls: tokio::task::JoinHandle<Vec<Call>>,
    kubectl: JoinHandle<Vec<Call>>,
}

/// One call of either caller.
struct Call {
    /// Since the traffic began.
    at: Duration,
    took: Duration,
    failure: Option<String>,
}

/// What became of all of it.
pub(super) struct Toll {
    lasted: Duration,
    calls: Vec<Call>,
    kubectl: Vec<Call>,
    pub(super) counted: Counters,
}

/// A sound flow that never runs.
fn flow(name: &str, round: usize) -> Value {
    json!({"apiVersion": "workflow.kube-zen.io/v1alpha1", "kind": "JobFlow",
        "metadata": {"name": name, "namespace": "default", "annotations": {"round": round.to_string()}},
        "spec": {"suspend": true, "steps": [{"name": "one", "template": {"spec": {"template": {"spec": {
            "restartPolicy": "Never", "containers": [{"name": "main", "image": "busybox:1"}]}}}}}]}})
}

impl Traffic {
    /// Begin. The installation has to be ready.
    pub(super) fn start() -> Self {
        let stopped = CancellationToken::new();
        let said = try_kubectl(&["apply", "--server-side", "-f", "-"], &flow("steady", 0).to_string());
        assert!(said.ok, "{}", said.err);
        runtime().block_on(async {
            let client = Client::try_default().await.unwrap();
            let before = Counters::read(&client).await;
            let began = Instant::now();
            let calls = tokio::spawn(steadily(client.clone(), began, stopped.clone()));
            let kubectl = {
                let stopped = stopped.clone();
                std::thread::spawn(move || by_kubectl(began, &stopped))
            };
            Self { client, before, began, stopped, calls, kubectl }
        })
    }

    /// How long it has been going on.
    pub(super) fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    /// End, and tell.
    pub(super) fn finish(self) -> Toll {
        let Self { client, before, began, stopped, calls, kubectl } = self;
        stopped.cancel();
        let lasted = began.elapsed();
        let kubectl = kubectl.join().unwrap();
        runtime().block_on(async {
            let calls = calls.await.unwrap();
            let counted = Counters::read(&client).await.since(&before);
            Toll { lasted, calls, kubectl, counted }
        })
    }
}

async fn steadily(client: Client, began: Instant, stopped: CancellationToken) -> Vec<Call> {
    let api: Api<DynamicObject> = Api::namespaced_with(client, "default", &resource("JobFlow"));
    let rate = u32::try_from(number("HEADWORKS_RATE", 100)).unwrap();
    let mut ticks = interval(Duration::from_secs(1) / rate);
    let slots = Arc::new(Semaphore::new(AT_ONCE));
    let (mut running, mut calls) = (JoinSet::new(), Vec::new());
    for round in 0.. {
        tokio::select! {
            _ = ticks.tick() => {}
            () = stopped.cancelled() => break,
        }
        let slot = Arc::clone(&slots).acquire_owned().await.unwrap();
        let api = api.clone();
        running.spawn(async move {
            let _slot = slot;
            let name = if round % 2 == 0 { "steady" } else { "imagined" };
            let parameters = PatchParams::apply("traffic").force().dry_run();
            let (at, sent, flow) = (began.elapsed(), Instant::now(), flow(name, round));
            let failure = match timeout(LIMIT, api.patch(name, &parameters, &Patch::Apply(&flow))).await {
                Ok(Ok(_)) => None,
                Ok(Err(error)) => Some(error.to_string()),
                Err(_) => Some(format!("no answer within {LIMIT:?}")),
            };
            Call { at, took: sent.elapsed(), failure }
        });
        while let Some(call) = running.try_join_next() {
            calls.push(call.unwrap());
        }
    }
    calls.extend(running.join_all().await);
    calls
}

/// One a second: each starts a process, and there are few cores.
fn by_kubectl(began: Instant, stopped: &CancellationToken) -> Vec<Call> {
    let mut calls = Vec::new();
    while !stopped.is_cancelled() {
        let (at, sent) = (began.elapsed(), Instant::now());
        let manifest = flow("by-kubectl", calls.len()).to_string();
        let said = try_kubectl(&["apply", "--server-side", "-f", "-"], &manifest);
        calls.push(Call { at, took: sent.elapsed(), failure: (!said.ok).then_some(said.err) });
        std::thread::sleep(Duration::from_secs(1).saturating_sub(sent.elapsed()));
    }
    calls
}

impl Toll {
    fn failures(&self) -> Vec<String> {
        let of = |who: &'static str, calls: &[Call]| -> Vec<String> {
            let failed = calls.iter().filter_map(|call| Some((call, call.failure.as_ref()?)));
            failed
                .map(|(call, why)| format!("{who} after {:?}, for {:?}: {why}", call.at, call.took))
                .collect()
        };
        [of("client", &self.calls), of("kubectl", &self.kubectl)].concat()
    }

    /// How many calls failed as the callers see it.
    pub(super) fn failed(&self) -> usize {
        self.failures().len()
    }

    /// No caller was refused, the API server counts no failed call, and it did call.
    #[track_caller]
    pub(super) fn nothing_was_lost(&self) {
        eprintln!("{self}");
        let failures = self.failures();
        assert!(
            failures.is_empty() && self.counted.lost.is_empty(),
            "{self}\n{:#?}",
            &failures[..failures.len().min(10)]
        );
        // Twice for each: before and after the schema.
        let least = 2 * (self.calls.len() + self.kubectl.len()) as u64;
        assert!(self.counted.total_calls() >= least, "{self}, at least {least} were to come");
    }
}

impl Toll {
    /// No call was lost but such as were under way, or began, while a process was killed at `at`.
    #[track_caller]
    pub(super) fn nothing_was_lost_but_around(&self, at: Duration) {
        eprintln!("killed after {at:?}: {self}");
        // The API server gives a call 5 s; the kubelet tells within a few that a container has ended.
        let around = at.saturating_sub(Duration::from_secs(6))..at + Duration::from_secs(10);
        let all = self.calls.iter().chain(&self.kubectl);
        let others = all.filter(|call| call.failure.is_some() && !around.contains(&call.at)).count();
        assert_eq!(others, 0, "{self}\n{:#?}", self.failures());
        assert!(self.counted.total_lost() >= self.failed() as u64, "{self}");
    }
}

impl fmt::Display for Toll {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut took: Vec<Duration> = self.calls.iter().map(|call| call.took).collect();
        took.sort_unstable();
        let at = |share: usize| {
            took.get((took.len() * share / 1000).min(took.len().saturating_sub(1)))
                .map_or(0, Duration::as_millis)
        };
        let (n, seconds) = (self.calls.len(), self.lasted.as_secs_f64());
        write!(
            f,
            "{n} calls of the client in {seconds:.0} s ({:.0}/s; p50 {} ms, ",
            f64::from(u32::try_from(n).unwrap()) / seconds,
            at(500)
        )?;
        write!(f, "p99 {} ms, most {} ms), {} of kubectl, ", at(990), at(1000), self.kubectl.len())?;
        write!(f, "{} failed; the API server: ", self.failed())?;
        self.counted.fmt(f)
    }
}
