//! How fast and how large: `make bench-leaders` runs this with the release binary in `HEADWORKS_BIN`.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use futures::StreamExt;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Api, PostParams};
use serde_json::{Value, json};

use super::rig::{NODE, Rig, ground, node, node_status, with_bare_rig};

const SERVICES: usize = 1_200;
const PODS: usize = 10_000;
const DOOMED: usize = 500;
const FAILOVERS: usize = 500;

fn number(variable: &str, default: usize) -> usize {
    std::env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

async fn many<F: Future>(count: usize, each: impl FnMut(usize) -> F) {
    futures::stream::iter((0..count).map(each)).buffer_unordered(48).for_each(async |_| ()).await;
}

struct Program {
    child: Child,
    log: PathBuf,
    probes: u16,
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Program {
    fn start(namespace: &str) -> Self {
        let port = || std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let (listen, probes) = (port(), port());
        let log = ground().kubeconfig.with_file_name("bench.log");
        let binary =
            std::env::var("HEADWORKS_BIN").unwrap_or_else(|_| env!("CARGO_BIN_EXE_headworks").to_owned());
        let child = Command::new(binary)
            .args(["run", "--cert-mode", "mounted", "--cert-dir", "/nonexistent", "--log-format", "json"])
            .args(["--listen", &format!("127.0.0.1:{listen}"), "--probes", &format!("127.0.0.1:{probes}")])
            .args(["--watch-namespace", namespace, "--namespace", namespace])
            // Another one each time: nobody waits for a Lease that the killed one before still holds.
            .args(["--lease-name", &format!("bench-{listen}")])
            .env("KUBECONFIG", &ground().kubeconfig)
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(&log).unwrap())
            .spawn()
            .unwrap();
        Self { child, log, probes }
    }

    /// The value of a metric, over all its labels.
    fn metric(&self, name: &str) -> Option<f64> {
        use std::io::Read;
        let mut stream = std::net::TcpStream::connect(("127.0.0.1", self.probes)).ok()?;
        write!(stream, "GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").ok()?;
        let mut text = String::new();
        stream.read_to_string(&mut text).ok()?;
        let lines = text.lines().filter(|line| line.split([' ', '{']).next() == Some(name));
        let values: Vec<f64> = lines.filter_map(|line| line.rsplit(' ').next()?.parse().ok()).collect();
        (!values.is_empty()).then(|| values.iter().sum())
    }

    fn rss(&self) -> f64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<f64>().unwrap() / 1_024.0
    }

    /// Milliseconds from event to acknowledged write, of all changes of leader so far, by cause.
    fn failovers(&self) -> BTreeMap<String, Vec<f64>> {
        let mut all: BTreeMap<String, Vec<f64>> = BTreeMap::new();
        for line in std::fs::read_to_string(&self.log).unwrap().lines() {
            let Ok(line) = serde_json::from_str::<Value>(line) else { continue };
            if line["message"] == "another pod leads" {
                let cause = line["cause"].as_str().unwrap().to_owned();
                all.entry(cause).or_default().push(line["milliseconds"].as_f64().unwrap());
            }
        }
        for list in all.values_mut() {
            list.sort_by(f64::total_cmp);
        }
        all
    }
}

fn percentile(sorted: &[f64], percent: usize) -> f64 {
    sorted[(sorted.len() * percent / 100).min(sorted.len() - 1)]
}

async fn until(program: &mut Program, what: &str, mut condition: impl FnMut(&Program) -> bool) -> Duration {
    let began = Instant::now();
    while !condition(program) {
        if let Some(status) = program.child.try_wait().unwrap() {
            let log = std::fs::read_to_string(&program.log).unwrap();
            panic!("headworks ended ({status}) instead of {what}: {log}");
        }
        assert!(began.elapsed() < Duration::from_mins(10), "waited ten minutes for {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    began.elapsed()
}

/// The other controller of the same program watches flows.
async fn crd(rig: &Rig) {
    let crds: Api<CustomResourceDefinition> = Api::all(rig.client.clone());
    let crd = serde_json::from_value(headworks::flows::api::crd::crd()).unwrap();
    crds.create(&PostParams::default(), &crd).await.unwrap();
}

async fn world(rig: &Rig, services: usize, pods: usize, doomed: usize) {
    many(pods, async |i| {
        // The first pod of each Service is the oldest; those of the first Services are on the node that will die.
        let service = i % services;
        let on = if i < doomed { "bench-doomed" } else { NODE };
        let name = format!("s{service}-{}", i / services);
        rig.pod_on(on, &name, &format!("s{service}"), json!({})).await;
        rig.ready(&name, true).await;
    })
    .await;
    many(services, async |i| {
        rig.service(&format!("s{i}"), &[("enabled", "true")], json!({"clusterIP": "None"})).await;
    })
    .await;
}

#[test]
#[ignore = "takes minutes; make bench-leaders runs it"]
fn figures() {
    with_bare_rig("bench", async |rig| {
        let services = number("HEADWORKS_BENCH_SERVICES", SERVICES);
        let pods = number("HEADWORKS_BENCH_PODS", PODS);
        let doomed = number("HEADWORKS_BENCH_DOOMED", DOOMED).min(services);
        node(&rig.client, "bench-doomed").await;
        let beat = rig.heartbeat("bench-doomed");
        crd(&rig).await;
        let began = Instant::now();
        world(&rig, services, pods, doomed).await;
        println!("{pods} pods and {services} Services made in {:.0} s", began.elapsed().as_secs_f64());

        let mut program = Program::start("bench");
        let synced =
            until(&mut program, "synced", |program| program.metric("zen_lead_leading") == Some(1.0)).await;
        println!("start to synced: {:.2} s", synced.as_secs_f64());
        #[expect(clippy::cast_precision_loss, reason = "a count")]
        let all = until(&mut program, "leaders", |program| {
            program.metric("zen_lead_leader_stable").unwrap_or_default() >= services as f64
        })
        .await;
        println!("{services} opt-ins: {:.1} s", all.as_secs_f64());
        until(&mut program, "quiet", |program| program.metric("zen_lead_queue_depth") == Some(0.0)).await;
        println!("RSS after {services} opt-ins with {pods} pods: {:.1} MiB", program.rss());
        drop(program);
        program = Program::start("bench");
        let synced =
            until(&mut program, "synced", |program| program.metric("zen_lead_leading") == Some(1.0)).await;
        println!("restart to synced: {:.2} s, RSS {:.1} MiB", synced.as_secs_f64(), program.rss());

        for i in 0..number("HEADWORKS_BENCH_FAILOVERS", FAILOVERS) {
            let service = doomed + i % (services - doomed).max(1);
            let pod = format!("s{service}-{}", i / (services - doomed).max(1));
            rig.ready(&pod, false).await;
            until(&mut program, "the failover", |program| {
                program.failovers().get("not_ready").map_or(0, Vec::len) > i
            })
            .await;
        }
        let times = &program.failovers()["not_ready"];
        println!(
            "{} failovers, pod event received to slice write acknowledged: p50 {:.1} ms, p90 {:.1} ms, p99 {:.1} ms, max {:.1} ms",
            times.len(),
            percentile(times, 50),
            percentile(times, 90),
            percentile(times, 99),
            times[times.len() - 1],
        );

        beat.abort();
        node_status(&rig.client, "bench-doomed", "Unknown").await;
        until(&mut program, "the node's leaders to move", |program| {
            program.failovers().get("node_down").map_or(0, Vec::len) >= doomed
        })
        .await;
        let times = &program.failovers()["node_down"];
        println!(
            "{doomed} leaders of a dead node, from the end of its grace: the first moved in {:.0} ms, the last in {:.0} ms",
            times[0],
            times[times.len() - 1],
        );
        until(&mut program, "quiet", |program| program.metric("zen_lead_queue_depth") == Some(0.0)).await;
        println!("RSS at the end: {:.1} MiB", program.rss());
    });
}
