//! The flow that meets everything, run through whatever a test has set up, and how it ends when nothing is in its way.

use std::sync::Arc;

use serde_json::Value;
use tokio::sync::OnceCell;

use crate::cluster::Cluster;
use crate::flows::{self, APPROVAL};
use crate::rig::Rig;

/// Run the flow to its end, and insist that each Job was created once.
pub(crate) async fn run(rig: &Arc<Rig>) -> Value {
    let name = "flow";
    let uid = rig.create(name, &flows::everything()).await;
    let approval = async {
        rig.until(name, "the approval to be asked for", |status| {
            let mut steps = status["steps"].as_array().into_iter().flatten();
            steps.any(|step| step["phase"] == "PendingApproval")
        })
        .await;
        rig.approve(name, APPROVAL).await;
    };
    let (status, ()) = tokio::join!(rig.ends(name), approval);
    rig.each_job_once(&[(name, &uid, &status)]).await;
    flows::end(&status)
}

/// Run the flow, and insist that it ends as it does when nothing is in its way.
pub(crate) async fn ends_the_same(rig: &Arc<Rig>, disturbed: &str) {
    let wanted = undisturbed(rig.cluster).await;
    assert_eq!(run(rig).await, *wanted, "{disturbed}, in {}", rig.namespace);
}

/// The end of the flow when nothing is in its way.
pub(crate) async fn undisturbed(cluster: &'static Cluster) -> &'static Value {
    static END: OnceCell<Value> = OnceCell::const_new();
    END.get_or_init(|| async {
        let end = run(&Rig::running(cluster, "calm").await).await;
        assert_eq!(end["phase"], "Succeeded", "{end:#}");
        end
    })
    .await
}
