use headworks_certs::managed::inspect::{ReplicaInfo, SecretInfo, WebhookInfo};

use super::*;

fn found() -> Inspection {
    let now: Timestamp = "2030-01-01T00:00:00Z".parse().unwrap();
    let in_hours = |hours| now + SignedDuration::from_hours(hours);
    let cert = |serial: &str, hours| CertInfo {
        serial: serial.to_owned(),
        not_before: in_hours(-1),
        not_after: in_hours(hours),
    };
    let webhook = |webhook: &str, trusts| WebhookInfo {
        configuration: "ValidatingWebhookConfiguration/headworks".to_owned(),
        webhook: webhook.to_owned(),
        trusts,
        right: Some(true),
    };
    Inspection {
        now,
        secret: Some(SecretInfo {
            phase: "published",
            phase_since: Some(now - SignedDuration::from_secs(10)),
            leaf: Some(cert("0a", 100)),
            ca: Some(cert("c1", 2_000)),
            next_ca: Some(cert("c2", 8_760)),
            next_step: "activate the next certificate".to_owned(),
            next_due: Some(now + SignedDuration::from_secs(20)),
        }),
        replicas: vec![
            ReplicaInfo { pod: "a".to_owned(), ready: Some(true), serial: Some("0a".to_owned()) },
            ReplicaInfo { pod: "bee".to_owned(), ready: Some(false), serial: None },
        ],
        published: vec![webhook("one", vec![cert("c1", 2_000), cert("c2", 8_760)]), webhook("two", vec![])],
        problems: vec!["webhook two trusts nobody".to_owned()],
    }
}

#[test]
fn a_table_for_people() {
    let expected = "\
phase        published, for 10s
certificate  0a, valid for 4d more
CA           c1, valid for 83d more
next CA      c2, valid for 365d more
next         activate the next certificate, in 20s (2030-01-01T00:00:20Z)

REPLICA   READY   SERVES
a         yes     0a
bee       no      unknown

PUBLISHED IN                               WEBHOOK   TRUSTS
ValidatingWebhookConfiguration/headworks   one       c1, valid for 83d more and c2, valid for 365d more
ValidatingWebhookConfiguration/headworks   two       nobody

wrong: webhook two trusts nobody
";
    assert_eq!(table(&found(), Style::NONE), expected);
    let well = Inspection { problems: vec![], ..found() };
    assert!(table(&well, Style::NONE).ends_with("\n\nall is well\n"));
}

#[test]
fn json_has_the_names_that_kubernetes_would_give() {
    let json = serde_json::to_value(found()).unwrap();
    assert_eq!(json["secret"]["nextDue"], "2030-01-01T00:00:20Z");
    assert_eq!(json["replicas"][0]["serial"], "0a");
    assert_eq!(json["published"][0]["trusts"][1]["notAfter"], "2031-01-01T00:00:00Z");
}
