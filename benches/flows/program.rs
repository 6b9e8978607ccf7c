//! The program under test, and what can be seen of it from outside: the audit log, /proc, its metrics.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// `headworks run`, ended with this value.
pub(crate) struct Program {
    child: Child,
    probes: u16,
    audit: PathBuf,
}

/// Figures that only grow.
#[derive(Clone, Debug, Default)]
pub(crate) struct Figures {
    /// Writes by verb and resource.
    pub(crate) writes: BTreeMap<String, usize>,
    pub(crate) cpu_ms: f64,
    /// Dispatches by the upper end of their bucket, in milliseconds; not cumulated.
    dispatch: Vec<(f64, f64)>,
}

impl Figures {
    pub(crate) fn since(mut self, before: &Self) -> Self {
        for (what, count) in &before.writes {
            *self.writes.entry(what.clone()).or_default() -= count;
        }
        self.writes.retain(|_, count| *count > 0);
        self.cpu_ms -= before.cpu_ms;
        for (bucket, before) in self.dispatch.iter_mut().zip(&before.dispatch) {
            bucket.1 -= before.1;
        }
        self
    }

    pub(crate) fn add(&mut self, other: &Self) {
        for (what, count) in &other.writes {
            *self.writes.entry(what.clone()).or_default() += count;
        }
        self.cpu_ms += other.cpu_ms;
        if self.dispatch.is_empty() {
            self.dispatch.clone_from(&other.dispatch);
        } else {
            for (bucket, other) in self.dispatch.iter_mut().zip(&other.dispatch) {
                bucket.1 += other.1;
            }
        }
    }

    /// The time within which this share of the dispatches was done, in milliseconds; within a bucket they are taken to
    /// be spread evenly.
    pub(crate) fn dispatch(&self, share: f64) -> Option<f64> {
        let wanted = self.dispatch.iter().map(|(_, count)| count).sum::<f64>() * share;
        let (mut below, mut sum) = (0.0, 0.0);
        for (to, count) in &self.dispatch {
            if *count > 0.0 && sum + count >= wanted {
                return Some(if to.is_finite() {
                    below + (to - below) * (wanted - sum) / count
                } else {
                    *to
                });
            }
            (below, sum) = (*to, sum + count);
        }
        None
    }
}

impl Program {
    /// Starts it against the cluster of `kubeconfig` and waits until it leads.
    pub(crate) async fn start(kubeconfig: PathBuf, events: &str) -> Self {
        let probes = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let binary = std::env::var_os("PROGRAM").unwrap_or_else(|| env!("CARGO_BIN_EXE_headworks").into());
        let child = Command::new(binary)
            .args(["run", "--namespace", "default", "--log", "warn", "--events", events])
            .args(["--listen", "127.0.0.1:0", "--probes", &format!("127.0.0.1:{probes}")])
            // Nobody asks for admission here.
            .args(["--cert-mode", "mounted", "--cert-dir", "/nonexistent"])
            .env("KUBECONFIG", &kubeconfig)
            .env_remove("POD_NAMESPACE")
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(kubeconfig.with_file_name("headworks.log")).unwrap())
            .spawn()
            .unwrap();
        let program = Self { child, probes, audit: kubeconfig.with_file_name("audit.log") };
        let end = Instant::now() + Duration::from_mins(1);
        while !program.scrape().is_some_and(|text| text.contains("headworks_queue_age_seconds")) {
            assert!(Instant::now() < end, "headworks does not lead");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        program
    }

    fn scrape(&self) -> Option<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.probes)).ok()?;
        write!(stream, "GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").ok()?;
        let mut text = String::new();
        stream.read_to_string(&mut text).ok()?;
        Some(text)
    }

    /// Waits until it writes nothing any more, such as Events.
    pub(crate) async fn idle(&self) {
        let mut last = self.writes();
        loop {
            tokio::time::sleep(Duration::from_millis(500)).await;
            let now = self.writes();
            if now == last {
                return;
            }
            last = now;
        }
    }

    pub(crate) fn figures(&self) -> Figures {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        let fields: Vec<&str> = stat.rsplit(") ").next().unwrap().split(' ').collect();
        // Fields 14 and 15 of proc(5), utime and stime, in ticks of 10 ms.
        let ticks = |field: usize| fields[field - 3].parse::<f64>().unwrap();
        let text = self.scrape().unwrap();
        let mut cumulated = 0.0;
        let buckets = text.lines().filter_map(|line| {
            let rest = line.strip_prefix("headworks_dispatch_latency_seconds_bucket{le=\"")?;
            let (to, count) = rest.split_once("\"} ")?;
            let to = if to == "+Inf" { f64::INFINITY } else { to.parse::<f64>().ok()? * 1000.0 };
            let count: f64 = count.parse().ok()?;
            let own = count - std::mem::replace(&mut cumulated, count);
            Some((to, own))
        });
        Figures { dispatch: buckets.collect(), cpu_ms: (ticks(14) + ticks(15)) * 10.0, writes: self.writes() }
    }

    /// The program's writes as the API server counts them, but for its Lease.
    fn writes(&self) -> BTreeMap<String, usize> {
        let mut writes = BTreeMap::new();
        for line in BufReader::new(std::fs::File::open(&self.audit).unwrap()).lines() {
            let line = line.unwrap();
            if !line.contains("\"userAgent\":\"headworks/") {
                continue;
            }
            // A line that is being written is read the next time.
            let Ok(call) = serde_json::from_str::<serde_json::Value>(&line) else { continue };
            let word = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
            let (verb, resource) = (word(&call["verb"]), word(&call["objectRef"]["resource"]));
            if matches!(&*verb, "get" | "list" | "watch") || resource == "leases" {
                continue;
            }
            *writes.entry(format!("{verb} {resource}")).or_default() += 1;
        }
        writes
    }

    /// The most memory that was in use at any time, in MiB.
    pub(crate) fn peak_mib(&self) -> f64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<f64>().unwrap() / 1024.0
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
