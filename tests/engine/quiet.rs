//! An unchanged world: nothing is written but the Lease.

use std::time::Duration;

use kube::api::{Patch, PatchParams};
use serde_json::json;

use crate::audit::{Audit, Entry};
use crate::cluster::test;
use crate::flows::{chain, flow, job, manual};
use crate::rig::Rig;

const FINISHED: usize = 50;

#[test]
fn a_world_that_does_not_change_is_not_written_to() {
    test(async |cluster| {
        let rig = Rig::running(cluster, "quiet").await;
        for n in 0..FINISHED {
            rig.create(&format!("finished-{n}"), &chain(1)).await;
        }
        // Ten that wait: for somebody, for their own end, for a long time before a retry, for others.
        let mut kept = flow([job("a", &[], "0")]);
        kept["suspend"] = json!(true);
        let mut in_line = chain(1);
        in_line["executionPolicy"] = json!({"concurrencyKey": "line"});
        let mut holds = flow([manual("hold", &[])]);
        holds["executionPolicy"] = json!({"concurrencyKey": "line"});
        let slow = json!({"limit": 1, "backoff": {"type": "Fixed", "duration": "1h"}});
        let waiting = [
            ("asks-1", flow([job("a", &[], "0"), manual("ask", &["a"])])),
            ("asks-2", flow([manual("ask", &[])])),
            ("asks-3", flow([manual("ask", &[]).with("timeoutSeconds", json!(3_600))])),
            ("line-1", holds),
            ("line-2", in_line),
            ("kept-1", kept.clone()),
            ("kept-2", kept),
            ("runs-1", flow([job("a", &[], "-")])),
            ("runs-2", flow([job("a", &[], "-"), job("b", &[], "0")])),
            ("retries", flow([job("a", &[], "1").with("retryPolicy", slow)])),
        ];
        for (name, spec) in &waiting {
            rig.create(name, spec).await;
            // Of two that were created in the same second the order is that of their UIDs.
            if *name == "line-1" {
                rig.until(name, "it to hold the line", |status| status["phase"] == "Paused").await;
            }
        }
        for n in 0..FINISHED {
            rig.ends(&format!("finished-{n}")).await;
        }
        for (name, _) in &waiting {
            rig.until(name, "it to wait", |status| match *name {
                "runs-1" | "runs-2" => status["steps"][0]["jobRef"]["uid"].is_string(),
                "retries" => status["steps"][0]["waiting"]["reason"] == "Retry",
                _ => matches!(status["phase"].as_str(), Some("Paused" | "Pending" | "Suspended")),
            })
            .await;
        }

        // Events are written one after the other and a little late: once that of a last flow is there, all are.
        rig.create("last", &chain(1)).await;
        rig.ends("last").await;
        let told = |call: &Entry| {
            call.is("create", "events") && call.name().starts_with("last.") && call.code() == 201
        };
        rig.audit().until(&rig.agent(), "an Event of the last flow", told).await;
        let quiet = Audit::from_now(cluster);
        tokio::time::sleep(Duration::from_secs(10)).await;
        rig.crash();
        let leads = |call: &Entry| call.resource() == "leases" && call.code() == 201;
        quiet.until(&rig.agent(), "a new engine to lead", leads).await;
        // In this time it looks at all that is there.
        tokio::time::sleep(Duration::from_secs(5)).await;
        let calls = quiet.of(&rig.agent());
        let writes: Vec<_> =
            calls.iter().filter(|call| call.writes() && call.resource() != "leases").collect();
        assert!(writes.is_empty(), "{writes:#?}");

        let patch = Patch::Merge(json!({"spec": {"suspend": false}}));
        rig.flows().patch("kept-1", &PatchParams::default(), &patch).await.unwrap();
        rig.ends("kept-1").await;
        println!("{} calls, none of which wrote anything but the Lease", calls.len());
    });
}
