//! The server under test, as a process of its own on a core of its own, and the real program for its memory.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use headworks::admission::JobFlows;
use headworks::telemetry::{self, LogFormat};
use headworks_certs::{Authority, Identity, Issued, Lifetimes, Pair, ServiceNames};
use headworks_testkit::{ApiServer, Mount};
use headworks_webhook::{
    Admit, Limits, Metrics, Phase, Probes, Review, Server, Service, Shutdown, Tls, TlsOptions, TlsVersion,
    Verdict,
};
use jiff::Timestamp;
use prometheus_client::registry::Registry;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::calls::{Calls, FLOW};

/// The name by which the server is called.
pub(crate) const NAME: &str = "headworks-webhook.headworks-system.svc";

/// A handler that allows everything unread.
struct Nothing;

impl Admit for Nothing {
    fn kinds(&self) -> &[&'static str] {
        &[]
    }
    fn mutate(&self, _: Review) -> Verdict {
        Verdict::allow()
    }
    fn validate(&self, _: Review) -> Verdict {
        Verdict::allow()
    }
}

fn names() -> ServiceNames {
    ServiceNames::new("headworks-webhook", "headworks-system")
}

fn issue(ca: &Issued) -> Issued {
    let signer = Authority::from_pem(ca.cert.as_bytes(), &ca.key).unwrap();
    signer.leaf(&names().all(), &Lifetimes::default(), Timestamp::now()).unwrap()
}

fn install(identity: &Identity, ca: &Issued) {
    let leaf = issue(ca);
    let (chain, key) = (leaf.cert.as_bytes(), leaf.key.expose().as_bytes());
    identity.install(Pair::parse(chain, key, &[names().required()], Timestamp::now()).unwrap());
}

/// The server: says on standard output where it is, then takes a new certificate for each line of standard input,
/// and ends with it. It logs as the program does by default.
pub(crate) fn main() {
    telemetry::start(LogFormat::Json, telemetry::filter("info").unwrap()).unwrap();
    rustls::crypto::ring::default_provider().install_default().unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let (ca, identity) =
        (Authority::generate("bench", &Lifetimes::default(), Timestamp::now()).unwrap(), Identity::new());
    install(&identity, &ca);
    let mut registry = Registry::default();
    let flows = Arc::new(JobFlows::default());
    let service = Service::new(Limits::default(), Metrics::new(&mut registry))
        .route(FLOW, Phase::Validate, flows)
        .route("/noop", Phase::Validate, Arc::new(Nothing));
    let options = TlsOptions {
        identity: Arc::new(identity.clone()),
        min_version: TlsVersion::default(),
        http2: false,
        callers: None,
    };
    let (_keep, tls) = watch::channel(Tls::new(options).unwrap());
    let (listener, probes) = runtime.block_on(async {
        (TcpListener::bind("127.0.0.1:0").await.unwrap(), TcpListener::bind("127.0.0.1:0").await.unwrap())
    });
    let where_ = json!({
        "listen": listener.local_addr().unwrap().to_string(),
        "probes": probes.local_addr().unwrap().to_string(),
        "ca": ca.cert,
    });
    println!("{where_}");
    let server = Server::new(Arc::new(service), tls, Shutdown::new()).run(listener);
    runtime.spawn(Probes::new(Arc::new(registry), Shutdown::new()).serve(probes, server));
    for line in std::io::stdin().lines() {
        line.unwrap();
        install(&identity, &ca);
    }
}

/// The server's process, seen by the client.
pub(crate) struct Child {
    process: std::process::Child,
    input: Mutex<ChildStdin>,
    pub(crate) address: SocketAddr,
    pub(crate) root: CertificateDer<'static>,
    probes: SocketAddr,
}

impl Child {
    /// Starts the server on that core, by way of a program such as `prlimit`.
    pub(crate) fn start(core: &str, by: &[&str]) -> Self {
        let mut process = Command::new("taskset")
            .args(["-c", core])
            .args(by)
            .arg(std::env::current_exe().unwrap())
            .arg("--serve")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("taskset, of util-linux");
        let input = Mutex::new(process.stdin.take().unwrap());
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let said: Value = serde_json::from_str(&line).expect("the server says where it is");
        let address = |what: &str| said[what].as_str().unwrap().parse().unwrap();
        let root = CertificateDer::from_pem_slice(said["ca"].as_str().unwrap().as_bytes()).unwrap();
        Self { process, input, address: address("listen"), probes: address("probes"), root }
    }

    /// Gives it a new certificate.
    pub(crate) fn reload(&self) {
        self.input.lock().unwrap().write_all(b"reload\n").unwrap();
    }

    pub(crate) fn rss(&self) -> u64 {
        rss(self.process.id())
    }

    /// CPU time used so far.
    pub(crate) fn cpu(&self) -> Duration {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.process.id())).unwrap();
        let (_, fields) = stat.rsplit_once(") ").unwrap();
        let ticks = |at: usize| fields.split(' ').nth(at).unwrap().parse::<u64>().unwrap();
        // utime and stime, in hundredths of a second.
        Duration::from_millis((ticks(11) + ticks(12)) * 10)
    }

    pub(crate) fn metrics(&self) -> String {
        get(self.probes, "/metrics")
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn get(address: SocketAddr, path: &str) -> String {
    use std::io::Read as _;
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

fn rss(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() / 1024
}

/// Memory of the program itself, idle and after a thousand flows, in MiB.
pub(crate) async fn of_program(program: &Path) -> (u64, u64) {
    let ca = Authority::generate("bench", &Lifetimes::default(), Timestamp::now()).unwrap();
    let (leaf, mount) = (issue(&ca), Mount::new().unwrap());
    mount.swap(&[("tls.crt", &leaf.cert), ("tls.key", leaf.key.expose())]).unwrap();
    let free = || std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (listen, probes) = (free(), free());
    let mut process = Command::new(program)
        .args(["run", "--no-controllers", "--cert-mode", "mounted", "--cert-dir"])
        .arg(mount.path())
        .args(["--listen", &listen.to_string(), "--probes", &probes.to_string()])
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    tokio::time::sleep(Duration::from_secs(5)).await;
    let before = rss(process.id());
    let root = CertificateDer::from_pem_slice(ca.cert.as_bytes()).unwrap();
    let caller = ApiServer::new(NAME, ApiServer::tls([root]).unwrap(), move || listen).unwrap();
    let calls = Calls::new();
    for number in 0..1000 {
        caller.call(&calls.call(FLOW, number)).await.unwrap();
    }
    tokio::time::sleep(Duration::from_secs(5)).await;
    let after = rss(process.id());
    process.kill().unwrap();
    process.wait().unwrap();
    (before, after)
}
