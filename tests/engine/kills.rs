//! Thousands of kills at any moment, on simulated nodes where pods end at once: no Job twice, no flow stuck.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use headworks::flows::job_name::job_name;
use kube::ResourceExt;
use kube::api::{DeleteParams, ListParams};
use tokio::time::sleep;

use crate::cluster::{Cluster, runtime};
use crate::flows::{flow, job};
use crate::full;
use crate::random::Random;
use crate::rig::Rig;

/// A machine that is too slow for all kills that are wanted stops here, and says how many there were.
const LONGEST: Duration = Duration::from_hours(1);
/// Engines, each with a namespace, at one time.
const ENGINES: u64 = 4;
/// Flows of each engine at one time.
const OPEN: usize = 4;
const STEPS: [&str; 5] = ["a", "b", "c", "d", "e"];

fn diamond() -> serde_json::Value {
    flow([
        job("a", &[], "0"),
        job("b", &["a"], "0"),
        job("c", &["a"], "0"),
        job("d", &["b", "c"], "0").retries(2),
        job("e", &["d"], "0"),
    ])
}

#[test]
fn of_flows_whose_engines_are_killed_at_any_moment_none_runs_a_job_twice_and_none_is_stuck() {
    let wanted = std::env::var("HEADWORKS_KILLS").ok().and_then(|kills| kills.parse().ok());
    let wanted: usize = wanted.unwrap_or(if full() { 10_000 } else { 100 });
    let seed = std::env::var("HEADWORKS_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed: u64 = seed.unwrap_or_else(|| u64::from(std::process::id()));
    println!("HEADWORKS_SEED={seed}");
    let cluster: &'static Cluster = Box::leak(Box::new(Cluster::up("kills", "simulated")));
    cluster.must(&["apply", "-f", "-"], &headworks::flows::api::crd::crd().to_string());
    cluster.wait_for_the_crd();
    let (began, kills) = (Instant::now(), Arc::new(AtomicUsize::new(0)));
    let totals = runtime().block_on(async {
        let engines = (0..ENGINES).map(|number| {
            let (kills, random) = (kills.clone(), Random::new(seed, number));
            tokio::spawn(async move {
                let rig = Rig::running(cluster, "kills").await;
                let goes_on = || kills.load(Ordering::Relaxed) < wanted && began.elapsed() < LONGEST;
                let (flows, ()) = tokio::join!(keep_busy(&rig, goes_on), kill(&rig, random, &kills, goes_on));
                settle(&rig, flows).await
            })
        });
        let mut totals = (0, 0);
        for engine in engines.collect::<Vec<_>>() {
            let (flows, jobs) = engine.await.unwrap();
            totals = (totals.0 + flows, totals.1 + jobs);
        }
        totals
    });
    let (kills, seconds) = (kills.load(Ordering::Relaxed), began.elapsed().as_secs_f64());
    println!(
        "{kills} kills within {seconds:.0} s; {} flows ended, {} Jobs created, each once",
        totals.0, totals.1
    );
}

/// Kill and start again, after a time that may end anywhere between the start of a process and the end of a flow.
async fn kill(rig: &Arc<Rig>, mut random: Random, kills: &AtomicUsize, goes_on: impl Fn() -> bool) {
    while goes_on() {
        sleep(Duration::from_millis(random.range(0, 700))).await;
        rig.crash();
        kills.fetch_add(1, Ordering::Relaxed);
    }
}

/// Keep some flows going; the UIDs of all, by name, those that are still open last.
async fn keep_busy(rig: &Rig, goes_on: impl Fn() -> bool) -> Ended {
    let mut ended = Ended::default();
    while goes_on() {
        while ended.open.len() < OPEN {
            let name = format!("flow-{}", ended.done.len() + ended.open.len());
            let uid = rig.create(&name, &diamond()).await;
            ended.open.push_back((name, uid));
        }
        sleep(Duration::from_millis(100)).await;
        let there = rig.flows().list(&ListParams::default()).await.unwrap();
        for flow in there {
            if !matches!(flow.data["status"]["phase"].as_str(), Some("Succeeded" | "Failed")) {
                continue;
            }
            ended.take(rig, &flow.name_any(), &flow.data["status"]).await;
        }
    }
    ended
}

#[derive(Default)]
struct Ended {
    open: VecDeque<(String, String)>,
    done: Vec<(String, String)>,
}

impl Ended {
    /// A flow is over: it has to have succeeded with one attempt at each step. Then it makes room.
    async fn take(&mut self, rig: &Rig, name: &str, status: &serde_json::Value) {
        let Some(place) = self.open.iter().position(|(open, _)| open == name) else { return };
        assert_eq!(status["phase"], "Succeeded", "{status:#}");
        for step in status["steps"].as_array().unwrap() {
            assert_eq!((&step["phase"], &step["attempt"]), (&"Succeeded".into(), &1.into()), "{status:#}");
        }
        self.done.extend(self.open.remove(place));
        rig.delete(name, DeleteParams::background()).await;
    }
}

/// Nobody kills any more: what is open ends, and the record of the API server is read. Flows and Jobs.
async fn settle(rig: &Rig, mut flows: Ended) -> (usize, usize) {
    for (name, _) in flows.open.clone() {
        let status = rig.ends(&name).await;
        flows.take(rig, &name, &status).await;
    }
    rig.kill();
    let mut created = rig.created();
    let jobs = created.len();
    for (name, uid) in &flows.done {
        for step in STEPS {
            let job = job_name(name, uid, step, 1, None);
            assert_eq!(created.remove(&job), Some(1), "times that the Job of {step} of {name} was created");
        }
    }
    assert!(created.is_empty(), "Jobs that nobody asked for: {created:?}");
    (flows.done.len(), jobs)
}
