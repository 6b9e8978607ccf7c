//! Who did what, as the API server's audit log tells. Local clusters have one beside their kubeconfig.

use std::fs::File;
use std::io::{BufRead, BufReader, Seek, SeekFrom};
use std::path::PathBuf;

use serde_json::Value;

/// The log, from some moment on.
pub(super) struct Audit {
    path: PathBuf,
    from: u64,
}

/// One call about a Secret.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Call {
    pub(super) verb: String,
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) code: u64,
    /// The pod that made it.
    pub(super) pod: String,
}

impl Audit {
    /// The pod that wrote our Secret last. Every replica may write, each write a compare-and-swap.
    pub(super) fn last_writer(&self) -> Option<String> {
        let mut calls = self.about_secrets().into_iter().rev();
        calls.find(|call| call.verb == "update" && call.code == 200).map(|call| call.pod)
    }

    /// From now on; `None` where the cluster is not one of `hack/cluster`.
    pub(super) fn from_now() -> Option<Self> {
        let path = PathBuf::from(std::env::var_os("KUBECONFIG")?).with_file_name("audit.log");
        let from = std::fs::metadata(&path).ok()?.len();
        Some(Self { path, from })
    }

    /// The calls about Secrets by the service account that headworks runs as.
    pub(super) fn about_secrets(&self) -> Vec<Call> {
        let mut file = File::open(&self.path).unwrap();
        file.seek(SeekFrom::Start(self.from)).unwrap();
        let lines = BufReader::new(file).split(b'\n').map(|line| String::from_utf8(line.unwrap()).unwrap());
        // The last line may not be whole yet.
        let entries = lines
            .filter(|line| {
                line.contains("\"secrets\"") && line.contains(":serviceaccount:headworks-system:headworks")
            })
            .filter_map(|line| serde_json::from_str::<Value>(&line).ok());
        let ours = entries.filter(|entry| {
            entry["user"]["username"] == "system:serviceaccount:headworks-system:headworks"
                && entry["objectRef"]["resource"] == "secrets"
                && entry["stage"] != "ResponseStarted"
        });
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let call = |entry: Value| Call {
            verb: text(&entry["verb"]),
            namespace: text(&entry["objectRef"]["namespace"]),
            name: text(&entry["objectRef"]["name"]),
            code: entry["responseStatus"]["code"].as_u64().unwrap_or_default(),
            pod: text(&entry["user"]["extra"]["authentication.kubernetes.io/pod-name"][0]),
        };
        ours.map(call).collect()
    }
}
