//! The first start: many replicas, and nothing there yet.

use std::collections::BTreeSet;

use kube::Client;
use serde_json::Value;

use super::audit::Audit;
use super::counters::Counters;
use super::rig::{Rig, SECRET, Shape, record, served};
use crate::{eventually, json as get, one_step, runtime, try_kubectl};

const REPLICAS: usize = 5;

#[test]
fn five_replicas_on_nothing_make_one_authority() {
    let Some(rig) = Rig::on_nothing(Shape::new(REPLICAS, &[])) else { return };
    the_judge_sees_one_call_that_fails();
    let audit = Audit::from_now();
    let ((secrets, _recording), (events, _recording_too)) = (record("Secret"), record("Event"));
    rig.start();

    let serial = eventually("all to serve one certificate", || {
        let serials = served();
        let same = serials.windows(2).all(|two| two[0] == two[1]) && !serials[0].is_empty();
        (serials.len() == REPLICAS && same).then(|| serials[0].clone())
    });
    let of = |key: &str| -> BTreeSet<String> {
        secrets.look(|records| {
            let ours = records.iter().filter(|record| record.name() == SECRET);
            ours.filter_map(|record| Some(record.object["data"][key].as_str()?.to_owned())).collect()
        })
    };
    let (authorities, leaves) = (of("ca.crt"), of("tls.crt"));
    assert_eq!((authorities.len(), leaves.len()), (1, 1), "whatever version of the Secret one looks at");
    for bundle in bundles() {
        assert_eq!(
            bundle,
            *authorities.first().unwrap(),
            "the published bundle is that authority, byte for byte"
        );
    }
    let said = |reason: &str| {
        events.latest().into_iter().filter(|event| event["reason"] == reason).collect::<Vec<Value>>()
    };
    let made = eventually("the Event of it", || {
        Some(said("CertificateAuthorityCreated")).filter(|made| !made.is_empty())
    });
    assert!(made.len() == 1 && made[0]["series"].is_null(), "{made:#?}");
    match audit {
        Some(audit) => {
            let creates: Vec<u64> = audit
                .about_secrets()
                .iter()
                .filter(|call| call.verb == "create")
                .map(|call| call.code)
                .collect();
            eprintln!(
                "{REPLICAS} replicas on nothing: one CA, leaf {serial}; creations of the Secret were answered {creates:?}"
            );
            assert_eq!(creates.iter().filter(|code| **code == 201).count(), 1, "{creates:?}");
            assert!(creates.iter().all(|code| matches!(code, 201 | 409)), "{creates:?}");
        }
        None => eprintln!("SKIPPED: the API server's audit log is not at hand"),
    }
}

/// While no pod is there a call fails, and the counter that all these tests go by tells it.
fn the_judge_sees_one_call_that_fails() {
    let client = runtime().block_on(async { Client::try_default().await.unwrap() });
    let read = || runtime().block_on(Counters::read(&client));
    let before = read();
    let said = try_kubectl(&["apply", "-f", "-"], &one_step("unjudged", "busybox:1"));
    assert!(!said.ok && said.err.contains("failed calling webhook"), "{said:?}");
    assert_eq!(read().since(&before).total_lost(), 1);
}

/// The caBundle of every webhook, in base64.
pub(super) fn bundles() -> Vec<String> {
    let of = |kind: &str| {
        let configuration = get(&["get", kind, "headworks"]);
        let webhooks = configuration["webhooks"].as_array().unwrap();
        webhooks.iter().map(|one| one["clientConfig"]["caBundle"].as_str().unwrap().to_owned()).collect()
    };
    let all: [Vec<String>; 2] = [of("validatingwebhookconfiguration"), of("mutatingwebhookconfiguration")];
    all.concat()
}
