//! What the API server says was done: its audit log, which no engine can write and no crash can lose.

use std::fs::File;
use std::io::{BufRead, BufReader, Seek, SeekFrom};
use std::time::{Duration, Instant};

use serde::Deserialize;

use crate::cluster::Cluster;

/// A place in the log.
#[derive(Clone, Copy)]
pub(crate) struct Audit<'c> {
    cluster: &'c Cluster,
    from: u64,
}

/// One call.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Entry {
    pub(crate) verb: String,
    #[serde(default)]
    user_agent: String,
    #[serde(default)]
    object_ref: Object,
    #[serde(default)]
    response_status: Status,
    stage: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Object {
    api_group: String,
    resource: String,
    subresource: String,
    namespace: String,
    name: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Status {
    code: u16,
}

impl Entry {
    pub(crate) fn resource(&self) -> String {
        let Object { resource, subresource, .. } = &self.object_ref;
        if subresource.is_empty() { resource.clone() } else { format!("{resource}/{subresource}") }
    }

    pub(crate) fn group(&self) -> &str {
        &self.object_ref.api_group
    }

    pub(crate) fn name(&self) -> &str {
        &self.object_ref.name
    }

    pub(crate) fn namespace(&self) -> &str {
        &self.object_ref.namespace
    }

    pub(crate) fn code(&self) -> u16 {
        self.response_status.code
    }

    pub(crate) fn is(&self, verb: &str, resource: &str) -> bool {
        self.verb == verb && self.resource() == resource
    }

    /// A Job that was created.
    pub(crate) fn creates_job(&self) -> bool {
        self.is("create", "jobs") && self.code() == 201
    }

    pub(crate) fn writes(&self) -> bool {
        !matches!(self.verb.as_str(), "get" | "list" | "watch")
    }
}

impl<'c> Audit<'c> {
    /// From now on.
    pub(crate) fn from_now(cluster: &'c Cluster) -> Self {
        let from = std::fs::metadata(cluster.audit_log()).map_or(0, |log| log.len());
        Self { cluster, from }
    }

    /// What whoever calls itself `agent` has done since. Calls are logged before they are answered.
    pub(crate) fn of(&self, agent: &str) -> Vec<Entry> {
        let mut file = File::open(self.cluster.audit_log()).unwrap();
        file.seek(SeekFrom::Start(self.from)).unwrap();
        let mine = format!("\"userAgent\":\"{agent}\"");
        let lines = BufReader::new(file).split(b'\n').map(Result::unwrap);
        let lines = lines.map(|line| String::from_utf8(line).unwrap()).filter(|line| line.contains(&mine));
        // The last line may not be whole yet.
        let entries = lines.filter_map(|line| serde_json::from_str::<Entry>(&line).ok());
        // A watch is logged when it begins and when it ends.
        entries.filter(|entry| entry.user_agent == agent && entry.stage != "ResponseStarted").collect()
    }

    /// Wait until `agent` has done something like that since.
    pub(crate) async fn until(&self, agent: &str, what: &str, like: impl Fn(&Entry) -> bool) {
        let end = Instant::now() + Duration::from_mins(1);
        while !self.of(agent).iter().any(&like) {
            assert!(Instant::now() < end, "waited a minute for {what}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}
