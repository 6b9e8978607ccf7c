//! The real program with a mounted certificate: admission alone, which needs no cluster.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use headworks_certs::{Authority, Issued, Lifetimes, ServiceNames};
use headworks_testkit::{ApiServer, Call, Mount, Phase};
use jiff::{SignedDuration, Timestamp};
use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose, Issuer, KeyPair};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::json;

use crate::cluster::{free_port, probe};
use crate::command::within;

/// The name that the program is called by.
pub(crate) const NAME: &str = "headworks-webhook.headworks-system.svc";
/// What anything is given that should happen soon, on a machine that may be busy.
pub(crate) const SOON: Duration = Duration::from_mins(1);

/// A certificate authority, as files have it.
pub(crate) struct Ca(Issued);

impl Ca {
    pub(crate) fn new() -> Self {
        Self(Authority::generate("tests", &Lifetimes::default(), Timestamp::now()).unwrap())
    }

    pub(crate) fn pem(&self) -> &str {
        &self.0.cert
    }

    pub(crate) fn root(&self) -> CertificateDer<'static> {
        CertificateDer::from_pem_slice(self.0.cert.as_bytes()).unwrap()
    }

    /// A certificate of the program's names.
    pub(crate) fn issue(&self) -> Issued {
        self.issue_for(
            &ServiceNames::new("headworks-webhook", "headworks-system").all(),
            SignedDuration::ZERO,
        )
    }

    /// A certificate of these names, made so long ago.
    pub(crate) fn issue_for(&self, names: &[String], ago: SignedDuration) -> Issued {
        let signer = Authority::from_pem(self.0.cert.as_bytes(), &self.0.key).unwrap();
        signer.leaf(names, &Lifetimes::default(), Timestamp::now() - ago).unwrap()
    }

    /// A client's certificate in this name.
    pub(crate) fn issue_client(&self, name: &str) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
        let signing = KeyPair::from_pem(self.0.key.expose()).unwrap();
        let issuer = Issuer::from_ca_cert_pem(&self.0.cert, signing).unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate().unwrap();
        let leaf = params.signed_by(&key, &issuer).unwrap();
        (vec![leaf.der().clone()], PrivateKeyDer::try_from(key.serialize_der()).unwrap())
    }

    /// Calls what `route` leads to, and trusts this authority.
    pub(crate) fn caller(&self, route: impl Fn() -> SocketAddr + Send + Sync + 'static) -> ApiServer {
        ApiServer::new(NAME, ApiServer::tls([self.root()]).unwrap(), route).unwrap()
    }
}

/// Wait until a connection of `caller` can be used again.
pub(crate) async fn rests(caller: &ApiServer) {
    let end = Instant::now() + SOON;
    while caller.idle() == 0 {
        assert!(Instant::now() < end, "its connection is gone");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// The files of a pair.
pub(crate) fn files(issued: &Issued) -> [(&'static str, &str); 2] {
    [("tls.crt", &issued.cert), ("tls.key", issued.key.expose())]
}

/// A running `headworks run`. Killed when dropped, or when its thread ends.
pub(crate) struct Program {
    pub(crate) child: Child,
    pub(crate) listen: u16,
    pub(crate) probes: u16,
    pub(crate) mount: Arc<Mount>,
    pub(crate) log: PathBuf,
}

impl Program {
    /// One that is ready, with a certificate of `ca` and further arguments.
    pub(crate) fn start(ca: &Ca, arguments: &[&str]) -> Self {
        let mount = Arc::new(Mount::new().unwrap());
        mount.swap(&files(&ca.issue())).unwrap();
        Self::start_on(mount, &[], arguments)
    }

    /// The same on a directory that there is already, by way of a program that starts it, such as `prlimit`.
    pub(crate) fn start_on(mount: Arc<Mount>, by: &[&str], arguments: &[&str]) -> Self {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let log = mount.path().with_file_name(format!("headworks-{number}.log"));
        let (listen, probes) = (free_port(), free_port());
        let address = |port: u16| format!("127.0.0.1:{port}");
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "--"])
            .args(by)
            .args([env!("CARGO_BIN_EXE_headworks"), "run", "--no-controllers", "--cert-mode", "mounted"])
            .args(["--listen", &address(listen), "--probes", &address(probes), "--cert-dir"])
            .arg(mount.path())
            .args(arguments)
            .env_remove("POD_NAMESPACE")
            .env_remove("KUBECONFIG")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(&log).unwrap())
            .spawn()
            .unwrap();
        let program = Self { child, listen, probes, mount, log };
        within(SOON, "the program to be ready", || {
            probe(probes, "/readyz").filter(|answer| answer.starts_with("HTTP/1.1 200"))
        });
        program
    }

    pub(crate) fn address(&self) -> SocketAddr {
        ([127, 0, 0, 1], self.listen).into()
    }

    /// Calls it as the API server does.
    pub(crate) fn caller(&self, ca: &Ca) -> ApiServer {
        let address = self.address();
        ca.caller(move || address)
    }

    /// A metric's value; 0 where there is no such series yet.
    pub(crate) fn metric(&self, series: &str) -> f64 {
        let text = within(SOON, "a scrape", || probe(self.probes, "/metrics"));
        value(&text, series)
    }

    /// Waits until a metric has at least this value.
    pub(crate) fn reaches(&self, series: &str, least: f64) {
        within(SOON, series, || (self.metric(series) >= least).then_some(()));
    }

    /// Sends a signal by its name.
    pub(crate) fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-s", name, &pid]).status().unwrap().success());
    }

    /// Waits for its end.
    pub(crate) fn ended(&mut self, limit: Duration) -> ExitStatus {
        within(limit, "the program to end", || self.child.try_wait().unwrap())
    }

    /// Memory in use, in MiB.
    pub(crate) fn rss(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() / 1024
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A metric's value in a scrape.
pub(crate) fn value(scrape: &str, series: &str) -> f64 {
    let value = scrape.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    value.map_or(0.0, |value| value.parse().unwrap())
}

/// A connection to the port for probes that is kept: it works where no new one can be accepted.
pub(crate) struct Probing(TcpStream);

impl Probing {
    pub(crate) fn of(program: &Program) -> Self {
        Self(TcpStream::connect(("127.0.0.1", program.probes)).unwrap())
    }

    pub(crate) fn metric(&mut self, series: &str) -> f64 {
        self.0.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
        let mut text = Vec::new();
        // The page ends with this line, whatever its length.
        while !text.ends_with(b"# EOF\n") {
            let mut part = [0; 4096];
            let length = self.0.read(&mut part).unwrap();
            assert!(length > 0, "the connection was closed");
            text.extend_from_slice(&part[..length]);
        }
        value(&String::from_utf8(text).unwrap(), series)
    }
}

/// A review of a Service that is nobody's concern. It costs little, so that hundreds a second leave a machine room for
/// other tests; and it may take long, because only a call that is lost is a fault there.
pub(crate) fn call(number: u64) -> Call {
    let uid = format!("uid-{number}");
    let review = json!({
        "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
        "request": {
            "uid": uid, "name": "db", "namespace": "team", "operation": "CREATE",
            "kind": {"group": "", "version": "v1", "kind": "Service"},
            "resource": {"group": "", "version": "v1", "resource": "services"},
            "userInfo": {"username": "jane"}, "oldObject": null,
            "object": {
                "apiVersion": "v1", "kind": "Service", "metadata": {"name": "db", "namespace": "team"},
                "spec": {"selector": {"app": "db"}, "ports": [{"port": 5432}]},
            },
        },
    });
    Call::new("/validate-service", Phase::Validating, &uid, review.to_string())
        .timeout(Duration::from_secs(30))
}
