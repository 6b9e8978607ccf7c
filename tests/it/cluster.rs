//! A real API server with headworks in front of it, started once for the whole test run.
//!
//! `hack/cluster` starts etcd, kube-apiserver and kube-controller-manager on loopback and ends them when this
//! process ends, however it ends. The program under test is the real binary; it is registered by URL, as a webhook
//! outside a cluster is, from the very manifests in `deploy/`.

use std::io::Write;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::LazyLock;
use std::time::Duration;

use serde_json::Value;

use crate::command::{self, Said};

/// The cluster of this run.
pub(crate) struct Cluster {
    pub(crate) kubeconfig: PathBuf,
    kubectl: PathBuf,
    pub(crate) probes: u16,
    pub(crate) log: PathBuf,
    /// Of the program under test.
    pub(crate) pid: u32,
}

/// The cluster, with the CRD and the webhooks in place and answering.
pub(crate) fn cluster() -> &'static Cluster {
    static CLUSTER: LazyLock<Cluster> = LazyLock::new(start);
    &CLUSTER
}

pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Wait until `condition` gives something, or fail naming `what` after a minute.
pub(crate) fn eventually<T>(what: &str, condition: impl FnMut() -> Option<T>) -> T {
    command::within(Duration::from_mins(1), what, condition)
}

impl Cluster {
    /// Run kubectl, with `input` on its standard input.
    pub(crate) fn kubectl(&self, args: &[&str], input: &str) -> Said {
        let mut kubectl = Command::new(&self.kubectl);
        command::run(kubectl.args(args).env("KUBECONFIG", &self.kubeconfig), input)
    }

    /// Whether Jobs are run: with given tools there may be no controllers.
    pub(crate) fn runs_jobs(&self) -> bool {
        self.kubectl.with_file_name("kube-controller-manager").exists()
    }

    /// `kubectl apply -f -`.
    pub(crate) fn apply(&self, manifest: &str) -> Said {
        self.kubectl(&["apply", "-f", "-"], manifest)
    }

    /// Run kubectl and insist that it works.
    pub(crate) fn must(&self, args: &[&str], input: &str) -> String {
        let said = self.kubectl(args, input);
        assert!(said.ok, "kubectl {args:?}: {}", said.err);
        said.out
    }

    /// What the program's own port says at `path`.
    pub(crate) fn probe(&self, path: &str) -> Option<String> {
        probe(self.probes, path)
    }
}

/// What is answered to a request for `path` on a port of this machine.
pub(crate) fn probe(port: u16, path: &str) -> Option<String> {
    use std::io::Read;
    let mut stream = std::net::TcpStream::connect(("127.0.0.1", port)).ok()?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    Some(text)
}

fn start() -> Cluster {
    let mut cluster = up(&format!("it-{}", std::process::id()));
    let listen = free_port();
    cluster.probes = free_port();
    cluster.must(&["apply", "-f", "-"], &headworks::flows::api::crd::crd().to_string());
    cluster.must(&["create", "namespace", "headworks-system"], "");
    cluster.must(&["apply", "-f", "-"], &webhooks_by_url(listen));
    cluster.pid = serve(&cluster, listen);
    eventually("headworks to be ready", || {
        cluster.probe("/readyz").filter(|answer| answer.starts_with("HTTP/1.1 200"))
    });
    // An API server reads webhook configurations from its own watch: wait until it asks.
    eventually("the API server to call the webhook", || {
        let said = cluster.kubectl(&["apply", "--dry-run=server", "-f", "-"], EMPTY_FLOW);
        said.err.contains("HW108").then_some(())
    });
    cluster
}

/// A control plane of this name, with nothing in it; it ends with this process.
pub(crate) fn up(name: &str) -> Cluster {
    let hack = root().join("hack/cluster");
    let owner = std::process::id().to_string();
    let up = Command::new(&hack)
        .args(["up", "--size", "control-plane", "--name", name, "--owner", &owner])
        .stderr(Stdio::inherit())
        .output()
        .unwrap();
    assert!(up.status.success(), "hack/cluster up failed");
    let kubeconfig = PathBuf::from(String::from_utf8(up.stdout).unwrap().trim());
    let tools = Command::new(&hack).arg("tools").stderr(Stdio::inherit()).output().unwrap();
    let kubectl = PathBuf::from(String::from_utf8(tools.stdout).unwrap().trim()).join("kubectl");
    let log = kubeconfig.with_file_name("headworks.log");
    Cluster { kubeconfig, kubectl, probes: 0, log, pid: 0 }
}

/// Ends a control plane before this process does.
pub(crate) fn down(name: &str) {
    let hack = root().join("hack/cluster");
    assert!(Command::new(hack).args(["down", "--name", name]).status().unwrap().success());
}

pub(crate) const EMPTY_FLOW: &str = "{apiVersion: workflow.kube-zen.io/v1alpha1, kind: JobFlow, \
     metadata: {name: probe, namespace: default}, spec: {steps: []}}";

pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// The manifests of `deploy/`, called by URL instead of by Service.
fn webhooks_by_url(port: u16) -> String {
    let text = std::fs::read_to_string(root().join("deploy/base/webhook.yaml")).unwrap();
    // What counts here is the answer, however busy this machine is.
    let text = text.replace("timeoutSeconds: 5", "timeoutSeconds: 30");
    let mut out = String::new();
    for line in text
        .lines()
        .filter(|line| !matches!(line.trim(), "name: headworks-webhook" | "namespace: headworks-system"))
    {
        if line.trim() == "service:" {
            continue;
        }
        match line.trim().strip_prefix("path: ") {
            Some(path) => out.push_str(&format!("      url: https://127.0.0.1:{port}{path}\n")),
            None => out.push_str(&format!("{line}\n")),
        }
    }
    out
}

/// Start the program under test. It ends with this process: `setpriv` has the kernel see to that, and since the
/// kernel watches the thread that started it, that thread stays. Gives its process id.
fn serve(cluster: &Cluster, listen: u16) -> u32 {
    let mut command = Command::new("setpriv");
    command
        .args(["--pdeathsig", "KILL", "--", env!("CARGO_BIN_EXE_headworks"), "run"])
        .args([
            "--listen",
            &format!("127.0.0.1:{listen}"),
            "--probes",
            &format!("127.0.0.1:{}", cluster.probes),
        ])
        .args(["--cert-name", "127.0.0.1", "--log", "trace", "--no-controllers"])
        .env("KUBECONFIG", &cluster.kubeconfig)
        .env_remove("POD_NAMESPACE")
        .stdout(Stdio::null())
        .stderr(std::fs::File::create(&cluster.log).unwrap());
    let (started, wait) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let child = command.spawn();
        started.send(child.as_ref().map(Child::id).map_err(ToString::to_string)).unwrap();
        if let Ok(mut child) = child {
            let _ = child.wait();
        }
    });
    wait.recv().unwrap().unwrap()
}

/// The bullets of kubectl's refusal, or its single line, as `field: message`. Of several documents that are refused
/// kubectl shows the webhook's message instead.
pub(crate) fn bullets(said: &Said) -> Vec<String> {
    let (mut lines, mut message) = (Vec::new(), false);
    for line in said.err.lines() {
        if let Some((_, rest)) = line.split_once(" denied the request: ") {
            lines.push(rest.to_owned());
            message = true;
        } else if line.starts_with("Error from server") || line.starts_with("Warning: ") {
            message = false;
        } else if message {
            lines.push(line.to_owned());
        } else if let Some(bullet) = line.strip_prefix("* ") {
            lines.push(bullet.to_owned());
        } else if let Some((_, rest)) = line.split_once(" is invalid: ")
            && !rest.trim().is_empty()
        {
            lines.push(rest.to_owned());
        }
    }
    lines
}

/// The warnings kubectl printed.
pub(crate) fn warnings(said: &Said) -> Vec<String> {
    said.err.lines().filter_map(|line| line.strip_prefix("Warning: ")).map(str::to_owned).collect()
}

/// A value read back from the cluster.
pub(crate) fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}
