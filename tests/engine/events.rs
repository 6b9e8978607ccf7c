//! What becomes an Event: everything, or nothing. What the default tells is shown on a real node (`tests/e2e`).

use std::time::Duration;

use k8s_openapi::api::events::v1::Event;
use kube::Api;
use kube::api::ListParams;

use crate::cluster::test;
use crate::flows::chain;
use crate::rig::{LIMIT, Rig};

/// Reason and note of every Event of the namespace about flows, in the order in which they were written.
pub(crate) async fn events(rig: &Rig) -> Vec<String> {
    let api: Api<Event> = Api::namespaced(rig.cluster.client.clone(), &rig.namespace);
    let mut events = api.list(&ListParams::default()).await.unwrap().items;
    events.retain(|event| event.reporting_controller.as_deref() == Some("headworks"));
    events.sort_by_key(|event| event.event_time.clone().unwrap().0);
    let words = events.into_iter().map(|event| format!("{}: {}", event.reason.unwrap(), event.note.unwrap()));
    words.collect()
}

async fn start(rig: &Rig, level: &str) {
    rig.start_with(&["--lease-name", "lease-0", "--lease-duration", "60s", "--events", level]);
    rig.create("flow", &chain(2)).await;
    rig.ends("flow").await;
}

#[test]
fn every_start_and_end_becomes_an_event_if_that_is_wanted() {
    test(async |cluster| {
        let rig = Rig::new(cluster, "events-all").await;
        start(&rig, "all").await;
        let all_there = async {
            loop {
                let events = events(&rig).await;
                if events.iter().any(|event| event.starts_with("FlowSucceeded")) {
                    return events;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        let events = tokio::time::timeout(LIMIT, all_there).await.expect("an Event of the flow's end");
        let reasons: Vec<&str> = events.iter().map(|event| event.split_once(':').unwrap().0).collect();
        assert_eq!(
            reasons,
            ["FlowStarted", "StepStarted", "StepSucceeded", "StepStarted", "StepSucceeded", "FlowSucceeded"],
            "{events:#?}"
        );
    });
}

#[test]
fn nothing_becomes_an_event_if_none_is_wanted() {
    test(async |cluster| {
        let rig = Rig::new(cluster, "events-none").await;
        start(&rig, "none").await;
        // What was to be written is written before it ends.
        rig.terminate();
        assert_eq!(events(&rig).await, Vec::<String>::new());
    });
}
