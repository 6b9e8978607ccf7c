//! A second cluster, for tests that treat the cluster itself roughly. One test has it at a time.

use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};

use crate::cluster::{Cluster, runtime};
use crate::{command, kubelet};

/// Run a test that needs the cluster for itself, with the CRD as it is delivered.
pub(crate) fn test<F: Future<Output = ()>>(test: impl FnOnce(&'static Cluster) -> F) {
    with(&headworks::flows::api::crd::crd(), test);
}

/// The same, with a CRD that takes anything.
pub(crate) fn test_without_schema<F: Future<Output = ()>>(test: impl FnOnce(&'static Cluster) -> F) {
    let mut crd = headworks::flows::api::crd::crd();
    for version in crd["spec"]["versions"].as_array_mut().unwrap() {
        version["schema"]["openAPIV3Schema"] =
            json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    }
    with(&crd, |cluster| {
        let anything = r#"{"apiVersion": "workflow.kube-zen.io/v1alpha1", "kind": "JobFlow",
            "metadata": {"name": "anything", "namespace": "default"}, "spec": []}"#;
        command::within(Duration::from_mins(1), "anything to be taken", || {
            let args = ["create", "--dry-run=server", "--validate=false", "-f", "-"];
            cluster.kubectl(&args, anything).ok.then_some(())
        });
        test(cluster)
    });
}

fn with<F: Future<Output = ()>>(crd: &Value, test: impl FnOnce(&'static Cluster) -> F) {
    static CLUSTER: LazyLock<Cluster> = LazyLock::new(|| {
        let cluster = Cluster::up("rough", "control-plane");
        kubelet::play(&cluster);
        cluster
    });
    static TURN: Mutex<()> = Mutex::new(());
    // A test that failed has said so; the next one can still say something.
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let cluster = &*CLUSTER;
    cluster.must(&["apply", "-f", "-"], &crd.to_string());
    cluster.wait_for_the_crd();
    // What the test before left would be looked at by an engine that looks at the whole cluster.
    cluster.must(&["delete", "jobflows", "--all", "--all-namespaces"], "");
    runtime().block_on(test(cluster));
}
