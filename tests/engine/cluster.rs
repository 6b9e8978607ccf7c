//! Clusters of this run: real control planes, without webhooks in front of them. `hack/cluster` ends them with this
//! process, however it ends.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::LazyLock;
use std::time::Duration;

use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use tokio::runtime::Runtime;

use crate::command::{self, Said};
use crate::kubelet;

pub(crate) struct Cluster {
    name: String,
    kubeconfig: PathBuf,
    kubectl: PathBuf,
    config: Config,
    /// As admin, with nothing in between.
    pub(crate) client: Client,
}

/// One runtime for the whole run: proxies and kubelets outlive the test that first wanted them.
pub(crate) fn runtime() -> &'static Runtime {
    static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
        let _ = rustls::crypto::ring::default_provider().install_default();
        Runtime::new().unwrap()
    });
    &RUNTIME
}

/// Run a test. It gets a cluster whose pods this process plays the kubelet for.
pub(crate) fn test<F: Future<Output = ()>>(test: impl FnOnce(&'static Cluster) -> F) {
    static CLUSTER: LazyLock<Cluster> = LazyLock::new(|| {
        let cluster = Cluster::up("engine", "control-plane");
        cluster.must(&["apply", "-f", "-"], &headworks::flows::api::crd::crd().to_string());
        cluster.wait_for_the_crd();
        kubelet::play(&cluster);
        cluster
    });
    let cluster = &*CLUSTER;
    runtime().block_on(test(cluster));
}

impl Cluster {
    /// Start a cluster.
    pub(crate) fn up(name: &str, size: &str) -> Self {
        let hack = Path::new(env!("CARGO_MANIFEST_DIR")).join("hack/cluster");
        let owner = std::process::id().to_string();
        let name = format!("{name}-{owner}");
        let up = ["up", "--size", size, "--name", &name, "--owner", &owner];
        let kubeconfig = PathBuf::from(run(&hack, &up));
        let kubectl = PathBuf::from(run(&hack, &["tools"])).join("kubectl");
        let parsed = Kubeconfig::read_from(&kubeconfig).unwrap();
        let options = KubeConfigOptions::default();
        let config = runtime().block_on(Config::from_custom_kubeconfig(parsed, &options)).unwrap();
        let client = {
            let _runtime = runtime().enter();
            Client::try_from(config.clone()).unwrap()
        };
        Self { name, kubeconfig, kubectl, config, client }
    }

    /// A client with connections of its own.
    pub(crate) fn another_client(&self) -> Client {
        Client::try_from(self.config.clone()).unwrap()
    }

    /// Run `headworks` as a person does.
    pub(crate) fn headworks(&self, args: &[&str]) -> Said {
        let mut headworks = Command::new(env!("CARGO_BIN_EXE_headworks"));
        command::run(headworks.args(args).env("KUBECONFIG", &self.kubeconfig), "")
    }

    pub(crate) fn audit_log(&self) -> PathBuf {
        self.kubeconfig.with_file_name("audit.log")
    }

    pub(crate) fn kubectl(&self, args: &[&str], input: &str) -> Said {
        let mut kubectl = Command::new(&self.kubectl);
        command::run(kubectl.args(args).env("KUBECONFIG", &self.kubeconfig), input)
    }

    pub(crate) fn must(&self, args: &[&str], input: &str) -> String {
        let said = self.kubectl(args, input);
        assert!(said.ok, "kubectl {args:?}: {}", said.err);
        said.out
    }

    pub(crate) fn wait_for_the_crd(&self) {
        command::within(Duration::from_mins(1), "JobFlows to be served", || {
            self.kubectl(&["get", "jobflows", "-A"], "").ok.then_some(())
        });
    }

    /// Kill the API server with no warning, and start it again after a while.
    pub(crate) fn restart_apiserver(&self) {
        let hack = Path::new(env!("CARGO_MANIFEST_DIR")).join("hack/cluster");
        run(&hack, &["restart-apiserver", "--name", &self.name]);
    }
}

fn run(program: &Path, args: &[&str]) -> String {
    let output = Command::new(program).args(args).stderr(Stdio::inherit()).output().unwrap();
    assert!(output.status.success(), "{} {args:?} failed", program.display());
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}
