use std::sync::Arc;

use super::*;
use crate::k8s::selector::Selector;
use crate::leaders::plan::key::Key;
use crate::leaders::plan::model::Meta;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_000 + second).unwrap()
}

/// A pod that was created, and Ready, at this second.
fn pod(name: &str, created: i64) -> Pod {
    Pod {
        meta: Meta {
            key: Key::new("ns", name),
            uid: format!("uid-{name}").into(),
            version: "1".into(),
            terminating: false,
        },
        created: at(created),
        labels: Box::new([Arc::from("role=primary")]),
        node: Some("node".into()),
        running: true,
        addresses: Box::new(["10.0.0.1".parse().unwrap()]),
        ready: true,
        since: at(created),
        ports: Box::new([]),
    }
}

fn unready(name: &str, created: i64, since: i64) -> Pod {
    Pod { ready: false, since: at(since), ..pod(name, created) }
}

fn terminating(name: &str, created: i64) -> Pod {
    let mut pod = pod(name, created);
    pod.meta.terminating = true;
    pod
}

struct Case {
    settings: Settings,
    incumbent: Option<&'static str>,
    down: Option<Timestamp>,
    lease: Option<(&'static str, Timestamp)>,
    now: Timestamp,
}

fn case(annotations: &[(&str, &str)]) -> Case {
    let annotations =
        annotations.iter().map(|(key, value)| (format!("zen-lead.io/{key}"), (*value).to_owned()));
    let settings = Settings::read("db", &annotations.collect());
    Case { settings, incumbent: None, down: None, lease: None, now: at(100) }
}

impl Case {
    fn incumbent(self, uid: &'static str) -> Self {
        Self { incumbent: Some(uid), ..self }
    }

    /// The leader's name or `-`, the reason, and the seconds until the question has to be asked again.
    fn says(&self, pods: &[Pod]) -> (String, Reason, Option<i64>) {
        let pods: Vec<&Pod> = pods.iter().collect();
        let question = Question {
            settings: &self.settings,
            family: Family::V4,
            pods: &pods,
            incumbent: self.incumbent,
            down: &|_| self.down,
            node_grace: SignedDuration::from_secs(5),
            lease: self.lease.map(|(holder, until)| Held { holder, until }),
            now: self.now,
        };
        let answer = question.answer();
        let name = answer.leader.map_or("-".to_owned(), |leader| leader.pod.meta.key.name.to_string());
        (name, answer.reason, answer.due.map(|due| due.duration_since(self.now).as_secs()))
    }
}

#[test]
fn the_oldest_leads_or_the_newest_and_names_break_ties() {
    let pods = [pod("b", 2), pod("a", 2), pod("c", 1), pod("d", 3), pod("e", 3)];
    assert_eq!(case(&[]).says(&pods), ("c".to_owned(), Reason::Best, None));
    assert_eq!(case(&[]).says(&pods[..2]).0, "a");
    assert_eq!(case(&[("strategy", "newest")]).says(&pods).0, "d");
}

#[test]
fn an_incumbent_stays_unless_it_is_not_sticky() {
    let pods = [pod("a", 1), pod("b", 2)];
    assert_eq!(case(&[]).incumbent("uid-b").says(&pods), ("b".to_owned(), Reason::Incumbent, None));
    assert_eq!(case(&[("sticky", "false")]).incumbent("uid-b").says(&pods).0, "a");
    assert_eq!(case(&[]).incumbent("uid-of-another-b").says(&pods).0, "a");
}

#[test]
fn a_young_pod_waits_exactly_and_an_incumbent_does_not() {
    let young = case(&[("min-ready-duration", "30s")]);
    let pods = [Pod { since: at(80), ..pod("a", 1) }];
    assert_eq!(young.says(&pods), ("-".to_owned(), Reason::NoReadyPods, Some(10)));
    assert_eq!(Case { now: at(110), ..case(&[("min-ready-duration", "30s")]) }.says(&pods).0, "a");
    assert_eq!(case(&[("min-ready-duration", "30s")]).incumbent("uid-a").says(&pods).0, "a");
}

#[test]
fn whoever_cannot_serve_is_no_candidate() {
    for (pods, reason) in [
        (vec![], Reason::NoPodsFound),
        (vec![unready("a", 1, 50)], Reason::NoReadyPods),
        (vec![terminating("a", 1)], Reason::NoReadyPods),
        (vec![Pod { running: false, ..pod("a", 1) }], Reason::NoReadyPods),
        (vec![Pod { addresses: Box::new([]), ..pod("a", 1) }], Reason::NoReadyPods),
        (vec![Pod { addresses: Box::new(["::1".parse().unwrap()]), ..pod("a", 1) }], Reason::NoReadyPods),
    ] {
        assert_eq!(case(&[]).says(&pods), ("-".to_owned(), reason, None), "{pods:?}");
    }
}

#[test]
fn a_terminating_incumbent_is_the_last_resort_and_never_more() {
    let case = case(&[]).incumbent("uid-a");
    assert_eq!(case.says(&[terminating("a", 1)]).1, Reason::LastResort);
    assert_eq!(case.says(&[terminating("a", 1), pod("b", 2)]).0, "b");
    assert_eq!(case.says(&[Pod { ready: false, ..terminating("a", 1) }]).0, "-");
    assert_eq!(case.says(&[Pod { running: false, ..terminating("a", 1) }]).0, "-");
}

#[test]
fn a_blip_is_held_down_but_an_end_is_not() {
    let held = || case(&[("failover-min-delay", "10s")]).incumbent("uid-a");
    assert_eq!(held().says(&[unready("a", 1, 95), pod("b", 2)]), ("a".to_owned(), Reason::HoldDown, Some(5)));
    assert_eq!(held().says(&[unready("a", 1, 90), pod("b", 2)]).0, "b");
    assert_eq!(held().says(&[terminating("a", 1), pod("b", 2)]).0, "b");
    assert_eq!(held().says(&[Pod { addresses: Box::new([]), ..unready("a", 1, 95) }, pod("b", 2)]).0, "b");
    assert_eq!(held().says(&[pod("b", 2)]).0, "b");
}

#[test]
fn a_node_is_given_up_after_its_grace() {
    let mut case = case(&[]).incumbent("uid-a");
    case.down = Some(at(97));
    assert_eq!(case.says(&[pod("a", 1)]), ("a".to_owned(), Reason::Incumbent, Some(2)));
    case.down = Some(at(95));
    assert_eq!(case.says(&[pod("a", 1)]), ("-".to_owned(), Reason::NoReadyPods, None));
    assert_eq!(case.says(&[Pod { node: None, ..pod("b", 2) }, pod("a", 1)]).0, "b");
}

#[test]
fn a_claim_is_followed_and_of_two_the_incumbent_stays() {
    let selector = || case(&[("candidate-selector", "role=primary"), ("sticky", "false")]);
    let other = Pod { labels: Box::new([Arc::from("role=replica")]), ..pod("a", 1) };
    assert_eq!(selector().says(&[other.clone(), pod("b", 2)]).0, "b");
    assert_eq!(selector().says(&[other]).0, "-");
    assert_eq!(selector().incumbent("uid-b").says(&[pod("a", 1), pod("b", 2)]).0, "b");
    assert_eq!(selector().says(&[pod("a", 1), pod("b", 2)]).0, "a");
    assert!(matches!(selector().settings.claim, Claim::Labelled(Selector { .. })));
    // A typo moves nobody and lets nobody in.
    let typo = || case(&[("candidate-selector", "role in primary")]);
    assert_eq!(typo().incumbent("uid-b").says(&[pod("a", 1), pod("b", 2)]).0, "b");
    assert_eq!(typo().says(&[pod("a", 1)]).0, "-");
}

#[test]
fn a_promoted_pod_leads_as_soon_as_it_is_a_candidate() {
    let promote = || case(&[("promote", "b"), ("min-ready-duration", "30s")]).incumbent("uid-a");
    assert_eq!(promote().says(&[pod("a", 1), Pod { since: at(99), ..pod("b", 2) }]).1, Reason::Promoted);
    assert_eq!(promote().says(&[pod("a", 1), unready("b", 2, 99)]).0, "a");
    assert_eq!(promote().says(&[pod("a", 1)]).0, "a");
}

#[test]
fn the_holder_of_the_lease_leads_and_nobody_else() {
    let lease = |holder: &'static str, until: i64| Case {
        lease: Some((holder, at(until))),
        ..case(&[("strategy", "lease"), ("lease-name", "l")]).incumbent("uid-a")
    };
    let pods = [pod("a", 1), pod("b", 2)];
    assert_eq!(lease("b", 107).says(&pods), ("b".to_owned(), Reason::LeaseHolder, Some(7)));
    assert_eq!(lease("b_4f1c", 107).says(&pods).0, "b");
    for holder in ["bb", "b-4f1c", "_b"] {
        assert_eq!(lease(holder, 107).says(&pods).0, "-", "{holder}");
    }
    assert_eq!(lease("b", 100).says(&pods), ("-".to_owned(), Reason::NoLeaseHolder, None));
    assert_eq!(lease("b", 107).says(&[pod("a", 1), unready("b", 2, 99)]).0, "-");
    assert_eq!(Case { lease: None, ..lease("b", 107) }.says(&pods).0, "-");
}
